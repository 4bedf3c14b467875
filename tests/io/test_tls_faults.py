"""What a peer may do to an open TLS connection: break it, let TLS answer without end, stay."""

from __future__ import annotations

import contextlib
import ssl
import time
from pathlib import Path

import pytest
from tls_key_updates import KeyUpdates
from tls_wire import REQUEST, Wire

from helpers.apps import body, reply, start
from helpers.clients import post
from helpers.serving import PATIENCE, Inbox, Records, eventually, settled
from helpers.site import Serving
from tricorn.types import Receive, Scope, Send

GARBAGE = b"\x17\x03\x03\x00\x20" + b"x" * 32  # a record that nobody has encrypted
PIECE = b"y" * 65536


def to_the_end(wire: Wire) -> None:
    """Take what comes until the connection is closed or reset."""
    with contextlib.suppress(ConnectionError):
        while wire.sock.recv(65536):
            pass


# Broken


def test_a_request_and_a_broken_record_in_one_segment(
    serving: Serving, protocol: str, records: Records
) -> None:
    """The answer can not be encrypted any more: that is no fault of ours, nor the application's."""
    inbox = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, b"hello")
        inbox.put("answered")

    served = serving(app, tls=True)
    wire = Wire(serving, served, alpn=protocol)
    wire.shake()
    wire.sock.sendall(wire.records(post(protocol)) + GARBAGE)
    to_the_end(wire)
    assert inbox.take() == "answered"
    served.stop()
    served.wait()
    assert not records.faults()


@pytest.mark.parametrize("unread", [False, True], ids=["read", "unread"])
def test_an_application_that_sends_hears_of_a_broken_record(
    serving: Serving, protocol: str, unread: bool
) -> None:
    """Also one that leaves so much unread that reading has stopped."""
    inbox = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        try:
            while True:
                await body(send, b"x" * 100, more=True)
        except OSError:
            inbox.put("told")

    wire = Wire(serving, serving(app, tls=True, request_buffer_size=1024), alpn=protocol)
    wire.shake()
    sent = post(protocol, b"z" * 2048 * unread, more=True)
    wire.sock.sendall(wire.records(sent) + GARBAGE)
    to_the_end(wire)
    assert inbox.take() == "told"


# Answers of TLS itself


def downloading(serving: Serving, keys: Path, inbox: Inbox, **options: object) -> Wire:
    """A client of an endless response, and it reads nothing; the application has to wait."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        try:
            while True:
                await body(send, PIECE, more=True)
                inbox.put("sent")
        except OSError:
            inbox.put("told")

    served = serving(app, tls=True, **options)
    wire = Wire(serving, served, ssl.TLSVersion.TLSv1_3, keys=keys, receive_buffer=4096)
    wire.shake()
    wire.sock.sendall(wire.records(REQUEST))
    settled(inbox.qsize)
    return wire


def updates_of(wire: Wire, keys: Path) -> KeyUpdates:
    """The KeyUpdates of a client that has sent one record."""
    cipher = wire.tls.cipher()
    assert cipher is not None
    return KeyUpdates(keys, cipher[0], 1)


def told(inbox: Inbox) -> bool:
    """Whether the application has heard of the end."""
    return inbox.qsize() > 0 and inbox.queue[-1] == "told"


def test_key_updates_whose_answers_are_not_read(
    serving: Serving, tmp_path: Path, records: Records
) -> None:
    """Each asks for an answer: they are no way past high water."""
    inbox = Inbox()
    wire = downloading(serving, tmp_path / "keys", inbox, write_timeout=None)
    updates = updates_of(wire, tmp_path / "keys")
    most = 2_000_000
    with contextlib.suppress(ConnectionError):
        for _ in range(0, most, 27 * 500):
            wire.sock.sendall(updates.take(500))
        pytest.fail(f"{most} bytes were taken")
    eventually(lambda: told(inbox), "the application is told")
    reason = "TLS messages whose answers the peer does not take"
    assert f"refused {reason} from 127.0.0.1" in records.messages()


def test_key_updates_do_not_pass_for_reading(
    serving: Serving, tmp_path: Path, records: Records
) -> None:
    """One at a time, in a time in which a peer that takes nothing is cut."""
    inbox = Inbox()
    wire = downloading(serving, tmp_path / "keys", inbox, write_timeout=0.4)
    updates = updates_of(wire, tmp_path / "keys")
    end = time.monotonic() + PATIENCE
    with contextlib.suppress(ConnectionError):
        while not told(inbox):
            assert time.monotonic() < end
            wire.sock.sendall(updates.take(1))
            time.sleep(0.05)
    eventually(lambda: told(inbox), "the application is told")
    reason = "peer takes no response data (write_timeout)"
    assert f"refused {reason} from 127.0.0.1" in records.messages()


def test_key_updates_of_a_peer_that_reads(serving: Serving, tmp_path: Path) -> None:
    """However many."""
    pieces = 200

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send, headers=[(b"content-length", b"%d" % (pieces * len(PIECE)))])
        for _ in range(pieces):
            await body(send, PIECE, more=True)
        await body(send)

    keys = tmp_path / "keys"
    wire = Wire(serving, serving(app, tls=True), ssl.TLSVersion.TLSv1_3, keys=keys)
    wire.shake()
    wire.sock.sendall(wire.records(REQUEST))
    updates = updates_of(wire, keys)
    size = len(wire.read().partition(b"\r\n\r\n")[2])
    while size < pieces * len(PIECE):
        wire.sock.sendall(updates.take(2))
        size += len(wire.read())


# Ends


def test_a_peer_that_says_goodbye_and_takes_nothing(serving: Serving, tmp_path: Path) -> None:
    """Without a limit for the close it has that of a response; then its place is free."""
    inbox = Inbox()
    options = {"ssl_shutdown_timeout": None, "write_timeout": 0.3, "max_connections": 1}
    wire = downloading(serving, tmp_path / "keys", inbox, **options)
    with pytest.raises(ssl.SSLWantReadError):
        wire.tls.unwrap()
    wire.flush()
    eventually(lambda: told(inbox), "the application is told")

    def serves() -> bool:
        with contextlib.suppress(OSError, AssertionError):
            other = Wire(serving, wire.served)
            with other.sock:
                other.shake()
                return True
        return False

    eventually(serves, "its place is free")


def test_a_cancelled_server_waits_for_no_peer(serving: Serving) -> None:
    """One that has not taken its last response yet, let alone the close."""
    inbox = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        # Less than ``send`` waits for is left with the system.
        await reply(send, b"z" * 200_000, headers=[(b"connection", b"close")])
        inbox.put("ended")

    served = serving(app, tls=True, ssl_shutdown_timeout=0.05, write_timeout=None)
    wire = Wire(serving, served, receive_buffer=4096)
    wire.shake()
    wire.sock.sendall(wire.records(REQUEST))
    assert inbox.take() == "ended"
    begin = time.monotonic()
    served.cancel()
    assert time.monotonic() - begin < 2
