"""A Flask application."""

import hashlib
import tempfile
import threading
import time
from pathlib import Path

from flask import Flask, Response, jsonify, request, send_file

FILES = tempfile.TemporaryDirectory()
DATA = Path(FILES.name) / "data.bin"
DATA.write_bytes(bytes(range(256)) * 4096)


class Board:
    """What the views share."""

    left = 0
    background = 0


released = threading.Event()

app = Flask(__name__)


@app.get("/")
def hello():
    return Response("hello from flask", mimetype="text/plain")


@app.post("/echo")
def echo():
    return Response(request.get_data(), content_type=request.content_type)


@app.get("/query")
def query():
    return {"name": request.args["name"]}


@app.get("/items/<item>")
def items(item):
    return {"item": item}


@app.get("/headers")
def headers():
    response = jsonify({name.lower(): value for name, value in request.headers.items()})
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response


@app.get("/stream")
def stream():
    def lines():
        for number in range(20):
            yield f"line {number}\n"
            time.sleep(0.005)  # without any work between them they would come in one piece

    return Response(lines(), mimetype="text/plain")


@app.post("/upload")
def upload():
    digest, size = hashlib.sha256(), 0
    while chunk := request.stream.read(65536):
        digest.update(chunk)
        size += len(chunk)
    return {"size": size, "sha256": digest.hexdigest()}


@app.get("/sse")
def sse():
    events = (f"data: {number}\n\n" for number in range(3))
    return Response(events, mimetype="text/event-stream")


@app.get("/sse/endless")
def sse_endless():
    def events():
        number = 0
        try:
            while True:
                yield f"data: {number}\n\n"
                number += 1
                time.sleep(0.02)
        finally:
            Board.left += 1

    return Response(events(), mimetype="text/event-stream")


@app.get("/sse/left")
def sse_left():
    return {"left": Board.left}


@app.get("/poll")
def poll():
    released.wait()
    released.clear()
    return Response("released", mimetype="text/plain")


@app.post("/poll/release")
def release():
    released.set()
    return "", 204


@app.get("/file")
def file():
    return send_file(DATA)


def count_up():
    time.sleep(0.05)
    Board.background += 1


@app.post("/background")
def background():
    response = Response("accepted", mimetype="text/plain")
    response.call_on_close(count_up)
    return response


@app.get("/background")
def background_done():
    return {"done": Board.background}


@app.get("/error")
def error():
    raise RuntimeError("deliberate")


@app.get("/preload")
def preload():
    page = '<!doctype html><link rel="stylesheet" href="/style.css"><p>preload'
    return page, {"Link": "</style.css>; rel=preload; as=style"}


@app.get("/style.css")
def style():
    return Response("p { color: teal }", mimetype="text/css")


@app.get("/client")
def client():
    return {
        "scheme": request.scheme,
        "host": request.remote_addr,
        "http_version": request.environ["SERVER_PROTOCOL"],
    }
