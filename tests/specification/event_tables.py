"""For every event an application sends and each of its keys: what is taken and what is refused.

ASGI core "Error Handling": missing keys and wrong Python types raise out of ``send``,
additional keys do not. Keys that the specification calls optional have their default when
they are missing, and when they are None.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

#: Leave the key out.
MISSING: Any = object()

Case = tuple[str, Any, bool]  # the key, its value, whether it is refused

_NO_FLAGS: tuple[Any, ...] = ("false", b"", 0.5, [], {})
_NO_TEXT: tuple[Any, ...] = (5, [], b"text")
_NO_BYTES: tuple[Any, ...] = ("text", 5, [b"x"], {}, True)
_NO_NUMBERS: tuple[Any, ...] = ("5", 5.0, b"5", [], True, -1)
_NO_HEADERS = (
    5,
    "ab",
    [b"ab"],
    [5],
    [(b"a",)],
    [(b"a", b"b", b"c")],
    [("a", b"b")],
    [(b"a", "b")],
    [(b"a", None)],
    [(b":status", b"200")],
    [(b"a b", b"c")],
    [(b"a", b"b\r\nc: d")],
)


def _rows(key: str, taken: tuple[Any, ...], refused: tuple[Any, ...]) -> list[Case]:
    return [(key, value, False) for value in taken] + [(key, value, True) for value in refused]


_EXTRA: list[Case] = [
    ("extra", 1, False),
    ("extra", None, False),
    ("tricorn", {"a": [b"b"]}, False),
]
_HEADERS = _rows("headers", (MISSING, None, [], (), [[b"a", b"b"]], {b"a": b"b"}.items()),
                 _NO_HEADERS)  # fmt: skip
_MORE_BODY = _rows("more_body", (MISSING, None, False, 0), _NO_FLAGS)
_NO_STATUS = (MISSING, None, "200", 200.0, b"200", True, [], 99, 101, 1000)
_STATUS = _rows("status", (200, 404, 599), _NO_STATUS)
# Over HTTP/2 a 200 is no denial (RFC 8441 section 5).
_DENIAL = _rows("status", (404, 599), _NO_STATUS)

_BODY = _rows("body", (MISSING, None, b"", bytearray(b"x"), memoryview(b"x")), _NO_BYTES)
_PATHS = (__file__, Path(__file__), os.path.relpath(__file__), Path(os.path.relpath(__file__)))
_BYTES_PATH = os.fsencode(__file__)
_PUSHED = _rows("path", ("/pushed", "/\u00e9 #"), (MISSING, None, "", "pushed", *_NO_TEXT))
_FILE = [
    *_rows("offset", (MISSING, None, 3), _NO_NUMBERS),
    *_rows("count", (MISSING, None, 0, 3), _NO_NUMBERS),
    *_rows("file", (), (MISSING, None, "file", io.BytesIO(b"x"), [], 0.5)),
]
_ACCEPTED = [
    *_rows("headers", ([(b"x-a", b"1")],), ([(b"sec-websocket-protocol", b"chat")],)),
    *_rows("subprotocol", (MISSING, None, "chat"), (b"chat", 5, [], "other")),
]

#: By type: the events that come before, a right one, and the cases.
HTTP: dict[str, tuple[list[str], dict[str, Any], list[Case]]] = {
    "http.response.start": (
        [],
        {"status": 200, "headers": [], "trailers": False},
        [*_EXTRA, *_HEADERS, *_STATUS, *_rows("trailers", (MISSING, None, False, 0), _NO_FLAGS)],
    ),
    "http.response.body": (
        ["http.response.start"],
        {"body": b"x", "more_body": False},
        [*_EXTRA, *_MORE_BODY, *_BODY],
    ),
    "http.response.push": (
        ["http.response.start"],
        {"path": "/pushed", "headers": []},
        [*_EXTRA, *_HEADERS, *_PUSHED],
    ),
    "http.response.early_hint": (
        ["http.response.start"],
        {"links": [b"</a>; rel=preload"]},
        _EXTRA
        + _rows("links", (MISSING, [], (), [b"</a>"], (b"</a>",)),
                (None, b"</a>", "</a>", ["</a>"], [None], 5, [b"a\r\nb: c"])),
    ),
    "http.response.trailers": (
        ["http.response.start+trailers", "http.response.body"],
        {"headers": [(b"x-a", b"1")], "more_trailers": False},
        [*_EXTRA, *_HEADERS, *_rows("more_trailers", (MISSING, None, False, 0), _NO_FLAGS)],
    ),
    "http.response.pathsend": (
        ["http.response.start"],
        {"path": __file__},
        _EXTRA + _rows("path", _PATHS, (MISSING, None, "", _BYTES_PATH, 5, [])),
    ),
    "http.response.zerocopysend": (
        ["http.response.start"],
        {"file": None, "offset": 0, "count": 1, "more_body": False},
        [*_EXTRA, *_MORE_BODY, *_FILE],
    ),
    "http.response.debug": (
        [],
        {"info": {"a": 1}},
        _EXTRA + _rows("info", ({}, {"a": {"b": 1}}), (MISSING, None, [], "a", 5)),
    ),
}  # fmt: skip

WEBSOCKET: dict[str, tuple[list[str], dict[str, Any], list[Case]]] = {
    "websocket.accept": (
        [],
        {"subprotocol": None, "headers": []},
        [*_EXTRA, *_HEADERS, *_ACCEPTED],
    ),
    "websocket.send": (
        ["websocket.accept"],
        {"text": "x"},
        _EXTRA
        + _rows("bytes", (MISSING, None), (b"both", "text", 5))
        + _rows("text", ("", "x"), (MISSING, None, b"x", 5, ["x"])),
    ),
    "websocket.close": (
        ["websocket.accept"],
        {"code": 1000, "reason": "bye"},
        _EXTRA
        + _rows("code", (MISSING, 1000, 1001, 1011, 3000, 4999),
                (None, "1000", 1000.0, 999, 1005, 1006, 1015, 2999, 5000))
        + _rows("reason", (MISSING, None, "", "x" * 123), (b"bye", 5, "x" * 124)),
    ),
    "websocket.http.response.start": (
        [],
        {"status": 403, "headers": []},
        [*_EXTRA, *_HEADERS, *_DENIAL],
    ),
    "websocket.http.response.body": (
        ["websocket.http.response.start"],
        {"body": b"x", "more_body": False},
        [*_EXTRA, *_MORE_BODY, *_BODY],
    ),
}  # fmt: skip

LIFESPAN = ("lifespan.startup.complete", "lifespan.startup.failed",
            "lifespan.shutdown.complete", "lifespan.shutdown.failed")  # fmt: skip


def message_of(kind: str, right: dict[str, Any], case: Case) -> dict[str, Any]:
    """The event with the case's key changed."""
    key, value, _ = case
    message = {"type": kind, **right, key: value}
    if value is MISSING:
        del message[key]
    return message
