"""FastAPI, as its documentation writes it."""

import contextlib
import hashlib
import tempfile
from pathlib import Path
from typing import Annotated

import anyio
import anyio.lowlevel
from fastapi import (
    BackgroundTasks,
    Depends,
    FastAPI,
    Form,
    Request,
    Response,
    UploadFile,
    WebSocket,
)
from fastapi.responses import FileResponse, HTMLResponse, PlainTextResponse, StreamingResponse

counts = {"left": 0, "done": 0, "cleaned": 0}


class Bell:
    """Wakes those who wait at the moment it is rung."""

    def __init__(self):
        self.event = anyio.Event()

    async def wait(self):
        await self.event.wait()

    def ring(self):
        self.event.set()
        self.event = anyio.Event()


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI):
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data.bin"
        data.write_bytes(bytes(range(256)) * 4096)
        yield {"started": True, "data": data, "bell": Bell()}


app = FastAPI(lifespan=lifespan)


@app.get("/", response_class=PlainTextResponse)
async def hello():
    return "hello from fastapi"


@app.post("/echo")
async def echo(request: Request):
    return Response(await request.body(), media_type=request.headers.get("content-type"))


@app.get("/query")
async def query(name: str):
    return {"name": name}


@app.get("/items/{item:path}")
async def read_item(item: str):
    return {"item": item}


@app.get("/headers")
async def headers(request: Request, response: Response):
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return dict(request.headers)


@app.get("/stream")
async def stream():
    async def lines():
        for number in range(20):
            yield f"line {number}\n"

    return StreamingResponse(lines(), media_type="text/plain")


@app.post("/upload")
async def upload(request: Request):
    size, digest = 0, hashlib.sha256()
    async for chunk in request.stream():
        size += len(chunk)
        digest.update(chunk)
    return {"size": size, "sha256": digest.hexdigest()}


@app.post("/form")
async def form(note: Annotated[str, Form()], data: UploadFile):
    content = await data.read()
    digest = hashlib.sha256(content).hexdigest()
    return {"note": note, "filename": data.filename, "sha256": digest}


@app.get("/sse")
async def sse():
    async def events():
        for number in range(3):
            yield f"data: {number}\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


@app.get("/sse/endless")
async def sse_endless():
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


@app.get("/sse/left")
async def sse_left():
    return {"left": counts["left"]}


@app.get("/poll", response_class=PlainTextResponse)
async def poll(request: Request):
    await request.state.bell.wait()
    return "released"


@app.post("/poll/release")
async def release(request: Request):
    request.state.bell.ring()
    return {"released": True}


@app.get("/file", response_class=FileResponse)
async def file(request: Request):
    return request.state.data


# Plain functions run in a thread pool.
def count_up():
    counts["done"] += 1


@app.post("/background", status_code=202, response_class=PlainTextResponse)
def background(tasks: BackgroundTasks):
    tasks.add_task(count_up)
    return "accepted"


@app.get("/background")
def background_done():
    return {"done": counts["done"]}


async def resource():
    try:
        yield "resource"
    finally:
        await anyio.lowlevel.checkpoint()
        counts["cleaned"] += 1


@app.get("/dependency", response_class=PlainTextResponse)
async def dependency(found: Annotated[str, Depends(resource)]):
    return f"used a {found}"


@app.get("/dependency/cleaned")
async def dependency_cleaned():
    return {"cleaned": counts["cleaned"]}


@app.get("/error")
async def error():
    raise RuntimeError("a deliberate error")


@app.get("/preload", response_class=HTMLResponse)
async def preload(response: Response):
    response.headers["Link"] = "</style.css>; rel=preload; as=style"
    return "<link rel=stylesheet href=/style.css><p>styled"


@app.get("/push", response_class=HTMLResponse)
async def push(request: Request):
    await request.send_push_promise("/style.css")
    return "<link rel=stylesheet href=/style.css><p>styled"


@app.get("/style.css")
async def style():
    return Response("p { color: teal }", media_type="text/css")


@app.get("/state")
async def state(request: Request):
    return {"started": request.state.started}


@app.get("/client")
async def client(request: Request):
    return {
        "scheme": request.url.scheme,
        "host": request.client.host,
        "http_version": request.scope["http_version"],
    }


@app.websocket("/ws")
async def websocket_echo(websocket: WebSocket):
    await websocket.accept()
    while (message := await websocket.receive())["type"] != "websocket.disconnect":
        if message.get("text") is not None:
            await websocket.send_text(message["text"])
        else:
            await websocket.send_bytes(message["bytes"])


async def chosen_subprotocol(websocket: WebSocket):
    return "chat" if "chat" in websocket.scope["subprotocols"] else None


@app.websocket("/ws/subprotocol")
async def websocket_subprotocol(
    websocket: WebSocket, chosen: Annotated[str | None, Depends(chosen_subprotocol)]
):
    await websocket.accept(subprotocol=chosen)
    await websocket.close()


@app.websocket("/ws/deny")
async def websocket_deny(websocket: WebSocket):
    await websocket.send_denial_response(PlainTextResponse("who are you?", status_code=401))


@app.websocket("/ws/close")
async def websocket_close(websocket: WebSocket):
    await websocket.accept()
    await websocket.close(4001, "bye")
