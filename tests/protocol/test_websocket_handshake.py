"""The opening handshake over HTTP/1.1 and HTTP/2, and what permessage-deflate agrees on."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playbook_websocket import codec_factory
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from tricorn.codecs.websocket_base import DeflateParameters
from tricorn.exceptions import LocalProtocolError, RemoteProtocolError
from tricorn.protocol.websocket import (
    CloseReceived,
    CompressionOptions,
    WebSocketLimits,
)
from tricorn.protocol.websocket_handshake import WebSocketHandshake

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455 section 1.3
UPGRADE = [
    (b"host", b"server.example.com"),
    (b"upgrade", b"websocket"),
    (b"connection", b"Upgrade"),
    (b"sec-websocket-key", KEY),
    (b"sec-websocket-version", b"13"),
]
CONNECT = [(b"sec-websocket-version", b"13")]


def with_header(name, *values):
    return [h for h in UPGRADE if h[0] != name] + [(name, value) for value in values]


def shake(*headers):
    return WebSocketHandshake.from_request("1.1", b"GET", UPGRADE + list(headers))


def offer(*values):
    return shake(*((b"sec-websocket-extensions", value) for value in values))


def test_http1_accept_example_of_the_rfc():
    status, headers, connection = shake().accept()
    assert status == 101
    assert headers == [
        (b"upgrade", b"websocket"),
        (b"connection", b"Upgrade"),
        (b"sec-websocket-accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    ]
    assert connection.receive_data(b"\x81\x81\0\0\0\0x") == ["x"]


def test_http2_accept():
    handshake = WebSocketHandshake.from_request("2", "CONNECT", CONNECT)
    status, headers, connection = handshake.accept()
    assert (status, headers) == (200, [])
    assert connection.receive_data(b"\x81\x81\0\0\0\0x") == ["x"]


def test_http2_needs_no_key_and_answers_none():
    headers = [*CONNECT, (b"sec-websocket-key", b"nonsense")]
    assert WebSocketHandshake.from_request("2", b"CONNECT", headers).accept()[1] == []


@pytest.mark.parametrize(
    "headers",
    [
        with_header(b"connection", b"keep-alive, UpGrade"),
        with_header(b"connection", b"keep-alive", b"upgrade"),
        with_header(b"upgrade", b"h2c, WebSocket"),
    ],
)
def test_lists_and_case_of_connection_and_upgrade(headers):
    assert WebSocketHandshake.from_request("1.1", "GET", headers).accept()[0] == 101


BAD_REQUESTS = {
    "POST": (b"POST", UPGRADE),
    "no connection": (b"GET", with_header(b"connection")),
    "connection without upgrade": (b"GET", with_header(b"connection", b"keep-alive, upgraded")),
    "no upgrade": (b"GET", with_header(b"upgrade")),
    "upgrade to another protocol": (b"GET", with_header(b"upgrade", b"websockets")),
    "no key": (b"GET", with_header(b"sec-websocket-key")),
    "two keys": (b"GET", with_header(b"sec-websocket-key", KEY, KEY)),
    "key of 15 bytes": (
        b"GET",
        with_header(b"sec-websocket-key", base64.b64encode(bytes(15))),
    ),
    "key of 17 bytes": (
        b"GET",
        with_header(b"sec-websocket-key", base64.b64encode(bytes(17))),
    ),
    "key not base64": (b"GET", with_header(b"sec-websocket-key", b"!" + KEY)),
    "key not ASCII": (b"GET", with_header(b"sec-websocket-key", b"\xff" + KEY)),
    "key without padding": (b"GET", with_header(b"sec-websocket-key", KEY.rstrip(b"="))),
    "subprotocol not a token": (b"GET", [*UPGRADE, (b"sec-websocket-protocol", b"a b")]),
    "subprotocol with CTL": (b"GET", [*UPGRADE, (b"sec-websocket-protocol", b"a\x0b")]),
    "extension not a token": (b"GET", [*UPGRADE, (b"sec-websocket-extensions", b"a b")]),
    "extension without a name": (b"GET", [*UPGRADE, (b"sec-websocket-extensions", b"; a=1")]),
    "parameter without a name": (b"GET", [*UPGRADE, (b"sec-websocket-extensions", b"a; =1")]),
    "parameter without a value": (b"GET", [*UPGRADE, (b"sec-websocket-extensions", b"a; b=")]),
    "quoted value not a token": (b"GET", [*UPGRADE, (b"sec-websocket-extensions", b'a; b="c d"')]),
    "quote left open": (b"GET", [*UPGRADE, (b"sec-websocket-extensions", b'a; b="c')]),
}


@pytest.mark.parametrize(("method", "headers"), BAD_REQUESTS.values(), ids=BAD_REQUESTS)
def test_bad_requests(method, headers):
    with pytest.raises(RemoteProtocolError) as caught:
        WebSocketHandshake.from_request("1.1", method, headers)
    assert caught.value.status == 400


@pytest.mark.parametrize("values", [(), (b"8",), (b"013",), (b"",), (b"13", b"13"), (b"13, 8",)])
def test_other_versions_are_told_ours(values):
    with pytest.raises(RemoteProtocolError) as caught:
        WebSocketHandshake.from_request(
            "1.1", b"GET", with_header(b"sec-websocket-version", *values)
        )
    assert caught.value.status == 426
    assert sorted(caught.value.headers) == [
        (b"connection", b"Upgrade"),
        (b"sec-websocket-version", b"13"),
        (b"upgrade", b"websocket"),
    ]


def test_other_versions_over_http2_get_no_upgrade_fields():
    with pytest.raises(RemoteProtocolError) as caught:
        WebSocketHandshake.from_request("2", b"CONNECT", [(b"sec-websocket-version", b"12")])
    assert caught.value.status == 400
    assert caught.value.headers == [(b"sec-websocket-version", b"13")]


def test_http2_needs_connect():
    with pytest.raises(RemoteProtocolError):
        WebSocketHandshake.from_request("2", b"GET", UPGRADE)


def test_subprotocols_in_order_without_doubles():
    handshake = shake(
        (b"sec-websocket-protocol", b"chat, , superchat"), (b"sec-websocket-protocol", b"x,chat")
    )
    assert handshake.subprotocols == ["chat", "superchat", "x"]
    assert (b"sec-websocket-protocol", b"superchat") in handshake.accept("superchat")[1]
    assert b"sec-websocket-protocol" not in dict(handshake.accept(None)[1])


@pytest.mark.parametrize("name", ["Chat", "", "chat, superchat", "other", "chat\r\nx: y"])
def test_a_subprotocol_that_was_not_offered(name):
    with pytest.raises(LocalProtocolError, match="not offered"):
        shake((b"sec-websocket-protocol", b"chat,superchat")).accept(name)


def test_extension_offers_are_parsed():
    handshake = offer(b'a, b; c; d=e ;f="g\\h",', b" , x-y;z=1")
    assert handshake.extensions == [
        ("a", []),
        ("b", [("c", None), ("d", "e"), ("f", "gh")]),
        ("x-y", [("z", "1")]),
    ]
    assert offer().extensions == offer(b" , ").extensions == []


@given(st.text(alphabet='ab;,="\\ \t', max_size=30))
def test_noise_in_extensions_is_parsed_or_refused(text):
    try:
        offers = offer(text.encode()).extensions
    except RemoteProtocolError:
        return
    assert all(name and all(p and v != "" for p, v in params) for name, params in offers)


@pytest.mark.parametrize(
    "value", [b"a;" * 30_000, b" ," * 30_000, b" " * 60_000 + b";", b'a;b="' + b"\\" * 60_000]
)
def test_long_extension_headers_take_linear_time(value):
    # At 60,000 characters a quadratic parser takes minutes, the test's time limit a part.
    try:
        offer(value)
    except RemoteProtocolError:
        return
    assert value.startswith(b" ,")


def test_application_headers_follow_ours():
    headers = [(b"Set-Cookie", b"a=b"), (b"x-empty", b""), (b"x-tab", b" a\tb \xe9 ")]
    _, response, _ = shake().accept(headers=headers)
    assert response[3:] == [(b"set-cookie", b"a=b"), (b"x-empty", b""), (b"x-tab", b"a\tb \xe9")]


@pytest.mark.parametrize("version", ["1.1", "2"])
@pytest.mark.parametrize(
    "header",
    [
        (b"sec-websocket-protocol", b"chat"),
        (b"Sec-WebSocket-Accept", b"x"),
        (b"sec-websocket-extensions", b"permessage-deflate"),
        (b"connection", b"close"),
        (b"upgrade", b"x"),
        (b"keep-alive", b"1"),
        (b"content-length", b"0"),
        (b"Transfer-Encoding", b"chunked"),
        (b":status", b"200"),
        (b"", b"x"),
        (b"a b", b"x"),
        (b"a:", b"x"),
        (b"a\n", b"x"),
        (b"a\xe9", b"x"),
        (b"a", b"x\r\ny: z"),
        (b"a", b"x\ny"),
        (b"a", b"x\n"),
        (b"a", b"x\0y"),
        (b"a", b"\x1b[0m"),
        (b"a", b"\x7f"),
        ("a", b"x"),
        (b"a", "x"),
    ],
)
def test_headers_that_are_not_the_applications(version, header):
    method, request = ("GET", UPGRADE) if version == "1.1" else ("CONNECT", CONNECT)
    handshake = WebSocketHandshake.from_request(version, method, request)
    with pytest.raises(LocalProtocolError):
        handshake.accept(headers=[header])


SMALL = CompressionOptions(server_max_window_bits=10, client_max_window_bits=11)
FORGETFUL = CompressionOptions(server_context_takeover=False, client_context_takeover=False)
DEFAULT = CompressionOptions()
PMD = "permessage-deflate"

# offer, our options, answer after "permessage-deflate", agreed parameters
NEGOTIATIONS = [
    (PMD, DEFAULT, "", DeflateParameters()),
    ("Permessage-Deflate", DEFAULT, "", DeflateParameters()),
    (f"{PMD}; client_max_window_bits", DEFAULT, "", DeflateParameters()),
    (
        f"{PMD}; client_max_window_bits=15",
        DEFAULT,
        "; client_max_window_bits=15",
        DeflateParameters(),
    ),
    (
        f"{PMD}; client_max_window_bits=8",
        DEFAULT,
        "; client_max_window_bits=8",
        DeflateParameters(15, 8),
    ),
    (
        f'{PMD}; client_max_window_bits="12"',
        DEFAULT,
        "; client_max_window_bits=12",
        DeflateParameters(15, 12),
    ),
    (
        f"{PMD}; server_max_window_bits=9",
        DEFAULT,
        "; server_max_window_bits=9",
        DeflateParameters(9),
    ),
    (
        f"{PMD}; server_max_window_bits=15",
        DEFAULT,
        "; server_max_window_bits=15",
        DeflateParameters(),
    ),
    (
        f"{PMD}; server_no_context_takeover; client_no_context_takeover",
        DEFAULT,
        "; server_no_context_takeover; client_no_context_takeover",
        DeflateParameters(15, 15, True, True),
    ),
    (
        f"{PMD}; server_no_context_takeover",
        DEFAULT,
        "; server_no_context_takeover",
        DeflateParameters(15, 15, True, False),
    ),
    (
        PMD,
        FORGETFUL,
        "; server_no_context_takeover; client_no_context_takeover",
        DeflateParameters(15, 15, True, True),
    ),
    (PMD, SMALL, "; server_max_window_bits=10", DeflateParameters(10, 15)),
    (
        f"{PMD}; client_max_window_bits",
        SMALL,
        "; server_max_window_bits=10; client_max_window_bits=11",
        DeflateParameters(10, 11),
    ),
    (
        f"{PMD}; client_max_window_bits=9; server_max_window_bits=12",
        SMALL,
        "; server_max_window_bits=10; client_max_window_bits=9",
        DeflateParameters(10, 9),
    ),
    # The first acceptable offer wins, whatever stands before it.
    (
        f"other, {PMD}; server_max_window_bits=8, {PMD}; foo, {PMD}; server_max_window_bits=11,"
        f" {PMD}",
        DEFAULT,
        "; server_max_window_bits=11",
        DeflateParameters(11),
    ),
]


@pytest.mark.parametrize(("offered", "options", "answer", "agreed"), NEGOTIATIONS)
def test_negotiation(offered, options, answer, agreed):
    seen = []

    def make(*, deflate, **_):
        seen.append(deflate)

    _, headers, _ = offer(offered.encode()).accept(compression=options, codec_factory=make)
    assert headers[3:] == [(b"sec-websocket-extensions", f"{PMD}{answer}".encode())]
    assert seen == [agreed]


@pytest.mark.parametrize(
    "offered",
    [
        "",
        "x-webkit-deflate-frame",
        f"{PMD}; unknown",
        f"{PMD}; server_no_context_takeover=1",
        f"{PMD}; client_no_context_takeover=true",
        f"{PMD}; server_max_window_bits",
        f"{PMD}; server_max_window_bits=8",
        f"{PMD}; server_max_window_bits=16",
        f"{PMD}; server_max_window_bits=010",
        f"{PMD}; server_max_window_bits=-9",
        f"{PMD}; client_max_window_bits=7",
        f"{PMD}; client_max_window_bits=x",
        f"{PMD}; client_max_window_bits=1000000000000000000000",
        f"{PMD}; client_max_window_bits; client_max_window_bits=10",
        f"{PMD}; server_no_context_takeover; server_no_context_takeover",
    ],
)
def test_declined_offers_leave_the_connection_uncompressed(offered):
    _, headers, connection = offer(offered.encode()).accept(compression=DEFAULT)
    assert b"sec-websocket-extensions" not in dict(headers)
    connection.send_bytes(b"x" * 100)
    assert connection.data_to_send() == b"\x82\x64" + b"x" * 100
    (failed,) = connection.receive_data(b"\xc1\x81\0\0\0\0x")
    assert failed.code == 1002


def test_compression_switched_off():
    _, headers, _ = offer(PMD.encode()).accept(compression=None)
    assert b"sec-websocket-extensions" not in dict(headers)


@pytest.mark.parametrize("bits", [8, 16])
def test_window_bits_out_of_range(bits):
    with pytest.raises(ValueError, match="window bits"):
        CompressionOptions(server_max_window_bits=bits)
    with pytest.raises(ValueError, match="window bits"):
        CompressionOptions(client_max_window_bits=bits)


def test_limits_reach_the_connection():
    _, _, connection = shake().accept(limits=WebSocketLimits(max_message_size=3))
    (failed,) = connection.receive_data(b"\x82\x84\0\0\0\0")
    assert failed.code == 1009


MESSAGES = st.lists(st.one_of(st.text(max_size=200), st.binary(max_size=200)), max_size=6)
WINDOW = st.one_of(st.none(), st.integers(9, 15))


@pytest.mark.usefixtures("websocket_codec")
@settings(max_examples=50)
@given(
    MESSAGES, MESSAGES, st.builds(
        ClientPerMessageDeflateFactory,
        server_no_context_takeover=st.booleans(),
        client_no_context_takeover=st.booleans(),
        server_max_window_bits=WINDOW,
        client_max_window_bits=st.one_of(st.just(True), st.integers(9, 15)),
    ),
    st.builds(
        CompressionOptions,
        server_max_window_bits=st.integers(9, 15),
        client_max_window_bits=st.integers(9, 15),
        server_context_takeover=st.booleans(),
        client_context_takeover=st.booleans(),
        min_size=st.integers(0, 100),
    ),
)  # fmt: skip
def test_a_whole_connection_with_another_implementation(ours, theirs, factory, options):
    client = ClientProtocol(
        parse_uri("ws://localhost/"), extensions=[factory], subprotocols=["chat"]
    )
    request = client.connect()
    headers = [(k.lower().encode(), v.encode()) for k, v in request.headers.raw_items()]
    handshake = WebSocketHandshake.from_request("1.1", "GET", headers)
    status, answer, server = handshake.accept(
        "chat", compression=options, codec_factory=codec_factory()
    )
    client.send_request(request)
    client.data_to_send()
    head = b"".join(name + b": " + value + b"\r\n" for name, value in answer)
    client.receive_data(b"HTTP/1.1 %d Switching Protocols\r\n%b\r\n" % (status, head))
    (response,) = client.events_received()
    assert isinstance(response, Response)
    assert client.handshake_exc is None
    assert client.subprotocol == "chat"
    assert len(client.extensions) == 1

    for message in ours:
        server.send_text(message) if isinstance(message, str) else server.send_bytes(message)
    client.receive_data(server.data_to_send())
    frames = client.events_received()
    assert [
        frame.data.decode() if frame.opcode is Opcode.TEXT else bytes(frame.data)
        for frame in frames
    ] == ours

    for message in theirs:
        if isinstance(message, str):
            client.send_text(message.encode())
        else:
            client.send_binary(message)
    client.send_close(4000, "bye")
    events = server.receive_data(b"".join(client.data_to_send()))
    assert events == [*theirs, CloseReceived(4000, "bye")]
    client.receive_data(server.data_to_send())
    client.receive_eof()
    assert client.close_code == 4000
