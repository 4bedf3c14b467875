"""A middleware that drops the message of a file: the log says what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.serving import Records
from helpers.site import Site
from tricorn.types import ASGIApplication, Message, Receive, Scope, Send

Middleware = Callable[[ASGIApplication], ASGIApplication]

FILE = Path(__file__).resolve()
CONTENT = FILE.read_bytes()
HINT = "a middleware has dropped http.response.pathsend: set file_sending = false"


async def file_or_bytes(scope: Scope, receive: Receive, send: Send) -> None:
    """As the file responses of frameworks do it."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["method"] == "GET" and "http.response.pathsend" in scope["extensions"]:
        await send({"type": "http.response.pathsend", "path": str(FILE)})
    elif scope["method"] == "GET":
        await send({"type": "http.response.body", "body": CONTENT})


def keeping_start(app: ASGIApplication) -> ASGIApplication:
    """Holds the start until the body tells what becomes of it, as those that compress do."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        held: list[Message] = []

        async def take(message: Message) -> None:
            if message["type"] == "http.response.start":
                held.append(message)
            elif message["type"] == "http.response.body":
                for one in (*held, message):
                    await send(one)
                held.clear()

        await app(scope, receive, take)

    return wrapped


def passing_start(app: ASGIApplication) -> ASGIApplication:
    """Hands on what it knows, at once."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        async def take(message: Message) -> None:
            if message["type"] in ("http.response.start", "http.response.body"):
                await send(message)

        await app(scope, receive, take)

    return wrapped


@pytest.mark.parametrize("middleware", [keeping_start, passing_start])
def test_the_log_names_the_option(site: Site, records: Records, middleware: Middleware) -> None:
    records.expect("returned without a whole response")
    client = site.open(middleware(file_or_bytes))
    assert client.response(client.start("POST", "/")).status == 500
    assert [client.get("/").status for _ in range(2)] == [500, 500]
    told = [text for text in records.messages() if "without a whole response" in text]
    # Once: it need not be the reason. A response to POST is no file.
    assert [HINT in text for text in told] == [False, True, False]


def test_with_the_option_the_file_arrives(site: Site, records: Records) -> None:
    records.expect("returned without a whole response")
    client = site.open(keeping_start(file_or_bytes), file_sending=False)
    assert bytes(client.get("/").body) == CONTENT
    assert client.response(client.start("POST", "/")).status == 500
    assert not any(HINT in text for text in records.messages())
