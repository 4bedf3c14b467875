"""Responder, as its documentation writes it."""

import contextlib
import hashlib
import tempfile
from pathlib import Path

import anyio
import responder
from starlette.responses import PlainTextResponse

counts = {"left": 0, "done": 0}


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
async def lifespan(app):
    with tempfile.TemporaryDirectory() as folder:
        api.state.data = Path(folder) / "data.bin"
        api.state.data.write_bytes(bytes(range(256)) * 4096)
        api.state.bell = Bell()
        api.state.started = True
        yield


app = api = responder.API(lifespan=lifespan, sessions=False, max_request_size=None)


@api.route("/")
def hello(req, resp):
    resp.text = "hello from responder"


@api.route("/echo", methods=["POST"])
async def echo(req, resp):
    resp.content = await req.content
    resp.mimetype = req.mimetype


@api.route("/query")
def query(req, resp):
    resp.media = {"name": req.params["name"]}


@api.route("/items/{item:path}")
def read_item(req, resp, *, item):
    resp.media = {"item": item}


@api.route("/headers")
def headers(req, resp):
    resp.media = dict(req.headers)
    resp.cookies["a"] = "1"
    resp.cookies["b"] = "2"


@api.route("/stream")
async def stream(req, resp):
    resp.mimetype = "text/plain"

    @resp.stream
    async def lines():
        for number in range(20):
            yield f"line {number}\n".encode()


@api.route("/upload", methods=["POST"])
async def upload(req, resp):
    size, digest = 0, hashlib.sha256()
    async for chunk in req.stream():
        size += len(chunk)
        digest.update(chunk)
    resp.media = {"size": size, "sha256": digest.hexdigest()}


@api.route("/form", methods=["POST"])
async def form(req, resp):
    note = (await req.media("form"))["note"]
    data = (await req.media("files"))["data"]
    digest = hashlib.sha256(await data.read()).hexdigest()
    resp.media = {"note": note, "filename": data.filename, "sha256": digest}


@api.route("/sse")
async def sse(req, resp):
    @resp.sse
    async def events():
        for number in range(3):
            yield number


@api.route("/sse/endless")
async def sse_endless(req, resp):
    @resp.sse
    async def events():
        number = 0
        try:
            while True:
                yield number
                number += 1
                await anyio.sleep(0.05)
        finally:
            counts["left"] += 1


@api.route("/sse/left")
def sse_left(req, resp):
    resp.media = {"left": counts["left"]}


@api.route("/poll")
async def poll(req, resp):
    await api.state.bell.wait()
    resp.text = "released"


@api.route("/poll/release", methods=["POST"])
async def release(req, resp):
    api.state.bell.ring()
    resp.text = "ok"


@api.route("/file")
def file(req, resp):
    resp.file(api.state.data)


@api.route("/background", methods=["GET", "POST"])
def background(req, resp):
    if req.method == "GET":
        resp.media = {"done": counts["done"]}
        return

    @api.background.task
    def count_up():
        counts["done"] += 1

    count_up()
    resp.status_code = 202
    resp.text = "accepted"


@api.route("/error")
def error(req, resp):
    raise RuntimeError("a deliberate error")


@api.route("/preload")
def preload(req, resp):
    resp.headers["Link"] = "</style.css>; rel=preload; as=style"
    resp.html = "<link rel=stylesheet href=/style.css><p>styled"


@api.route("/style.css")
def style(req, resp):
    resp.text = "p { color: teal }"
    resp.mimetype = "text/css"


@api.route("/state")
def state(req, resp):
    resp.media = {"started": api.state.started}


@api.route("/client")
def client(req, resp):
    resp.media = {
        "scheme": req.url.scheme,
        "host": req.client.host,
        "http_version": None,
    }


@api.route("/ws", websocket=True)
async def websocket_echo(ws):
    await ws.accept()
    while True:
        message = await ws.receive()
        if message["type"] == "websocket.disconnect":
            break
        if message.get("text") is not None:
            await ws.send_text(message["text"])
        else:
            await ws.send_bytes(message["bytes"])


@api.route("/ws/subprotocol", websocket=True)
async def websocket_subprotocol(ws):
    chosen = "chat" if "chat" in ws.scope["subprotocols"] else None
    await ws.accept(subprotocol=chosen)
    await ws.close()


@api.route("/ws/deny", websocket=True)
async def websocket_deny(ws):
    denial = PlainTextResponse("who are you?", status_code=401)
    await ws.send_denial_response(denial)


@api.route("/ws/close", websocket=True)
async def websocket_close(ws):
    await ws.accept()
    await ws.close(4001, "bye")
