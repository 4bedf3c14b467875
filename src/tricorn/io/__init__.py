"""The only modules that touch sockets."""
