"""The client side of a case: write its steps, read responses strictly, keep what came."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import ssl
import struct
from dataclasses import dataclass, field
from typing import Any

from compliance.http1.model import Abort, AwaitReplies, Dribble, HalfClose, Step

MAX_BODY = 4 * 1024 * 1024
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2}) [\t \x21-\x7e\x80-\xff]*")
_FIELD_LINE = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*((?:[\x21-\x7e\x80-\xff](?:[\t \x21-\x7e\x80-\xff]*"
    rb"[\x21-\x7e\x80-\xff])?)?)[ \t]*"
)


class Malformed(Exception):
    """What the server sent is not a well-formed HTTP/1.1 response."""


@dataclass(slots=True)
class Response:
    """One response as it stood on the wire."""

    status: int
    status_line: str
    fields: list[tuple[str, str]]
    framing: str = "none"
    body: bytes = b""
    complete: bool = True

    def values(self, name: str) -> list[str]:
        """Values of every field line called ``name`` (lower case)."""
        return [value for key, value in self.fields if key == name]

    def json(self) -> dict[str, Any]:
        """The echo report, or an empty mapping if the content is no JSON object."""
        try:
            report = json.loads(self.body)
        except ValueError:
            return {}
        return report if isinstance(report, dict) else {}


@dataclass(slots=True)
class Observation:
    """Everything that happened on one connection."""

    interim: list[int] = field(default_factory=list)
    finals: list[Response] = field(default_factory=list)
    eof: bool = False
    malformed: str = ""
    tail: bytes = b""
    raw: bytes = b""
    probe: Response | None = None
    probed: bool = False
    smuggled: bool = False
    alive: bool = True

    @property
    def ended(self) -> bool:
        return self.eof or bool(self.malformed)


class Client:
    """One connection to the server under test.

    A reader task files responses in ``seen`` as they complete; ``wait`` sleeps on its progress,
    so that no step has to guess how long the server takes.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        head: tuple[int, ...],
    ) -> None:
        self.seen = Observation()
        self._reader = reader
        self._writer = writer
        self._head = head
        self._progress = asyncio.Condition()
        self._task = asyncio.create_task(self._read_all())

    @classmethod
    async def connect(
        cls, host: str, port: int, tls: ssl.SSLContext | None, head: tuple[int, ...] = ()
    ) -> Client:
        """Open a connection; raises ``OSError`` if the server does not take it."""
        reader, writer = await asyncio.open_connection(
            host, port, ssl=tls, server_hostname="localhost" if tls else None, limit=MAX_BODY
        )
        return cls(reader, writer, head)

    async def run(self, steps: tuple[Step, ...], timeout: float) -> None:
        """Play the steps; a server that closes meanwhile ends the sending, not the case."""
        try:
            for step in steps:
                await self._play(step, timeout)
        except OSError:
            return

    async def _play(self, step: Step, timeout: float) -> None:
        if isinstance(step, bytes):
            await self._write(step)
        elif isinstance(step, Dribble):
            for start in range(0, len(step.data), step.size):
                await self._write(step.data[start : start + step.size])
        elif isinstance(step, AwaitReplies):
            await self.wait(lambda: self._count() >= step.count, timeout)
        elif isinstance(step, HalfClose):
            self._writer.write_eof()
        elif isinstance(step, Abort):
            reset = struct.pack("ii", 1, 0)
            sock = self._writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            self._writer.transport.abort()

    async def _write(self, data: bytes) -> None:
        if self.seen.eof:
            return
        self._writer.write(data)
        await self._writer.drain()
        # Lets the loop hand this write to the socket before the next one is queued.
        await asyncio.sleep(0)

    def _count(self) -> int:
        return len(self.seen.interim) + len(self.seen.finals)

    async def wait(self, done: Any, timeout: float) -> bool:
        """Wait until ``done()`` holds or nothing more can come; false after ``timeout`` seconds."""
        try:
            async with asyncio.timeout(timeout), self._progress:
                await self._progress.wait_for(lambda: done() or self.seen.ended)
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Give the connection up at once."""
        self._task.cancel()
        self._writer.transport.abort()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _read_all(self) -> None:
        seen = self.seen
        try:
            while await self._read_one():
                async with self._progress:
                    self._progress.notify_all()
            seen.eof = True
        except Malformed as error:
            seen.malformed = str(error)
        except OSError:
            seen.eof = True
        async with self._progress:
            self._progress.notify_all()

    async def _read_one(self) -> bool:
        """Read one response into ``seen``; false at a clean end of the connection."""
        head = await self._read_head()
        if head is None:
            return False
        response = parse_head(head)
        seen = self.seen
        if response.status == 101:
            seen.finals.append(response)
            await self._read_tail()
            return False
        if response.status < 200:
            seen.interim.append(response.status)
            return True
        is_head = len(seen.finals) in self._head
        await read_body(self._reader, response, is_head)
        seen.finals.append(response)
        return True

    async def _read_head(self) -> bytes | None:
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            if not error.partial:
                return None
            self.seen.raw = error.partial[:200]
            start = error.partial[:80]
            raise Malformed(f"the end of the connection inside a head: {start!r}") from None
        except asyncio.LimitOverrunError:
            raise Malformed("a head without end") from None
        self.seen.raw += head[:400]
        return head

    async def _read_tail(self) -> None:
        while data := await self._reader.read(65_536):
            self.seen.tail += data
            async with self._progress:
                self._progress.notify_all()


def parse_head(head: bytes) -> Response:
    """Parse a response head, strictly; raises :class:`Malformed`."""
    lines = head[:-4].split(b"\r\n")
    match = _STATUS_LINE.fullmatch(lines[0])
    if match is None:
        raise Malformed(f"a bad status line: {lines[0][:80]!r}")
    fields = []
    for line in lines[1:]:
        parts = _FIELD_LINE.fullmatch(line)
        if parts is None:
            raise Malformed(f"a bad field line: {line[:80]!r}")
        fields.append((parts[1].decode("latin-1").lower(), parts[2].decode("latin-1")))
    return Response(int(match[1]), lines[0].decode("latin-1"), fields)


async def read_body(reader: asyncio.StreamReader, response: Response, is_head: bool) -> None:
    """Read the content as RFC 9112 6.3 delimits it and note how it was delimited."""
    coding = ",".join(response.values("transfer-encoding")).lower()
    length = response.values("content-length")
    if coding and length:
        raise Malformed("a response with both Transfer-Encoding and Content-Length")
    if is_head or response.status in (204, 304):
        response.framing = "none"
    elif coding:
        if coding != "chunked":
            raise Malformed(f"an unknown transfer coding {coding!r}")
        response.framing = "chunked"
        await _read_chunked(reader, response)
    elif length:
        if len(length) != 1 or not re.fullmatch("[0-9]+", length[0]):
            raise Malformed(f"a bad Content-Length {length!r}")
        response.framing = "length"
        await _read_exactly(reader, response, int(length[0]))
    else:
        response.framing = "close"
        response.body = await reader.read(-1)


async def _read_exactly(reader: asyncio.StreamReader, response: Response, count: int) -> None:
    try:
        response.body += await reader.readexactly(count)
    except asyncio.IncompleteReadError as error:
        response.body += error.partial
        response.complete = False


async def _read_chunked(reader: asyncio.StreamReader, response: Response) -> None:
    while True:
        try:
            line = await reader.readuntil(b"\r\n")
        except asyncio.IncompleteReadError:
            response.complete = False
            return
        match = re.fullmatch(rb"([0-9A-Fa-f]+)(;[^\r\n]*)?\r\n", line)
        if match is None:
            raise Malformed(f"a bad chunk size line {line[:40]!r}")
        size = int(match[1], 16)
        if size == 0:
            break
        await _read_exactly(reader, response, size)
        if not response.complete:
            return
        if await reader.read(1) + await reader.read(1) != b"\r\n":
            raise Malformed("chunk data not followed by CRLF")
    while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
        if _FIELD_LINE.fullmatch(line[:-2]) is None:
            raise Malformed(f"a bad trailer line {line[:80]!r}")
