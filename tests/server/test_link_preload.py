"""``link_preload`` and ``tricorn.push``: push, 103 or nothing, by what the connection can do."""

from __future__ import annotations

import pytest

import tricorn
from helpers.apps import body, reply, start
from helpers.clients import HTTP2Client
from helpers.serving import Inbox
from helpers.site import Site
from tricorn.asgi.preload import Link, own_target, parse_links
from tricorn.types import Receive, Scope, Send

STYLE = b"</style.css>; rel=preload; as=style"


class Page:
    """Answers ``/`` with Link fields, all else with its path."""

    def __init__(self, *links: bytes) -> None:
        self.links = links
        self.scopes = Inbox()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.put(scope)
        # Pushed answers have links of their own: nothing may come of them.
        await reply(send, scope["path"].encode(), headers=[(b"link", link) for link in self.links])


def pushes(site: Site, page: Page, **options: object) -> tuple[list[bytes], list[bytes]]:
    """Targets pushed and links hinted for one GET of ``/``; pushed answers are read."""
    client = site.connect(**options)
    response = client.get("/")
    assert response.body == b"/"
    promised = []
    if isinstance(client, HTTP2Client):
        for stream, (_, headers) in sorted(client.promised.items()):
            target = dict(headers)[b":path"]
            promised.append(target)
            assert client.response(stream).body == target.partition(b"?")[0]
    hints = []
    for status, headers in response.informational:
        assert status == 103
        hints += [value for name, value in headers if name.lower() == b"link"]
    return promised, hints


@pytest.mark.parametrize("mode", ["off", "push", "early-hints", "auto"])
def test_modes(site: Site, mode: str) -> None:
    page = Page(STYLE)
    site.serve(page, link_preload=mode)
    promised, hints = pushes(site, page)
    pushed = site.http2 and mode in ("push", "auto")
    hinted = mode == "early-hints" or (mode == "auto" and not site.http2)
    assert promised == ([b"/style.css"] if pushed else [])
    assert hints == ([STYLE] if hinted else [])


def test_falls_back_where_the_peer_has_push_off(plain: Site) -> None:
    page = Page(STYLE)
    plain.serve(page, link_preload="auto")
    options = {"push": False} if plain.http2 else {}
    assert pushes(plain, page, **options) == ([], [STYLE])
    plain.serve(page, link_preload="push")
    assert pushes(plain, page, **options) == ([], [])


def test_what_is_pushed(plain: Site) -> None:
    if not plain.http2:
        return
    authority = b"http://127.0.0.1:%d" % 1
    page = Page(
        STYLE + b', </a.js?v=1#x>; as=script; rel="preload prefetch"',
        b"</no.css>; rel=preload; nopush",
        b"<http://other.example/x.css>; rel=preload, <//other.example/y.css>; rel=preload",
        authority + b"/z.css; rel=preload",
        b"</next>; rel=next, </plain.css>; rel=stylesheet",
        b'<relative.css>; rel=preload; title="a, b; rel=x"',
        STYLE,
    )
    plain.serve(page, link_preload="auto")
    promised, hints = pushes(plain, page)
    assert promised == [b"/style.css", b"/a.js?v=1", b"/relative.css"]
    assert hints == [b"</no.css>; rel=preload; nopush"]
    page.scopes.take()
    for _ in range(3):
        scope = page.scopes.take()
        assert scope["method"] == "GET"
        assert "http.response.push" not in scope["extensions"]


def test_each_resource_once_per_connection(plain: Site) -> None:
    if not plain.http2:
        return
    plain.serve(Page(STYLE), link_preload="auto")
    client = plain.connect()
    assert isinstance(client, HTTP2Client)
    for _ in range(3):
        response = client.get("/")
        # Neither is it hinted: the client has it.
        assert response.informational == []
    assert len(client.promised) == 1
    assert pushes(plain, Page()) == ([b"/style.css"], [])


def test_the_number_is_bounded(plain: Site) -> None:
    links = b", ".join(b"</%d.css>; rel=preload" % n for n in range(40))
    page = Page(links)
    plain.serve(page, link_preload="auto", link_preload_max=5)
    promised, hints = pushes(plain, page)
    assert len(promised) + len(hints) == 5


def test_a_pushed_request_takes_the_choice_of_representation_over(plain: Site) -> None:
    if not plain.http2:
        return
    page = Page(STYLE)
    client = plain.open(page, link_preload="push")
    given = [(b"accept-encoding", b"br"), (b"user-agent", b"x"), (b"cookie", b"secret=1")]
    client.response(client.start("GET", "/", given))
    page.scopes.take()
    headers = dict(page.scopes.take()["headers"])
    assert headers[b"accept-encoding"] == b"br"
    assert headers[b"user-agent"] == b"x"
    assert b"cookie" not in headers
    assert headers[b"host"]


