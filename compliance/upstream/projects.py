"""The upstream projects: which release, which of its tests, and with what in the server's place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_SHIMS = "compliance.upstream.shims"


@dataclass(frozen=True, slots=True)
class Run:
    """One way to run a project's tests, such as ``uvloop/h2``; `worker` is its event loop."""

    name: str
    worker: str
    env: Mapping[str, str]
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Project:
    """A release whose tests are run.

    `sha256` is of its source distribution, `tests` are pytest's arguments (or labels, where
    `django` tells that its own runner has to run them) and `cwd` is the folder, inside the source
    distribution, that the tests are run in. `left_out` names tests that are not run, each with
    the reason.
    """

    name: str
    title: str
    distribution: str
    version: str
    sha256: str
    shim: str
    tests: tuple[str, ...]
    runs: tuple[Run, ...]
    options: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    cwd: str = "."
    django: bool = False
    interpreted: bool = False  # its shim is a part of the driver, which cannot be compiled then

    @property
    def folder(self) -> str:
        """Where the archive unpacks to."""
        return f"{self.distribution}-{self.version}"

    @property
    def requirement(self) -> str:
        """For pip."""
        return f"{self.distribution}=={self.version}"


def _run(name: str, worker: str, *arguments: str, **env: str) -> Run:
    return Run(name, worker, {"UPSTREAM_WORKER_CLASS": worker, **env}, arguments)


def _starlette_runs() -> tuple[Run, ...]:
    """Its tests have an asyncio and a trio half; the second is the same whatever the first is."""
    runs = []
    for worker in ("asyncio", "uvloop"):
        half = ("-k", "not trio") if worker == "uvloop" else ()
        for protocol in ("http/1.1", "h2"):
            name = f"{worker}/{protocol.replace('/1.1', '1')}"
            runs.append(_run(name, worker, *half, UPSTREAM_PROTOCOL=protocol))
    return tuple(runs)


_PLAIN = ("-p", "no:asyncio", "-p", "no:trio")
_MAIN = "tests/test_main.py::"
_SERVER = "tests/test_server.py::"

UVICORN = Project(
    name="uvicorn",
    interpreted=True,
    title="Uvicorn",
    distribution="uvicorn",
    version="0.54.0",
    sha256="a2e33cbfaa0306f8e6b0c13e0cb89d7d7a2da3e62b90c66e18c33d9807b28620",
    shim=f"{_SHIMS}.uvicorn_live",
    tests=(
        "tests/protocols/test_http.py",
        "tests/protocols/test_http2.py",
        "tests/protocols/test_websocket.py",
        "tests/test_default_headers.py",
        "tests/test_lifespan.py",
        "tests/test_ssl.py",
        "tests/middleware/test_wsgi.py",
        f"{_MAIN}test_run",
        f"{_MAIN}test_run_startup_failure",
        f"{_MAIN}test_exit_on_create_server_with_invalid_host",
        f"{_SERVER}test_shutdown_on_early_exit_during_startup",
        f"{_SERVER}test_contextvars_preserved_by_default",
        f"{_SERVER}test_reset_contextvars_asyncio",
    ),
    runs=(_run("asyncio", "asyncio"),),
    options=_PLAIN,
    left_out={
        "tests/protocols/test_http2.py::"
        "test_shutdown_refuses_new_streams_and_closes_after_last_response": (
            "would wait for ever: a stream that crosses the first GOAWAY is served, not refused "
            "(RFC 9113 section 6.8)"
        ),
    },
)

STARLETTE = Project(
    name="starlette",
    title="Starlette",
    distribution="starlette",
    version="1.10.0",
    sha256="b8399098d4c1e3522734f7235dc79b1fc967f96cf139c81e0fa30479e0685f9b",
    shim=f"{_SHIMS}.starlette_live",
    tests=("tests", "--ignore=tests/test_testclient.py"),
    runs=_starlette_runs(),
    options=_PLAIN,
    left_out={
        f"tests/test_staticfiles.py::test_staticfiles_with_invalid_dir_permissions_returns_401"
        f"[{backend}]": "fails by itself where the tests are run by root"
        for backend in ("asyncio", "trio")
    },
)

DAPHNE = Project(
    name="daphne",
    title="Daphne",
    distribution="daphne",
    version="4.2.3",
    sha256="1c458f81926b37301cadc8ec1b6316d9a5db53fba061fc4826610395fe5d5c81",
    shim=f"{_SHIMS}.daphne_live",
    tests=(
        "tests/test_http_request.py",
        "tests/test_http_response.py",
        "tests/test_websocket.py",
    ),
    runs=tuple(_run(worker, worker) for worker in ("asyncio", "uvloop", "trio")),
    # A test that pytest-timeout interrupts leaves the lock of Daphne's test application taken.
    options=(*_PLAIN, "-p", "no:timeout"),
)

DJANGO = Project(
    name="django",
    title="Django",
    distribution="django",
    version="5.2.19",
    sha256="ad03d8abc51dbff95ebf34b27123cf0c26a3b62db7ba0cd520783686362533d1",
    shim=f"{_SHIMS}.django_live",
    tests=(
        "servers.tests",
        "servers.test_liveserverthread",
        "staticfiles_tests.test_liveserver",
        "file_storage.tests.FileLikeObjectTestCase",
    ),
    runs=(
        *(
            _run(f"wsgi/{worker}", worker, UPSTREAM_INTERFACE="wsgi")
            for worker in ("asyncio", "uvloop", "trio")
        ),
        *(
            _run(f"asgi/{worker}", worker, "asgi.tests.ASGITest", UPSTREAM_INTERFACE="asgi")
            for worker in ("asyncio", "uvloop")
        ),
    ),
    cwd="tests",
    django=True,
)

HYPERCORN = Project(
    name="hypercorn",
    title="Hypercorn",
    distribution="hypercorn",
    version="0.18.0",
    sha256="d63267548939c46b0247dc8e5b45a9947590e35e64ee73a23c074aa3cf88e9da",
    shim=f"{_SHIMS}.hypercorn_live",
    tests=("tests/e2e",),
    runs=(_run("trio", "trio"),),
    options=("-p", "no:asyncio"),
)

PROJECTS = {p.name: p for p in (UVICORN, STARLETTE, DAPHNE, DJANGO, HYPERCORN)}
