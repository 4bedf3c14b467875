"""ASGI: whatever an application sends and whenever, it gets InvalidMessage or ClientDisconnected.

And whatever it does, what leaves an HTTP/1.1 connection is a sequence of whole responses.
"""

import h11
from asgi_host import HTTP2Host, http1_host, request, step
from fuzz_strategies import fuzz
from hypothesis import given
from hypothesis import strategies as st
from playbook_http2 import GET, POST, data, goaway, headers, reset

from tricorn.exceptions import ClientDisconnected, InvalidMessage

ODD = st.sampled_from(
    [None, True, 0, 5, -1, 1e9, "", "text", "\ud800", b"", b"bytes", b"a\r\nb", [], [1], [None],
     {}, (), [(b"a", b"b")], [("a", "b")], [(b"a", b"b\r\n\r\n")], [[b"a"]], object()]
)  # fmt: skip
FIELDS = st.sampled_from(
    [
        [],
        [(b"a", b"b")],
        [(b"content-length", b"2")],
        [(b"content-length", b"0")],
        [(b"transfer-encoding", b"chunked")],
        [(b"connection", b"close")],
        [(b"upgrade", b"x")],
        [(b"set-cookie", b"a"), (b"set-cookie", b"b")],
        iter([(b"a", b"b")]),
    ]
)
KEYS = {
    "status": st.sampled_from([200, 204, 304, 404, 500, 101, 999]),
    "headers": FIELDS,
    "trailers": st.booleans(),
    "more_trailers": st.booleans(),
    "more_body": st.booleans(),
    "body": st.sampled_from([b"", b"x", b"hello", bytearray(b"hi"), memoryview(b"view")]),
    "links": st.sampled_from([[], [b"</a>"]]),
    "path": st.sampled_from(["/a", "/b?c", "*"]),
    "subprotocol": st.sampled_from([None, "chat"]),
    "text": st.sampled_from([None, "", "hello"]),
    "bytes": st.sampled_from([None, b"", b"hello"]),
    "code": st.sampled_from([1000, 1001, 3000, 1006]),
    "reason": st.sampled_from([None, "", "bye"]),
}
TYPES = {
    "http.response.start": ("status", "headers", "trailers"),
    "http.response.body": ("body", "more_body"),
    "http.response.trailers": ("headers", "more_trailers"),
    "http.response.early_hint": ("links",),
    "http.response.push": ("path", "headers"),
    "websocket.accept": ("subprotocol", "headers"),
    "websocket.send": ("text", "bytes"),
    "websocket.close": ("code", "reason"),
    "websocket.http.response.start": ("status", "headers"),
    "websocket.http.response.body": ("body", "more_body"),
}


@st.composite
def messages(draw, prefix):
    """A message of a type that begins so, mostly well-formed."""
    kinds = [kind for kind in TYPES if kind.startswith(prefix)]
    kind = draw(st.sampled_from([*kinds, *kinds, "nonsense"]))
    message = {"type": kind}
    for key in TYPES.get(kind, ()):
        choice = draw(st.integers(0, 9))
        if choice:
            message[key] = draw(KEYS[key] if choice < 9 else ODD)
    if draw(st.integers(0, 30)) == 30:
        return draw(st.one_of(ODD, ODD.map(lambda kind: {"type": kind})))
    return message


def actions(prefix, peer):
    """What happens to an exchange: messages, receives, the peer's bytes, time."""
    return st.lists(
        st.one_of(
            messages(prefix),
            messages(prefix),
            st.sampled_from(["receive", "tick", "eof", "drain", *peer]),
        ),
        max_size=12,
    )


def play(host, stream, acts):
    """Do all of it; then the application ends."""
    for number, act in enumerate(acts):
        try:
            if act == "receive":
                step(stream.receive())
            elif act == "tick":
                stream.tick(number * 30)
                host.dispatch(host.http.handle_timeout(number * 30))
            elif act == "eof":
                host.dispatch(host.http.receive_eof())
            elif act == "drain":
                host.http.drain()
                stream.shutdown()
            elif isinstance(act, bytes) and act:
                host.receive(act)
            else:
                step(stream.send(act))
        except (InvalidMessage, ClientDisconnected):
            pass
    stream.finished(None)
    for now in range(1000, 2000, 100):
        stream.tick(now)
    host.flush()
    assert stream.complete or stream.abandoned


HTTP1_REQUESTS = st.sampled_from(
    [
        request(),
        request(b"HEAD", b"te: trailers"),
        request(b"GET", b"te: trailers"),
        request(version=b"1.0"),
        request(b"POST", b"content-length: 6", body=b"abc"),
        request(b"POST", b"expect: 100-continue", b"content-length: 6"),
    ]
)


@fuzz
@given(HTTP1_REQUESTS, actions("http.", [b"abc", b"\r\n"]))
def test_http_1(first, acts):
    host = http1_host(first)
    play(host, host.streams[1], acts)
    assert_whole_response(first.split(b" ")[0], host.output, closed=host.http.closing)


def assert_whole_response(method, output, *, closed):
    """A client reads one whole response, or one that is cut off by the end of the connection."""
    if not output:
        assert closed
        return
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(output)
    finals = 0
    while True:
        event = client.next_event()
        finals += isinstance(event, h11.Response)
        if event is h11.NEED_DATA:
            # Only where the peer can tell from the end of the connection.
            assert closed
            break
        if isinstance(event, h11.EndOfMessage):
            break
    assert finals <= 1
    # Bytes behind the request may have been refused.
    rest = client.trailing_data[0]
    assert not rest or (rest.startswith(b"HTTP/1.1 4") and rest.count(b"HTTP/1.1") == 1)


@fuzz
@given(
    st.sampled_from([GET, POST, [*GET, (b"te", b"trailers")]]),
    st.booleans(),
    actions("http.", [reset(1), data(1, b"x"), data(1, b"x", end=True), goaway(), headers(3)]),
)
def test_http_2(fields, end, acts):
    host = HTTP2Host()
    host.receive(headers(1, fields, end=end))
    play(host, host.streams[1], acts)
    host.taken_frames()


WEBSOCKET = request(
    b"GET", b"connection: upgrade", b"upgrade: websocket", b"sec-websocket-version: 13",
    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==", b"sec-websocket-protocol: chat",
)  # fmt: skip
CONNECT = [
    (b":method", b"CONNECT"), (b":protocol", b"websocket"), *GET[1:],
    (b"sec-websocket-version", b"13"), (b"sec-websocket-protocol", b"chat"),
]  # fmt: skip
TEXT = b"\x81\x82\0\0\0\0hi"
CLOSE = b"\x88\x80\0\0\0\0"


@fuzz
@given(actions("websocket.", [TEXT, CLOSE, b"\xff\xff"]))
def test_websocket_on_http_1(acts):
    host = http1_host(WEBSOCKET)
    play(host, host.streams[1], acts)


@fuzz
@given(actions("websocket.", [data(1, TEXT), data(1, CLOSE), reset(1), data(1, end=True)]))
def test_websocket_on_http_2(acts):
    host = HTTP2Host()
    host.receive(headers(1, CONNECT, end=False))
    play(host, host.streams[1], acts)
    host.taken_frames()
