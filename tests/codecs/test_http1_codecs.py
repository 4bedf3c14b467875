"""The HTTP/1.1 slot: request heads, in the terms of codecs.base, by every codec there is."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.codecs import present
from tricorn.codecs import choice
from tricorn.config import Config
from tricorn.exceptions import RemoteProtocolError
from tricorn.protocol import negotiate
from tricorn.protocol.events import PeerFault, RequestReceived

HEAD = b"POST /a?b HTTP/1.1\r\nHost: x\r\nX-Ab:  c \r\ntransfer-encoding: chunked\r\n\r\n"
CODECS = present("http1")
CONFIGS = {name: Config(http1_codec=name, h2c_upgrade=True) for name in CODECS}
TOKEN = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
# CR and LF are looked for above the slot.
BYTES = [byte for byte in range(256) if byte not in b"\r\n"]


@pytest.fixture(params=CODECS)
def codec(request):
    return choice.http1(request.param)()


def takes(codec, head):
    """What the codec makes of it, None where it refuses."""
    try:
        return codec.parse_head(head)
    except RemoteProtocolError:
        return None


def test_a_head_in_its_parts(codec):
    method, target, version, fields = codec.parse_head(HEAD)
    assert (method, target, version) == (b"POST", b"/a?b", b"1.1")
    assert fields == [(b"Host", b"x"), (b"X-Ab", b"c"), (b"transfer-encoding", b"chunked")]


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nhost : x\r\n\r\n",
        b"GET  / HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /  HTTP/1.1\r\nhost: x\r\n\r\n",
        b" GET / HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET / HTTP/1.1 \r\nhost: x\r\n\r\n",
        b"GET / http/1.1\r\nhost: x\r\n\r\n",
        b"GET / HTTP/11\r\nhost: x\r\n\r\n",
        b"GET / HTTP/1.10\r\nhost: x\r\n\r\n",
        b"GET / ICE/1.0\r\nhost: x\r\n\r\n",
        b"GET / \r\nhost: x\r\n\r\n",
        b"GET /\r\nhost: x\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET\r\nhost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\0\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\n: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\n",
        b"GET / HTTP/1.1\r\nhost: x",
        b"GET / HTTP/1.1",
        b"\r\n\r\n",
        b"",
    ],
)
def test_a_malformed_or_incomplete_head_is_refused(codec, head):
    with pytest.raises(RemoteProtocolError) as caught:
        codec.parse_head(head)
    assert caught.value.status == 400
    if codec.parse_first is not None:
        assert codec.parse_first(head) is None


@pytest.mark.parametrize("rest", [b"", b"b", b"\r\n", b"\r\n\r\n", HEAD, b"\0" * 9])
def test_the_first_head_of_what_has_come(codec, rest):
    if codec.parse_first is None:
        pytest.skip("it parses whole heads only")
    assert codec.parse_first(HEAD + rest) == (codec.parse_head(HEAD), len(HEAD))
    for end in range(len(HEAD)):
        assert codec.parse_first(HEAD[:end]) is None


@pytest.mark.parametrize(
    "method", [b"PURGE", b"PLAY", b"SOURCE", b"PRI", b"x!", b"CONNECT", b"get"]
)
def test_any_token_is_a_method(codec, method):
    head = b"%b / HTTP/1.1\r\nhost: x\r\n\r\n" % method
    assert codec.parse_head(head) == (method, b"/", b"1.1", [(b"host", b"x")])


@pytest.mark.parametrize("version", [b"0.9", b"1.0", b"1.1", b"1.2", b"1.9", b"2.0", b"3.7"])
def test_any_version_is_told(codec, version):
    assert codec.parse_head(b"GET / HTTP/%b\r\nhost: x\r\n\r\n" % version)[2] == version


@pytest.mark.parametrize(
    "fields",
    [
        [(b"Content-Length", b"5"), (b"Upgrade", b"h2c"), (b"Connection", b"Upgrade")],
        [(b"Connection", b"close")],
        [(b"Cookie", b"a=b"), (b"cookie", b"c=d"), (b"Cookie", b"a=b")],
        [(b"A", b""), (b"B", b"x y\tz"), (b"C", b"\xff")],
        [
            (b"Transfer-Encoding", b"chunked"),
            (b"Upgrade", b"websocket"),
            (b"Connection", b"upgrade"),
        ],
    ],
)
def test_fields_are_told_as_they_came(codec, fields):
    fields = [(b"hOST", b"x"), *fields]
    lines = b"".join(b"%b: %b\r\n" % field for field in fields)
    for _ in range(3):
        assert codec.parse_head(b"POST * HTTP/1.1\r\n" + lines + b"\r\n")[3] == fields


@pytest.mark.parametrize("space", [b" ", b"\t", b" \t "])
def test_white_space_around_values_is_taken_off(codec, space):
    lines = b"A:" + space + b"b  c" + space + b"\r\nD:" + space + b"\r\nHost: x"
    head = b"GET / HTTP/1.1\r\n" + lines + b"\r\n\r\n"
    assert codec.parse_head(head)[3] == [(b"A", b"b  c"), (b"D", b""), (b"Host", b"x")]


def test_each_head_is_parsed_alone(codec):
    with pytest.raises(RemoteProtocolError):
        codec.parse_head(b"nonsense\r\n\r\n")
    with pytest.raises(RemoteProtocolError):
        codec.parse_head(b"GET / HTTP/1.1\r\nhost: x\r\nbad")
    for _ in range(2):
        assert codec.parse_head(HEAD)[0] == b"POST"
        assert len(codec.parse_head(HEAD)[3]) == 3


def test_heads_of_many_fields_and_long_ones(codec):
    fields = [(b"host", b"a"), *((b"x-%d" % n, b"v" * n) for n in range(300))]
    target = b"/" + b"a" * 60_000
    lines = b"".join(b"%b: %b\r\n" % field for field in fields)
    head = codec.parse_head(b"GET %b HTTP/1.1\r\n%b\r\n" % (target, lines))
    assert head == (b"GET", target, b"1.1", fields)


@pytest.mark.parametrize("method", [b"GET", b"PURGE"])  # the second takes another way in httptools
class TestEveryByte:
    """RFC 9110 5.5, 5.6.2, 9.1; RFC 9112 3.2, with absolute-form's rules left to the protocol."""

    def test_in_a_method(self, codec, method):
        for byte in BYTES:
            name = method + bytes([byte])
            found = takes(codec, name + b" / HTTP/1.1\r\nhost: x\r\n\r\n")
            assert found == ((name, b"/", b"1.1", [(b"host", b"x")]) if byte in TOKEN else None)

    def test_in_a_target(self, codec, method):
        for byte in BYTES:
            for target in (b"/" + bytes([byte]) + b"b", b"/a?" + bytes([byte])):
                found = takes(codec, b"%b %b HTTP/1.1\r\nhost: x\r\n\r\n" % (method, target))
                visible = 0x21 <= byte <= 0x7E
                expected = (method, target, b"1.1", [(b"host", b"x")]) if visible else None
                assert found == expected, bytes([byte])

    def test_in_a_field_name(self, codec, method):
        for byte in BYTES:
            for name in (b"a" + bytes([byte]), bytes([byte]) + b"a", b"a" + bytes([byte]) + b"b"):
                if name == b"a:" or name[0] in b" \t":
                    continue  # a value of ":"; and a folded line, which is looked for above
                found = takes(codec, b"%b / HTTP/1.1\r\nhost: x\r\n%b: x\r\n\r\n" % (method, name))
                if byte == 0x3A and name == b"a:b":
                    assert found is not None
                    assert found[3][1:] == [(b"a", b"b: x")]
                elif byte in TOKEN:
                    assert found is not None
                    assert found[3][1:] == [(name, b"x")]
                else:
                    assert found is None, name

    def test_in_a_field_value(self, codec, method):
        for byte in BYTES:
            value = b"a" + bytes([byte]) + b"b"
            found = takes(codec, b"%b / HTTP/1.1\r\nhost: x\r\nx: %b\r\n\r\n" % (method, value))
            if byte == 0x7F or (byte < 0x20 and byte != 0x09):
                assert found is None, value
            else:
                assert found is not None
                assert found[3][1:] == [(b"x", value)]


