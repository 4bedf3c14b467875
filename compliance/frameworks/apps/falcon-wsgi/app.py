"""A Falcon application on WSGI."""

import hashlib
import tempfile
import threading
import time
from pathlib import Path

import falcon

FILES = tempfile.TemporaryDirectory()
DATA = Path(FILES.name) / "data.bin"
DATA.write_bytes(bytes(range(256)) * 4096)


class Hello:
    def on_get(self, req, resp):
        resp.content_type = falcon.MEDIA_TEXT
        resp.text = "hello from falcon-wsgi"

    on_head = on_get


class Echo:
    def on_post(self, req, resp):
        resp.content_type = req.content_type
        resp.data = req.bounded_stream.read()


class Query:
    def on_get(self, req, resp):
        resp.media = {"name": req.get_param("name", required=True)}


class Item:
    def on_get(self, req, resp, item):
        resp.media = {"item": item}


class Headers:
    def on_get(self, req, resp):
        resp.media = {name.lower(): value for name, value in req.headers.items()}
        resp.set_cookie("a", "1")
        resp.set_cookie("b", "2")


class Stream:
    def on_get(self, req, resp):
        def lines():
            for number in range(20):
                yield b"line %d\n" % number
                time.sleep(0.005)  # without any work between them they would come in one piece

        resp.content_type = falcon.MEDIA_TEXT
        resp.stream = lines()


class Upload:
    def on_post(self, req, resp):
        digest, size = hashlib.sha256(), 0
        while chunk := req.stream.read(65536):
            digest.update(chunk)
            size += len(chunk)
        resp.media = {"size": size, "sha256": digest.hexdigest()}


class Events:
    def __init__(self):
        self.left = 0

    def on_get(self, req, resp):
        def emitter():
            for number in range(3):
                yield b"data: %d\n\n" % number

        resp.content_type = "text/event-stream"
        resp.stream = emitter()

    def on_get_endless(self, req, resp):
        def emitter():
            number = 0
            try:
                while True:
                    yield b"data: %d\n\n" % number
                    number += 1
                    time.sleep(0.02)
            finally:
                self.left += 1

        resp.content_type = "text/event-stream"
        resp.stream = emitter()

    def on_get_left(self, req, resp):
        resp.media = {"left": self.left}


class Poll:
    def __init__(self):
        self.released = threading.Event()

    def on_get(self, req, resp):
        self.released.wait()
        self.released.clear()
        resp.content_type = falcon.MEDIA_TEXT
        resp.text = "released"

    def on_post_release(self, req, resp):
        self.released.set()
        resp.status = falcon.HTTP_NO_CONTENT


class Error:
    def on_get(self, req, resp):
        raise RuntimeError("deliberate")


class Preload:
    def on_get(self, req, resp):
        resp.content_type = falcon.MEDIA_HTML
        resp.append_link("/style.css", "preload", link_extension=[("as", "style")])
        resp.text = '<!doctype html><link rel="stylesheet" href="/style.css"><p>preload'


class Style:
    def on_get(self, req, resp):
        resp.content_type = "text/css"
        resp.text = "p { color: teal }"


class Client:
    def on_get(self, req, resp):
        resp.media = {
            "scheme": req.scheme,
            "host": req.remote_addr,
            "http_version": req.env["SERVER_PROTOCOL"],
        }


events, poll = Events(), Poll()

app = falcon.App()
app.resp_options.secure_cookies_by_default = False
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
app.add_route("/error", Error())
app.add_route("/preload", Preload())
app.add_route("/style.css", Style())
app.add_route("/client", Client())
app.add_static_route("/file", FILES.name, fallback_filename="data.bin")
