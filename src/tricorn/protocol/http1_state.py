"""Where each side of an HTTP/1.1 connection stands."""

from __future__ import annotations

import enum
from typing import Final

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
IN_HEAD: Final = Input.HEAD
IN_BODY: Final = Input.BODY
IN_DONE: Final = Input.DONE
IN_UPGRADING: Final = Input.UPGRADING
IN_TUNNEL: Final = Input.TUNNEL
IN_CLOSED: Final = Input.CLOSED
OUT_NONE: Final = Output.NONE
OUT_TUNNEL: Final = Output.TUNNEL
OUT_DONE: Final = Output.DONE
LENGTH: Final = Framing.LENGTH
CHUNKED: Final = Framing.CHUNKED
UNTIL_CLOSE: Final = Framing.UNTIL_CLOSE
NO_CONTENT: Final = Framing.NO_CONTENT
# What is to come of a body that nobody wants is read to keep the connection, up to so many bytes;
# more costs more than a new connection.
DISCARD_LIMIT: Final = 65536
# One write (bytes): large enough for throughput, small enough that a transport that
# copies what it cannot send holds little.
WRITE_SIZE: Final = 262144
# Body bytes go out as they are.
PASSED_ON: Final = (LENGTH, UNTIL_CLOSE, OUT_TUNNEL)
