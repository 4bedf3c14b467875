"""sse-starlette's EventSourceResponse: ends, reconnects, leaves, stops."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Route

PAGE = """<!doctype html><title>events</title><script>
const seen = [];
const source = new EventSource("/resumed");
source.onmessage = event => {
  seen.push(event.lastEventId);
  if (seen.length === 6) { source.close(); document.title = "seen " + seen.join(" "); }
};
</script>"""


def count(request: Request, name: str) -> None:
    counts = request.app.state.counts
    counts[name] = counts.get(name, 0) + 1


async def three(request: Request) -> EventSourceResponse:
    async def events() -> AsyncIterator[ServerSentEvent]:
        for number in range(3):
            yield ServerSentEvent(data=f"event\n{number}", event="tick", id=str(number))

    return EventSourceResponse(events())


async def resumed(request: Request) -> EventSourceResponse:
    """Two events a connection; the client comes again with Last-Event-ID."""
    first = int(request.headers.get("last-event-id", "-1")) + 1

    async def events() -> AsyncIterator[ServerSentEvent]:
        for number in (first, first + 1):
            yield ServerSentEvent(data=str(number), id=str(number), retry=50)

    return EventSourceResponse(events())


async def endless(request: Request) -> EventSourceResponse:
    signal = request.scope["extensions"]["tricorn.stopping"]["signal"]

    async def events() -> AsyncIterator[dict[str, str]]:
        try:
            yield {"data": "first"}
            while not signal.is_set():
                with anyio.move_on_after(0.05):
                    await signal.wait()
                yield {"data": "tick"}
            yield {"event": "bye", "data": "the server stops"}
        finally:
            count(request, "ended")

    async def left(message) -> None:
        count(request, "left")

    return EventSourceResponse(events(), client_close_handler_callable=left)


async def quiet(request: Request) -> EventSourceResponse:
    """Pings only."""

    async def events() -> AsyncIterator[dict[str, str]]:
        await anyio.sleep(60)
        yield {"data": "late"}

    return EventSourceResponse(events(), ping=0.1)


async def silent(request: Request) -> EventSourceResponse:
    """No event for as long as the client stays, and no ping."""

    async def events() -> AsyncIterator[dict[str, str]]:
        await anyio.sleep(60)
        yield {"data": "late"}

    return EventSourceResponse(events(), ping=0)


async def page(request: Request) -> HTMLResponse:
    return HTMLResponse(PAGE)


async def counts(request: Request) -> JSONResponse:
    return JSONResponse(request.app.state.counts)


app = Starlette(
    routes=[
        Route("/", page),
        Route("/three", three),
        Route("/resumed", resumed),
        Route("/endless", endless),
        Route("/quiet", quiet),
        Route("/silent", silent),
        Route("/counts", counts),
    ]
)
app.state.counts = {}
