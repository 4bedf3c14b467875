"""A Django project in one module: async views, with Channels for WebSocket and lifespan."""

import asyncio
import hashlib
import tempfile
from pathlib import Path

import django
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["*"],
    DEBUG=False,
    ROOT_URLCONF=__name__,
    SECRET_KEY="only for this suite",
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    INSTALLED_APPS=["channels"],
)
django.setup()

from channels.consumer import AsyncConsumer  # noqa: E402
from channels.exceptions import DenyConnection, StopConsumer  # noqa: E402
from channels.generic.websocket import AsyncWebsocketConsumer  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.core.asgi import get_asgi_application  # noqa: E402
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
    background = 0


released = asyncio.Event()
tasks: set[asyncio.Task[None]] = set()


def hello(request):
    return HttpResponse("hello from django", content_type="text/plain")


@require_POST
async def echo(request):
    return HttpResponse(request.body, content_type=request.headers.get("Content-Type"))


async def query(request):
    return JsonResponse({"name": request.GET["name"]})


async def item(request, item):
    return JsonResponse({"item": item})


async def headers(request):
    response = JsonResponse({name.lower(): value for name, value in request.headers.items()})
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response


async def stream(request):
    async def lines():
        for number in range(20):
            yield f"line {number}\n"

    return StreamingHttpResponse(lines(), content_type="text/plain")


@require_POST
async def upload(request):
    digest, size = hashlib.sha256(), 0
    while chunk := request.read(65536):
        digest.update(chunk)
        size += len(chunk)
    return JsonResponse({"size": size, "sha256": digest.hexdigest()})


async def sse(request):
    async def events():
        for number in range(3):
            yield f"data: {number}\n\n"

    return StreamingHttpResponse(events(), content_type="text/event-stream")


async def sse_endless(request):
    async def events():
        number = 0
        try:
            while True:
                yield f"data: {number}\n\n"
                number += 1
                await asyncio.sleep(0.02)
        finally:
            Counters.left += 1

    return StreamingHttpResponse(events(), content_type="text/event-stream")


async def sse_left(request):
    return JsonResponse({"left": Counters.left})


@require_GET
async def poll(request):
    await released.wait()
    released.clear()
    return HttpResponse("released", content_type="text/plain")


@require_POST
async def release(request):
    released.set()
    return HttpResponse(status=204)


async def file(request):
    return FileResponse(DATA.open("rb"))


async def count_up():
    await asyncio.sleep(0.05)
    Counters.background += 1


async def background(request):
    if request.method == "GET":
        return JsonResponse({"done": Counters.background})
    task = asyncio.create_task(count_up())
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    return HttpResponse("accepted", content_type="text/plain")


async def error(request):
    raise RuntimeError("deliberate")


async def preload(request):
    page = '<!doctype html><link rel="stylesheet" href="/style.css"><p>preload'
    return HttpResponse(page, headers={"Link": "</style.css>; rel=preload; as=style"})


async def style(request):
    return HttpResponse("p { color: teal }", content_type="text/css")


async def state(request):
    return JsonResponse({"started": request.scope["state"].get("started", False)})


async def client(request):
    return JsonResponse(
        {
            "scheme": request.scheme,
            "host": request.META["REMOTE_ADDR"],
            "http_version": request.scope["http_version"],
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
    path("background", background),
    path("error", error),
    path("preload", preload),
    path("style.css", style),
    path("state", state),
    path("client", client),
]


class Echo(AsyncWebsocketConsumer):
    async def receive(self, text_data=None, bytes_data=None):
        await self.send(text_data=text_data, bytes_data=bytes_data)


class Subprotocol(Echo):
    async def connect(self):
        await self.accept("chat" if "chat" in self.scope["subprotocols"] else None)


class Deny(AsyncWebsocketConsumer):
    async def connect(self):
        raise DenyConnection


class Close(AsyncWebsocketConsumer):
    async def connect(self):
        await self.accept()
        await self.close(4001, "bye")


class Lifespan(AsyncConsumer):
    async def lifespan_startup(self, message):
        self.scope["state"]["started"] = True
        await self.send({"type": "lifespan.startup.complete"})

    async def lifespan_shutdown(self, message):
        await self.send({"type": "lifespan.shutdown.complete"})
        raise StopConsumer


app = ProtocolTypeRouter(
    {
        "http": get_asgi_application(),
        "websocket": URLRouter(
            [
                path("ws", Echo.as_asgi()),
                path("ws/subprotocol", Subprotocol.as_asgi()),
                path("ws/deny", Deny.as_asgi()),
                path("ws/close", Close.as_asgi()),
            ]
        ),
        "lifespan": Lifespan.as_asgi(),
    }
)
