"""The Gunicorn worker classes, under real Gunicorn processes."""

from __future__ import annotations

import importlib
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("gunicorn.arbiter", reason="the gunicorn extra is not installed")

from gunicorn.config import Config as GunicornConfig

import tricorn.exceptions
from helpers.clients import HTTP1Client, open_socket
from helpers.codecs import python_path
from helpers.serving import eventually
from helpers.site import Certificate
from tricorn.exceptions import ConfigError
from tricorn.gunicorn import TricornWorker, settings_to_options

SOURCE = Path(tricorn.exceptions.__file__).parents[1]
_LISTENING = re.compile(r"Listening at: https?://127\.0\.0\.1:(\d+)")

_APP = """
import os, sys, time
import anyio

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        for phase in ("startup", "shutdown"):
            await receive()
            print(f"{phase} told to {os.getpid()}", file=sys.stderr, flush=True)
            await send({"type": f"lifespan.{phase}.complete"})
        return
    body = b"%d" % os.getpid()
    if scope["path"] == "/wire":
        body = f"{scope['http_version']} {scope['scheme']} {scope['root_path']}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"(", "more_body": True})
    if scope["path"] == "/slow":
        await anyio.sleep(0.3)
    if scope["path"] == "/endless":
        await anyio.sleep_forever()
    if scope["path"] == "/stuck":
        stuck()
    await send({"type": "http.response.body", "body": body + b")"})

def stuck():
    while True:
        try:
            time.sleep(20)
        except SystemExit:
            pass

async def failing(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})

def wsgi(environ, start_response):
    start_response("200 OK", [])
    return [str(environ["wsgi.multiprocess"]).encode()]
"""


class Gunicorn:
    """A Gunicorn with one worker on a free port; ``errors`` collects its standard error."""

    def __init__(self, folder: Path, *arguments: str, app: str = "app", **environ: str) -> None:
        env = {name: value for name, value in os.environ.items() if "TRICORN" not in name}
        env |= {"PYTHONPATH": python_path(SOURCE), "HOME": str(folder)} | environ
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "-b", "127.0.0.1:0", *arguments, f"site_app:{app}"],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.errors = ""
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            for line in stream:
                with self._changed:
                    self.errors += line
                    self._changed.notify_all()

    def wait_for(self, text: str, count: int = 1) -> None:
        """Wait until ``text`` is in its standard error, ``count`` times."""
        with self._changed:
            found = self._changed.wait_for(lambda: self.errors.count(text) >= count, 20)
        assert found, self.errors

    @property
    def address(self) -> tuple[str, int]:
        """Where it serves, once it does."""
        self.wait_for(" speaks ")
        match = _LISTENING.search(self.errors)
        assert match is not None, self.errors
        return "127.0.0.1", int(match[1])

    def send(self, number: signal.Signals) -> None:
        """Send the arbiter a signal."""
        self.process.send_signal(number)

    def end(self) -> int:
        """Wait for its end; the exit code."""
        code = self.process.wait(20)
        self._reader.join(20)
        return code


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "site_app.py").write_text(_APP)
    return tmp_path


@pytest.fixture
def gunicorn(folder: Path) -> Iterator[Any]:
    """Start Gunicorn with a worker class and arguments; killed with the test."""
    started: list[Gunicorn] = []

    def start(worker: str, *arguments: str, **options: str) -> Gunicorn:
        name = f"tricorn.gunicorn.{worker}"
        started.append(Gunicorn(folder, "-k", name, *arguments, **options))
        return started[-1]

    yield start
    for server in started:
        if server.process.poll() is None:
            # The workers see that their parent has changed and end too.
            server.process.kill()
        server.end()


def pid(address: tuple[str, int]) -> str:
    with open_socket(address) as sock:
        return HTTP1Client(sock).get("/").text


@pytest.mark.parametrize(
    ("worker", "loop"),
    [
        ("TricornWorker", "uvloop"),
        ("TricornTrioWorker", "trio"),
    ],
)
def test_term_lets_what_is_in_flight_end(gunicorn: Any, worker: str, loop: str) -> None:
    server = gunicorn(worker)
    with open_socket(server.address) as sock:
        client = HTTP1Client(sock)
        stream = client.start("GET", "/slow")
        client.response(stream, lambda r: len(r.body) > 0)
        server.send(signal.SIGTERM)
        response = client.response(stream)
    assert response.complete
    assert response.text.endswith(")")
    assert server.end() == 0
    assert f"Tricorn {tricorn.__version__} on {loop}" in server.errors
    assert "shutdown told" in server.errors
    assert "Traceback" not in server.errors
    assert "Warning" not in server.errors


