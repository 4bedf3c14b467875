"""Load: wrk, h2load, and clients of our own that pause between two requests.

The programs always have a request under way, so a server that closes idle connections at a
bad moment passes with them. Ours think a little before each request, as browsers and pools
do; a request that was sent on an open connection and is not answered is lost, unless the
server said before that it would not be (GOAWAY).
"""

from __future__ import annotations

import asyncio
import random
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
import h2.exceptions

_HOST = "127.0.0.1"

# To h2 a GOAWAY is the end of the connection; by RFC 9113 section 6.8 open streams go on.
h2.connection.H2ConnectionStateMachine._transitions[
    h2.connection.ConnectionState.CLIENT_OPEN, h2.connection.ConnectionInputs.RECV_GOAWAY
] = (None, h2.connection.ConnectionState.CLIENT_OPEN)
# Seconds between two requests of one connection, at most.
_THINK = 0.05


@dataclass
class Tally:
    """What a load saw."""

    answered: int = 0
    failed: int = 0
    notes: list[str] = field(default_factory=list)

    def lost(self, note: str) -> None:
        """One request was lost."""
        self.failed += 1
        if len(self.notes) < 5:
            self.notes.append(note)


Load = Callable[[int, float], Tally]


def wrk(port: int, seconds: float, *, scheme: str = "http") -> Tally:
    """16 connections of wrk; errors of sockets and statuses count."""
    text = _output(
        ["wrk", "-t1", "-c16", f"-d{seconds:.0f}s", f"{scheme}://{_HOST}:{port}/"], seconds
    )
    tally = Tally(answered=_number(r"(\d+) requests in", text))
    for kind in ("connect", "read", "write", "timeout"):
        if count := _number(rf"{kind} (\d+)", text):
            tally.failed += count
            tally.notes.append(f"{count} {kind} errors")
    if count := _number(r"Non-2xx or 3xx responses: (\d+)", text):
        tally.failed += count
        tally.notes.append(f"{count} other statuses")
    return tally


def h2load_http1(port: int, seconds: float) -> Tally:
    """8 connections of h2load, HTTP/1.1."""
    return _h2load(port, seconds, "--h1", "-c8")


def h2load_http2(port: int, seconds: float) -> Tally:
    """8 connections of 8 streams of h2load.

    It counts as failed what it has queued and does not send behind a GOAWAY, and its
    connections end there. So only what it sent is judged, by the server's own count.
    """
    tally = _h2load(port, seconds, "-c8", "-m8")
    if tally.failed:
        tally.notes = [f"{tally.failed} not sent behind GOAWAY"]
        tally.failed = 0
    return tally


def _h2load(port: int, seconds: float, *argv: str) -> Tally:
    text = _output(["h2load", *argv, "-D", f"{seconds:.0f}", f"http://{_HOST}:{port}/"], seconds)
    tally = Tally(answered=_number(r"(\d+) succeeded", text))
    tally.failed = _number(r"(\d+) failed", text)
    if tally.failed:
        tally.notes.append(f"{tally.failed} failed")
    return tally


def _output(argv: list[str], seconds: float) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds + 30, check=True)
    return done.stdout


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    return int(found[1]) if found else 0


def http1_with_pauses(port: int, seconds: float) -> Tally:
    """24 keep-alive connections that think before each request."""
    return asyncio.run(_together(24, _http1, port, seconds))


def http2_with_pauses(port: int, seconds: float) -> Tally:
    """8 connections of up to 8 streams at once."""
    return asyncio.run(_together(8, _http2, port, seconds))


async def _together(count: int, client: Callable[..., object], port: int, seconds: float) -> Tally:
    tally = Tally()
    until = asyncio.get_running_loop().time() + seconds
    async with asyncio.TaskGroup() as tasks:
        for _ in range(count):
            tasks.create_task(client(port, until, tally))  # type: ignore[arg-type]
    return tally


async def _connect(
    port: int, tally: Tally
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    try:
        return await asyncio.open_connection(_HOST, port)
    except OSError as exc:
        tally.lost(f"connect: {exc}")
        await asyncio.sleep(_THINK)
        return None


async def _http1(port: int, until: float, tally: Tally) -> None:
    now = asyncio.get_running_loop().time
    while now() < until:
        pair = await _connect(port, tally)
        if pair is None:
            continue
        reader, writer = pair
        try:
            while now() < until and await _one_http1(reader, writer, tally):
                pass
        finally:
            writer.close()


async def _one_http1(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tally: Tally
) -> bool:
    """One request; whether the connection goes on."""
    await asyncio.sleep(random.uniform(0, _THINK))
    if reader.at_eof():
        return False  # closed while idle: nothing was sent
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(3)
    except (OSError, asyncio.IncompleteReadError) as exc:
        tally.lost(f"request: {exc!r}")
        return False
    if not head.startswith(b"HTTP/1.1 200 "):
        tally.lost(f"status: {head[:20]!r}")
        return False
    tally.answered += 1
    return b"connection: close" not in head.lower()


async def _http2(port: int, until: float, tally: Tally) -> None:
    now = asyncio.get_running_loop().time
    while now() < until:
        pair = await _connect(port, tally)
        if pair is None:
            continue
        client = _HTTP2(*pair, tally)
        try:
            await client.run(until)
        finally:
            pair[1].close()


class _HTTP2:
    """One connection that heeds GOAWAY (RFC 9113 section 6.8)."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tally: Tally
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._tally = tally
        self._open: set[int] = set()
        self._leaving = False
        config = h2.config.H2Configuration(client_side=True, header_encoding=None)
        self._h2 = h2.connection.H2Connection(config)
        self._h2.initiate_connection()

    async def run(self, until: float) -> None:
        """Requests until the time is over or the server says goodbye."""
        loop = asyncio.get_running_loop()
        reading = loop.create_task(self._read())
        while loop.time() < until and not self._leaving and not reading.done():
            await asyncio.sleep(random.uniform(0, _THINK))
            if self._leaving or reading.done():
                break
            for _ in range(random.randint(1, 4)):
                if len(self._open) < 8:
                    self._request()
            self._writer.write(self._h2.data_to_send())
        try:
            await asyncio.wait_for(asyncio.shield(reading), 5.0 if self._open else 0.01)
        except TimeoutError:
            pass
        reading.cancel()
        for stream_id in self._open:
            self._tally.lost(f"stream {stream_id}: no answer")

    def _request(self) -> None:
        stream_id = self._h2.get_next_available_stream_id()
        head = [(":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", "/")]
        self._h2.send_headers(stream_id, head, end_stream=True)
        self._open.add(stream_id)

    async def _read(self) -> None:
        while True:
            try:
                data = await self._reader.read(65536)
            except OSError as exc:
                self._tally.notes.append(f"connection: {exc!r}")
                return
            if not data:
                return
            for event in self._h2.receive_data(data):
                self._heed(event)
            self._writer.write(self._h2.data_to_send())
            if self._leaving and not self._open:
                return

    def _heed(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.DataReceived):
            assert event.stream_id is not None
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self._open.discard(event.stream_id)
            self._tally.answered += 1
        elif isinstance(event, h2.events.StreamReset):
            self._open.discard(event.stream_id)
            self._tally.lost(f"stream {event.stream_id}: reset {event.error_code}")
        elif isinstance(event, h2.events.ConnectionTerminated):
            self._leaving = True
            # What is above the last stream was not looked at, and may be sent elsewhere.
            last = event.last_stream_id
            self._open -= {number for number in self._open if last is not None and number > last}
