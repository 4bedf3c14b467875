"""Applications that do anything: ASGI messages, mostly well-formed, in any order."""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable
from typing import Any

from compliance.fuzzing.inputs import Choices
from compliance.fuzzing.memory import MemoryWaiter, Turn
from tricorn.exceptions import ClientDisconnected, FileUnavailable, InvalidMessage
from tricorn.types import Scope

#: What ``send()`` may raise.
DOCUMENTED = (InvalidMessage, ClientDisconnected, FileUnavailable)
LARGEST = 70_000

ODD: tuple[Any, ...] = (
    None, True, 0, 5, -1, 1e9, "", "text", "\ud800", b"", b"bytes", b"a\r\nb", [], [1], [None],
    {}, (), [(b"a", b"b")], [("a", "b")], [(b"a", b"b\r\n\r\n")], [[b"a"]], [(b"a b", b"")],
    [(b":status", b"200")], [(b"content-length", b"1"), (b"content-length", b"2")],
)  # fmt: skip
FIELDS: tuple[Any, ...] = (
    [],
    [(b"a", b"b")],
    [(b"content-length", b"2")],
    [(b"content-length", b"0")],
    [(b"Content-Length", b"5")],
    [(b"transfer-encoding", b"chunked")],
    [(b"connection", b"close")],
    [(b"upgrade", b"x")],
    [(b"set-cookie", b"a"), (b"set-cookie", b"b")],
    [(b"date", b"x"), (b"server", b"y")],
)
VALUES: dict[str, tuple[Any, ...]] = {
    "status": (200, 204, 304, 404, 500, 101, 999),
    "headers": FIELDS,
    "trailers": (False, True),
    "more_trailers": (False, True),
    "more_body": (False, True),
    "body": (b"hello", b"", b"x", bytearray(b"hi"), memoryview(b"view"), bytes(LARGEST)),
    "links": ([], [b"</a>"]),
    "path": ("/a", "/b?c", "*", "/\u00e4"),
    "subprotocol": (None, "chat"),
    "text": (None, "", "hello", "x" * LARGEST),
    "bytes": (None, b"", b"hello", bytes(LARGEST)),
    "code": (1000, 1001, 3000, 1006),
    "reason": (None, "", "bye"),
}
TYPES: dict[str, tuple[str, ...]] = {
    "http.response.start": ("status", "headers", "trailers"),
    "http.response.body": ("body", "more_body"),
    "http.response.trailers": ("headers", "more_trailers"),
    "http.response.early_hint": ("links",),
    "http.response.push": ("path", "headers"),
    "http.response.pathsend": ("path",),
    "http.response.debug": ("headers",),
    "websocket.accept": ("subprotocol", "headers"),
    "websocket.send": ("text", "bytes"),
    "websocket.close": ("code", "reason"),
    "websocket.http.response.start": ("status", "headers"),
    "websocket.http.response.body": ("body", "more_body"),
}


def message(choices: Choices, prefix: str) -> Any:
    """A message, of a type that begins so for the most part."""
    at = choices.byte()
    if at == 255:
        return choices.pick(ODD)
    kinds = [kind for kind in TYPES if kind.startswith(prefix)] if at < 240 else [*TYPES, "odd"]
    kind = kinds[at % len(kinds)]
    made: dict[str, Any] = {"type": kind}
    shape = choices.byte()
    for place, key in enumerate(TYPES.get(kind, ())):
        if shape & 1 << place:
            made[key] = choices.pick(ODD if shape & 0xF0 == 0xF0 else VALUES[key])
    return made


class Failure(Exception):
    """What an application raises."""


class AnyApplication:
    """An ASGI application that a fuzzer's choices drive; behind them it behaves."""

    def __init__(self, choices: Choices) -> None:
        self._choices = choices
        self._sleepers: list[MemoryWaiter] = []
        self.faults: list[str] = []

    def wake(self) -> None:
        """Whoever sleeps goes on."""
        sleepers, self._sleepers = self._sleepers, []
        for sleeper in sleepers:
            sleeper.set()

    async def __call__(
        self,
        scope: Scope,
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        """One exchange."""
        try:
            await self._run(scope, receive, send)
        except (*DOCUMENTED, Failure):
            raise
        except Exception:
            self.faults.append(traceback.format_exc())

    async def _run(
        self,
        scope: Scope,
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        choices = self._choices
        while choices:
            match choices.byte() % 10:
                case 0:
                    break
                case 1 | 2:
                    await receive()
                case 3:
                    await Turn()
                case 4:
                    sleeper = MemoryWaiter()
                    self._sleepers.append(sleeper)
                    await sleeper.wait()
                case 5:
                    if choices.byte() % 4 == 0:
                        raise Failure
                    return
                case _:
                    await self._send(send, message(choices, f"{scope['type']}."))
        try:
            await _behave(scope, receive, send)
        except DOCUMENTED:
            pass

    async def _send(self, send: Callable[[Any], Awaitable[None]], made: Any) -> None:
        try:
            await send(made)
        except DOCUMENTED:
            if self._choices.byte() % 4 == 3:
                raise  # as most applications do


async def _behave(
    scope: Scope,
    receive: Callable[[], Awaitable[Any]],
    send: Callable[[Any], Awaitable[None]],
) -> None:
    if scope["type"] == "websocket":
        while True:
            got = await receive()
            if got["type"] == "websocket.disconnect":
                return
            if got["type"] == "websocket.connect":
                await send({"type": "websocket.accept"})
            else:
                await send({**got, "type": "websocket.send"})
    body = b""
    while True:
        got = await receive()
        if got["type"] == "http.disconnect":
            return
        body += got["body"]
        if not got["more_body"]:
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body[:LARGEST]})
