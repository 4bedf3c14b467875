"""The pytest plugin, in test runs of its own."""

from __future__ import annotations

import importlib.metadata
import logging
import re
import socket
import ssl
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import requests
import trustme
from websockets.sync.client import connect, unix_connect

import tricorn.exceptions
from helpers.apps import hello, reply
from tricorn.testing import RunningServer, running_server
from tricorn.types import Receive, Scope, Send

if TYPE_CHECKING:  # pytest wants to import its plugins by itself
    from tricorn.pytest_plugin import ServerFactory

SOURCE = Path(tricorn.exceptions.__file__).parents[1]
INSTALLED = [
    entry.value
    for entry in importlib.metadata.entry_points(group="pytest11")
    if entry.name == "tricorn"
]
pytest_plugins = ["pytester"] if INSTALLED else ["pytester", "tricorn.pytest_plugin"]
# Named, so that it is there in a checkout too, and alone, which is quick.
PLUGINS = ("-p", "tricorn.pytest_plugin", "-p", "anyio.pytest_plugin", "-W", "error")

APP = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["http_version"].encode()})

async def failing(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})
"""


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Says how it was reached; over WebSocket it sends back what it gets."""
    if scope["type"] == "http":
        await reply(send, f"{scope['scheme']} {scope['http_version']}".encode())
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})


@pytest.fixture(autouse=True)
def no_other_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def run(pytester: pytest.Pytester, text: str) -> pytest.RunResult:
    """Run pytest on a file of tests beside the applications."""
    pytester.makepyfile(apps=APP)
    pytester.makepyfile(textwrap.dedent(text))
    return pytester.runpytest(*PLUGINS)


# The fixtures, used here


def test_over_cleartext(tricorn_server: ServerFactory) -> None:
    server = tricorn_server(echo)
    assert server.url.startswith("http://127.0.0.1:")
    assert httpx.get(server.url).text == requests.get(server.url, timeout=5).text == "http 1.1"
    with connect(server.ws_url) as websocket:
        websocket.send("hello")
        assert websocket.recv(5) == "hello"
    assert server.ca_file is server.ssl_context() is server.socket_path is None


def test_over_tls(tricorn_server: ServerFactory) -> None:
    server = tricorn_server(echo, tls=True)
    assert server.url.startswith("https://127.0.0.1:")
    context = server.ssl_context()
    assert context is not None
    # The client verifies as it would elsewhere: chain and name, and strictly.
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
    with httpx.Client(verify=context, http2=True) as client:
        assert client.get(server.url).text == "https 2"
        assert client.get(server.url.replace("127.0.0.1", "localhost")).text == "https 2"
    assert requests.get(server.url, verify=server.ca_file, timeout=5).text == "https 1.1"
    # Another context: a client sets in its own what it speaks. The two threads of this one
    # share an SSL object, and lose a TLS 1.3 handshake now and then.
    own = server.ssl_context()
    assert own is not None
    own.maximum_version = ssl.TLSVersion.TLSv1_2
    with connect(server.ws_url, ssl=own) as websocket:
        websocket.send("hello")
        assert websocket.recv(5) == "hello"
    with pytest.raises(httpx.ConnectError, match="certificate"):
        httpx.get(server.url)


def test_a_certificate_of_ones_own_is_trusted(
    tricorn_server: ServerFactory, tmp_path: Path
) -> None:
    """Its file has no root, as that of a real authority has none."""
    issued = trustme.CA().issue_cert("127.0.0.1")
    certificate, key = tmp_path / "server.pem", tmp_path / "server.key"
    issued.cert_chain_pems[0].write_to_path(certificate)
    issued.private_key_pem.write_to_path(key)
    server = tricorn_server(echo, certfile=str(certificate), keyfile=str(key))
    context = server.ssl_context()
    assert context is not None
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert httpx.get(server.url, verify=context).text == "https 1.1"
    with pytest.raises(httpx.ConnectError, match="certificate"):
        httpx.get(server.url)


