"""HTTP/1.1: messages that two parsers could read differently."""

from __future__ import annotations

from collections.abc import Iterator

from compliance.attacks import frames as f
from compliance.attacks.model import Stage, attack
from compliance.attacks.wire import Play

_HIDDEN = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
_LENGTH = b"Content-Length: %d\r\n" % (len(_HIDDEN) + 5)
_CHUNKED = b"Transfer-Encoding: chunked\r\n"
_EMPTY = b"0\r\n\r\n"


def _post(fields: bytes, body: bytes, version: bytes = b"1.1") -> bytes:
    return b"POST /read HTTP/%b\r\nHost: localhost\r\n%b\r\n%b" % (version, fields, body)


_FORMS = [
    # CL.TE, TE.CL, TE.TE
    _post(_LENGTH + _CHUNKED, _EMPTY + _HIDDEN),
    _post(_CHUNKED + b"Content-Length: 4\r\n", b"2f\r\n" + _HIDDEN + b"\r\n" + _EMPTY),
    _post(_CHUNKED + b"Transfer-Encoding: identity\r\n", _EMPTY + _HIDDEN),
    _post(b"Transfer-Encoding: xchunked\r\n" + _LENGTH, _EMPTY + _HIDDEN),
    _post(b"Transfer-Encoding: chunked, identity\r\n", _EMPTY + _HIDDEN),
    _post(b"Transfer-Encoding:\x0bchunked\r\n", _EMPTY + _HIDDEN),
    _post(b"Transfer-Encoding : chunked\r\n" + _LENGTH, _EMPTY + _HIDDEN),
    _post(b"X: y\rTransfer-Encoding: chunked\r\n", _EMPTY + _HIDDEN),
    _post(_CHUNKED, _EMPTY + _HIDDEN, b"1.0"),
    # bare CR and LF, folding, NUL
    _post(b"X: y\nContent-Length: 0\r\n" + _LENGTH, _EMPTY + _HIDDEN),
    _post(b"X: y\r\n " + _LENGTH, _EMPTY + _HIDDEN),
    _post(b"X: y\x00z\r\nContent-Length: 0\r\n", _HIDDEN),
    _post(b"X\x00: y\r\nContent-Length: 0\r\n", _HIDDEN),
    b"GET / HTTP/1.1\nHost: localhost\n\n" + _HIDDEN,
    b"GET / HTTP/1.1\r\n Host: localhost\r\nHost: localhost\r\n\r\n" + _HIDDEN,
    # odd lengths
    _post(b"Content-Length: 0\r\nContent-Length: 5\r\n", _EMPTY + _HIDDEN),
    _post(b"Content-Length: 0, 5\r\n", _HIDDEN),
    _post(b"Content-Length: +0\r\n", _HIDDEN),
    _post(b"Content-Length: -1\r\n", _HIDDEN),
    _post(b"Content-Length: 0x0\r\n", _HIDDEN),
    _post(b"Content-Length: 0_0\r\n", _HIDDEN),
    _post(b"Content-Length: \r\n", _HIDDEN),
    _post(b"Content-Length: \xb2\r\n", _HIDDEN),
    # chunks
    _post(_CHUNKED, b"0 \x0b\r\n\r\n" + _HIDDEN),
    _post(_CHUNKED, b"0\n\n" + _HIDDEN),
    _post(_CHUNKED, b"1\r\nxy0\r\n\r\n" + _HIDDEN),
    _post(_CHUNKED, b"1;a\nb\r\nx\r\n0\r\n\r\n" + _HIDDEN),
    _post(_CHUNKED, b"0\r\nContent-Length: 5\r\nX y: z\r\n\r\n" + _HIDDEN),
    # request lines
    b"GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n" + _HIDDEN,
    b"GET / HTTP/1.1 x\r\nHost: localhost\r\n\r\n" + _HIDDEN,
    b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: example.org\r\n\r\n" + _HIDDEN,
    b"GET / HTTP/1.1\r\n\r\n" + _HIDDEN,
]


class _OneAnswer(f.HTTP1Reader):
    """Tells where more than one request of the bytes was answered."""

    def feed(self, data: bytes) -> None:
        """Bytes from the server."""
        super().feed(data)
        if sum(count for word, count in self.answers.items() if word.isdigit()) > 1:
            self.answers["second answer"] += 1


@attack(
    "h1-smuggling",
    "HTTP/1.1",
    f"{len(_FORMS)} forms of a hidden request: CL.TE, TE.CL, TE.TE, bare CR and LF, folding, "
    "NUL, odd lengths and chunks",
    bounds=("(one request is one request)",),
    source="CWE-444",
    answer=r"400|501|505",
    every=True,
    calls=1,
    subset=True,
)
def smuggling(stage: Stage) -> None:
    """Each form on a connection of its own, round and round."""

    def script(number: int) -> Iterator[bytes | float]:
        yield _FORMS[number % len(_FORMS)]

    Play(stage, script, _OneAnswer, width=4, most=20 * len(_FORMS)).run()
    second = stage.report.answers.pop("second answer", 0)
    if second:
        stage.report.faults.append(f"a hidden request was answered on {second} connections")


@attack(
    "h1-response-splitting",
    "HTTP/1.1",
    "a line break that the application copies into a field",
    bounds=("(RFC 9110 section 5.5)",),
    source="CVE-2020-7695",
    answer="500",
    every=True,
    calls=1,
    log=(r"application failed: GET /split",),
)
def response_splitting(stage: Stage) -> None:
    """The application is at fault; the wire must not be."""
    seen: list[bytes] = []

    class Watch(_OneAnswer):
        """Keeps what came."""

        def feed(self, data: bytes) -> None:
            """Bytes from the server."""
            seen.append(data)
            super().feed(data)

    def script(number: int) -> Iterator[bytes | float]:
        yield b"GET /split HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

    Play(stage, script, Watch, width=2, most=2).run()
    if any(b"x-injected" in data for data in seen):
        stage.report.faults.append("the response was split")
    stage.report.answers.pop("second answer", None)
