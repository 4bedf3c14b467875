"""The features: one function for each column of the table.

A feature asks a site over one protocol and raises where the answer is not right. ``stop`` has no
function: the runner stops the daemon after the others.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import time
from collections.abc import Callable, Iterator
from urllib.parse import quote

from compliance.frameworks import wire
from compliance.frameworks.catalogue import Framework
from compliance.frameworks.site import Site, Unmet, decoded, expect
from compliance.frameworks.websocket import Refused

Feature = Callable[[Site], None]

STOP = "stop"
ERROR_TEXT = "deliberate"
"""What the exception of ``/error`` says."""

FILE = bytes(range(256)) * 4096
UPLOAD_SIZE = 20_000_000
PIECE_SIZE = 65536
DECODED = "Zoë & Söhne/50%+1"
STYLE = "/style.css"
SETTLE = 8.0
"""Seconds that the server has to notice something of its own accord."""
PENDING = 0.2
"""Seconds a long poll is watched while nothing answers it."""


def hello(site: Site) -> None:
    """GET and, where the framework answers it, HEAD."""
    response = site.get("/")
    expect(response.headers["content-type"].partition(";")[0], "text/plain", "content-type")
    expect(response.text, f"hello from {site.framework.name}", "body")
    head = site.client.head("/")
    if head.status_code not in (404, 405):
        expect(head.status_code, 200, "status of HEAD")
        expect(head.content, b"", "body of HEAD")


def echo(site: Site) -> None:
    """A request body comes back, with its content-type."""
    for body in (b"", b"\x00\xff" * 50_000):
        headers = {"content-type": "application/octet-stream"}
        response = site.post("/echo", content=body, headers=headers)
        expect(response.content, body, "body")
        kind = response.headers["content-type"].partition(";")[0]
        expect(kind, "application/octet-stream", "content-type")


def chunked(site: Site) -> None:
    """A request body without Content-Length comes back: chunked, or HTTP/2 without the field."""
    pieces = [b"\x00\xff" * 10_000, b"a", bytes(range(256)) * 100]
    headers = {"content-type": "application/octet-stream"}
    response = site.post("/echo", content=iter(pieces), headers=headers)
    expect("content-length" in response.request.headers, False, "the request has a length")
    expect(response.content, b"".join(pieces), "body")


def query(site: Site) -> None:
    """Decoded query and path parameters."""
    expect(site.json("/query", params={"name": DECODED}), {"name": DECODED}, "query")
    item = "Zoë & Söhne 50%+1"
    expect(site.json(f"/items/{quote(item)}"), {"item": item}, "path parameter")


def headers(site: Site) -> None:
    """Request fields arrive; two Set-Cookie fields stay two."""
    response = site.get("/headers", headers={"X-Probe": "one", "Cookie": "c=3"})
    seen = {name.lower(): value for name, value in decoded(response).items()}
    expect(seen.get("x-probe"), "one", "x-probe")
    expect(seen.get("cookie"), "c=3", "cookie")
    expect(seen.get("host"), f"localhost:{site.port}", "host")
    cookies = response.headers.get_list("set-cookie")
    expect(sorted(cookie[:3] for cookie in cookies), ["a=1", "b=2"], "cookies")


def client(site: Site) -> None:
    """Scheme, peer address and protocol version, as far as the framework tells."""
    seen = site.json("/client")
    version = seen.get("http_version")
    expect(seen["scheme"], site.scheme, "scheme")
    if seen.get("host") is not None:
        expect(seen["host"], wire.HOST, "address")
    if version is not None:
        numbers = ("2", "2.0") if site.is_http2 else ("1.1",)
        if version.removeprefix("HTTP/") not in numbers:
            raise Unmet(f"http_version: {version!r} over {site.protocol}")


def stream(site: Site) -> None:
    """A response of twenty pieces without a known length."""
    with site.client.stream("GET", "/stream") as response:
        expect(response.status_code, 200, "status")
        expect(response.headers.get("content-length"), None, "content-length")
        lines = list(response.iter_lines())
    expect(lines, [f"line {number}" for number in range(20)], "lines")


def upload(site: Site) -> None:
    """20 MB that the application reads piece by piece."""
    digest = hashlib.sha256()
    piece = bytes(range(256)) * (PIECE_SIZE // 256)

    def pieces() -> Iterator[bytes]:
        left = UPLOAD_SIZE
        while left:
            data = piece[:left]
            digest.update(data)
            left -= len(data)
            yield data

    headers = {"content-type": "application/octet-stream"}
    response = site.post("/upload", content=pieces(), headers=headers, timeout=60)
    expect(decoded(response), {"size": UPLOAD_SIZE, "sha256": digest.hexdigest()}, "upload")


def sse(site: Site) -> None:
    """Server-sent events, to their end."""
    response = site.get("/sse")
    kind = response.headers["content-type"].partition(";")[0]
    expect(kind, "text/event-stream", "content-type")
    found = [line for line in response.text.splitlines() if line.startswith("data:")]
    expect(found, ["data: 0", "data: 1", "data: 2"], "events")


def disconnect(site: Site) -> None:
    """The application's clean-up runs when the client leaves an endless response."""
    before = site.json("/sse/left")["left"]
    with site.wire() as connection:
        found = connection.get("/sse/endless", lambda seen: b"data:" in seen.body)
        expect(found.over, False, "the endless response has ended")
        expect(found.status, 200, "status")
        connection.abandon()
        _until(lambda: site.json("/sse/left")["left"] == before + 1, "the clean-up did not run")


