"""A Connexion application: openapi.yaml says what there is, the functions here answer it."""

import hashlib
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from connexion import AsyncApp, request
from connexion.lifecycle import ConnexionResponse
from connexion.middleware import MiddlewarePosition
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse

FILES = tempfile.TemporaryDirectory()
DATA = Path(FILES.name) / "data.bin"
DATA.write_bytes(bytes(range(256)) * 4096)


class Board:
    """What the operations share."""

    left = 0
    background = 0
    released: anyio.Event


async def hello():
    return "hello from connexion"


async def echo(body=None):
    return body or b"", 200, {"Content-Type": request.content_type}


async def query(name):
    return {"name": name}


async def item(item):
    return {"item": item}


async def headers():
    response = JSONResponse(dict(request.headers.items()))
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response


async def stream():
    async def lines():
        for number in range(20):
            yield f"line {number}\n"

    return StreamingResponse(lines(), media_type="text/plain")


async def upload():
    digest, size = hashlib.sha256(), 0
    async for chunk in request.stream():
        digest.update(chunk)
        size += len(chunk)
    return {"size": size, "sha256": digest.hexdigest()}


async def sse():
    async def events():
        for number in range(3):
            yield f"data: {number}\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


async def sse_endless():
    async def events():
        number = 0
        try:
            while True:
                yield f"data: {number}\n\n"
                number += 1
                await anyio.sleep(0.02)
        finally:
            Board.left += 1

    return StreamingResponse(events(), media_type="text/event-stream")


async def sse_left():
    return {"left": Board.left}


async def poll():
    await Board.released.wait()
    Board.released = anyio.Event()
    return "released"


async def release():
    Board.released.set()
    return None, 204


async def file():
    return FileResponse(DATA)


async def count_up():
    await anyio.sleep(0.05)
    Board.background += 1


async def background():
    return Response("accepted", media_type="text/plain", background=BackgroundTask(count_up))


async def background_done():
    return {"done": Board.background}


async def error():
    raise RuntimeError("deliberate")


async def preload():
    page = '<!doctype html><link rel="stylesheet" href="/style.css"><p>preload'
    return page, 200, {"Link": "</style.css>; rel=preload; as=style"}


async def style():
    return ConnexionResponse(content_type="text/css", body="p { color: teal }")


async def state():
    return {"started": request.state.started}


async def client():
    return {
        "scheme": request.url.scheme,
        "host": request.client.host,
        "http_version": request.scope["http_version"],
    }


@asynccontextmanager
async def lifespan(app):
    Board.released = anyio.Event()
    yield {"started": True}


class Departures:
    """Ends a response quietly whose client has left.

    Connexion's ServerErrorMiddleware takes it for an error, and never awaits its own answer.
    """

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        try:
            await self.app(scope, receive, send)
        except ClientDisconnect:
            pass


app = AsyncApp(__name__, lifespan=lifespan)
app.add_middleware(Departures, MiddlewarePosition.BEFORE_CONTEXT)
app.add_api("openapi.yaml")
