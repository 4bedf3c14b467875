"""A Sanic application, run by an ASGI server."""

import asyncio
import hashlib
import tempfile
from pathlib import Path

from sanic import Sanic, empty, html, json, raw, text
from sanic.log import LOGGING_CONFIG_DEFAULTS

FILES = tempfile.TemporaryDirectory()
DATA = Path(FILES.name) / "data.bin"
DATA.write_bytes(bytes(range(256)) * 4096)

app = Sanic("sanic", log_config=LOGGING_CONFIG_DEFAULTS)
app.config.MOTD = False
app.static("/file", DATA, use_content_range=True, name="file")


@app.before_server_start
async def start(app):
    app.ctx.started = True
    app.ctx.left = 0
    app.ctx.background = 0
    app.ctx.released = asyncio.Event()


@app.route("/", methods=["GET", "HEAD"])
async def hello(request):
    return text("hello from sanic")


@app.post("/echo")
async def echo(request):
    return raw(request.body, content_type=request.content_type)


@app.get("/query")
async def query(request):
    return json({"name": request.args.get("name")})


@app.get("/items/<item:str>", unquote=True)
async def items(request, item):
    return json({"item": item})


@app.get("/headers")
async def headers(request):
    response = json(dict(request.headers.items()))
    response.add_cookie("a", "1", secure=False)
    response.add_cookie("b", "2", secure=False)
    return response


@app.get("/stream")
async def stream(request):
    response = await request.respond(content_type="text/plain; charset=utf-8")
    for number in range(20):
        await response.send(f"line {number}\n")
    await response.eof()


@app.post("/upload", stream=True)
async def upload(request):
    digest, size = hashlib.sha256(), 0
    async for chunk in request.stream:
        digest.update(chunk)
        size += len(chunk)
    return json({"size": size, "sha256": digest.hexdigest()})


@app.get("/sse")
async def sse(request):
    response = await request.respond(content_type="text/event-stream")
    for number in range(3):
        await response.send(f"data: {number}\n\n")
    await response.eof()


@app.get("/sse/endless")
async def sse_endless(request):
    response = await request.respond(content_type="text/event-stream")
    number = 0
    try:
        while True:
            await response.send(f"data: {number}\n\n")
            number += 1
            await asyncio.sleep(0.02)
    except OSError:
        # The ASGI server says that the client has left; Sanic's own would have cancelled us.
        raise asyncio.CancelledError from None
    finally:
        app.ctx.left += 1


@app.get("/sse/left")
async def sse_left(request):
    return json({"left": app.ctx.left})


@app.get("/poll")
async def poll(request):
    await app.ctx.released.wait()
    app.ctx.released.clear()
    return text("released")


@app.post("/poll/release")
async def release(request):
    app.ctx.released.set()
    return empty()


async def count_up():
    await asyncio.sleep(0.05)
    app.ctx.background += 1


@app.post("/background")
async def background(request):
    request.app.add_task(count_up())
    return text("accepted")


@app.get("/background")
async def background_done(request):
    return json({"done": app.ctx.background})


@app.get("/error")
async def error(request):
    raise RuntimeError("deliberate")


@app.get("/preload")
async def preload(request):
    page = '<!doctype html><link rel="stylesheet" href="/style.css"><p>preload'
    return html(page, headers={"Link": "</style.css>; rel=preload; as=style"})


@app.get("/style.css")
async def style(request):
    return text("p { color: teal }", content_type="text/css")


@app.get("/state")
async def state(request):
    return json({"started": app.ctx.started})


@app.get("/client")
async def client(request):
    return json(
        {
            # Not request.scheme, which in ASGI mode does not know of TLS.
            "scheme": request.scope["scheme"],
            "host": request.ip,
            "http_version": request.version,
        }
    )


@app.websocket("/ws")
async def ws_echo(request, ws):
    while (message := await ws.recv()) is not None:
        await ws.send(message)


@app.websocket("/ws/subprotocol", subprotocols=["chat"])
async def ws_subprotocol(request, ws):
    while (message := await ws.recv()) is not None:
        await ws.send(message)
