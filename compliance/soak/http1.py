"""A small HTTP/1.1 client that forgives nothing."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field

from compliance.servers import HOST
from compliance.soak.ledger import Origin, Wrong


@dataclass(slots=True)
class Response:
    """A whole response."""

    status: int
    headers: dict[str, str]
    body: bytes = b""


@dataclass(slots=True)
class HTTP1Client:
    """One connection. ``origin`` learns from the answers which worker it is with."""

    port: int
    tls: ssl.SSLContext | None = None
    origin: Origin = field(default_factory=Origin)
    served: int = 0
    closes: bool = False
    reader: asyncio.StreamReader = field(init=False)
    writer: asyncio.StreamWriter = field(init=False)

    async def connect(self) -> None:
        """Open it."""
        self.reader, self.writer = await asyncio.open_connection(
            HOST, self.port, ssl=self.tls, server_hostname="localhost" if self.tls else None
        )

    @property
    def usable(self) -> bool:
        """Whether another request may be sent."""
        return not (self.closes or self.reader.at_eof() or self.writer.is_closing())

    def send(self, method: str, path: str, fields: str = "", body: bytes = b"") -> None:
        """A request."""
        length = f"content-length: {len(body)}\r\n" if method == "POST" else ""
        head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\n{length}{fields}\r\n"
        self.writer.write(head.encode("ascii") + body)

    async def response(self, method: str = "GET") -> Response:
        """The next one.

        :raises Wrong: if the connection ends before or in it.
        """
        status, headers = await self.head()
        response = Response(status, headers)
        try:
            if method == "HEAD" or status in (204, 304):
                pass
            elif headers.get("transfer-encoding") == "chunked":
                response.body = await self._chunks()
            elif "content-length" in headers:
                response.body = await self.reader.readexactly(int(headers["content-length"]))
            else:
                response.body = await self.reader.read(-1)
                self.closes = True
        except asyncio.IncompleteReadError as exc:
            raise Wrong(f"cut after {len(exc.partial)} bytes of content") from None
        self.served += 1
        return response

    async def head(self) -> tuple[int, dict[str, str]]:
        """Status and fields of the next response."""
        try:
            raw = await self.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as exc:
            raise Wrong(
                f"closed after {len(exc.partial)} bytes of the head of response {self.served + 1}"
            ) from None
        lines = raw.decode("latin-1").split("\r\n")
        if not lines[0].startswith("HTTP/1.1 "):
            raise Wrong(f"no status line: {lines[0][:80]!r}")
        headers = {}
        for line in lines[1:-2]:
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        if "x-worker" in headers:
            self.origin.worker = int(headers["x-worker"])
        self.closes = headers.get("connection") == "close"
        return int(lines[0][9:12]), headers

    async def _chunks(self) -> bytes:
        pieces: list[bytes] = []
        while True:
            size = int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16)
            data = await self.reader.readexactly(size + 2)
            if not size:
                return b"".join(pieces)
            pieces.append(data[:-2])

    def abort(self) -> None:
        """Drop the connection with a reset."""
        self.writer.transport.abort()

    async def close(self) -> None:
        """Close it in order."""
        self.writer.close()
        try:
            async with asyncio.timeout(10):
                await self.writer.wait_closed()
        except (OSError, TimeoutError):
            pass  # the server may have closed it the hard way meanwhile
