"""Starlette, as its documentation writes it."""

import contextlib
import hashlib
import tempfile
from pathlib import Path

import anyio
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route, WebSocketRoute

counts = {"left": 0, "done": 0}


@contextlib.asynccontextmanager
async def lifespan(app):
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data.bin"
        data.write_bytes(bytes(range(256)) * 4096)
        yield {"started": True, "data": data, "released": ReleaseBell()}


class ReleaseBell:
    """Wakes those who wait at the moment it is rung."""

    def __init__(self):
        self.event = anyio.Event()

    async def wait(self):
        await self.event.wait()

    def ring(self):
        self.event.set()
        self.event = anyio.Event()


async def hello(request):
    return PlainTextResponse("hello from starlette")


async def echo(request):
    body = await request.body()
    return Response(body, media_type=request.headers.get("content-type"))


async def query(request):
    return JSONResponse({"name": request.query_params["name"]})


async def item(request):
    return JSONResponse({"item": request.path_params["item"]})


async def headers(request):
    response = JSONResponse(dict(request.headers))
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response


async def stream(request):
    async def lines():
        for number in range(20):
            yield f"line {number}\n"

    return StreamingResponse(lines(), media_type="text/plain")


async def upload(request):
    size, digest = 0, hashlib.sha256()
    async for chunk in request.stream():
        size += len(chunk)
        digest.update(chunk)
    return JSONResponse({"size": size, "sha256": digest.hexdigest()})


async def sse(request):
    async def events():
        for number in range(3):
            yield f"data: {number}\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


async def sse_endless(request):
    async def events():
        number = 0
        try:
            while True:
                yield f"data: {number}\n\n"
                number += 1
                await anyio.sleep(0.05)
        finally:
            counts["left"] += 1

    return StreamingResponse(events(), media_type="text/event-stream")


async def sse_left(request):
    return JSONResponse({"left": counts["left"]})


async def poll(request):
    await request.state.released.wait()
    return PlainTextResponse("released")


async def release(request):
    request.state.released.ring()
    return PlainTextResponse("ok")


async def file(request):
    return FileResponse(request.state.data)


async def count_up():
    await anyio.sleep(0.05)
    counts["done"] += 1


async def background(request):
    return PlainTextResponse("accepted", status_code=202, background=BackgroundTask(count_up))


async def background_done(request):
    return JSONResponse({"done": counts["done"]})


async def error(request):
    raise RuntimeError("a deliberate error")


async def preload(request):
    link = "</style.css>; rel=preload; as=style"
    page = "<link rel=stylesheet href=/style.css><p>styled"
    return HTMLResponse(page, headers={"Link": link})


async def push(request):
    await request.send_push_promise("/style.css")
    return HTMLResponse("<link rel=stylesheet href=/style.css><p>styled")


async def style(request):
    return Response("p { color: teal }", media_type="text/css")


async def state(request):
    return JSONResponse({"started": request.state.started})


async def client(request):
    return JSONResponse(
        {
            "scheme": request.url.scheme,
            "host": request.client.host,
            "http_version": request.scope["http_version"],
        }
    )


async def websocket_echo(websocket):
    await websocket.accept()
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            break
        if message.get("text") is not None:
            await websocket.send_text(message["text"])
        else:
            await websocket.send_bytes(message["bytes"])


async def websocket_subprotocol(websocket):
    chosen = "chat" if "chat" in websocket.scope["subprotocols"] else None
    await websocket.accept(subprotocol=chosen)
    await websocket.close()


async def websocket_deny(websocket):
    await websocket.send_denial_response(PlainTextResponse("who are you?", status_code=401))


async def websocket_close(websocket):
    await websocket.accept()
    await websocket.close(4001, "bye")


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/", hello),
        Route("/echo", echo, methods=["POST"]),
        Route("/query", query),
        Route("/items/{item:path}", item),
        Route("/headers", headers),
        Route("/stream", stream),
        Route("/upload", upload, methods=["POST"]),
        Route("/sse", sse),
        Route("/sse/endless", sse_endless),
        Route("/sse/left", sse_left),
        Route("/poll", poll),
        Route("/poll/release", release, methods=["POST"]),
        Route("/file", file),
        Route("/background", background, methods=["POST"]),
        Route("/background", background_done),
        Route("/error", error),
        Route("/preload", preload),
        Route("/push", push),
        Route("/style.css", style),
        Route("/state", state),
        Route("/client", client),
        WebSocketRoute("/ws", websocket_echo),
        WebSocketRoute("/ws/subprotocol", websocket_subprotocol),
        WebSocketRoute("/ws/deny", websocket_deny),
        WebSocketRoute("/ws/close", websocket_close),
    ],
)
