"""The trailers of a response, on the wire (ASGI extensions, "HTTP Trailers")."""

from __future__ import annotations

from typing import Any

import pytest
from specification_site import SharedSite, refused

from helpers.apps import body, start
from helpers.serving import Inbox
from tricorn.types import Receive, Scope, Send

TE = [(b"te", b"trailers")]
Fields = list[tuple[bytes, bytes]]


async def trailers(send: Send, headers: Any, **more: Any) -> None:
    """Send an ``http.response.trailers``."""
    await send({"type": "http.response.trailers", "headers": headers} | more)


def test_the_response_waits_for_its_trailers(site: SharedSite) -> None:
    """must, HTTP "Response Start": with trailers true, the response is complete only after the
    trailers that follow its body."""
    gate: Any = None

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send, trailers=True)
        await body(send, b"one ", more=True)
        await body(send, b"two")
        await gate.wait()
        await trailers(send, [(b"x-sum", b"17")])

    client = site.open(app)
    gate = site.gate()
    stream = client.start("GET", "/", TE)
    response = client.response(stream, lambda r: bytes(r.body) == b"one two")
    assert (response.complete, response.cut) == (False, False)
    gate.open()
    response = client.response(stream)
    assert (response.text, response.complete) == ("one two", True)
    assert response.trailers == [(b"x-sum", b"17")]


def test_trailers_in_several_events(plain: SharedSite) -> None:
    """must, extensions "HTTP Trailers": more_trailers says that more of them follow; their order
    and duplicates are kept."""
    sent = [[(b"x-b", b"1"), (b"x-a", b"2")], [], [[b"x-b", b"3"]]]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send, trailers=True)
        await body(send, b"x")
        for number, headers in enumerate(sent):
            await trailers(send, headers, more_trailers=number < 2)

    response = plain.open(app).get("/", TE)
    assert (response.text, response.complete) == ("x", True)
    assert response.trailers == [(b"x-b", b"1"), (b"x-a", b"2"), (b"x-b", b"3")]


@pytest.mark.parametrize("event", [{}, {"headers": []}, {"more_trailers": False}])
def test_a_promise_of_none(plain: SharedSite, event: dict[str, Any]) -> None:
    """must, extensions "HTTP Trailers": headers default to none and more_trailers to False."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send, trailers=True)
        await body(send, b"x")
        await send({"type": "http.response.trailers"} | event)

    client = plain.open(app)
    for headers in (TE, []):
        response = client.get("/", headers)
        assert (response.text, response.complete, response.trailers) == ("x", True, [])


@pytest.mark.parametrize(
    ("headers", "taken"),
    [
        (TE, True),
        ([(b"te", b"Trailers")], True),
        ([(b"te", b"gzip;q=0.5, trailers")], True),
        ([(b"te", b"gzip"), (b"te", b"trailers")], True),
        ([], False),
        ([(b"te", b"")], False),
        ([(b"te", b"gzip, xtrailers")], False),
        ([(b"trailer", b"trailers")], False),
    ],
    ids=["alone", "case", "list", "fields", "none", "empty", "other", "another field"],
)
def test_only_who_takes_them_gets_them(plain: SharedSite, headers: Fields, taken: bool) -> None:
    """must, extensions "HTTP Trailers": trailers are sent only if the request says TE: trailers,
    and only then is the extension in its scope."""
    if plain.http2 and headers[:1] != [(b"trailer", b"trailers")]:
        headers = TE if taken else []  # HTTP/2 has no other TE (RFC 9113 section 8.2.2)
    offered = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        offered.put("http.response.trailers" in scope["extensions"])
        await start(send, trailers=True)
        await body(send, b"x")
        await trailers(send, [(b"x-sum", b"17")])

    client = plain.open(app)
    for _ in range(2):
        response = client.get("/", headers)
        assert offered.take() is taken
        assert (response.text, response.complete) == ("x", True)
        assert response.trailers == ([(b"x-sum", b"17")] if taken else [])


def test_the_trailer_field_is_the_applications(plain: SharedSite) -> None:
    """must, extensions "HTTP Trailers": the server does not check the Trailer field, nor add it."""
    fields = [[(b"trailer", b"x-other")], []]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send, 200, fields[int(scope["path"][1:])], trailers=True)
        await body(send, b"x")
        await trailers(send, [(b"x-sum", b"17")])

    client = plain.open(app)
    for number, value in ((0, b"x-other"), (1, None)):
        response = client.get(f"/{number}", TE)
        assert response.header(b"trailer") == value
        assert response.trailers == [(b"x-sum", b"17")]


def test_trailers_out_of_order_are_refused(plain: SharedSite) -> None:
    """should, core "Error Handling": trailers before the end of the body, and more body behind
    it, raise out of send."""
    found = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        event = {"type": "http.response.trailers", "headers": [(b"x-sum", b"17")]}
        early = await refused(send, event)
        await start(send, trailers=True)
        held = await refused(send, event)
        await body(send, b"x", more=True)
        within = await refused(send, event)
        await body(send, b"y")
        behind = await refused(send, {"type": "http.response.body", "body": b"z"})
        found.put((early, held, within, behind))
        await send(event)

    response = plain.open(app).get("/", TE)
    assert (response.text, response.trailers) == ("xy", [(b"x-sum", b"17")])
    assert found.take() == (True, True, True, True)
