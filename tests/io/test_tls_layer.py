"""Our own TLS, seen from a socket: records, ends, limits."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import select
import shutil
import socket
import ssl
import subprocess
import time
from pathlib import Path

import anyio
import pytest
from tls_wire import REQUEST, Wire

from helpers.apps import body, hello, reply, start
from helpers.clients import open_socket, post, reset_socket
from helpers.programs import Program
from helpers.serving import PATIENCE, Inbox, Records, eventually, settled
from helpers.site import Serving
from tricorn.types import Receive, Scope, Send

LAST = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def version(request: pytest.FixtureRequest) -> ssl.TLSVersion:
    """The version that the client speaks."""
    found: ssl.TLSVersion = request.param
    return found


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the body, or with what came of it."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    await reply(send, body)


@pytest.fixture
def opened(serving: Serving, version: ssl.TLSVersion) -> Wire:
    """A connection to the greeting, its handshake done."""
    wire = Wire(serving, serving(hello, tls=True), version)
    wire.shake()
    return wire


# Records


def test_several_records_in_one_segment(opened: Wire) -> None:
    opened.sock.sendall(opened.records(*(REQUEST[at : at + 1] for at in range(len(REQUEST)))))
    assert opened.until(b"hello").startswith(b"HTTP/1.1 200")


def test_one_record_byte_by_byte(opened: Wire) -> None:
    for byte in opened.records(REQUEST):
        opened.sock.sendall(bytes((byte,)))
    assert opened.until(b"hello").startswith(b"HTTP/1.1 200")


def test_the_first_request_comes_with_the_handshake(
    serving: Serving, version: ssl.TLSVersion
) -> None:
    wire = Wire(serving, serving(hello, tls=True), version)
    if version is ssl.TLSVersion.TLSv1_2:
        wire.shake()  # the server has the last word
    else:
        with pytest.raises(ssl.SSLWantReadError):
            wire.tls.do_handshake()
        wire.flush()
        while True:
            assert wire.more()
            with contextlib.suppress(ssl.SSLWantReadError):
                wire.tls.do_handshake()
                break
    wire.tls.write(REQUEST)
    wire.flush()  # in one segment
    assert wire.until(b"hello").startswith(b"HTTP/1.1 200")


def test_small_answers_are_one_record(opened: Wire) -> None:
    """Head and body share it, and leave in one segment."""
    opened.sock.sendall(opened.records(REQUEST))
    opened.until(b"hello")  # and the tickets
    opened.sock.sendall(opened.records(REQUEST))
    data = opened.sock.recv(65536)
    assert data[0] == 23
    assert len(data) == 5 + int.from_bytes(data[3:5])


@pytest.mark.parametrize("size", [1, 16384, 16385, 65537, 1_000_000])
def test_bodies_both_ways(serving: Serving, protocol: str, size: int) -> None:
    served = serving(echo, tls=True)
    client = serving.connect(served, protocol)
    body = bytes(range(251)) * (size // 251 + 1)
    for _ in range(3):
        stream = client.start("POST", "/", [(b"content-length", b"%d" % size)], more=True)
        client.send(stream, body[:size], more=False)
        assert client.response(stream).body == body[:size]


def test_reading_stops_while_the_application_takes_nothing(serving: Serving) -> None:
    """What the server takes of an upload is bounded; the rest of it comes whole."""
    gate, inbox = serving.gate(), Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        size = 0
        while True:
            message = await receive()
            size += len(message.get("body", b""))
            if not message.get("more_body"):
                break
        inbox.put(size)
        await reply(send, b"all")

    served = serving(app, tls=True)
    client = serving.connect(served)
    total = 64_000_000
    stream = client.start("POST", "/", [(b"content-length", b"%d" % total)], more=True)
    sent = client.offer(stream, total)
    assert 0 < sent < total
    gate.open()
    client.send(stream, b"x" * (total - sent), more=False)
    assert client.response(stream).body == b"all"
    assert inbox.take() == total


def test_sending_stops_while_the_client_takes_nothing(serving: Serving) -> None:
    inbox = Inbox()
    piece, count = b"y" * 65536, 400

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(count):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            inbox.put(1)
        await send({"type": "http.response.body", "body": b""})

    served = serving(app, tls=True)
    client = serving.connect(served, receive_buffer=65536)
    stream = client.start("GET", "/", [])
    inbox.take()
    assert settled(inbox.qsize) < count // 2  # what kernel buffers hold on loopback
    assert client.response(stream).body == piece * count


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl program")
def test_key_updates(serving: Serving) -> None:
    """RFC 8446 section 4.6.3: ours is answered with one of the server's, and all goes on."""
    served = serving(hello, tls=True)
    host, port = served.address
    with Program(
        ["openssl", "s_client", "-connect", f"{host}:{port}", "-tls1_3", "-msg"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as client:  # fmt: skip
        assert client.stdin is not None
        assert client.stdout is not None
        told = ""
        for line in client.stdout:
            told += line
            if "Verify return code" in line:  # what comes behind it is buffered
                break
        client.stdin.write("K\n")
        client.stdin.flush()
        for line in client.stdout:
            told += line
            if "KEYUPDATE" in line:  # it goes with what is written next
                break
        client.stdin.write("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        client.stdin.flush()
        for line in client.stdout:
            told += line
    assert "HTTP/1.1 200" in told
    assert re.search("^>>>.*KeyUpdate.*^<<<.*KeyUpdate", told, re.MULTILINE | re.DOTALL)


# Ends


def _refused(wire: Wire) -> None:
    """An alert comes, and the end."""
    told = b""
    with contextlib.suppress(ConnectionResetError):
        while data := wire.sock.recv(65536):
            told += data
    assert told


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x03\x00\x05\x18\x00\x00\x01\x01",  # a KeyUpdate, not encrypted
        b"\x17\x03\x03\x00\x20" + b"x" * 32,
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0" * 64,
    ],
)
def test_garbage_behind_the_handshake(opened: Wire, garbage: bytes, records: Records) -> None:
    opened.sock.sendall(opened.records(REQUEST))
    opened.until(b"hello")
    opened.sock.sendall(garbage)
    _refused(opened)
    assert not records.faults()


def test_close_notify_is_answered(opened: Wire) -> None:
    with pytest.raises(ssl.SSLWantReadError):
        opened.tls.unwrap()
    opened.flush()
    while opened.more():
        pass
    if opened.tls.version() == "TLSv1.2":
        opened.tls.unwrap()
    else:
        with contextlib.suppress(ssl.SSLZeroReturnError):
            while opened.tls.read(100):
                pass


def test_our_close_notify_comes_first(opened: Wire) -> None:
    opened.sock.sendall(opened.records(LAST))
    opened.until(b"hello")
    assert opened.read() == b""
    # TCP stays open until we have answered.
    assert not select.select([opened.sock], [], [], 0.05)[0]
    opened.tls.unwrap()
    opened.flush()
    assert opened.sock.recv(1) == b""


def test_what_comes_behind_our_close_is_not_wanted(opened: Wire) -> None:
    """It neither disturbs nor reaches anybody; the peer's close_notify ends the wait."""
    opened.sock.sendall(opened.records(LAST, b"x" * 100_000))
    opened.until(b"hello")
    assert opened.read() == b""
    opened.sock.sendall(opened.records(b"x" * 100_000))
    assert not select.select([opened.sock], [], [], 0.05)[0]
    opened.tls.unwrap()
    opened.flush()
    with contextlib.suppress(ConnectionResetError):
        assert opened.sock.recv(1) == b""


def test_the_answer_is_whole_where_the_reader_is_slow(serving: Serving) -> None:
    """The time for the peer's close_notify begins when it has taken everything."""
    size = 8_000_000

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, b"z" * size)

    served = serving(app, tls=True, ssl_shutdown_timeout=0.1, write_buffer_high=2 * size)
    wire = Wire(serving, served)
    wire.shake()
    wire.sock.sendall(wire.records(LAST))
    got = 0
    begin = time.monotonic()
    while got < size and (piece := wire.read()):
        got += len(piece)
        if time.monotonic() - begin < 0.5:
            time.sleep(0.01)
    assert got >= size


