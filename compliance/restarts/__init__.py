"""Whether a request is lost while the server's processes come and go."""
