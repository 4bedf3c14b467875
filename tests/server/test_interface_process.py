"""Applications of every interface, served by the command."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from serving_process import daemon

from helpers.clients import HTTP1Client, open_socket

_APPS = """
def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["SERVER_PROTOCOL"].encode()]

def hidden(*args):
    return wsgi(*args)

class Old:
    def __init__(self, scope):
        self.text = "ASGI " + scope["asgi"]["version"]

    async def __call__(self, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": self.text.encode()})
"""


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["wsgi:shop:wsgi"], "HTTP/1.1"),
        (["shop:wsgi", "-k", "trio"], "HTTP/1.1"),
        (["shop:hidden", "--interface", "wsgi"], "HTTP/1.1"),
        (["shop:Old", "--lifespan", "off"], "ASGI 2.0"),
    ],
)
def test_served_by_the_command(tmp_path: Path, argv: list[str], text: str) -> None:
    (tmp_path / "shop.py").write_text(_APPS)
    with daemon(tmp_path, *argv, "--bind", "127.0.0.1:0") as server:
        with open_socket(server.address) as sock:
            assert HTTP1Client(sock).get("/").text == text
        server.send(signal.SIGTERM)
        assert server.end() == 0
    assert "WARNING" not in server.errors


_CONFIGURES = """
import logging.config

def configure():
    logging.config.dictConfig({"version": 1})  # disables all loggers that there are

if not LATE:
    configure()

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        configure()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
    raise ValueError(f"no {scope['path']}")
"""


@pytest.mark.parametrize("workers", ["0", "1"])
@pytest.mark.parametrize("late", [False, True], ids=["import", "lifespan"])
def test_failures_are_logged_where_the_application_configures_logging(
    tmp_path: Path, workers: str, late: bool
) -> None:
    (tmp_path / "shop.py").write_text(_CONFIGURES.replace("LATE", str(late)))
    argv = ["shop:app", "--bind", "127.0.0.1:0", "--workers", workers, "--access-logfile", "-"]
    argv += ["--lifespan", "on" if late else "off"]
    with daemon(tmp_path, *argv) as server:
        with open_socket(server.address) as sock:
            assert HTTP1Client(sock).get("/tea").status == 500
        server.wait_for("ValueError: no /tea")
        server.send(signal.SIGTERM)
        assert server.end() == 0