def long_poll(site: Site) -> None:
    """A request that is answered when another one says so."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(site.get, "/poll")
        done, _ = concurrent.futures.wait([waiting], PENDING)
        if done:
            raise Unmet(f"answered before it was released: {waiting.result().text!r}")
        released = site.client.post("/poll/release")
        expect(released.is_success, True, f"/poll/release, {released.status_code}")
        expect(waiting.result(wire.PATIENCE).text, "released", "answer")


def file(site: Site) -> None:
    """The framework's own file response."""
    response = site.get("/file")
    expect(response.headers.get("content-length"), str(len(FILE)), "content-length")
    expect(hashlib.sha256(response.content).digest(), hashlib.sha256(FILE).digest(), "content")


def ranges(site: Site) -> None:
    """One range of that file (RFC 9110 section 14)."""
    response = site.get("/file", status=206, headers={"Range": "bytes=100-299"})
    expect(response.headers["content-range"], f"bytes 100-299/{len(FILE)}", "content-range")
    expect(response.content, FILE[100:300], "content")


def background(site: Site) -> None:
    """Work that goes on after the answer."""
    before = site.json("/background")["done"]
    response = site.client.post("/background")
    expect(response.is_success, True, f"status {response.status_code}")
    expect(response.text, "accepted", "body")
    _until(lambda: site.json("/background")["done"] == before + 1, "the task did not run")


def error(site: Site) -> None:
    """An exception of the application is a 500, and the server goes on."""
    expect(site.client.get("/error").status_code, 500, "status")
    site.get("/")


def preload(site: Site) -> None:
    """A Link: rel=preload field becomes a push, or 103 Early Hints (RFC 8297)."""
    with site.wire() as connection:
        page = _whole(connection.get("/preload"))
        if len(page.hints) != 1:
            raise Unmet(f"{len(page.hints)} times 103 Early Hints")
        _expect_link(page.hints[0])
        _expect_link(page.headers)
    if site.is_http2:
        with site.http2(push=True) as accepting:
            page = _whole(accepting.get("/preload"))
            _expect_link(page.headers)
            _expect_push(accepting)


def push(site: Site) -> None:
    """Server push by the framework's own API (RFC 9113 section 8.4)."""
    with site.wire() as connection:
        _whole(connection.get("/push"))
    if site.is_http2:
        with site.http2(push=True) as accepting:
            _whole(accepting.get("/push"))
            _expect_push(accepting)


def websocket(site: Site) -> None:
    """Text and bytes come back."""
    with site.websocket("/ws") as opened:
        for message in ("Zoë", b"\x00\xff", "x" * 20_000):
            opened.send(message)
            expect(opened.receive(), message, "echo")


