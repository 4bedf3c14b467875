"""Upgrade: the WebSocket handshake, other protocols, and the HTTP/2 preface."""

from __future__ import annotations

from compliance.http1.cases import quotes as q
from compliance.http1.cases.build import (
    ANY_4XX,
    HOST_LINE,
    MUST,
    NOTE,
    OK,
    answered,
    head,
    request,
    row,
)
from compliance.http1.model import AwaitReplies, Case, Expect

# Rows keep to two or three lines each, which the formatter would not leave so.
# fmt: off

_SWITCHED = frozenset({101})
_NOT_SWITCHED = frozenset({200, 501, 505}) | ANY_4XX
_KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
_ACCEPT = r"s3pPLMBiTxaQ9kYGzzhZRbK\+xOo="
_UPGRADE = b"Upgrade: websocket"
_CONNECTION = b"Connection: Upgrade"
_VERSION = b"Sec-WebSocket-Version: 13"
_HELLO = b"\x81\x82\x01\x02\x03\x04" + bytes([ord("h") ^ 1, ord("i") ^ 2])
_HELLO_BACK = b"\x81\x02hi"

_REFUSED = (
    ("ws-no-key", (_VERSION,), "without a key"),
    ("ws-empty-key", (_VERSION, b"Sec-WebSocket-Key:"), "with an empty key"),
    ("ws-key-not-base64", (_VERSION, b"Sec-WebSocket-Key: !!!"), "with a key that is no base64"),
    ("ws-key-short", (_VERSION, b"Sec-WebSocket-Key: AAAA"), "with a key of 3 bytes"),
    ("ws-key-long", (_VERSION, b"Sec-WebSocket-Key: " + b"A" * 32), "with a key of 24 bytes"),
    ("ws-two-keys", (_VERSION, _KEY, b"Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA=="),
     "with two keys"),
    ("ws-no-version", (_KEY,), "without a version"),
    ("ws-version-word", (_KEY, b"Sec-WebSocket-Version: thirteen"), "with a version in words"),
)


def _shake(*lines: bytes, target: bytes = b"/ws") -> bytes:
    return request(_UPGRADE, _CONNECTION, *lines, target=target)


def cases() -> list[Case]:
    """All rows of this chapter."""
    rows = [
        row(MUST, id, q.WS_HANDSHAKE, f"a handshake {what} is refused",
            _shake(*lines), Expect((ANY_4XX,)))
        for id, lines, what in _REFUSED
    ]
    return rows + _accepted() + _refused() + _not_websocket()


def _accepted() -> list[Case]:
    switched = {
        "sec-websocket-accept": _ACCEPT,
        "upgrade": "(?i)websocket",
        "connection": "(?i)(.*, *)?upgrade(,.*)?",
    }
    accepted = Expect((_SWITCHED,), fields=switched)
    return [
        row(MUST, "ws-accept", q.WS_ACCEPT, "a valid handshake is answered 101 with its accept",
            _shake(_KEY, _VERSION), accepted),
        row(MUST, "ws-accept-upgrade-field", q.UPGRADE_FIELD, "the 101 names the protocol",
            _shake(_KEY, _VERSION), Expect((_SWITCHED,), fields={"upgrade": "(?i)websocket"})),
        row(MUST, "ws-accept-no-length", q.NO_LENGTH_204, "a 101 has no Content-Length",
            _shake(_KEY, _VERSION), Expect((_SWITCHED,), fields={"content-length": None})),
        row(MUST, "ws-accept-no-coding", q.NO_CODING_204, "a 101 has no Transfer-Encoding",
            _shake(_KEY, _VERSION), Expect((_SWITCHED,), fields={"transfer-encoding": None})),
        row(MUST, "ws-connection-list", q.WS_ACCEPT, "Upgrade may stand in a list of options",
            request(_UPGRADE, b"Connection: keep-alive, Upgrade", _KEY, _VERSION, target=b"/ws"),
            accepted),
        row(MUST, "ws-token-case", q.WS_ACCEPT, "both tokens compare without case",
            request(b"Upgrade: WebSocket", b"Connection: UPGRADE", _KEY, _VERSION, target=b"/ws"),
            accepted),
        row(MUST, "ws-echo", q.WS_ACCEPT, "after the 101 a message comes back as a frame",
            (_shake(_KEY, _VERSION), AwaitReplies(1), _HELLO),
            Expect((_SWITCHED,), tail=_HELLO_BACK)),
        row(NOTE, "ws-early-frame", q.WS_ACCEPT, "a frame in the same write is not lost",
            _shake(_KEY, _VERSION) + _HELLO, Expect((_SWITCHED,), tail=_HELLO_BACK)),
        row(MUST, "ws-subprotocol", q.WS_ACCEPT, "the subprotocol that the app chose is named",
            _shake(_KEY, _VERSION, b"Sec-WebSocket-Protocol: chat, superchat"),
            Expect((_SWITCHED,), fields={**switched, "sec-websocket-protocol": "superchat"})),
        row(MUST, "ws-no-subprotocol", q.WS_ACCEPT, "where none was chosen, none is named",
            _shake(_KEY, _VERSION, b"Sec-WebSocket-Protocol: chat"),
            Expect((_SWITCHED,), fields={**switched, "sec-websocket-protocol": None})),
        row(MUST, "ws-no-extension", q.WS_ACCEPT, "an extension that was not offered is not used",
            _shake(_KEY, _VERSION),
            Expect((_SWITCHED,), fields={**switched, "sec-websocket-extensions": None})),
        row(NOTE, "ws-absolute-form", q.ABSOLUTE_FORM, "a handshake in absolute form",
            _shake(_KEY, _VERSION, target=b"http://example.com/ws"), accepted),
        row(NOTE, "ws-upgrade-list", q.UPGRADE_IGNORE, "websocket among other protocols",
            request(b"Upgrade: foo, websocket", _CONNECTION, _KEY, _VERSION, target=b"/ws"),
            Expect((_SWITCHED | _NOT_SWITCHED,))),
    ]