def test_further_certificates_are_an_option(tricorn_server: ServerFactory, tmp_path: Path) -> None:
    """By name, as ``certificates`` has them, beside the one that is made for the test."""
    authority = trustme.CA()
    issued = authority.issue_cert("shop.example")
    certificate, key = tmp_path / "shop.pem", tmp_path / "shop.key"
    issued.cert_chain_pems[0].write_to_path(certificate)
    issued.private_key_pem.write_to_path(key)
    table = {"names": ["shop.example"], "certfile": str(certificate), "keyfile": str(key)}
    server = tricorn_server(echo, tls=True, certificates=[table])
    context = server.ssl_context()
    assert context is not None
    address = httpx.URL(server.url)
    with (
        socket.create_connection((address.host, address.port), 5) as plain,
        context.wrap_socket(plain, server_hostname="shop.example") as named,
    ):
        shown: Any = named.getpeercert()
    assert ("DNS", "shop.example") in shown["subjectAltName"]
    assert httpx.get(server.url, verify=context).text == "https 1.1"


@pytest.mark.parametrize("tls", [False, True])
def test_over_a_unix_socket(tricorn_server: ServerFactory, tls: bool) -> None:
    server = tricorn_server(echo, unix=True, tls=tls)
    scheme = "https" if tls else "http"
    assert server.url == f"{scheme}://localhost"
    assert server.socket_path is not None
    context = server.ssl_context()
    transport = httpx.HTTPTransport(uds=server.socket_path, verify=context or False)
    with httpx.Client(transport=transport) as client:
        assert client.get(server.url).text == f"{scheme} 1.1"
    with unix_connect(server.socket_path, uri=server.ws_url, ssl=context) as websocket:
        websocket.send("hello")
        assert websocket.recv(5) == "hello"


def test_options_and_several_servers(tricorn_server: ServerFactory) -> None:
    trio = tricorn_server(hello, worker_class="trio", include_server_header=False)
    other = tricorn_server(echo, bind=["127.0.0.1:0", "[::1]:0"])
    assert trio.config.event_loop == "trio"
    assert "server" not in httpx.get(trio.url).headers
    assert [httpx.get(url).text for url in other.urls] == ["http 1.1", "http 1.1"]


def test_records_are_those_of_the_server(tricorn_server: ServerFactory) -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            raise ZeroDivisionError

    level = logging.getLogger("tricorn.error").level
    with running_server(hello, lifespan="off") as quiet:
        server = tricorn_server(broken, lifespan="off", access_log_format="%(m)s %(s)s")
        assert httpx.get(server.url).status_code == 500
        server.close()
        quiet.close()
    (error,) = [record for record in server.records if record.levelno == logging.ERROR]
    assert error.exc_info is not None
    assert error.exc_info[0] is ZeroDivisionError
    assert "GET 500" in server.messages()
    assert server.messages(logging.ERROR) == [error.getMessage()]
    assert quiet.messages(logging.ERROR) == []
    assert any("speaks" in message for message in quiet.messages())
    # The fixture's own server still records; the level comes back with the last.
    assert logging.getLogger("tricorn.error").level in (level, logging.INFO)


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_records_of_threads_that_work_for_the_server(
    tricorn_server: ServerFactory, loop: str
) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ["wsgi.errors"].write("not quite\n")
        start_response("200 OK", [])
        return [b"done"]

    async def blocks(scope: Scope, receive: Receive, send: Send) -> None:
        time.sleep(0.5)  # noqa: ASYNC251 (that is what is looked for)
        await reply(send, b"done")

    quiet = tricorn_server(hello, lifespan="off")
    wsgi = tricorn_server(app, interface="wsgi", worker_class=loop)
    blocked = tricorn_server(blocks, lifespan="off", worker_class=loop, blocked_loop_warning=0.1)
    assert httpx.get(wsgi.url).text == httpx.get(blocked.url).text == "done"
    assert wsgi.messages(logging.WARNING) == ["not quite"]
    (warning,) = blocked.messages(logging.WARNING)
    assert "blocked_loop_warning" in warning
    assert quiet.messages(logging.WARNING) == []


