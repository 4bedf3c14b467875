"""Connection rules, sans-IO: no await, no clock, no sockets."""
