"""Tricorn: an ASGI server for HTTP/1.1, HTTP/2 with server push, and WebSocket over both."""

import importlib

TYPE_CHECKING = False  # typing itself takes a megabyte
if TYPE_CHECKING:
    from tricorn import exceptions as exceptions
    from tricorn import logs as logs
    from tricorn.asgi.push import push
    from tricorn.config import Config
    from tricorn.launch import run
    from tricorn.server import serve
    from tricorn.threaded import ServerThread, serve_in_thread

__version__ = "0.1.0"

__all__ = ["Config", "ServerThread", "__version__", "push", "run", "serve", "serve_in_thread"]

# Loaded when they are used: pytest imports this package for its plugin in every test run.
_MODULES = ("exceptions", "logs")
_HOMES = {
    "Config": "config",
    "ServerThread": "threaded",
    "push": "asgi.push",
    "run": "launch",
    "serve": "server",
    "serve_in_thread": "threaded",
}

if not TYPE_CHECKING:

    def __getattr__(name):
        if name in _MODULES:
            return importlib.import_module(f"tricorn.{name}")
        if name not in _HOMES:
            raise AttributeError(f"module 'tricorn' has no attribute {name!r}")
        value = getattr(importlib.import_module(f"tricorn.{_HOMES[name]}"), name)
        globals()[name] = value
        return value

    def __dir__():
        return sorted({*globals(), *__all__})
