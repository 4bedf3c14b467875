"""The examples of the documentation do what their pages say."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import h2.connection
import h2.events
import httpx
import pytest
from docs_pages import DOCS, ROOT, blocks
from docs_server import command, program
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

TUTORIAL = DOCS / "tutorial"
LOCAL = ("--bind", "127.0.0.1:0")


def example(page: Path, containing: str, place: int = 0) -> str:
    """The Python block of a page that holds a text."""
    found = [block.text for block in blocks("python", page) if containing in block.text]
    return found[place]


def write(folder: Path, filename: str, text: str) -> None:
    (folder / filename).write_text(text, encoding="utf-8")


@pytest.fixture
def hello(tmp_path: Path) -> Path:
    """A folder with the tutorial's hello.py."""
    write(tmp_path, "hello.py", blocks("python", TUTORIAL / "first-server.md")[0].text)
    return tmp_path


def test_hello_over_http1_and_tls(hello: Path) -> None:
    arguments = ("hello:app", *LOCAL, "--insecure-bind", "127.0.0.1:0", "--dev-certificate")
    with (
        command(hello, *arguments, urls=2) as serving,
        httpx.Client(http2=True, verify=False) as client,
    ):
        secure, cleartext = serving.urls
        assert client.get(secure).text == "Hello over HTTP/2!\n"
        assert client.get(cleartext).text == "Hello over HTTP/1.1!\n"


def test_json_access_line_has_the_keys_of_the_reference(hello: Path) -> None:
    page = (DOCS / "reference" / "access-log.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[^|]*) \|", page.partition("## Keys of a JSON line")[2], re.MULTILINE)
    documented = {key for row in rows for key in re.findall(r"`(\w+)`", row)}
    ids = ("--request-id", "generate", "--trace-context")
    arguments = ("hello:app", *LOCAL, "--accesslog", "-", "--log-format", "json", *ids)
    with command(hello, *arguments) as serving:
        assert httpx.get(serving.urls[0]).status_code == 200
        assert serving.process.stdout is not None
        assert json.loads(serving.process.stdout.readline()).keys() == documented


@pytest.mark.parametrize("page", [ROOT / "README.md", TUTORIAL / "first-server.md"], ids=str)
def test_serve_example_serves(tmp_path: Path, page: Path) -> None:
    with program(tmp_path, example(page, "anyio.run(serve")) as serving:
        response = httpx.get(serving.urls[0])
        assert response.status_code == 200
        assert response.text.startswith("Hello")


def test_readme_hello_serves(tmp_path: Path) -> None:
    write(tmp_path, "hello.py", blocks("python", ROOT / "README.md")[0].text)
    with command(tmp_path, "hello:app", *LOCAL) as serving:
        assert httpx.get(serving.urls[0]).text == "Hello, world!\n"


def test_readme_first_command_serves_the_demonstration(tmp_path: Path) -> None:
    config = str(ROOT / "config.example.toml")
    ports = (*LOCAL, "--insecure-bind", "127.0.0.1:0")
    with (
        command(tmp_path, "-c", config, *ports, urls=2) as serving,
        httpx.Client(http2=True, verify=False) as client,
    ):
        for url, version in zip(serving.urls, ("2", "1.1"), strict=True):
            facts = client.get(f"{url}/connection.json").json()
            assert facts["http_version"] == version


def test_own_program_learns_its_port_and_ends(hello: Path) -> None:
    write(hello, "own.py", example(DOCS / "how-to" / "own-program.md", "shutdown_trigger"))
    result = subprocess.run(
        [sys.executable, "own.py"], cwd=hello, capture_output=True, text=True, timeout=30
    )
    assert result.returncode == 0, result.stderr
    assert re.fullmatch(r"serving on http://127\.0\.0\.1:\d+\n", result.stdout)


def test_push_example_pushes(tmp_path: Path) -> None:
    write(tmp_path, "push.py", blocks("python", TUTORIAL / "push.md")[0].text)
    with command(tmp_path, "push:app", *LOCAL, "--lifespan", "off") as serving:
        promised, bodies = get_with_pushes(serving.urls[0])
        assert list(promised.values()) == [b"/style.css"]
        (pushed_id,) = promised
        assert b"teal" in bodies[pushed_id]
        assert b"<h1>Hello</h1>" in bodies[1]


def get_with_pushes(url: str) -> tuple[dict[int, bytes], dict[int, bytes]]:
    """GET / over HTTP/2 in cleartext: promised paths and bodies, both by stream."""
    address = urlsplit(url)
    connection = h2.connection.H2Connection()
    connection.initiate_connection()
    fields = {":method": "GET", ":scheme": "http", ":authority": address.netloc, ":path": "/"}
    connection.send_headers(1, list(fields.items()), end_stream=True)
    promised: dict[int, bytes] = {}
    bodies: dict[int, bytes] = {}
    open_streams = {1}
    with socket.create_connection((address.hostname, address.port), 10) as sock:
        while open_streams:
            sock.sendall(connection.data_to_send())
            data = sock.recv(65536)
            assert data, "the server closed"
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.PushedStreamReceived):
                    promised[event.pushed_stream_id] = dict(event.headers)[b":path"]
                    open_streams.add(event.pushed_stream_id)
                elif isinstance(event, h2.events.DataReceived):
                    bodies[event.stream_id] = bodies.get(event.stream_id, b"") + event.data
                elif isinstance(event, h2.events.StreamEnded):
                    open_streams.discard(event.stream_id)
    return promised, bodies


def test_push_example_hints_where_there_is_no_push(tmp_path: Path) -> None:
    write(tmp_path, "push.py", blocks("python", TUTORIAL / "push.md")[0].text)
    with command(tmp_path, "push:app", *LOCAL, "--lifespan", "off") as serving:
        address = urlsplit(serving.urls[0])
        with socket.create_connection((address.hostname, address.port), 10) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>;")
    assert b"HTTP/1.1 200 OK\r\n" in answer


def test_websocket_examples(tmp_path: Path) -> None:
    echo, refuse = blocks("python", TUTORIAL / "websocket.md")
    write(tmp_path, "echo.py", echo.text)
    write(tmp_path, "refuse.py", refuse.text)
    quiet = ("--lifespan", "off")
    with (
        command(tmp_path, "echo:app", *LOCAL, *quiet) as serving,
        connect(serving.urls[0].replace("http", "ws")) as websocket,
    ):
        websocket.send("hello")
        assert websocket.recv(10) == "HELLO"
        websocket.send(b"\x00\xff")
        assert websocket.recv(10) == b"\x00\xff"
    with command(tmp_path, "refuse:app", *LOCAL, *quiet) as serving:
        with pytest.raises(InvalidStatus) as caught:
            connect(serving.urls[0].replace("http", "ws"))
        assert caught.value.response.status_code == 401
