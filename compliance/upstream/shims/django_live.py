"""Runs Django's ``runtests.py`` with Tricorn as the server of its live server tests.

``python -m compliance.upstream.shims.django_live LABEL...`` in the ``tests`` folder of Django.
With ``UPSTREAM_INTERFACE=asgi`` the project is served by Django's ASGI handler instead of WSGI.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import runpy
import socket
import sys
import threading
import traceback
import unittest
from pathlib import Path
from typing import Any

import asgiref.testing
import django.core.servers.basehttp as basehttp
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler, StaticFilesHandler
from django.core.handlers.asgi import ASGIHandler
from django.db import connections

from compliance.upstream.shims.communicator import Communicator
from compliance.upstream.shims.live import WORKER_CLASS, LiveServer

INTERFACE = os.environ.get("UPSTREAM_INTERFACE", "wsgi")
_outcomes: dict[str, dict[str, str]] = {}


class Server:
    """The surface of ``ThreadedWSGIServer``: what ``LiveServerThread`` calls."""

    def __init__(
        self,
        address: tuple[str, int],
        handler_class: object = None,
        ipv6: bool = False,
        allow_reuse_address: bool = True,
        connections_override: dict[str, Any] | None = None,
    ) -> None:
        self._socket = socket.socket()
        self._socket.bind(address)
        self.server_address = self._socket.getsockname()
        self._override = connections_override or {}
        self._ended = threading.Event()
        self._live: LiveServer

    def set_app(self, app: Any) -> None:
        if INTERFACE == "asgi":
            served: Any = _Handler(self)
            outer = app
            while outer is not None and not isinstance(outer, StaticFilesHandler):
                outer = getattr(outer, "application", None)
            if type(outer) is StaticFilesHandler:
                served = ASGIStaticFilesHandler(served)
        else:
            served = self._wsgi(app)
        self._live = LiveServer(
            served,
            WORKER_CLASS,
            bind=[f"fd://{self._socket.fileno()}"],
            interface="asgi3" if INTERFACE == "asgi" else "wsgi",
            lifespan="off",
            graceful_timeout=1.0,
        ).start()

    def _wsgi(self, app: Any) -> Any:
        """The application in a thread that has the test's database connections meanwhile."""

        def served(environ: dict[str, Any], start_response: Any) -> Any:
            self.use_connections()
            try:
                return app(environ, start_response)
            finally:
                self._close_connections()

        return served

    def use_connections(self) -> None:
        """Give this thread the connections of the test."""
        for alias, connection in self._override.items():
            connections[alias] = connection

    def _close_connections(self) -> None:
        connections.close_all()

    def serve_forever(self) -> None:
        self._ended.wait()

    def shutdown(self) -> None:
        self._live.stop()
        self._ended.set()

    def server_close(self) -> None:
        self._socket.close()


class _Handler(ASGIHandler):
    """Django's, in whose thread for synchronous code the test's connections are."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server

    async def handle(self, scope: Any, receive: Any, send: Any) -> None:
        await sync_to_async(self._server.use_connections)()
        try:
            await super().handle(scope, receive, send)
        finally:
            await sync_to_async(self._server._close_connections)()


class _Result(unittest.TextTestResult):
    """Notes every outcome."""

    _before = 0

    def startTest(self, test: Any) -> None:
        self._before = Communicator.made
        super().startTest(test)

    def _note(self, test: unittest.TestCase, outcome: str, message: str = "") -> None:
        alone = test.id().startswith("asgi.") and Communicator.made == self._before
        if alone and outcome == "passed":
            return  # it has looked at Django's classes only
        name = test.id().replace("unittest.suite._ErrorHolder.", "")
        before = _outcomes.get(name, {}).get("outcome")
        if before != "failed":
            message = re.sub(r"\s+", " ", message).strip()[-300:]
            _outcomes[name] = {"outcome": outcome, "message": message}

    def addSuccess(self, test: Any) -> None:
        super().addSuccess(test)
        self._note(test, "passed")

    def addFailure(self, test: Any, err: Any) -> None:
        super().addFailure(test, err)
        self._note(test, "failed", "".join(traceback.format_exception_only(err[1])))

    def addError(self, test: Any, err: Any) -> None:
        super().addError(test, err)
        self._note(test, "failed", "".join(traceback.format_exception_only(err[1])))

    def addSkip(self, test: Any, reason: str) -> None:
        super().addSkip(test, reason)
        self._note(test, "skipped", reason)

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._note(test, "failed", "".join(traceback.format_exception_only(err[1])))


def main(labels: list[str]) -> None:
    """Run the tests of these labels and write the report."""
    basehttp.WSGIServer = basehttp.ThreadedWSGIServer = Server
    asgiref.testing.ApplicationCommunicator = Communicator
    if WORKER_CLASS == "uvloop":
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    import django.test.testcases as testcases

    testcases.async_to_sync = lambda test: async_to_sync(Communicator.ending(test))

    testcases.ThreadedWSGIServer = Server
    testcases.LiveServerThread.server_class = Server
    unittest.TextTestRunner.resultclass = _Result
    sys.path.insert(0, str(Path.cwd()))
    sys.argv = ["runtests.py", "--parallel=1", "--verbosity=1", *labels]
    try:
        runpy.run_path("runtests.py", run_name="__main__")
    finally:
        path = os.environ.get("UPSTREAM_REPORT")
        if path:
            Path(path).write_text(json.dumps(_outcomes, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
