"""The one ASGI event layer: protocol events to and from ASGI messages."""
