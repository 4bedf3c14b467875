"""A Falcon application on ASGI."""

import asyncio
import hashlib
import tempfile
from pathlib import Path

import falcon
import falcon.asgi
import falcon.media
from falcon.asgi import SSEvent

FILES = tempfile.TemporaryDirectory()
DATA = Path(FILES.name) / "data.bin"
DATA.write_bytes(bytes(range(256)) * 4096)


class Hello:
    async def on_get(self, req, resp):
        resp.content_type = falcon.MEDIA_TEXT
        resp.text = "hello from falcon"

    on_head = on_get


class Echo:
    async def on_post(self, req, resp):
        resp.content_type = req.content_type
        resp.data = await req.stream.read()


class Query:
    async def on_get(self, req, resp):
        resp.media = {"name": req.get_param("name", required=True)}


class Item:
    async def on_get(self, req, resp, item):
        resp.media = {"item": item}


class Headers:
    async def on_get(self, req, resp):
        resp.media = req.headers_lower
        resp.set_cookie("a", "1")
        resp.set_cookie("b", "2")


class Stream:
    async def on_get(self, req, resp):
        async def lines():
            for number in range(20):
                yield b"line %d\n" % number

        resp.content_type = falcon.MEDIA_TEXT
        resp.stream = lines()


class Upload:
    async def on_post(self, req, resp):
        digest, size = hashlib.sha256(), 0
        async for chunk in req.stream:
            digest.update(chunk)
            size += len(chunk)
        resp.media = {"size": size, "sha256": digest.hexdigest()}


class Events:
    def __init__(self):
        self.left = 0

    async def on_get(self, req, resp):
        async def emitter():
            for number in range(3):
                yield SSEvent(text=str(number))

        resp.sse = emitter()

    async def on_get_endless(self, req, resp):
        async def emitter():
            number = 0
            try:
                while True:
                    yield SSEvent(text=str(number))
                    number += 1
                    await asyncio.sleep(0.02)
            finally:
                self.left += 1

        resp.sse = emitter()

    async def on_get_left(self, req, resp):
        resp.media = {"left": self.left}


class Poll:
    def __init__(self):
        self.released = asyncio.Event()

    async def on_get(self, req, resp):
        await self.released.wait()
        self.released.clear()
        resp.content_type = falcon.MEDIA_TEXT
        resp.text = "released"

    async def on_post_release(self, req, resp):
        self.released.set()
        resp.status = falcon.HTTP_NO_CONTENT


class Background:
    def __init__(self):
        self.done = 0

    async def count_up(self):
        await asyncio.sleep(0.05)
        self.done += 1

    async def on_get(self, req, resp):
        resp.media = {"done": self.done}

    async def on_post(self, req, resp):
        resp.content_type = falcon.MEDIA_TEXT
        resp.text = "accepted"
        resp.schedule(self.count_up)


class Error:
    async def on_get(self, req, resp):
        raise RuntimeError("deliberate")


class Preload:
    async def on_get(self, req, resp):
        resp.content_type = falcon.MEDIA_HTML
        resp.append_link("/style.css", "preload", link_extension=[("as", "style")])
        resp.text = '<!doctype html><link rel="stylesheet" href="/style.css"><p>preload'


class Style:
    async def on_get(self, req, resp):
        resp.content_type = "text/css"
        resp.text = "p { color: teal }"


class Client:
    async def on_get(self, req, resp):
        resp.media = {
            "scheme": req.scheme,
            "host": req.remote_addr,
            "http_version": req.scope["http_version"],
        }


class PlainText(falcon.media.TextBaseHandlerWS):
    def serialize(self, media):
        return media

    def deserialize(self, payload):
        return payload


class PlainBytes(falcon.media.BinaryBaseHandlerWS):
    def serialize(self, media):
        return media

    def deserialize(self, payload):
        return payload


class WebSocketEcho:
    async def on_websocket(self, req, ws):
        await ws.accept()
        try:
            while True:
                message = await ws.receive_media()
                if isinstance(message, str):
                    await ws.send_text(message)
                else:
                    await ws.send_data(message)
        except falcon.WebSocketDisconnected:
            pass


class Subprotocol:
    async def on_websocket(self, req, ws):
        await ws.accept(subprotocol="chat" if "chat" in ws.subprotocols else None)
        try:
            while True:
                await ws.send_text(await ws.receive_text())
        except falcon.WebSocketDisconnected:
            pass


class Deny:
    async def on_websocket(self, req, ws):
        await ws.close()


class Close:
    async def on_websocket(self, req, ws):
        await ws.accept()
        await ws.close(4001, "bye")


class Lifecycle:
    """Middleware that sees the lifespan, and serves what it noted as a resource."""

    started = False

    async def process_startup(self, scope, event):
        self.started = True

    async def on_get(self, req, resp):
        resp.media = {"started": self.started}


lifecycle, events, poll = Lifecycle(), Events(), Poll()

app = falcon.asgi.App(middleware=[lifecycle])
app.resp_options.secure_cookies_by_default = False
app.ws_options.media_handlers[falcon.WebSocketPayloadType.TEXT] = PlainText()
app.ws_options.media_handlers[falcon.WebSocketPayloadType.BINARY] = PlainBytes()
app.add_route("/", Hello())
app.add_route("/echo", Echo())
app.add_route("/query", Query())
app.add_route("/items/{item}", Item())
app.add_route("/headers", Headers())
app.add_route("/stream", Stream())
app.add_route("/upload", Upload())
app.add_route("/sse", events)
app.add_route("/sse/endless", events, suffix="endless")
app.add_route("/sse/left", events, suffix="left")
app.add_route("/poll", poll)
app.add_route("/poll/release", poll, suffix="release")
app.add_route("/background", Background())
app.add_route("/error", Error())
app.add_route("/preload", Preload())
app.add_route("/style.css", Style())
app.add_route("/state", lifecycle)
app.add_route("/client", Client())
app.add_route("/ws", WebSocketEcho())
app.add_route("/ws/subprotocol", Subprotocol())
app.add_route("/ws/deny", Deny())
app.add_route("/ws/close", Close())
app.add_static_route("/file", FILES.name, fallback_filename="data.bin")
