"""Takes connections on trio, and through anyio streams on any loop; see `accepting`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel

from tricorn.io.accepting import NO_CONNECTION, Accepted, Intake, pair
from tricorn.io.anyio_transport import AnyioTransport, cut
from tricorn.io.listener import Listener


class AnyioAcceptor:
    """Accepts on trio, and through anyio streams.

    :param connections: each connection is served in it.
    """

    def __init__(self, intake: Intake, connections: anyio.abc.TaskGroup) -> None:
        self._intake = intake
        self._connections = connections
        self._opening: set[anyio.CancelScope] = set()
        self._settled: anyio.Event | None = None

    async def accept(self, listener: Listener, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """Take connections of this listener until cancelled.

        :raises BindError: if the address is taken by now.
        """
        listener.listen(self._intake.config.backlog)
        task_status.started()
        while True:
            await anyio.wait_readable(listener.socket)
            rest = self._take(listener)
            if rest:
                await anyio.sleep(rest)

    def _take(self, listener: Listener) -> float:
        """Serve those that wait; the seconds to rest before the next look.

        Apart from the waiting, whose frame would keep the last of them for as long as it takes.
        """
        found, rest = self._intake.accept(listener)
        for accepted in found:
            scope = anyio.CancelScope()
            self._opening.add(scope)
            self._connections.start_soon(self._serve, accepted, scope)
        return rest

    async def settle(self) -> None:
        """Wait for the handshakes under way."""
        while self._opening:
            if self._settled is None:
                self._settled = anyio.Event()
            await self._settled.wait()

    def cancel(self) -> None:
        """End the handshakes under way."""
        for scope in self._opening:
            scope.cancel()

    async def _serve(self, accepted: Accepted, scope: anyio.CancelScope) -> None:
        """Serve one connection to its end."""
        transport = None
        try:
            try:
                with scope:
                    transport = await _open_anyio(self._intake, accepted, self._call_soon)
            finally:
                self._opened(scope)
                del scope  # not kept for as long as the connection is open
            if transport is not None:
                # Among the open ones before who waits for ``settle`` goes on.
                await transport.run()
        except Exception:
            # The failure boundary: whatever it was, it costs this connection only.
            self._intake.worker.log.exception(
                "internal error; closed the connection from %s", accepted.client
            )
        finally:
            accepted.close()

    def _opened(self, scope: anyio.CancelScope) -> None:
        """A connection is open, or has come to nothing."""
        self._opening.discard(scope)
        if not self._opening and self._settled is not None:
            self._settled.set()
            self._settled = None

    def _call_soon(self, call: Callable[..., object], *args: Any) -> None:
        self._connections.start_soon(_in_turn, call, *args)


async def _in_turn(call: Callable[..., object], *args: Any) -> None:
    """Call behind all tasks that are to run by now.

    Cancelled or not: others wait for it.
    """
    try:
        # trio runs the tasks of a turn in their order, or in that from the last to the first.
        await anyio.lowlevel.checkpoint()
    finally:
        call(*args)


async def _open_anyio(
    intake: Intake, accepted: Accepted, call_soon: Callable[..., object]
) -> AnyioTransport | None:
    """The transport of a socket, None where it comes to nothing."""
    listener = accepted.listener
    tls = intake.tls if listener.secure else None
    stream: anyio.abc.SocketStream | None = None
    header = secure = None
    try:
        if intake.gate is not None:
            header = await intake.gate.header(listener.bind, accepted.socket, accepted.client)
        if tls is not None:
            left = await intake.before_tls(accepted)
        server = listener.address if listener.is_unix else pair(accepted.socket.getsockname())
        stream = await anyio.abc.SocketStream.from_socket(accepted.socket)
        if tls is not None:
            from tricorn.io.anyio_tls import SecureStream  # not above: for TLS only

            secure = SecureStream(stream, tls)
            await secure.do_handshake(left)
    except BaseException as exc:
        # Failed or, in the handshake, cancelled.
        if stream is not None:
            await cut(stream)
        if not isinstance(exc, NO_CONNECTION):
            raise
        intake.failed(accepted, exc)
        return None
    return AnyioTransport(
        stream,
        intake.worker,
        intake.connections,
        tls,
        client=accepted.client,
        server=server,
        call_soon=call_soon,
        header=header,
        secure=secure,
    )
