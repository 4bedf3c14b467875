"""Raw-byte HTTP/1.1 conformance cases and the runner that plays them against a live server."""