# Every codec's connection does the same with the same bytes.

PARTS = st.sampled_from(
    [
        b"GET", b"POST", b"PURGE", b"CONNECT", b"OPTIONS", b" ", b"  ", b"/", b"*", b"/a?b#c",
        b"http://h/p", b"h:80", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.2", b"\r\n",
        b"\r\n\r\n", b"\n", b"\r", b"\r\n ", b"\t", b"\0", b"\x7f", b"\x80", b":", b"host",
        b"Host: a", b"Content-Length: ", b"Content-Length: 3", b"content-length: 3", b"3", b"03",
        b"3, 3", b"-1", b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip",
        b"Transfer-Encoding: gzip, chunked", b"chunked", b"Connection: close",
        b"Connection: Upgrade", b"Connection: keep-alive", b"Upgrade: h2c", b"Upgrade: websocket",
        b"Expect: 100-continue", b"TE: trailers", b"X: y ",
        b"abc", b"3\r\nabc\r\n0\r\n\r\n", b"0\r\n\r\n", b";",
    ]
)  # fmt: skip
LINES = st.lists(
    st.sampled_from(
        [
            b"Host: a", b"host: b", b"Content-Length: 3", b"content-length: 3",
            b"Content-Length: 4",
            b"Content-Length: 3, 3", b"Content-Length: ", b"Content-Length: 99999999999999999999",
            b"Content-Length:\t3 ", b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked ",
            b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: gzip", b"Transfer-Encoding:",
            b"Connection: close", b"Connection: Upgrade, HTTP2-Settings", b"Connection: keep-alive",
            b"Connection: foo", b"Upgrade: h2c", b"Upgrade: websocket", b"HTTP2-Settings: AAMAAABk",
            b"Expect: 100-continue", b"Expect: 1", b"TE: trailers", b"X: y ", b" folded", b"X : y",
            b"X\x00: y", b"X: \x01", b"nothing", b"", b"Proxy-Connection: x", b"X: a\rb",
            b"X: a\nb",
        ]
    ),
    max_size=5,
)  # fmt: skip
REQUEST_LINES = st.sampled_from(
    [
        b"GET / HTTP/1.1", b"POST / HTTP/1.1", b"POST / HTTP/1.0", b"PURGE /x HTTP/1.1",
        b"CONNECT a:80 HTTP/1.1", b"OPTIONS * HTTP/1.1", b"GET http://a/ HTTP/1.1",
        b"GET a HTTP/1.1",
        b"GET / HTTP/2.0", b"GET / HTTP/1.7", b"PLAY / HTTP/1.0", b"HEAD //?? HTTP/1.1", b"GET /",
        b"GET /\x80 HTTP/1.1", b"PRI * HTTP/2.0", b"GET /a b HTTP/1.1",
    ]
)  # fmt: skip
BODIES = st.sampled_from([b"", b"abc", b"3\r\nabc\r\n0\r\n\r\n", b"0\r\nA: b\r\n\r\n", b"GET / "])
REQUESTS = st.tuples(REQUEST_LINES, LINES, BODIES)


