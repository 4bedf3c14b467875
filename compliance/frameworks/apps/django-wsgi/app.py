"""A Django project in one module, on WSGI."""

import hashlib
import tempfile
import threading
import time
from pathlib import Path

import django
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["*"],
    DEBUG=False,
    ROOT_URLCONF=__name__,
    SECRET_KEY="only for this suite",
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
)
django.setup()

from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import (  # noqa: E402
    FileResponse,
    HttpResponse,
    JsonResponse,
    StreamingHttpResponse,
)
from django.urls import path  # noqa: E402
from django.views.decorators.http import require_GET, require_POST  # noqa: E402

FILES = tempfile.TemporaryDirectory()
DATA = Path(FILES.name) / "data.bin"
DATA.write_bytes(bytes(range(256)) * 4096)


class Counters:
    left = 0


released = threading.Event()


def hello(request):
    return HttpResponse("hello from django-wsgi", content_type="text/plain")


@require_POST
def echo(request):
    return HttpResponse(request.body, content_type=request.headers.get("Content-Type"))


def query(request):
    return JsonResponse({"name": request.GET["name"]})


def item(request, item):
    return JsonResponse({"item": item})


def headers(request):
    response = JsonResponse({name.lower(): value for name, value in request.headers.items()})
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response


def stream(request):
    def lines():
        for number in range(20):
            yield f"line {number}\n"
            time.sleep(0.005)  # without any work between them they would come in one piece

    return StreamingHttpResponse(lines(), content_type="text/plain")


@require_POST
def upload(request):
    digest, size = hashlib.sha256(), 0
    # Without a Content-Length Django takes a request for empty, so this reads below it.
    while chunk := request.environ["wsgi.input"].read(65536):
        digest.update(chunk)
        size += len(chunk)
    return JsonResponse({"size": size, "sha256": digest.hexdigest()})


def sse(request):
    def events():
        for number in range(3):
            yield f"data: {number}\n\n"

    return StreamingHttpResponse(events(), content_type="text/event-stream")


def sse_endless(request):
    def events():
        number = 0
        try:
            while True:
                yield f"data: {number}\n\n"
                number += 1
                time.sleep(0.02)
        finally:
            Counters.left += 1

    return StreamingHttpResponse(events(), content_type="text/event-stream")


def sse_left(request):
    return JsonResponse({"left": Counters.left})


@require_GET
def poll(request):
    released.wait()
    released.clear()
    return HttpResponse("released", content_type="text/plain")


@require_POST
def release(request):
    released.set()
    return HttpResponse(status=204)


def file(request):
    return FileResponse(DATA.open("rb"))


def error(request):
    raise RuntimeError("deliberate")


def preload(request):
    page = '<!doctype html><link rel="stylesheet" href="/style.css"><p>preload'
    return HttpResponse(page, headers={"Link": "</style.css>; rel=preload; as=style"})


def style(request):
    return HttpResponse("p { color: teal }", content_type="text/css")


def client(request):
    return JsonResponse(
        {
            "scheme": request.scheme,
            "host": request.META["REMOTE_ADDR"],
            "http_version": request.META["SERVER_PROTOCOL"],
        }
    )


urlpatterns = [
    path("", hello),
    path("echo", echo),
    path("query", query),
    path("items/<str:item>", item),
    path("headers", headers),
    path("stream", stream),
    path("upload", upload),
    path("sse", sse),
    path("sse/endless", sse_endless),
    path("sse/left", sse_left),
    path("poll", poll),
    path("poll/release", release),
    path("file", file),
    path("error", error),
    path("preload", preload),
    path("style.css", style),
    path("client", client),
]

app = get_wsgi_application()
