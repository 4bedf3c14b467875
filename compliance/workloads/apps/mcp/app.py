"""An MCP server with sessions that can be resumed, whose streams end when the server stops."""

from __future__ import annotations

import anyio
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.streamable_http import EventMessage, EventStore


class Events(EventStore):
    """All events, in memory."""

    def __init__(self) -> None:
        self.events = []

    async def store_event(self, stream_id, message):
        self.events.append((stream_id, message))
        return str(len(self.events))

    async def replay_events_after(self, last_event_id, send_callback):
        last = int(last_event_id)
        stream_id = self.events[last - 1][0]
        for number, (stream, message) in enumerate(self.events, start=1):
            if number > last and stream == stream_id and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream_id


server = MCPServer("workload")


@server.tool()
def add(a: int, b: int) -> int:
    """The sum."""
    return a + b


@server.tool()
async def work(steps: int, ctx: Context) -> str:
    """Reports progress, then says that it is done."""
    for step in range(steps):
        await ctx.report_progress(step + 1, steps, f"step {step + 1}")
        await anyio.sleep(0.02)
    return "done"


@server.tool()
async def large(size: int) -> str:
    """A long text."""
    return "x" * size


@server.tool()
def broken() -> str:
    """Raises."""
    raise ToolError("a tool that fails")


class EndWithServer:
    """Ends the endless streams of an application when Tricorn begins to stop.

    To the application it looks as if the client had left; the response is then ended in order. And
    the end of a stream whose client has just left is nothing to log.
    """

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        stopping = scope.get("extensions", {}).get("tricorn.stopping")
        if scope["type"] != "http" or stopping is None:
            await self.app(scope, receive, send)
            return
        signal = stopping["signal"]
        body_read = begun = ended = False

        async def receive_or_stop():
            nonlocal body_read
            if not body_read:
                message = await receive()
                body_read = not message.get("more_body", False)
                return message

            async def client_left():
                await receive()
                tasks.cancel_scope.cancel()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(client_left)
                await signal.wait()
                tasks.cancel_scope.cancel()
            return {"type": "http.disconnect"}

        async def watched_send(message):
            nonlocal begun, ended
            try:
                await send(message)
            except OSError:
                # The package logs that a client left before the end of its stream as an error.
                if message.get("body") or message.get("more_body"):
                    raise
                return
            if message["type"] == "http.response.start":
                begun = True
            elif message["type"] == "http.response.body":
                ended = not message.get("more_body", False)

        await self.app(scope, receive_or_stop, watched_send)
        if begun and not ended and signal.is_set():
            await send({"type": "http.response.body"})


app = EndWithServer(server.streamable_http_app(event_store=Events()))
