"""A Litestar application."""

import hashlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from litestar import (
    Litestar,
    MediaType,
    Request,
    Response,
    WebSocket,
    get,
    post,
    route,
    websocket,
)
from litestar.background_tasks import BackgroundTask
from litestar.datastructures import Cookie, State
from litestar.exceptions import NotAuthorizedException, WebSocketDisconnect
from litestar.params import FromPath, FromQuery
from litestar.response import File, ServerSentEvent, Stream

FILES = tempfile.TemporaryDirectory()
DATA = Path(FILES.name) / "data.bin"
DATA.write_bytes(bytes(range(256)) * 4096)


class Board:
    """What the handlers share."""

    left = 0
    background = 0
    released: anyio.Event


@route("/", http_method=["GET", "HEAD"], media_type=MediaType.TEXT)
async def hello() -> str:
    return "hello from litestar"


@post("/echo", status_code=200)
async def echo(request: Request) -> Response[bytes]:
    return Response(await request.body(), media_type=request.headers.get("content-type"))


@get("/query")
async def query(name: FromQuery[str]) -> dict[str, str]:
    return {"name": name}


@get("/items/{item:str}")
async def items(item: FromPath[str]) -> dict[str, str]:
    return {"item": item}


@get("/headers", response_cookies=[Cookie("a", value="1"), Cookie("b", value="2")])
async def headers(request: Request) -> dict[str, str]:
    return dict(request.headers.items())


@get("/stream", media_type=MediaType.TEXT)
async def stream() -> Stream:
    async def lines() -> AsyncIterator[str]:
        for number in range(20):
            yield f"line {number}\n"

    return Stream(lines())


@post("/upload", status_code=200)
async def upload(request: Request) -> dict[str, int | str]:
    digest, size = hashlib.sha256(), 0
    async for chunk in request.stream():
        digest.update(chunk)
        size += len(chunk)
    return {"size": size, "sha256": digest.hexdigest()}


@get("/sse")
async def sse() -> ServerSentEvent:
    async def events() -> AsyncIterator[str]:
        for number in range(3):
            yield str(number)

    return ServerSentEvent(events())


@get("/sse/endless")
async def sse_endless() -> ServerSentEvent:
    async def events() -> AsyncIterator[str]:
        number = 0
        try:
            while True:
                yield str(number)
                number += 1
                await anyio.sleep(0.02)
        finally:
            Board.left += 1

    return ServerSentEvent(events())


@get("/sse/left")
async def sse_left() -> dict[str, int]:
    return {"left": Board.left}


@get("/poll", media_type=MediaType.TEXT)
async def poll() -> str:
    await Board.released.wait()
    Board.released = anyio.Event()
    return "released"


@post("/poll/release", status_code=204)
async def release() -> None:
    Board.released.set()


@get("/file")
async def file() -> File:
    return File(DATA, filename="data.bin")


async def count_up() -> None:
    await anyio.sleep(0.05)
    Board.background += 1


@post("/background", status_code=200)
async def background() -> Response[str]:
    return Response("accepted", media_type=MediaType.TEXT, background=BackgroundTask(count_up))


@get("/background")
async def background_done() -> dict[str, int]:
    return {"done": Board.background}


@get("/error")
async def error() -> None:
    raise RuntimeError("deliberate")


PAGE = '<!doctype html><link rel="stylesheet" href="/style.css"><p>preload'


@get("/preload", media_type=MediaType.HTML)
async def preload() -> Response[str]:
    return Response(PAGE, headers={"Link": "</style.css>; rel=preload; as=style"})


@get("/push", media_type=MediaType.HTML)
async def push(request: Request) -> str:
    if request.supports_push_promise:
        await request.send_push_promise("/style.css")
    return PAGE


@get("/style.css", media_type="text/css")
async def style() -> str:
    return "p { color: teal }"


@get("/state")
async def state_of_app(state: State) -> dict[str, bool]:
    return {"started": state.get("started", False)}


@get("/client")
async def client(request: Request) -> dict[str, str]:
    return {
        "scheme": request.url.scheme,
        "host": request.client.host,
        "http_version": request.scope["http_version"],
    }


@websocket("/ws")
async def ws_echo(socket: WebSocket) -> None:
    await socket.accept()
    while (event := await socket.receive())["type"] == "websocket.receive":
        if event.get("text") is not None:
            await socket.send_text(event["text"])
        else:
            await socket.send_bytes(event["bytes"])


@websocket("/ws/subprotocol")
async def ws_subprotocol(socket: WebSocket) -> None:
    offered = socket.scope["subprotocols"]
    await socket.accept(subprotocols="chat" if "chat" in offered else None)
    try:
        async for text in socket.iter_data():
            await socket.send_text(text)
    except WebSocketDisconnect:
        pass


@websocket("/ws/deny")
async def ws_deny(socket: WebSocket) -> None:
    raise NotAuthorizedException("not for you")


@websocket("/ws/close")
async def ws_close(socket: WebSocket) -> None:
    await socket.accept()
    await socket.close(4001, "bye")


@asynccontextmanager
async def lifespan(app: Litestar) -> AsyncIterator[None]:
    Board.released = anyio.Event()
    app.state.started = True
    yield


app = Litestar(
    [
        hello,
        echo,
        query,
        items,
        headers,
        stream,
        upload,
        sse,
        sse_endless,
        sse_left,
        poll,
        release,
        file,
        background,
        background_done,
        error,
        preload,
        push,
        style,
        state_of_app,
        client,
        ws_echo,
        ws_subprotocol,
        ws_deny,
        ws_close,
    ],
    lifespan=[lifespan],
    request_max_body_size=None,
    openapi_config=None,
)