@pytest.mark.long
def test_the_answer_is_whole_where_the_request_is_left_unread(serving: Serving) -> None:
    """What of it has come is no fault behind our close_notify: it is waited for the peer's."""
    piece, count = b"z" * 65536, 480

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        for left in range(count - 1, -1, -1):
            await body(send, piece, more=left > 0)

    served = serving(app, tls=True)
    head = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3000000\r\n\r\n"
    for _ in range(8):  # what is left where the server closes is not the same each time
        wire = Wire(serving, served)
        wire.shake()
        wire.sock.sendall(wire.records(head, b"x" * 3_000_000))
        got = 0
        while data := wire.read():
            got += len(data)
        assert got > len(piece) * count
        wire.sock.close()


@pytest.mark.long
@pytest.mark.parametrize("notified", [True, False])
@pytest.mark.parametrize("none", [False, True])
def test_the_answer_is_whole_where_the_client_has_ended_its_side(
    serving: Serving, notified: bool, none: bool
) -> None:
    """It reads what was on its way, slowly and steadily."""
    size = 8_000_000
    inbox = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, b"z" * size)
        inbox.put("ended")

    limits = {"ssl_shutdown_timeout": None if none else 0.4, "write_timeout": 0.4 if none else None}
    served = serving(app, tls=True, write_buffer_high=2 * size, **limits)
    wire = Wire(serving, served, receive_buffer=65536)
    wire.shake()
    wire.sock.sendall(wire.records(LAST))
    got = len(wire.sock.recv(65536))
    assert inbox.take() == "ended"
    end_of(wire, notified=notified)
    begin = time.monotonic()
    while piece := wire.sock.recv(65536):
        got += len(piece)
        if time.monotonic() - begin < 1.0:
            time.sleep(0.01)
    assert got > size


