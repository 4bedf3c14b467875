"""The pytest plugin: fixtures that give running servers.

pytest imports this module at the start of every test run of every project where Tricorn is
installed, so it imports nothing until a fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tricorn.testing import RunningServer
    from tricorn.types import Application


class ServerFactory:
    """Starts servers: ``factory(app)``, ``factory(app, tls=True)``, ``factory(app, unix=True)``.

    They end with the scope of the fixture, the last one first.
    """

    def __init__(self, tmp_path_factory: pytest.TempPathFactory, stack: Any) -> None:
        self._certificate = tmp_path_factory.getbasetemp() / "tricorn-certificate"
        self._stack = stack

    def __call__(
        self, app: Application | None, *, tls: bool = False, unix: bool = False, **options: Any
    ) -> RunningServer:
        """Serve ``app``, on a free port of 127.0.0.1 unless ``options`` say otherwise.

        :param tls: serve with a certificate that ``ca_file`` and ``ssl_context()`` trust.
        :param unix: serve on a unix socket, ``socket_path``.
        :param options: those of `tricorn.Config`.
        :raises TricornError: where the server cannot start; ``LifespanError`` where the
            application fails in its startup.
        """
        from tricorn.testing import running_server

        server: RunningServer = self._stack.enter_context(
            running_server(
                app, tls=tls, unix=unix, certificate_directory=self._certificate, **options
            )
        )
        return server


def _factory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerFactory]:
    from contextlib import ExitStack

    with ExitStack() as stack:
        yield ServerFactory(tmp_path_factory, stack)


@pytest.fixture
def tricorn_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerFactory]:
    """Start servers that end with the test: tricorn_server(app, tls=..., unix=..., **options)."""
    yield from _factory(tmp_path_factory)


@pytest.fixture(scope="session")
def tricorn_server_factory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerFactory]:
    """Start servers that end with the session, for fixtures of a wide scope."""
    yield from _factory(tmp_path_factory)
