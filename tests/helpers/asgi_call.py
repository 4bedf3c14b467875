"""One exchange with an ASGI application in memory, without a server."""

from __future__ import annotations

import asyncio
import atexit
import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tricorn.types import ASGIApplication, Message, Scope


@dataclass
class Answer:
    """What the application sent; files that it handed over are in ``body``."""

    messages: list[Message] = field(default_factory=list)
    body: bytes = b""

    @property
    def types(self) -> list[str]:
        """The message types in order."""
        return [message["type"] for message in self.messages]

    @property
    def status(self) -> int:
        """The status of the response or of the WebSocket's denial."""
        status: int = self.messages[0]["status"]
        return status

    @property
    def fields(self) -> dict[bytes, bytes]:
        """The response fields; each name once."""
        headers = self.messages[0]["headers"]
        assert len({name for name, _ in headers}) == len(headers), headers
        return dict(headers)

    def __getitem__(self, name: str) -> str | None:
        value = self.fields.get(name.encode())
        return None if value is None else value.decode("latin-1")

    async def send(self, message: Message) -> None:
        """The application's ``send``."""
        self.messages.append(message)
        if message["type"].endswith(".body"):
            self.body += message["body"]
        elif message["type"] == "http.response.pathsend":
            self.body += _contents(message["path"])
        elif message["type"] == "http.response.zerocopysend":
            self.body += os.pread(message["file"].fileno(), message["count"], message["offset"])


def scope_of(
    target: str = "/",
    headers: Sequence[tuple[str, str]] = (),
    *,
    kind: str = "http",
    method: str = "GET",
    extensions: Sequence[str] = (),
    **more: Any,
) -> Scope:
    """The scope of a request for ``target``, path and query."""
    raw, _, query = target.partition("?")
    scope: Scope = {
        "type": kind,
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "scheme": "http" if kind == "http" else "ws",
        "path": unquote(raw),
        "raw_path": raw.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "root_path": "",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
        "client": ("192.0.2.1", 1234),
        "server": ("192.0.2.2", 80),
        "extensions": {name: {} for name in extensions},
    }
    if kind == "http":
        scope["method"] = method
    scope.update(more)
    return scope


def _contents(path: str) -> bytes:
    return Path(path).read_bytes()


def call(app: ASGIApplication, *args: Any, **options: Any) -> Answer:
    """Run one exchange with the scope that ``scope_of`` makes of the arguments."""
    answer = Answer()
    scope = scope_of(*args, **options)

    async def receive() -> Message:
        if scope["type"] == "websocket":
            return {"type": "websocket.connect"}
        return {"type": "http.request", "body": b"", "more_body": False}

    async def main() -> None:
        await app(scope, receive, answer.send)

    _runner().run(main())
    return answer


@functools.cache
def _runner() -> asyncio.Runner:
    # One loop for all calls: making one takes longer than most of them.
    runner = asyncio.Runner()
    atexit.register(runner.close)
    return runner
