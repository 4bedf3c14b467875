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


async def accept_anyio(
    intake: Intake,
    listener: Listener,
    connections: anyio.abc.TaskGroup,
    *,
    task_status: anyio.abc.TaskStatus[None],
) -> None:
    """Take connections of this listener until cancelled; each is served in ``connections``."""

    def call_soon(call: Callable[..., object], *args: Any) -> None:
        connections.start_soon(_in_turn, call, *args)

    listener.socket.listen(intake.config.backlog)
    task_status.started()
    while True:
        await anyio.wait_readable(listener.socket)
        found, rest = intake.accept(listener)
        for accepted in found:
            connections.start_soon(_serve_anyio, intake, accepted, call_soon)
        if rest:
            await anyio.sleep(rest)


async def _in_turn(call: Callable[..., object], *args: Any) -> None:
    """Call behind all tasks that are to run by now.

    Cancelled or not: others wait for it.
    """
    try:
        # trio runs the tasks of a turn in their order, or in that from the last to the first.
        await anyio.lowlevel.checkpoint()
    finally:
        call(*args)


async def _serve_anyio(
    intake: Intake, accepted: Accepted, call_soon: Callable[..., object]
) -> None:
    """Serve one connection to its end."""
    try:
        transport = await _open_anyio(intake, accepted, call_soon)
        if transport is not None:
            await transport.run()
    except Exception:
        # The failure boundary: whatever it was, it costs this connection only.
        intake.worker.log.exception(
            "internal error; closed the connection from %s", accepted.client
        )
    finally:
        accepted.close()


async def _open_anyio(
    intake: Intake, accepted: Accepted, call_soon: Callable[..., object]
) -> AnyioTransport | None:
    """The transport of a socket, None where it comes to nothing."""
    listener = accepted.listener
    tls = intake.tls if listener.secure else None
    stream: anyio.abc.ByteStream | None = None
    header = None
    try:
        if intake.gate is not None:
            header = await intake.gate.header(listener.bind, accepted.socket, accepted.client)
        if tls is not None:
            left = await intake.before_tls(accepted)
        server = listener.address if listener.is_unix else pair(accepted.socket.getsockname())
        stream = plain = await anyio.abc.SocketStream.from_socket(accepted.socket)
        if tls is not None:
            from tricorn.io.anyio_tls import SecureStream  # not above: for TLS only

            stream = secure = SecureStream(plain, tls)
            with anyio.fail_after(left):
                await secure.do_handshake()
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
    )
