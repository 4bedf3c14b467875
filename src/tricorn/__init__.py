"""Tricorn: an ASGI server for HTTP/1.1, HTTP/2 with server push, and WebSocket over both."""

from tricorn.config import Config
from tricorn.server import run, serve

__version__ = "0.1.0"

__all__ = ["Config", "__version__", "run", "serve"]
