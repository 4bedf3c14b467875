"""What the connection driver needs of the byte-moving leaves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from tricorn.asgi.host import TaskHandle, Waiter
from tricorn.compilation import mypyc_attr
from tricorn.protocol.flow import Buffer, FileRegion


@mypyc_attr(allow_interpreted_subclasses=True)
class Transport(ABC):
    """Moves bytes; the two leaves implement it."""

    cancelled: type[BaseException]  # of the event loop in use
    eager: bool  # applications can be started at once
    file: FileRegion | None  # the piece of a file that was taken and is not sent yet
    sends_files: bool  # whether ``write`` takes a ``FileRegion`` too, alone in its list

    @abstractmethod
    def write(self, buffers: Sequence[Buffer]) -> None:
        """Take bytes; may call ``pause_writing`` on the driver."""

    @abstractmethod
    def drain(self) -> Awaitable[None] | None:
        """What a sender has to await for its bytes to move, None where writing is eager."""

    @abstractmethod
    def turn(self) -> Awaitable[None]:
        """A turn of the event loop."""

    @abstractmethod
    def kick(self) -> None:
        """See that taken bytes move although nobody awaits ``drain``."""

    @abstractmethod
    def soon(self, callback: Callable[[], object]) -> None:
        """Run ``callback`` in the next turn of the loop, behind what is to run by now."""

    @abstractmethod
    def unsent(self) -> int:
        """Bytes taken and not yet given to the operating system."""

    @abstractmethod
    def in_flight(self) -> int:
        """Bytes given to the operating system that the peer has not acknowledged."""

    @abstractmethod
    def pause_reading(self) -> None:
        """Stop taking bytes from the socket."""

    @abstractmethod
    def resume_reading(self) -> None:
        """Take bytes again."""

    @abstractmethod
    def write_eof(self) -> bool:
        """Shut down the sending side behind what is unsent; False where the wire cannot."""

    @abstractmethod
    def close(self) -> None:
        """Close once what is unsent has gone."""

    @abstractmethod
    def close_at_once(self) -> None:
        """Close behind what is unsent, as far as the socket takes it, and wait for nothing."""

    @abstractmethod
    def abort(self, reset: bool = False) -> None:
        """Close now.

        :param reset: the peer is to see an error, where the wire has one, and not an end.
        """

    @abstractmethod
    def spawn(self, coroutine: Coroutine[Any, Any, None], eager: bool = False) -> TaskHandle:
        """Start an application task.

        :param eager: it may run at once, up to where it first waits; else in a later turn.
        """

    @abstractmethod
    def waiter(self) -> Waiter:
        """A new one-shot signal."""
