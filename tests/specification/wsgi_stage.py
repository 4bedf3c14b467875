"""Servers of WSGI applications that many tests share, one for each backend."""

from __future__ import annotations

import contextlib
from typing import Any
from wsgiref.validate import validator

from helpers.clients import Client
from helpers.serving import BACKENDS, Loops, Served
from helpers.site import Certificate, Serving
from helpers.wsgi import App


class Stage:
    """The application of a standing server: whichever a test puts on it."""

    def __init__(self) -> None:
        self.app: App

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        return self.app(environ, start_response)


class WSGIStages:
    """One standing server for each backend, started on first use."""

    def __init__(self, loops: Loops, certificate: Certificate) -> None:
        self._servings = {name: Serving(loops, name, certificate) for name in BACKENDS}
        self._found: dict[str, tuple[Stage, Served]] = {}
        self.stack = contextlib.ExitStack()

    def take(self, backend: str) -> tuple[Stage, Served]:
        """The server, and where its application is put."""
        if backend not in self._found:
            serving = self._servings[backend]
            self.stack.enter_context(serving.stack)
            stage = Stage()
            # On: so that the server ends its threads.
            self._found[backend] = stage, serving(stage, interface="wsgi", lifespan="on")
        return self._found[backend]


class WSGISite:
    """Serves one application after the other, below wsgiref's validator, and connects."""

    def __init__(self, serving: Serving, stages: WSGIStages) -> None:
        self.serving = serving
        self._stage, self.served = stages.take(serving.backend)

    def serve(self, app: App, *, validate: bool = True) -> None:
        """Put an application on the server."""
        self._stage.app = validator(app) if validate else app

    def connect(self, protocol: str = "http/1.1") -> Client:
        """A new connection."""
        return self.serving.connect(self.served, protocol)

    def open(self, app: App, protocol: str = "http/1.1", *, validate: bool = True) -> Client:
        """Both."""
        self.serve(app, validate=validate)
        return self.connect(protocol)