def test_tls_logs_reload_and_quit(gunicorn: Any, folder: Path, certificate: Certificate) -> None:
    files = ("--certfile", certificate.certfile, "--keyfile", certificate.keyfile)
    log = folder / "access.log"
    logs = ("--access-logfile", str(log), "--access-logformat", "%(m)s %(U)s %(H)s %(s)s")
    server = gunicorn("TricornWorker", *files, *logs, "--env", "SCRIPT_NAME=/base")
    url = f"https://127.0.0.1:{server.address[1]}"
    with httpx.Client(verify=certificate.client(), http2=True) as client:
        assert client.get(f"{url}/wire").text == "(2 https /base)"
        first = client.get(url).text
    with httpx.Client(verify=certificate.client()) as client:
        assert client.get(f"{url}/wire").text == "(1.1 https /base)"
    eventually(lambda: log.read_text().count("\n") == 3)
    assert log.read_text() == "GET /wire HTTP/2 200\nGET / HTTP/2 200\nGET /wire HTTP/1.1 200\n"
    # Log rotation.
    log.rename(folder / "old.log")
    server.send(signal.SIGUSR1)
    eventually(log.exists)
    # The new worker serves before the old one has gone.
    server.send(signal.SIGHUP)
    server.wait_for("shutdown told")
    with httpx.Client(verify=certificate.client()) as client:
        assert client.get(url).text != first
    eventually(lambda: log.read_text() == "GET / HTTP/1.1 200\n")
    # What is open is cut, the lifespan ends in order.
    context = certificate.client()
    with open_socket(server.address, context) as sock:
        client_1 = HTTP1Client(sock)
        stream = client_1.start("GET", "/endless")
        client_1.response(stream, lambda r: len(r.body) > 0)
        server.send(signal.SIGQUIT)
        assert client_1.response(stream).cut
    assert server.end() == 0
    assert server.errors.count("shutdown told") == 2
    assert "Traceback" not in server.errors


def test_max_requests_replaces_the_worker(gunicorn: Any) -> None:
    server = gunicorn("TricornAsyncioWorker", "--max-requests", "2", "--preload")
    with open_socket(server.address) as sock:
        client = HTTP1Client(sock)
        first = client.get("/").text
        assert client.get("/").text == first
        assert sock.recv(1) == b""
    server.wait_for("startup told", 2)
    assert pid(server.address) != first
    assert f"shutdown told to {first.strip('()')}" in server.errors
    server.wait_for(f"Tricorn {tricorn.__version__} on asyncio", 2)
    server.send(signal.SIGTERM)
    assert server.end() == 0


