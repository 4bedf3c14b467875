"""What the connection driver needs of the byte-moving leaves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeVarTuple

from tricorn.asgi.host import Waiter
from tricorn.protocol.flow import Buffer, FileRegion

_Args = TypeVarTuple("_Args")


class TaskHandle(Protocol):
    """A running application task."""

    def cancel(self) -> object:
        """Ask it to end."""
        ...


class Transport(Protocol):
    """Moves bytes; the two leaves implement it."""

    @property
    def cancelled(self) -> type[BaseException]:
        """Cancellation exception of the event loop in use."""
        ...

    @property
    def file(self) -> FileRegion | None:
        """The piece of a file that was taken and is not sent yet."""
        ...

    @property
    def sends_files(self) -> bool:
        """Whether ``write`` takes a ``FileRegion`` too, alone in its list."""
        ...

    def write(self, buffers: Sequence[Buffer]) -> None:
        """Take bytes; may call ``pause_writing`` on the driver."""
        ...

    def drain(self) -> Awaitable[None] | None:
        """What a sender has to await for its bytes to move, None where writing is eager."""
        ...

    def turn(self) -> Awaitable[None]:
        """A turn of the event loop."""
        ...

    def kick(self) -> None:
        """See that taken bytes move although nobody awaits ``drain``."""
        ...

    def soon(self, callback: Callable[[], object]) -> bool:
        """Run ``callback`` at the end of this turn of the loop; False to run it now."""
        ...

    def unsent(self) -> int:
        """Bytes taken and not yet given to the operating system."""
        ...

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...

    def write_eof(self) -> bool:
        """Shut down the sending side behind what is unsent; False where the wire cannot."""
        ...

    def close(self) -> None:
        """Close once what is unsent has gone."""
        ...

    def close_at_once(self) -> None:
        """Close behind what is unsent, as far as the socket takes it, and wait for nothing."""
        ...

    def abort(self) -> None:
        """Close now."""
        ...

    def spawn(
        self, function: Callable[[*_Args], Coroutine[Any, Any, None]], *args: *_Args
    ) -> TaskHandle:
        """Start an application task."""
        ...

    def waiter(self) -> Waiter:
        """A new one-shot signal."""
        ...
