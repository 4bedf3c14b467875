"""A Pyramid application."""

import hashlib
import tempfile
import threading
import time
from pathlib import Path

from pyramid.config import Configurator
from pyramid.response import FileResponse, Response
from pyramid.view import view_config

FILES = tempfile.TemporaryDirectory()
DATA = Path(FILES.name) / "data.bin"
DATA.write_bytes(bytes(range(256)) * 4096)


class Board:
    """What the views share."""

    left = 0


released = threading.Event()


@view_config(route_name="hello", request_method="GET")
def hello(request):
    return Response("hello from pyramid", content_type="text/plain")


@view_config(route_name="echo", request_method="POST")
def echo(request):
    return Response(request.body, content_type=request.content_type)


@view_config(route_name="query", renderer="json")
def query(request):
    return {"name": request.params["name"]}


@view_config(route_name="item", renderer="json")
def item(request):
    return {"item": request.matchdict["item"]}


@view_config(route_name="headers", renderer="json")
def headers(request):
    request.response.set_cookie("a", "1")
    request.response.set_cookie("b", "2")
    return {name.lower(): value for name, value in request.headers.items()}


@view_config(route_name="stream")
def stream(request):
    def lines():
        for number in range(20):
            yield b"line %d\n" % number
            time.sleep(0.005)  # without any work between them they would come in one piece

    return Response(app_iter=lines(), content_type="text/plain")


@view_config(route_name="upload", request_method="POST", renderer="json")
def upload(request):
    digest, size = hashlib.sha256(), 0
    while chunk := request.body_file.read(65536):
        digest.update(chunk)
        size += len(chunk)
    return {"size": size, "sha256": digest.hexdigest()}


@view_config(route_name="sse")
def sse(request):
    events = (b"data: %d\n\n" % number for number in range(3))
    return Response(app_iter=events, content_type="text/event-stream")


@view_config(route_name="sse_endless")
def sse_endless(request):
    def events():
        number = 0
        try:
            while True:
                yield b"data: %d\n\n" % number
                number += 1
                time.sleep(0.02)
        finally:
            Board.left += 1

    return Response(app_iter=events(), content_type="text/event-stream")


@view_config(route_name="sse_left", renderer="json")
def sse_left(request):
    return {"left": Board.left}


@view_config(route_name="poll", request_method="GET", renderer="string")
def poll(request):
    released.wait()
    released.clear()
    return "released"


@view_config(route_name="release", request_method="POST")
def release(request):
    released.set()
    return Response(status=204)


@view_config(route_name="file")
def file(request):
    response = FileResponse(DATA, request=request)
    response.accept_ranges = "bytes"
    response.conditional_response = True
    return response


@view_config(route_name="error")
def error(request):
    raise RuntimeError("deliberate")


@view_config(route_name="preload")
def preload(request):
    response = Response('<!doctype html><link rel="stylesheet" href="/style.css"><p>preload')
    response.headers["Link"] = "</style.css>; rel=preload; as=style"
    return response


@view_config(route_name="style")
def style(request):
    return Response("p { color: teal }", content_type="text/css")


@view_config(route_name="client", renderer="json")
def client(request):
    return {
        "scheme": request.scheme,
        "host": request.remote_addr,
        "http_version": request.http_version,
    }


def main():
    with Configurator() as config:
        config.add_route("hello", "/")
        config.add_route("item", "/items/{item}")
        config.add_route("sse_endless", "/sse/endless")
        config.add_route("sse_left", "/sse/left")
        config.add_route("release", "/poll/release")
        config.add_route("style", "/style.css")
        for name in ("echo", "query", "headers", "stream", "upload", "sse", "poll"):
            config.add_route(name, f"/{name}")
        for name in ("file", "error", "preload", "client"):
            config.add_route(name, f"/{name}")
        config.scan(__name__)
        return config.make_wsgi_app()


app = main()
