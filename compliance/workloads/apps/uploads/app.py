"""Bodies of 1 GB: uploads read piece by piece, downloads in pieces and as a file."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route

SIZE = 1 << 30
PIECE = bytes(65536)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, str]]:
    with tempfile.NamedTemporaryFile(prefix="workloads-") as file:
        # Sparse: it takes no space on the disk.
        file.truncate(SIZE)
        yield {"file": file.name}


async def hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


async def upload(request: Request) -> JSONResponse:
    size = 0
    async for piece in request.stream():
        size += len(piece)
    return JSONResponse({"size": size})


async def slow_upload(request: Request) -> JSONResponse:
    size = 0
    # The client sends all it can meanwhile.
    await anyio.sleep(1.0)
    async for piece in request.stream():
        size += len(piece)
    return JSONResponse({"size": size})


async def pieces() -> AsyncIterator[bytes]:
    for _ in range(SIZE // len(PIECE)):
        yield PIECE


async def download(request: Request) -> StreamingResponse:
    return StreamingResponse(pieces(), headers={"content-length": str(SIZE)})


async def file(request: Request) -> FileResponse:
    return FileResponse(request.state.file)


async def raw(scope, receive, send):
    """The same without a framework: POST counts, GET sends."""
    if scope["method"] == "POST":
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
        await JSONResponse({"size": size})(scope, receive, send)
        return
    headers = [(b"content-type", b"application/octet-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for _ in range(SIZE // len(PIECE)):
        await send({"type": "http.response.body", "body": PIECE, "more_body": True})
    await send({"type": "http.response.body"})


app = Starlette(
    routes=[
        Route("/", hello),
        Route("/upload", upload, methods=["POST"]),
        Route("/slow", slow_upload, methods=["POST"]),
        Route("/download", download),
        Route("/file", file),
        Mount("/raw", app=raw),
    ],
    lifespan=lifespan,
)
