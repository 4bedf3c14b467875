"""Quart on trio, as its documentation writes it."""

import hashlib
import tempfile
from pathlib import Path

import trio
from quart import (
    Response,
    jsonify,
    make_push_promise,
    make_response,
    request,
    send_file,
    websocket,
)
from quart_trio import QuartTrio

app = QuartTrio(__name__)
app.config["MAX_CONTENT_LENGTH"] = None
counts = {"left": 0, "done": 0}


@app.while_serving
async def data_file():
    with tempfile.TemporaryDirectory() as folder:
        app.data = Path(folder) / "data.bin"
        app.data.write_bytes(bytes(range(256)) * 4096)
        app.bell = trio.Condition()
        app.started = True
        yield


@app.get("/")
async def hello():
    return "hello from quart-trio", {"Content-Type": "text/plain"}


@app.post("/echo")
async def echo():
    return Response(await request.get_data(), content_type=request.content_type)


@app.get("/query")
async def query():
    return {"name": request.args["name"]}


@app.get("/items/<path:item>")
async def read_item(item):
    return {"item": item}


@app.get("/headers")
async def headers():
    response = jsonify(dict(request.headers))
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response


@app.get("/stream")
async def stream():
    async def lines():
        for number in range(20):
            yield f"line {number}\n"

    return lines(), {"Content-Type": "text/plain"}


@app.post("/upload")
async def upload():
    size, digest = 0, hashlib.sha256()
    async for chunk in request.body:
        size += len(chunk)
        digest.update(chunk)
    return {"size": size, "sha256": digest.hexdigest()}


@app.post("/form")
async def form():
    data = (await request.files)["data"]
    digest = hashlib.sha256(data.read()).hexdigest()
    note = (await request.form)["note"]
    return {"note": note, "filename": data.filename, "sha256": digest}


async def server_sent(events):
    response = await make_response(events, {"Content-Type": "text/event-stream"})
    response.timeout = None
    return response


@app.get("/sse")
async def sse():
    async def events():
        for number in range(3):
            yield f"data: {number}\n\n"

    return await server_sent(events())


@app.get("/sse/endless")
async def sse_endless():
    async def events():
        number = 0
        try:
            while True:
                yield f"data: {number}\n\n"
                number += 1
                await trio.sleep(0.05)
        finally:
            counts["left"] += 1

    return await server_sent(events())


@app.get("/sse/left")
async def sse_left():
    return {"left": counts["left"]}


@app.get("/poll")
async def poll():
    async with app.bell:
        await app.bell.wait()
    return "released"


@app.post("/poll/release")
async def release():
    async with app.bell:
        app.bell.notify_all()
    return "ok"


@app.get("/file")
async def file():
    return await send_file(app.data, conditional=True)


async def count_up():
    await trio.sleep(0.05)
    counts["done"] += 1


@app.post("/background")
async def background():
    app.add_background_task(count_up)
    return "accepted", 202


@app.get("/background")
async def background_done():
    return {"done": counts["done"]}


@app.get("/error")
async def error():
    raise RuntimeError("a deliberate error")


@app.get("/preload")
async def preload():
    page = "<link rel=stylesheet href=/style.css><p>styled"
    return page, {"Link": "</style.css>; rel=preload; as=style"}


@app.get("/push")
async def push():
    await make_push_promise("/style.css")
    return "<link rel=stylesheet href=/style.css><p>styled"


@app.get("/style.css")
async def style():
    return "p { color: teal }", {"Content-Type": "text/css"}


@app.get("/state")
async def state():
    return {"started": app.started}


@app.get("/client")
async def client():
    return {
        "scheme": request.scheme,
        "host": request.remote_addr,
        "http_version": request.http_version,
    }


@app.websocket("/ws")
async def websocket_echo():
    while True:
        await websocket.send(await websocket.receive())


@app.websocket("/ws/subprotocol")
async def websocket_subprotocol():
    chosen = "chat" if "chat" in websocket.requested_subprotocols else None
    await websocket.accept(subprotocol=chosen)


@app.websocket("/ws/deny")
async def websocket_deny():
    return "who are you?", 401


@app.websocket("/ws/close")
async def websocket_close():
    await websocket.accept()
    await websocket.close(4001, "bye")