@pytest.mark.parametrize("asked", [LAST, REQUEST], ids=["last", "persistent"])
@pytest.mark.parametrize("reads", [True, False])
def test_a_stop_waits_for_the_rest_of_an_answer_behind_the_end_of_tls(
    serving: Serving, records: Records, asked: bytes, reads: bool
) -> None:
    """As for any other, and no longer than ``graceful_timeout``."""
    size = 8_000_000
    inbox = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for step in ("startup", "shutdown"):
                await receive()
                inbox.put(step)
                await send({"type": f"lifespan.{step}.complete"})
        else:
            await reply(send, b"z" * size if scope["path"] == "/" else b"hello")

    if not reads:
        records.expect("1 connections still open after graceful_timeout")
    served = serving(
        app, tls=True, lifespan="on", write_buffer_high=2 * size, write_timeout=None,
        ssl_shutdown_timeout=None, graceful_timeout=PATIENCE if reads else 0.5,
    )  # fmt: skip
    assert inbox.take() == "startup"
    wire = Wire(serving, served, receive_buffer=65536)
    wire.shake()
    wire.sock.sendall(wire.records(asked))
    got = len(wire.sock.recv(65536))
    end_of(wire, notified=True)
    other = serving.connect(served)
    assert other.get("/other").text == "hello"  # the server has seen the end
    other.sock.close()
    served.stop()
    eventually(lambda: refuses(served.address), "no connection is taken")
    if reads:
        assert settled(inbox.qsize) == 0
        while piece := wire.sock.recv(65536):
            got += len(piece)
        assert got > size
    served.wait()
    assert inbox.take() == "shutdown"


def test_truncated(serving: Serving) -> None:
    """TCP ends without close_notify: the application is told, and ours is sent."""
    inbox = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            inbox.put("begun")
        inbox.put("left")

    wire = Wire(serving, serving(app, tls=True))
    wire.shake()
    wire.sock.sendall(wire.records(REQUEST))
    assert inbox.take() == "begun"
    wire.sock.shutdown(socket.SHUT_WR)
    assert inbox.take() == "left"
    assert wire.read() == b""


def end_of(wire: Wire, *, notified: bool) -> None:
    """End the client's side, with close_notify or without."""
    if notified:
        with pytest.raises(ssl.SSLWantReadError):
            wire.tls.unwrap()
        wire.flush()
    wire.sock.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("notified", [False, True], ids=["cut", "close_notify"])
@pytest.mark.parametrize("moment", ["before", "while"])
def test_what_came_before_the_end_is_read(serving: Serving, notified: bool, moment: str) -> None:
    """The end comes before the application reads on, or in the turn in which it does."""
    inbox = Inbox()
    gate: anyio.Event = serving.portal.call(anyio.Event)
    size = 16384  # one record

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "GET":
            await hello(scope, receive, send)
            return
        await gate.wait()
        while (message := await receive())["type"] == "http.request":
            inbox.put(len(message["body"]))
        inbox.put(0)

    served = serving(app, tls=True, request_buffer_size=4096)
    wire = Wire(serving, served)
    wire.shake()
    head = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % size
    wire.sock.sendall(wire.records(head, b"x" * size))
    if moment == "before":
        end_of(wire, notified=notified)
    # The loop has looked at the other connection before it is through with this exchange.
    assert serving.connect(served).get().text == "hello"

    def go_on() -> None:
        gate.set()
        if moment == "while":
            end_of(wire, notified=notified)

    serving.portal.call(go_on)
    got = 0
    while taken := inbox.take():
        got += taken
    assert got == size