def _refused() -> list[Case]:
    version = b"Sec-WebSocket-Version: "
    other = Expect((ANY_4XX,), fields={"sec-websocket-version": r"(.*[, ])?13([, ].*)?"})
    return [
        row(MUST, "ws-version-12", q.WS_VERSION, "another version is refused, and 13 named",
            _shake(_KEY, version + b"12"), other),
        row(MUST, "ws-version-0", q.WS_VERSION, "version 0 likewise",
            _shake(_KEY, version + b"0"), other),
        row(MUST, "ws-version-99", q.WS_VERSION, "a version of the future likewise",
            _shake(_KEY, version + b"99"), other),
        row(NOTE, "ws-version-426", q.WS_VERSION, "the status for it is 426",
            _shake(_KEY, version + b"12"), Expect((frozenset({426}),))),
        row(MUST, "ws-426-upgrade", q.UPGRADE_426, "a 426 has an Upgrade field",
            _shake(_KEY, version + b"12"),
            Expect((ANY_4XX,), fields={"426/upgrade": "(?i).*websocket.*"})),
        row(MUST, "ws-refused-by-app", q.WS_REJECT, "a handshake that the app refuses gets a 4xx",
            _shake(_KEY, _VERSION, target=b"/ws-refuse"), Expect((ANY_4XX,), alive=True)),
        row(MUST, "ws-post", q.WS_HANDSHAKE, "a handshake by POST does not switch",
            request(_UPGRADE, _CONNECTION, _KEY, _VERSION, b"Content-Length: 0", target=b"/ws",
                    method=b"POST"), Expect((_NOT_SWITCHED,))),
        row(MUST, "ws-1.0", q.UPGRADE_1_0, "Upgrade in HTTP/1.0 does not switch",
            head(b"GET /ws HTTP/1.0", HOST_LINE, _UPGRADE, _CONNECTION, _KEY, _VERSION),
            Expect((_NOT_SWITCHED,))),
        row(MUST, "ws-no-host", q.HOST, "a handshake without Host is refused",
            head(b"GET /ws HTTP/1.1", _UPGRADE, _CONNECTION, _KEY, _VERSION),
            Expect((frozenset({400}),))),
        row(MUST, "ws-no-upgrade", q.UPGRADE_NAMED, "without Upgrade nothing switches",
            request(_CONNECTION, _KEY, _VERSION, target=b"/ws"), Expect((_NOT_SWITCHED,))),
        row(MUST, "ws-no-connection", q.WS_HANDSHAKE, "without the Upgrade option nothing switches",
            request(_UPGRADE, _KEY, _VERSION, target=b"/ws"), Expect((_NOT_SWITCHED,))),
        row(MUST, "ws-connection-other", q.WS_HANDSHAKE, "another Connection option is not enough",
            request(_UPGRADE, b"Connection: keep-alive", _KEY, _VERSION, target=b"/ws"),
            Expect((_NOT_SWITCHED,))),
        row(MUST, "ws-prefix", q.UPGRADE_NAMED, "'websocketx' is another protocol",
            request(b"Upgrade: websocketx", _CONNECTION, _KEY, _VERSION, target=b"/ws"),
            Expect((_NOT_SWITCHED,))),
    ]


def _not_websocket() -> list[Case]:
    h2c = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk")
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
    other = Expect((_NOT_SWITCHED,), silence_ok=True, binary_ok=True, alive=True)
    return [
        row(MUST, "upgrade-unknown", q.UPGRADE_NAMED, "an unknown protocol is not switched to",
            request(_CONNECTION, b"Upgrade: unknown/1"), Expect((_NOT_SWITCHED,))),
        row(NOTE, "upgrade-unknown-served", q.UPGRADE_IGNORE, "the request is served as it is",
            request(_CONNECTION, b"Upgrade: unknown/1"), answered(path="/echo")),
        row(MUST, "upgrade-unknown-content", q.INTERPRET,
            "an unknown protocol does not make the content go away",
            request(_CONNECTION, b"Upgrade: unknown/1", b"Content-Length: 5", method=b"POST")
            + b"hello", Expect((_NOT_SWITCHED,), seen=({"body": "hello"},))),
        row(NOTE, "upgrade-h2c", q.H2C_REMOVED, "Upgrade: h2c is ignored unless switched on",
            request(*h2c), Expect((OK,), seen=({"path": "/echo"},))),
        row(NOTE, "upgrade-h2c-content", q.H2C_REMOVED, "with content likewise",
            request(*h2c, b"Content-Length: 5", method=b"POST") + b"hello",
            Expect((OK,), seen=({"body": "hello"},))),
        row(NOTE, "upgrade-tls", q.UPGRADE_IGNORE, "Upgrade: TLS/1.0 is ignored",
            request(_CONNECTION, b"Upgrade: TLS/1.0"), Expect((_NOT_SWITCHED,))),
        row(NOTE, "h2-preface", q.H2_PREFACE, "the HTTP/2 preface: spoken, refused or closed",
            preface, other),
        row(NOTE, "h2-preface-cut", q.H2_PREFACE, "a cut preface harms nothing",
            preface[:20], other),
        row(NOTE, "h2-preface-wrong", q.H2_PREFACE, "a preface with a wrong ending",
            b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", other),
    ]