def conversation(name, data):
    """What a connection on this codec tells of the bytes; why it refused is its own business."""
    connection = negotiate.http1(CONFIGS[name])
    told = []
    events = connection.receive_data(data)
    for _ in range(10):
        for event in events:
            if isinstance(event, RequestReceived):
                connection.send_headers(event.stream_id, 204, [], True)
            if isinstance(event, PeerFault):
                # Which of several faults is found first is the codec's business.
                told.append((event.stream_id, "refused"))
            else:
                told.append(repr(event))
        while connection.data_to_send():
            pass  # the next exchange waits for that
        if not connection.has_events:
            break
        events = connection.take_events()
    return told, connection.closing, connection.wants_data


@pytest.mark.skipif(len(CODECS) < 2, reason="one HTTP/1.1 codec is installed")
class TestCodecsAgree:
    def test_on_the_exchanges_behind_the_first(self):
        data = HEAD + b"0\r\n\r\n" + b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 2
        for name in CODECS:
            told, _, _ = conversation(name, data)
            assert sum(line.startswith("RequestReceived(") for line in told) == 3

    @settings(max_examples=400, derandomize=True, database=None)
    @given(st.lists(PARTS, max_size=12))
    def test_on_loose_parts(self, parts):
        data = b"".join(parts) + b"\r\n\r\n"
        assert len({repr(conversation(name, data)) for name in CODECS}) == 1

    @settings(max_examples=600, derandomize=True, database=None)
    @given(st.lists(REQUESTS, min_size=1, max_size=3))
    def test_on_requests(self, requests):
        data = b"".join(b"\r\n".join([line, *lines, b"", body]) for line, lines, body in requests)
        seen = {name: conversation(name, data) for name in CODECS}
        assert len(set(map(repr, seen.values()))) == 1, seen
