"""Where each side of an HTTP/1.1 connection stands."""

from __future__ import annotations

import enum

from tricorn.protocol.http1_response import Framing


class Input(enum.Enum):
    """Where the peer's side of the connection stands."""

    HEAD = enum.auto()  # between requests or inside a head
    BODY = enum.auto()  # inside a request body
    DONE = enum.auto()  # request complete, response not
    UPGRADING = enum.auto()  # upgrade asked for; bytes wait for the answer
    TUNNEL = enum.auto()  # upgraded
    CLOSED = enum.auto()  # nothing more is taken; bytes are discarded


class Output(enum.Enum):
    """Where our response stands; while it is sent, its Framing."""

    NONE = enum.auto()
    TUNNEL = enum.auto()
    DONE = enum.auto()


# CPython 3.11 needs 60 ns for each look at an enum's member through its class.
IN_HEAD, IN_BODY, IN_DONE, IN_UPGRADING, IN_TUNNEL, IN_CLOSED = Input
OUT_NONE, OUT_TUNNEL, OUT_DONE = Output
LENGTH, CHUNKED, UNTIL_CLOSE, NO_CONTENT = Framing
# A body this long or shorter (bytes) that nobody wants is read to keep the connection;
# a longer one costs more than a new connection.
DISCARD_LIMIT = 65536
# One write (bytes): large enough for throughput, small enough that a transport that
# copies what it cannot send holds little.
WRITE_SIZE = 262144
# Body bytes go out as they are.
PASSED_ON = frozenset({LENGTH, UNTIL_CLOSE, OUT_TUNNEL})