def test_records_of_a_later_thread_with_the_same_number(tricorn_server: ServerFactory) -> None:
    server = tricorn_server(hello, lifespan="off")
    server.close()
    before = server.messages()
    # As the system gives it to another server's thread.
    record = logging.LogRecord("tricorn.error", logging.INFO, "", 0, "another", None, None)
    record.thread = server.thread_id
    logging.getLogger("tricorn.error").handle(record)
    assert server.messages() == before


def test_without_pytest() -> None:
    with running_server(hello, tls=True) as server:
        assert isinstance(server, RunningServer)
        assert requests.get(server.url, verify=server.ca_file, timeout=5).text == "hello"
        certificate = server.ca_file
    assert certificate is not None
    assert not Path(certificate).exists()
    assert not server.running


# Whole test runs


def test_servers_end_with_their_test(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        import threading
        import urllib.request
        import pytest
        from apps import app

        seen = []

        @pytest.fixture(scope="session")
        def site(tricorn_server_factory):
            return tricorn_server_factory(app)

        def get(url):
            with urllib.request.urlopen(url) as response:
                return response.read()

        def test_first(tricorn_server, site):
            server = tricorn_server(app)
            seen.append((server, site))
            assert get(server.url) == get(site.url) == b"1.1"

        def test_second(site):
            server, same = seen[0]
            assert not server.running
            assert same is site and site.running
            with pytest.raises(OSError):
                get(server.url)
            assert get(site.url) == b"1.1"
            assert sum(t.name == "tricorn" for t in threading.enumerate()) == 1
        """,
    )
    result.assert_outcomes(passed=2)


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_async_tests(pytester: pytest.Pytester, loop: str) -> None:
    result = run(
        pytester,
        f"""
        import httpx
        import pytest
        from apps import app

        pytestmark = pytest.mark.anyio

        @pytest.fixture
        def anyio_backend():
            return {loop!r}

        async def test_it(tricorn_server):
            server = tricorn_server(app, tls=True)
            async with httpx.AsyncClient(verify=server.ssl_context(), http2=True) as client:
                assert (await client.get(server.url)).text == "2"
        """,
    )
    result.assert_outcomes(passed=1)


def test_startup_that_fails_is_told(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        from apps import failing

        def test_it(tricorn_server):
            tricorn_server(failing)
        """,
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["E *tricorn.exceptions.LifespanError: the application's startup failed: no database"]
    )


def test_unknown_option_is_told(tricorn_server: ServerFactory) -> None:
    with pytest.raises(TypeError, match="keepalive"):
        tricorn_server(hello, keepalive=1)


def test_fixtures_are_listed(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest(*PLUGINS, "--fixtures", "-q")
    result.stdout.fnmatch_lines(["*tricorn_server --*", "*Start servers that end with the test*"])


def test_examples_of_the_page(pytester: pytest.Pytester) -> None:
    docs = SOURCE.parent / "docs"
    examples = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    for name, page in (("hello", "first-server"), ("echo", "websocket")):
        text = (docs / "tutorial" / f"{page}.md").read_text(encoding="utf-8")
        pytester.makepyfile(**{name: examples.findall(text)[0]})
    blocks = examples.findall((docs / "how-to" / "testing.md").read_text(encoding="utf-8"))
    assert len(blocks) == 7
    pytester.makepyfile(**{f"test_{number}": block for number, block in enumerate(blocks)})
    pytester.runpytest(*PLUGINS).assert_outcomes(passed=7)


def test_import_is_light() -> None:
    """What everybody pays who has Tricorn installed: two small modules."""
    code = (
        "import contextlib, pytest, sys; before = set(sys.modules); import tricorn.pytest_plugin;"
        "print(sorted(set(sys.modules) - before))"
    )
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (found.stdout, found.stderr) == ("['tricorn', 'tricorn.pytest_plugin']\n", "")


def test_entry_point_is_declared() -> None:
    text = (SOURCE.parent / "pyproject.toml").read_text(encoding="utf-8")
    assert '[project.entry-points.pytest11]\ntricorn = "tricorn.pytest_plugin"\n' in text
    assert INSTALLED in ([], ["tricorn.pytest_plugin"])