@pytest.mark.parametrize("notified", [False, True], ids=["cut", "close_notify"])
def test_a_request_that_comes_with_the_end_is_read(
    serving: Serving, protocol: str, notified: bool
) -> None:
    """The application that waits for it has it before it hears that the peer has left."""
    inbox = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            inbox.put(await receive())
            inbox.put((await receive())["type"])

    served = serving(app, tls=True)
    for _ in range(5):  # trio runs the tasks of a turn in any order
        wire = Wire(serving, served, alpn=protocol)
        wire.shake()
        wire.tls.write(post(protocol, b"body"))
        if not notified:
            wire.flush()
        end_of(wire, notified=notified)
        message = inbox.take()
        assert (message["type"], message.get("body")) == ("http.request", b"body")
        assert inbox.take() == "http.disconnect"


# Limits


def test_silent_peers_cost_no_session(serving: Serving) -> None:
    served = serving(hello, tls=True, ssl_handshake_timeout=PATIENCE)
    socks = [open_socket(served.address) for _ in range(5)]
    with contextlib.ExitStack() as stack:
        for sock in socks:
            stack.enter_context(sock)
            sock.sendall(b"\x16\x03\x01\x02\x00\x01")
        client = serving.connect(served)
        assert client.get().status == 200
        client.sock.close()
        served.stop()
        begin = time.monotonic()
        for sock in socks:
            assert sock.recv(1) == b""
        assert time.monotonic() - begin < PATIENCE / 2  # drain_idle_timeout
        served.wait()


def test_a_server_that_stops_waits_for_handshakes(serving: Serving) -> None:
    served = serving(hello, tls=True)
    wire = Wire(serving, served)
    wire.begin_handshake()
    served.stop()
    wire.shake()
    wire.sock.sendall(wire.records(REQUEST))
    with contextlib.suppress(OSError):
        wire.read()  # served or closed in order: it was not left hanging
    wire.sock.close()
    served.wait()


def refuses(address: tuple[str, int] | str) -> bool:
    """Whether new connections are refused."""
    try:
        open_socket(address).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        pass  # the listener was closed just now, with this connection in its queue
    return False


def test_what_follows_a_handshake_has_graceful_timeout(serving: Serving, records: Records) -> None:
    records.expect("1 connections still open after graceful_timeout")
    started = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        started.put(True)
        await anyio.sleep_forever()

    served = serving(app, tls=True, graceful_timeout=0.5, drain_idle_timeout=PATIENCE)
    wire = Wire(serving, served)
    wire.begin_handshake()
    served.stop()
    eventually(lambda: refuses(served.address), "no connection is taken")
    wire.shake()
    wire.sock.sendall(wire.records(REQUEST))
    started.take()
    served.wait()


@pytest.mark.parametrize("begun", [False, True])
def test_a_handshake_over_a_unix_socket_goes_on_at_the_stop(
    serving: Serving, tmp_path: Path, records: Records, backend: str, begun: bool
) -> None:
    """What is told of the connection is asked of a listener that is closed by then."""
    if backend == "asyncio-anyio":
        records.expect("Exception in callback Future.set_result")  # anyio's own race
    path = str(tmp_path / "server.sock")
    served = serving(hello, tls=True, bind=f"unix:{path}", drain_idle_timeout=PATIENCE)
    wire = Wire(serving, served, address=path)
    # Behind the answer to another one this connection is taken.
    (wire if begun else Wire(serving, served, address=path)).begin_handshake()
    served.stop()
    eventually(lambda: refuses(path), "no connection is taken")
    wire.shake()
    wire.sock.sendall(wire.records(REQUEST))
    assert wire.until(b"hello").startswith(b"HTTP/1.1 200")


def test_a_handshake_that_does_not_go_on_has_graceful_timeout(serving: Serving) -> None:
    served = serving(hello, tls=True, graceful_timeout=0.1, ssl_handshake_timeout=3 * PATIENCE)
    wire = Wire(serving, served)
    wire.begin_handshake()
    served.stop()
    served.wait()


def test_a_handshake_that_stops_in_the_middle(serving: Serving) -> None:
    served = serving(hello, tls=True, ssl_handshake_timeout=0.1)
    wire = Wire(serving, served)
    with pytest.raises(ssl.SSLWantReadError):
        wire.tls.do_handshake()
    wire.flush()
    with contextlib.suppress(ConnectionResetError):
        while wire.more():
            pass
    assert serving.connect(served).get().status == 200


