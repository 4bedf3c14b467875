"""``Upgrade: h2c``, from HTTP/1.1 to HTTP/2 on one connection (RFC 7540 section 3.2)."""

from __future__ import annotations

import socket

import pytest
from compliance.fuzzing.memory import serve
from hyperframe.frame import Frame, GoAwayFrame, HeadersFrame, PingFrame, SettingsFrame

from helpers.apps import body, hello, reply, start
from helpers.clients import open_socket
from helpers.serving import eventually
from helpers.site import Serving
from tricorn import Config
from tricorn.types import Receive, Scope, Send

HEAD = b"GET %b HTTP/1.1\r\nhost: localhost\r\n"
OFFER = b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: \r\n\r\n"
UPGRADE = HEAD % b"/" + OFFER
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SettingsFrame(0).serialize()
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\n"


def frames_of(data: bytes) -> tuple[list[Frame], bytes]:
    """The whole frames at the beginning, and what is left."""
    found = []
    while len(data) >= 9:
        frame, size = Frame.parse_frame_header(memoryview(data[:9]))
        if len(data) < 9 + size:
            break
        frame.parse_body(memoryview(data[9 : 9 + size]))
        found.append(frame)
        data = data[9 + size :]
    return found, data


def until_closed(sock: socket.socket, data: bytes) -> list[Frame]:
    """All frames the server sends; its PINGs are answered."""
    seen = []
    while True:
        found, data = frames_of(data)
        for frame in found:
            if isinstance(frame, PingFrame):
                sock.sendall(PingFrame(0, frame.opaque_data, flags=("ACK",)).serialize())
        seen += found
        more = sock.recv(65536)
        if not more:
            return seen
        data += more


def read_past(sock: socket.socket, end: bytes) -> tuple[bytes, bytes]:
    """What comes until ``end``, and behind it."""
    data = b""
    while end not in data:
        more = sock.recv(65536)
        assert more, data
        data += more
    before, _, behind = data.partition(end)
    return before, behind


@pytest.mark.parametrize("tls", [False, True], ids=["cleartext", "tls"])
def test_it_is_for_cleartext(serving: Serving, tls: bool) -> None:
    """Over TLS there is ALPN (RFC 7540 section 3.3)."""
    served = serving(hello, tls=tls, h2c_upgrade=True)
    sock = serving.connect(served).sock
    sock.sendall(UPGRADE)
    head, _ = read_past(sock, b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n" if tls else SWITCHED)


def test_what_begins_in_a_drain_ends_with_it(serving: Serving) -> None:
    served = serving(hello, h2c_upgrade=True, drain_idle_timeout=5.0)
    with open_socket(served.address) as sock:
        sock.sendall(HEAD % b"/" + b"\r\n")
        read_past(sock, b"hello")
        served.stop()
        eventually(lambda: is_refused(served.address), "the end of accepting")
        sock.sendall(UPGRADE + PREFACE)
        head, data = read_past(sock, b"\r\n\r\n")
        assert head.startswith(SWITCHED)
        seen = until_closed(sock, data)
        assert [frame.stream_id for frame in seen if isinstance(frame, HeadersFrame)] == [1]
        assert [f.last_stream_id for f in seen if isinstance(f, GoAwayFrame)] == [2**31 - 1, 1]
    served.wait()


def is_refused(address: tuple[str, int]) -> bool:
    """Whether nobody listens there."""
    try:
        open_socket(address).close()
    except OSError:
        return True
    return False


def test_settings_follow_at_once_behind_another_request() -> None:
    """The upgrade waits until that one's answer is taken, and nobody waits for its own."""
    size = 65536

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/first":
            await start(send)
            await body(send, bytes(2 * size), more=True)
            await body(send, b"first")
        else:
            while (await receive())["type"] == "http.request":
                pass

    config = Config(h2c_upgrade=True, write_buffer_high=size)
    loop, transport, connection = serve(app, config)
    transport.peer_reads = False
    connection.bytes_received(HEAD % b"/first" + b"\r\n" + UPGRADE)
    loop.run()
    assert SWITCHED not in b"".join(transport.writes)
    transport.peer_takes(4 * size)
    loop.run()
    first, _, rest = b"".join(transport.writes).partition(SWITCHED)
    assert first.endswith(b"first\r\n0\r\n\r\n")
    frames, left = frames_of(rest.partition(b"\r\n\r\n")[2])
    assert isinstance(frames[0], SettingsFrame)
    assert left == b""
    transport.lose()
    loop.run()


def test_an_offer_is_passed_over_while_an_application_runs(serving: Serving) -> None:
    """HTTP/2 would give its stream the number that the exchange of that one has."""
    gate = serving.gate()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, scope["http_version"].encode())
        if scope["path"] == "/background":
            await gate.wait()

    served = serving(app, h2c_upgrade=True, max_concurrent_requests=3)
    for path in (b"/background", b"/", b"/", b"/"):  # and each gives its place back
        with open_socket(served.address) as sock:
            sock.sendall(HEAD % path + b"\r\n" + UPGRADE)
            data = b""
            while data.count(b"\r\n\r\n1.1") < 2:
                data += sock.recv(65536)
                assert b"HTTP/1.1 101 " not in data
                assert b"HTTP/1.1 503 " not in data
    gate.open()
    eventually(lambda: switches(served.address), "an upgrade behind an exchange that has ended")


def switches(address: tuple[str, int]) -> bool:
    """Whether an offer behind another request is taken."""
    with open_socket(address) as sock:
        sock.sendall(HEAD % b"/" + b"\r\n")
        read_past(sock, b"\r\n\r\n1.1")
        sock.sendall(UPGRADE)
        return read_past(sock, b"\r\n")[0] + b"\r\n" == SWITCHED