def test_an_address_for_health_is_not_for_several_workers(gunicorn: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        environ = {"TRICORN_HEALTH_BIND": address, "TRICORN_LIVEZ_PATH": "/up"}
        server = gunicorn("TricornWorker", "-w", "2", **environ)
        server.wait_for("startup told", 2)
        server.wait_for("health_bind has no effect", 2)
    with open_socket(server.address) as sock:
        assert HTTP1Client(sock).get("/up").text == "ok\n"
    server.send(signal.SIGTERM)
    assert server.end() == 0


def test_startup_that_fails_ends_gunicorn(gunicorn: Any) -> None:
    server = gunicorn("TricornWorker", app="failing")
    assert server.end() == 3
    assert "no database" in server.errors
    assert "Worker failed to boot" in server.errors


def test_stuck_event_loop_is_told_and_replaced(gunicorn: Any) -> None:
    server = gunicorn("TricornWorker", "--timeout", "1")
    with open_socket(server.address) as sock:
        client = HTTP1Client(sock)
        stream = client.start("GET", "/stuck")
        assert client.response(stream).cut
    server.wait_for("is stuck:")
    server.wait_for("in stuck")  # the traceback says where
    server.wait_for("startup told", 2)
    assert pid(server.address)
    server.send(signal.SIGTERM)
    assert server.end() == 0


@pytest.mark.parametrize("count", [1, 2])
def test_wsgi_application_is_told_of_other_workers(gunicorn: Any, count: int) -> None:
    server = gunicorn("TricornWorker", "-w", str(count), app="wsgi")
    assert pid(server.address) == str(count > 1)
    server.send(signal.SIGTERM)
    assert server.end() == 0


# Settings


def settings(**given: Any) -> dict[str, Any]:
    cfg = GunicornConfig()
    for name, value in given.items():
        cfg.set(name, value)
    options = settings_to_options(cfg)
    tricorn.Config(**options)  # they are taken
    return options


def test_defaults_of_gunicorn() -> None:
    options = settings()
    assert options["keep_alive_timeout"] == 2
    assert options["graceful_timeout"] == 24
    assert options["max_request_target_size"] == 4094
    assert options["max_header_count"] == 100
    assert options["h11_max_incomplete_size"] == 65536
    assert options["accesslog"] is None
    # What it has for its own worker is left to Tricorn's defaults.
    assert not {"h2_stream_window_size", "lifespan", "certfile", "ciphers"} & options.keys()


def test_settings_are_taken(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIPT_NAME", "/base")
    options = settings(
        keepalive=65,
        limit_request_line=0,
        limit_request_fields=7,
        limit_request_field_size=100_000,
        accesslog="-",
        access_log_format="%(s)s %(r)s",
        certfile=certificate.certfile,
        ca_certs=certificate.certfile,
        cert_reqs=ssl.CERT_REQUIRED,
        ciphers="ECDHE+AESGCM",
    )
    assert options["keep_alive_timeout"] == 65
    assert options["max_request_target_size"] == 2**20
    assert options["max_header_count"] == 7
    assert options["h11_max_incomplete_size"] > 100_000
    assert options["root_path"] == "/base"
    assert (options["accesslog"], options["access_log_format"]) == ("-", "%(s)s %(R)s")
    assert options["certfile"] == options["keyfile"] == certificate.certfile
    assert (options["verify_mode"], options["ciphers"]) == ("CERT_REQUIRED", "ECDHE+AESGCM")


def test_settings_of_later_versions() -> None:
    if "http2_max_concurrent_streams" not in GunicornConfig().settings:
        pytest.skip("this Gunicorn has no HTTP/2 of its own")
    options = settings(http2_max_concurrent_streams=7, asgi_lifespan="off")
    assert (options["h2_max_concurrent_streams"], options["lifespan"]) == (7, "off")


def test_who_may_speak_for_clients() -> None:
    assert "trusted_proxies" not in settings()
    found = settings(forwarded_allow_ips="10.0.0.1,10.0.0.2")
    assert found["trusted_proxies"] == ["10.0.0.1", "10.0.0.2", "unix"]
    assert "proxy_protocol" not in found
    found = settings(proxy_protocol=True, proxy_allow_ips="10.0.0.3")
    assert (found["proxy_protocol"], found["trusted_proxies"]) == (["all"], ["10.0.0.3", "unix"])


def test_what_cannot_be_done_is_refused() -> None:
    with pytest.raises(ConfigError, match="ssl_context"):
        settings(ssl_context=lambda config, default: default())


class _Log:
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warning(self, message: str, *args: object) -> None:
        self.warnings.append(message % args)


def test_where_options_come_from(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(TricornWorker):
        options = {"h2_max_pushes": 1, "read_timeout": 3}  # noqa: RUF012

    (folder / "own.toml").write_text('keep_alive_timeout = 4\nread_timeout = 1\nbind = "x:1"\n')
    monkeypatch.setenv("TRICORN_CONFIG", str(folder / "own.toml"))
    monkeypatch.setenv("TRICORN_READ_TIMEOUT", "2")
    monkeypatch.setenv("TRICORN_WRITE_TIMEOUT", "2")
    cfg = GunicornConfig()
    monkeypatch.setenv("TRICORN_WORKERS", "7")
    cfg.set("workers", 3)
    cfg.set("forwarded_allow_ips", "*")
    cfg.set("pre_request", lambda worker, request: None)
    log = _Log()
    worker = Own(1, os.getpid(), [], None, 15, cfg, log)
    try:
        with socket.socket() as sock:
            worker.sockets = [sock]
            config = worker._config()
            assert config.bind == (f"fd://{sock.fileno()}",)
            assert config.workers == 3
    finally:
        worker.tmp.close()
    assert (config.keep_alive_timeout, config.read_timeout, config.write_timeout) == (4, 3, 2)
    assert (config.h2_max_pushes, config.max_header_count) == (1, 100)
    assert config.trusted_proxies == ("*", "unix")
    assert log.warnings == ["pre_request has no effect with Tricorn's worker"]


def test_without_gunicorn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gunicorn.arbiter", None)
    monkeypatch.delitem(sys.modules, "tricorn.gunicorn")
    with pytest.raises(ImportError, match=r"pip install 'tricorn\[gunicorn\]'"):
        importlib.import_module("tricorn.gunicorn")


_FORKING_APP = """
import multiprocessing, time
import anyio

async def app(scope, receive, send):
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    child.start()
    child.terminate()
    await anyio.to_thread.run_sync(child.join, 5)
    text = str(child.exitcode).encode()
    child.kill()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text})
"""


@pytest.mark.parametrize("worker", ["TricornAsyncioWorker", "TricornUvloopWorker"])
def test_a_forked_child_that_is_told_to_end_does_so_alone(
    gunicorn: Any, folder: Path, worker: str
) -> None:
    (folder / "site_app.py").write_text(_FORKING_APP)
    server = gunicorn(worker, TRICORN_LIFESPAN="off")
    for _ in range(2):
        assert pid(server.address) == str(-signal.SIGTERM)
    assert "exiting" not in server.errors
