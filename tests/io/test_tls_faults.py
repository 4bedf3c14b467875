"""What a peer may do to an open TLS connection: break it."""

from __future__ import annotations

import contextlib

import pytest
from tls_wire import Wire

from helpers.apps import body, reply, start
from helpers.clients import post
from helpers.serving import Inbox, Records
from helpers.site import Serving
from tricorn.types import Receive, Scope, Send

GARBAGE = b"\x17\x03\x03\x00\x20" + b"x" * 32  # a record that nobody has encrypted


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
