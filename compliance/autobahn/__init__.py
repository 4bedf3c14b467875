"""Autobahn|Testsuite: RFC 6455 and RFC 7692, asked of a running WebSocket echo server."""