def test_no_hints_for_http_1_0(plain: Site) -> None:
    if plain.http2:
        return
    client = plain.open(Page(STYLE), link_preload="auto")
    client.sock.sendall(b"GET / HTTP/1.0\r\n\r\n")  # type: ignore[attr-defined]
    assert client.sock.recv(65536).startswith(b"HTTP/1.1 200")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"</a>; rel=preload", [Link(b"/a", b"</a>; rel=preload", False)]),
        (b"</a>;REL=Preload;NoPush", [Link(b"/a", b"</a>;REL=Preload;NoPush", True)]),
        (b'</a>; rel="x preload"', [Link(b"/a", b'</a>; rel="x preload"', False)]),
        (b'</a>; title="\\", <b>"; rel=preload', 1),
        (b"</a,b>; rel=preload, </c>; rel=preload", 2),
        (b"</a>; rel=next; rel=preload", 0),  # the first rel counts
        (b"</a>", 0),
        (b"</a; rel=preload", 0),
        (b"rel=preload", 0),
        (b"", 0),
        (b", ,</a>; rel=preload,", 1),
        (b'</a>; rel="preload', 0),
        (b"<" * 5000, 0),
        (b"<>;" * 5000, 0),
        (b'</a>; x="' * 2000, 0),
    ],
)
def test_link_fields(value: bytes, expected: list[Link] | int) -> None:
    found = list(parse_links(value))
    assert (len(found) if isinstance(expected, int) else found) == expected


@pytest.mark.parametrize(
    ("reference", "target"),
    [
        (b"/a", b"/a"),
        (b"b", b"/dir/b"),
        (b"../b", b"/b"),
        (b"?x=1", b"/dir/page?x=1"),
        (b"https://shop.example/a", b"/a"),
        (b"https://SHOP.example:443/a", None),  # another way to write it; not worth a guess
        (b"http://shop.example/a", None),
        (b"https://shop.example.evil/a", None),
        (b"https://user@shop.example/a", None),
        (b"data:text/css,x", None),
        (b"//shop.example/a", b"/a"),
        (b"/a b", None),
        (b"/\xc3\xa9", None),
        (b"https://[/a", None),
    ],
)
def test_targets(reference: bytes, target: bytes | None) -> None:
    scope = {
        "scheme": "https",
        "headers": [(b"host", b"shop.example")],
        "raw_path": b"/dir/page",
    }
    assert own_target(scope, reference) == target


def test_the_helper(site: Site) -> None:
    done = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/app.js":
            await reply(send, b"script")
            return
        await start(send)
        done.put(await tricorn.push(scope, send, "/app.js", [(b"x-a", b"b")]))
        await body(send, b"page")

    site.serve(app)
    client = site.connect()
    response = client.get("/")
    if isinstance(client, HTTP2Client):
        assert done.take() == "push"
        ((stream, (_, headers)),) = client.promised.items()
        assert (b"x-a", b"b") in headers
        assert client.response(stream).body == b"script"
        response = site.connect(push=False).get("/")
    assert done.take() == "hint"
    ((status, hinted),) = response.informational
    assert status == 103
    assert hinted == [(b"link", b"</app.js>; rel=preload; as=script")]


@pytest.mark.parametrize(
    ("path", "target"),
    [
        (
            "/a>,<//evil.example/x.js>;rel=preload,<b",
            b"/a%3E,%3C//evil.example/x.js%3E;rel=preload,%3Cb",
        ),
        ('/"quoted"{}|^`\\.css', b"/%22quoted%22%7B%7D%7C%5E%60%5C.css"),
        ("/é%20.css?x=[1]&y", b"/%C3%A9%20.css?x=[1]&y"),
    ],
)
def test_a_hint_of_the_helper_is_one_link(plain: Site, path: str, target: bytes) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await tricorn.push(scope, send, path)
        await reply(send, b"page")

    plain.serve(app)
    client = plain.connect(push=False) if plain.http2 else plain.connect()
    ((_, ((name, value),)),) = client.get("/").informational
    assert name == b"link"
    assert value.startswith(b"<%b>; rel=preload; as=" % target)


@pytest.mark.parametrize(
    ("path", "destination"),
    [
        ("/a.css?v=1", "style"),
        ("/a.cjs", "script"),
        ("/a.mjs?v=1", "script"),
        ("/a.woff2", "font; crossorigin"),
        ("/a.jxl", "image"),
        ("/a.m4v", "video"),
        ("/a.weba", "audio"),
        ("/a.json", "fetch; crossorigin"),
        ("/a", "fetch; crossorigin"),
    ],
)
def test_a_hint_of_the_helper_tells_what_it_is_for(
    plain: Site, path: str, destination: str
) -> None:
    """The same on machines without a table of media types of their own."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await tricorn.push(scope, send, path)
        await reply(send, b"page")

    plain.serve(app)
    client = plain.connect(push=False) if plain.http2 else plain.connect()
    ((_, ((_, value),)),) = client.get("/").informational
    assert value.decode() == f"<{path}>; rel=preload; as={destination}"


def test_the_helper_does_nothing_where_nothing_can_be_done(plain: Site) -> None:
    done = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        done.put(await tricorn.push(scope, send, "/x.bin"))
        await body(send)

    options = {"push": False} if plain.http2 else {}
    plain.serve(app, early_hints_http1=False)
    plain.connect(**options).get("/")
    assert done.take() == ("hint" if plain.http2 else "nothing")
