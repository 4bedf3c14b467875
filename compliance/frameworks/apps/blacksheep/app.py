"""A BlackSheep application."""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterable
from pathlib import Path

from blacksheep import (
    Application,
    Content,
    Cookie,
    FromQuery,
    Request,
    Response,
    StreamedContent,
    WebSocket,
    WebSocketDisconnectError,
    get,
    head,
    json,
    post,
    text,
    ws,
)
from blacksheep.server.sse import (
    ServerSentEvent,
    ServerSentEventsResponse,
    TextServerSentEvent,
)

FILES = tempfile.TemporaryDirectory()
DATA = Path(FILES.name) / "data.bin"
DATA.write_bytes(bytes(range(256)) * 4096)

app = Application()
app.serve_files(FILES.name, root_path="file", extensions={".bin"}, index_document="data.bin")


class Board:
    """What the handlers share."""

    started = False
    left = 0
    background = 0


released = asyncio.Event()
tasks: set[asyncio.Task[None]] = set()


@app.on_start
async def start(app: Application) -> None:
    Board.started = True


@get("/")
async def hello() -> Response:
    return text("hello from blacksheep")


@head("/")
async def hello_head() -> Response:
    return Response(200, [(b"content-type", b"text/plain; charset=utf-8")])


@post("/echo")
async def echo(request: Request) -> Response:
    body = await request.read() or b""
    return Response(200, content=Content(request.content_type(), body))


@get("/query")
async def query(name: FromQuery[str]) -> Response:
    return json({"name": name.value})


@get("/items/{item}")
async def items(item: str) -> Response:
    return json({"item": item})


@get("/headers")
async def headers(request: Request) -> Response:
    fields = {name.decode().lower(): value.decode() for name, value in request.headers.items()}
    response = json(fields)
    response.set_cookie(Cookie("a", "1"))
    response.set_cookie(Cookie("b", "2"))
    return response


@get("/stream")
async def stream() -> Response:
    async def lines() -> AsyncIterable[bytes]:
        for number in range(20):
            yield b"line %d\n" % number

    return Response(200, content=StreamedContent(b"text/plain", lines))


@post("/upload")
async def upload(request: Request) -> Response:
    digest, size = hashlib.sha256(), 0
    async for chunk in request.stream():
        digest.update(chunk)
        size += len(chunk)
    return json({"size": size, "sha256": digest.hexdigest()})


@get("/sse")
async def sse() -> Response:
    async def events() -> AsyncIterable[ServerSentEvent]:
        for number in range(3):
            yield TextServerSentEvent(str(number))

    return ServerSentEventsResponse(events)


@get("/sse/endless")
async def sse_endless() -> Response:
    async def events() -> AsyncIterable[ServerSentEvent]:
        number = 0
        try:
            while True:
                yield ServerSentEvent({"number": number})
                number += 1
                await asyncio.sleep(0.02)
        finally:
            Board.left += 1

    return ServerSentEventsResponse(events)


@get("/sse/left")
async def sse_left() -> Response:
    return json({"left": Board.left})


@get("/poll")
async def poll() -> Response:
    await released.wait()
    released.clear()
    return text("released")


@post("/poll/release")
async def release() -> Response:
    released.set()
    return Response(204)


async def count_up() -> None:
    await asyncio.sleep(0.05)
    Board.background += 1


@post("/background")
async def background() -> Response:
    task = asyncio.create_task(count_up())
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    return text("accepted")


@get("/background")
async def background_done() -> Response:
    return json({"done": Board.background})


@get("/error")
async def error() -> Response:
    raise RuntimeError("deliberate")


@get("/preload")
async def preload() -> Response:
    page = b'<!doctype html><link rel="stylesheet" href="/style.css"><p>preload'
    headers = [(b"link", b"</style.css>; rel=preload; as=style")]
    return Response(200, headers, Content(b"text/html; charset=utf-8", page))


@get("/style.css")
async def style() -> Response:
    return Response(200, content=Content(b"text/css", b"p { color: teal }"))


@get("/state")
async def state() -> Response:
    return json({"started": Board.started})


@get("/client")
async def client(request: Request) -> Response:
    return json(
        {
            "scheme": request.scheme,
            "host": request.client_ip,
            "http_version": request.scope["http_version"],
        }
    )


@ws("/ws")
async def ws_echo(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while True:
            message = await websocket.receive()
            if message.get("text") is not None:
                await websocket.send_text(message["text"])
            else:
                await websocket.send_bytes(message["bytes"])
    except WebSocketDisconnectError:
        pass


@ws("/ws/subprotocol")
async def ws_subprotocol(websocket: WebSocket) -> None:
    offered = websocket.scope["subprotocols"]
    await websocket.accept(subprotocol="chat" if "chat" in offered else None)
    try:
        while True:
            await websocket.send_text(await websocket.receive_text())
    except WebSocketDisconnectError:
        pass


@ws("/ws/deny")
async def ws_deny(websocket: WebSocket) -> None:
    await websocket.close()


@ws("/ws/close")
async def ws_close(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close(4001, "bye")