def test_more_handshakes_than_a_turn_takes(serving: Serving) -> None:
    served = serving(hello, tls=True)
    wires: list[Wire] = []
    for _ in range(20):
        wire = Wire(serving, served)
        wires.append(wire)
        with pytest.raises(ssl.SSLWantReadError):
            wire.tls.do_handshake()
    hellos = [wire.outgoing.read() for wire in wires]
    for wire, data in zip(wires, hellos, strict=True):
        wire.sock.sendall(data[:-1])
    for wire, data in zip(wires, hellos, strict=True):
        wire.sock.sendall(data[-1:])
    for wire in wires:
        wire.shake()
        wire.sock.sendall(wire.records(REQUEST))
    for wire in wires:
        wire.until(b"hello")


# What all connections of a loop share


def split(data: bytes, chance: random.Random) -> list[bytes]:
    """The same in pieces of any length."""
    at, pieces = 0, []
    while at < len(data):
        size = chance.choice((1, 50, 3000, 20_000))
        pieces.append(data[at : at + size])
        at += size
    return pieces


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
def test_connections_do_not_meet_in_what_they_share(
    serving: Serving, version: ssl.TLSVersion, seed: int
) -> None:
    """OpenSSL's buffers are those of the loop: whatever each connection leaves half done."""
    chance = random.Random(seed)
    slow = serving.gate()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            await slow.wait()
        await echo(scope, receive, send)

    served = serving(app, tls=True)
    expected: list[tuple[Wire, bytes]] = []
    lines: list[tuple[Wire, list[bytes]]] = []
    for number in range(12):
        wire = Wire(serving, served, version)
        wire.shake()
        body = bytes((65 + number,)) * chance.choice((10, 5000, 40_000, 400_000))
        path = b"/slow" if number % 3 == 0 else b"/"
        head = b"POST %b HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % (path, len(body))
        sent = wire.records(*split(head + body, chance))
        if number % 4 == 1:
            # It breaks in the middle.
            half = len(sent) // 2
            sent = sent[:half] + bytes(20) + sent[half:]
        elif number % 4 == 2:
            with pytest.raises(ssl.SSLWantReadError):
                wire.tls.unwrap()
            sent += wire.outgoing.read() + bytes(100)
        else:
            expected.append((wire, body))
        lines.append((wire, split(sent, chance)))
    while lines:
        wire, pieces = line = chance.choice(lines)
        with contextlib.suppress(ConnectionError):  # of one that is broken
            wire.sock.sendall(pieces.pop(0))
        if not pieces:
            lines.remove(line)
    slow.open()
    for wire, body in expected:
        answer = wire.until(body)
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith(b"\r\n\r\n" + body)


def test_a_connection_keeps_no_buffers(
    serving: Serving, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They grow with what goes through them, and never shrink."""
    made: list[ssl.MemoryBIO] = []
    make = ssl.MemoryBIO

    def counted() -> ssl.MemoryBIO:
        made.append(make())
        return made[-1]

    monkeypatch.setattr(ssl, "MemoryBIO", counted)
    served = serving(hello, tls=True)
    for _ in range(5):
        assert serving.connect(served, protocol).get().status == 200
    assert len(made) <= 2
    assert not any(buffer.pending for buffer in made)


def test_resets_at_every_stage_leave_nothing(serving: Serving, backend: str) -> None:
    """Else all places were taken soon."""
    pushed = backend in ("asyncio", "uvloop")
    served = serving(hello, tls=True, max_connections=3)

    def served_again() -> bool:
        try:
            return serving.connect(served).get().status == 200
        except (OSError, AssertionError):
            return False  # not all resets are seen yet

    async def under_way() -> int:
        return sum("_open" in repr(task) for task in asyncio.all_tasks())

    def reset(stage: int) -> None:
        wire = Wire(serving, served)
        if stage == 1:
            wire.sock.sendall(b"\x16\x03\x01")
        elif stage == 2:
            with pytest.raises(ssl.SSLWantReadError):
                wire.tls.do_handshake()
            wire.flush()
        elif stage == 3:
            wire.shake()
            wire.sock.sendall(wire.records(LAST))
            wire.until(b"hello")
        reset_socket(wire.sock)

    for stage in range(4):
        for _ in range(3):
            with contextlib.suppress(*([] if pushed else [ConnectionError])):
                reset(stage)
        if pushed:
            eventually(lambda: served.portal.call(under_way) == 0, "no connection under way")
        eventually(served_again, "somebody is served")