def subprotocol(site: Site) -> None:
    """The application chooses of what is offered."""
    with site.websocket("/ws/subprotocol", "superchat", "chat") as opened:
        expect(opened.subprotocol, "chat", "subprotocol")


def denial(site: Site) -> None:
    """The handshake is refused: by a response of the application, or with 403."""
    try:
        with site.websocket("/ws/deny"):
            raise Unmet("the WebSocket was opened")
    except Refused as refused:
        expect(refused.status, site.framework.denial_status, "status")
        if refused.status == 401 and not refused.body:
            raise Unmet("the denial has no body") from None


def close_code(site: Site) -> None:
    """The application closes with a code and a reason."""
    with site.websocket("/ws/close") as opened:
        expect(opened.closed(), (4001, "bye"), "code and reason")


def lifespan(site: Site) -> None:
    """What the application did at its start is there."""
    expect(site.json("/state"), {"started": True}, "state")


def form(site: Site) -> None:
    """A form with a field and a file (multipart/form-data)."""
    files = {"data": ("data.bin", FILE, "application/octet-stream")}
    response = site.post("/form", data={"note": DECODED}, files=files)
    digest = hashlib.sha256(FILE).hexdigest()
    wanted = {"note": DECODED, "filename": "data.bin", "sha256": digest}
    expect(decoded(response), wanted, "form")


def dependency(site: Site) -> None:
    """A dependency is used, and cleaned up after the response."""
    before = site.json("/dependency/cleaned")["cleaned"]
    expect(site.get("/dependency").text, "used a resource", "body")
    _until(
        lambda: site.json("/dependency/cleaned")["cleaned"] == before + 1,
        "the dependency was not cleaned up",
    )


EXTRAS: dict[str, Feature | None] = {"form": form, "dependency": dependency}
"""Asked only of the frameworks whose ``extra`` names them."""

FEATURES: dict[str, Feature | None] = {
    "hello": hello,
    "echo": echo,
    "chunked": chunked,
    "query": query,
    "headers": headers,
    "client": client,
    "stream": stream,
    "upload": upload,
    "sse": sse,
    "disconnect": disconnect,
    "long-poll": long_poll,
    "file": file,
    "range": ranges,
    "background": background,
    "preload": preload,
    "push": push,
    "websocket": websocket,
    "subprotocol": subprotocol,
    "denial": denial,
    "close-code": close_code,
    "lifespan": lifespan,
    "error": error,
    STOP: None,
}
"""In the order in which they run. ``error`` is the last one: its log is the daemon's own business
from then on."""


def _until(condition: Callable[[], bool], complaint: str) -> None:
    deadline = time.monotonic() + SETTLE
    while not condition():
        if time.monotonic() > deadline:
            raise Unmet(complaint)
        # The site can only be asked again.
        time.sleep(0.02)


def _whole(found: wire.Exchange) -> wire.Exchange:
    expect(found.status, 200, "status")
    expect(found.ended, True, "the response has ended")
    return found


def _expect_link(fields: wire.Headers) -> None:
    links = [value for name, value in fields if name.lower() == b"link"]
    if not any(b"style.css" in link and b"preload" in link for link in links):
        raise Unmet(f"Link fields: {links}")


def _expect_push(accepting: wire.HTTP2Client) -> None:
    expect(len(accepting.promises), 1, "pushes")
    ((promised, head),) = accepting.promises.items()
    fields = dict(head)
    expect(fields[b":method"], b"GET", "pushed method")
    expect(fields[b":authority"], b"localhost", "pushed authority")
    expect(fields[b":path"], STYLE.encode(), "pushed path")
    pushed = _whole(accepting.wait(promised))
    kind = dict(pushed.headers)[b"content-type"].partition(b";")[0]
    expect(kind, b"text/css", "content-type of the pushed response")
    if not pushed.body:
        raise Unmet("the pushed response is empty")


def asked_of(framework: Framework) -> dict[str, Feature | None]:
    """The features of a framework, in the order in which they run."""
    return {
        name: feature
        for name, feature in (EXTRAS | FEATURES).items()
        if name not in framework.absent and (name in FEATURES or name in framework.extra)
    }
