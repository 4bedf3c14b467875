"""Pytest plugin: ``daphne.testing.DaphneProcess`` is a Tricorn in a thread.

Daphne's tests list the keys a scope may have, and send HTTP/1.1 requests without Host, which
RFC 9112 section 3.2 has every server refuse. So the client adds a Host, and the application sees
neither it nor the scope keys of the ASGI specification that Daphne does not know.
"""

from __future__ import annotations

import multiprocessing
import sys
import threading
import traceback
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import daphne.testing
import hypothesis
import pytest

from compliance.upstream.shims.live import WORKER_CLASS, LiveServer

_UNKNOWN = {"extensions", "state"}
_HOST = b"daphne-shim"


class _AsDaphne:
    """The application with the scope that Daphne's tests know."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        unknown = _UNKNOWN | ({"http_version"} if scope["type"] == "websocket" else set())
        scope = {key: value for key, value in scope.items() if key not in unknown}
        scope["headers"] = [field for field in scope["headers"] if field != (b"host", _HOST)]
        if scope["type"] != "lifespan" and scope["client"] is not None:
            scope["client"] = list(scope["client"])  # two items in ASGI, a list with Daphne
        left = False

        async def receive_once() -> Any:
            # Daphne has nothing more to tell behind a disconnect, and its test application
            # asks on and on.
            nonlocal left
            if left:
                await anyio.sleep_forever()
            message = await receive()
            left = message["type"].endswith("disconnect")
            return message

        await self._app(scope, receive_once, send)


class Process:
    """The surface of ``DaphneProcess``."""

    def __init__(
        self,
        host: str,
        get_application: Callable[[], Any],
        kwargs: dict[str, Any] | None = None,
        setup: Callable[[], None] | None = None,
        teardown: Callable[[], None] | None = None,
        port: int | None = None,
    ) -> None:
        self._host, self._get_application = host, get_application
        self._kwargs = kwargs or {}
        self._setup, self._teardown = setup, teardown
        self.port = SimpleNamespace(value=port or 0)
        self.ready = threading.Event()
        self.errors: Any = multiprocessing.Queue()
        self._server: LiveServer

    def start(self) -> None:
        options: dict[str, Any] = {}
        limit = self._kwargs.get("websocket_max_message_size")
        if limit is not None:
            options["websocket_max_message_size"] = limit
        if "proxy_forwarded_address_header" in self._kwargs:
            options["trusted_proxies"] = ["*"]
        try:
            if self._setup is not None:
                self._setup()
            self._server = LiveServer(
                _AsDaphne(self._get_application()),
                WORKER_CLASS,
                bind=[f"{self._host}:{self.port.value}"],
                lifespan="off",
                graceful_timeout=0.1,
                websocket_close_timeout=0.1,
                include_date_header=False,
                include_server_header=False,
                **options,
            ).start()
        except BaseException as exc:
            self.errors.put((exc, traceback.format_exc()))
            return
        self.port.value = self._server.port
        self.ready.set()

    def terminate(self) -> None:
        self._server.stop()
        if self._teardown is not None:
            self._teardown()

    def join(self) -> None:
        """``terminate`` has waited."""

    def is_alive(self) -> bool:
        return self.ready.is_set()


class _Connection(HTTPConnection):
    _has_host = True

    def putrequest(self, *args: Any, **kwargs: Any) -> None:
        super().putrequest(*args, **kwargs)
        self._has_host = not kwargs.get("skip_host")

    def putheader(self, header: Any, *values: Any) -> None:
        self._has_host = self._has_host or header in (b"Host", "Host")
        super().putheader(header, *values)

    def endheaders(self, *args: Any, **kwargs: Any) -> None:
        if not self._has_host:
            self.putheader("Host", _HOST)
        super().endheaders(*args, **kwargs)


daphne.testing.DaphneProcess = Process
# The same examples in every run, and no search for smaller ones: a fault may cost a timeout each.
hypothesis.settings.register_profile(
    "upstream",
    derandomize=True,
    database=None,
    phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
)
hypothesis.settings.load_profile("upstream")


def pytest_collectstart(collector: pytest.Collector) -> None:
    """The tests import each other by bare names."""
    folder = str(Path(collector.config.rootpath) / "tests")
    if folder not in sys.path:
        sys.path.insert(0, folder)
        import http_base

        http_base.HTTPConnection = _Connection
