"""A Bottle application."""

import hashlib
import tempfile
import threading
import time
from pathlib import Path

from bottle import Bottle, HTTPResponse, request, response, static_file

FILES = tempfile.TemporaryDirectory()
DATA = Path(FILES.name) / "data.bin"
DATA.write_bytes(bytes(range(256)) * 4096)


class Board:
    """What the routes share."""

    left = 0


released = threading.Event()

app = Bottle()


@app.get("/")
def hello():
    response.content_type = "text/plain"
    return "hello from bottle"


@app.post("/echo")
def echo():
    response.content_type = request.content_type
    return request.body


@app.get("/query")
def query():
    return {"name": request.query.getunicode("name")}


@app.get("/items/<item>")
def items(item):
    return {"item": item}


@app.get("/headers")
def headers():
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return {name.lower(): value for name, value in request.headers.items()}


@app.get("/stream")
def stream():
    response.content_type = "text/plain"
    for number in range(20):
        yield f"line {number}\n"
        time.sleep(0.005)  # without any work between them they would come in one piece


@app.post("/upload")
def upload():
    digest, size = hashlib.sha256(), 0
    # request.body would be read to its end first, and be empty without a Content-Length.
    while chunk := request["wsgi.input"].read(65536):
        digest.update(chunk)
        size += len(chunk)
    return {"size": size, "sha256": digest.hexdigest()}


@app.get("/sse")
def sse():
    response.content_type = "text/event-stream"
    for number in range(3):
        yield f"data: {number}\n\n"


@app.get("/sse/endless")
def sse_endless():
    response.content_type = "text/event-stream"
    number = 0
    try:
        while True:
            yield f"data: {number}\n\n"
            number += 1
            time.sleep(0.02)
    finally:
        Board.left += 1


@app.get("/sse/left")
def sse_left():
    return {"left": Board.left}


@app.get("/poll")
def poll():
    released.wait()
    released.clear()
    response.content_type = "text/plain"
    return "released"


@app.post("/poll/release")
def release():
    released.set()
    return HTTPResponse(status=204)


@app.get("/file")
def file():
    return static_file(DATA.name, root=FILES.name)


@app.get("/error")
def error():
    raise RuntimeError("deliberate")


@app.get("/preload")
def preload():
    response.set_header("Link", "</style.css>; rel=preload; as=style")
    return '<!doctype html><link rel="stylesheet" href="/style.css"><p>preload'


@app.get("/style.css")
def style():
    response.content_type = "text/css"
    return "p { color: teal }"


@app.get("/client")
def client():
    return {
        "scheme": request.urlparts.scheme,
        "host": request.remote_addr,
        "http_version": request["SERVER_PROTOCOL"],
    }
