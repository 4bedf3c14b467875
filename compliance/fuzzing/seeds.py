"""The corpus a fuzzer starts with: what the conformance suites send, and valid conversations.

``python -m compliance.fuzzing.seeds`` writes those that are not there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from compliance.fuzzing import asgi, frames, websocket
from compliance.fuzzing.inputs import join
from compliance.http1.cases import all_cases
from compliance.http1.model import Dribble

CORPUS = Path(__file__).with_name("corpus")
CRASHES = Path(__file__).with_name("crashes")
#: Most that the seeds of a target take (bytes), and the longest of them.
MOST = 20_000
LONGEST = 700

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def http1() -> Iterator[bytes]:
    """The bytes of the HTTP/1.1 suite, and one conversation in each of the other ways."""
    for case in all_cases():
        wire = b""
        for step in case.send:
            if isinstance(step, bytes):
                wire += step
            elif isinstance(step, Dribble):
                wire += step.data
        yield join(wire)
    pipeline = b"GET /a HTTP/1.1\r\nhost: h\r\n\r\n" * 2
    body = b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    h2c = asgi.H2C
    for wire in (pipeline, body, h2c, asgi.WEBSOCKET % b""):
        yield join(wire, bytes([1, 0, 2, 5, 9]))
        yield join(wire, bytes([0, 3]) + bytes(range(0, 60)))


def http2_wires() -> Iterator[bytes]:
    """Frames in the order and disorder that h2spec looks at."""
    get, post = frames.GET, frames.POST
    one = frames.headers(1, get)
    yield one + frames.headers(3, get)
    yield frames.headers(1, post, end=False) + frames.data(1, b"hello") + frames.data(1, end=True)
    yield (
        frames.headers(1, post, end=False)
        + frames.data(1, b"x")
        + frames.headers(1, [(b"a", b"b")])
    )
    yield frames.headers(1, frames.CONNECT, end=False) + frames.data(1, b"tunnel", end=True)
    for values in ({4: 10}, {2: 0}, {5: 20000}, {1: 0}, {9: 1}, {4: 2**31}, {5: 1}, {2: 2}):
        yield frames.settings(values) + one + frames.settings(values)
    for kind in range(12):
        yield frames.raw(kind, 0, 0, bytes(8)) + one
        yield one + frames.raw(kind, 0xFF, 1, bytes(5))
        yield frames.raw(kind, 0, 2, bytes(4)) + frames.raw(kind, 4, 1, b"\x82")
    yield one + frames.window(0, 1) + frames.window(1, 0x7FFFFFFF) + frames.window(0, 0)
    yield frames.raw(2, 0, 3, b"\x80\0\0\1\xff") + one + frames.raw(2, 0, 1, b"\0\0\0\1\0")
    yield frames.raw(16, 0, 0, b"\0\0\0\1u=1, i") + one
    yield frames.headers(1, get)[:-1] + frames.raw(9, 4, 1, b"\x84")
    yield one + frames.raw(3, 0, 1, bytes(4)) + one + frames.data(1, b"late")
    yield frames.raw(7, 0, 0, bytes(8)) + one
    for block in (b"\x80", b"\xff\xff\xff\xff\xff", b"\x3f\xe1\x7f", b"\x40\x01a\xff\xff\xff\x7f"):
        yield frames.raw(1, 5, 1, block)
    bad = [(b":method", b"G T"), (b":path", b""), (b":scheme", b"x"), (b"Upper", b"x")]
    bad += [(b"connection", b"close"), (b"te", b"gzip"), (b"content-length", b"7"), (b"a b", b"")]
    for field in bad:
        yield frames.headers(1, [*get, field])
    for missing in range(4):
        yield frames.headers(1, get[:missing] + get[missing + 1 :])


def http2() -> Iterator[bytes]:
    """Those with and without cuts, and with calls between them."""
    for wire in http2_wires():
        yield join(wire)
        yield join(wire, bytes([1, 2, 3, 10, 20, 30]))
    calls = bytes(range(100))
    yield join(next(http2_wires()) * 2, bytes([0, 3]) + calls)


def websocket_wires() -> Iterator[bytes]:
    """Frames of the kinds that the Autobahn suite sends."""
    frame = websocket.frame
    hello = frame(1, b"Hello")
    close = frame(8, b"\x03\xe8bye")
    yield hello + frame(2, bytes(140)) + close
    yield frame(1, "h\u00e4\u20ac".encode()) + frame(9, b"ping") + frame(10, b"pong") + close
    yield frame(1, b"a", fin=False) + frame(9, b"") + frame(0, b"b", fin=False) + frame(0, b"c")
    yield frame(1, websocket.deflated(b"aaaaaaaaaaaaaaaaaaaa"), rsv1=True) + close
    yield frame(2, websocket.deflated(bytes(10_000)), rsv1=True)
    yield frame(1, b"\xff") + hello
    yield frame(0, b"x")
    yield frame(3, b"") + frame(11, b"")
    yield frame(9, bytes(126))
    yield frame(8, b"\x03") + hello
    yield frame(8, b"\x03\xed") + hello
    yield close + hello
    yield b"\x81\x05Hello"
    yield b"\x81\xff" + b"\x7f" * 12


def of_websocket() -> Iterator[bytes]:
    """Each with every compression, in pieces, and with calls between."""
    for wire in websocket_wires():
        for deflate in range(4):
            yield join(wire, bytes([deflate, 0, 1, 2]))
        yield join(wire, bytes([1, 3]) + bytes(range(1, 50, 3)))


def forwarded() -> Iterator[bytes]:
    """The examples of RFC 7239, and what proxies send."""
    texts = [
        b"203.0.113.195, 192.0.2.5",
        b"unix:, 2001:db8::1, [2001:db8::1]:80, 10.0.0.1:1",
        b'forwarded:for=192.0.2.43, for="[2001:db8:cafe::17]:4711";proto=https;by=203.0.113.43',
        b'forwarded:For="_gazonk";host="a\\"b"\nforwarded:for=unknown;proto=http;host=a.b:81',
        b"x-forwarded-proto:https, http\nx-forwarded-host:a.example:8443\nx-forwarded-port:8443",
        b"x-forwarded-prefix:/app/v%201/\nx-forwarded-for:1.2.3.4",
        b"x-forwarded-prefix://evil\nx-forwarded-host:a@b/\nx-forwarded-port:99999",
    ]
    for text in texts:
        for reader in range(9):
            yield join(text, bytes([reader, reader % 3]))


def proxy_protocol() -> Iterator[bytes]:
    """Headers of both versions, whole and broken."""
    for line in (
        b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\nGET /",
        b"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n",
        b"PROXY UNKNOWN\r\nx",
        b"PROXY UNKNOWN ffff:f... 65535\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 056324 443\r\n",
        b"PROXY TCP4 " + b"1" * 120,
    ):
        yield join(line, bytes([2, 3, 11]))
    tlvs = b"\x01\0\x02h2" + b"\x02\0\x01a" + b"\x05\0\x03uid" + b"\x20\0\x08\x07\0\0\0\0\x21\0\0"
    for family, size in ((0x11, 12), (0x21, 36), (0x31, 216), (0x00, 0), (0x12, 12)):
        body = bytes(range(size % 256)) + tlvs
        head = _SIGNATURE + b"\x21" + bytes([family]) + len(body).to_bytes(2, "big")
        yield join(head + body + b"rest", bytes([1, 7]))
        yield join(_SIGNATURE + b"\x20" + bytes([family]) + b"\0\0")
    yield join(_SIGNATURE + b"\x21\x11\0\x13" + bytes(12) + b"\x03\0\x04abcd")


def of_asgi() -> Iterator[bytes]:
    """A few of the others' wires in every mode, with applications of all kinds."""
    scripts = [
        b"",
        bytes(range(2, 90)),
        bytes([1, 20, 6, 0, 3, 6, 1, 7, 6, 2, 3]),
        b"\x00\x3f" * 12,
    ]
    scripts += [bytes((n * 37 + k) % 256 for n in range(80)) for k in (1, 2, 3)]
    requests = [
        b"GET / HTTP/1.1\r\nhost: a\r\nte: trailers\r\n\r\n" * 2,
        b"POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 6\r\n\r\nabcdef",
        b"HEAD / HTTP/1.0\r\n\r\n",
    ]
    sockets = list(websocket_wires())[:5]
    framed = list(http2_wires())[:4]
    wires = {
        asgi.HTTP1: requests,
        asgi.CLIENT: [b"".join(sockets[:2])],
        asgi.WEBSOCKET_HTTP1: sockets,
        asgi.HTTP2: framed,
        asgi.UPGRADE: framed[1:3],
    }
    for mode, of_mode in wires.items():
        for wire in of_mode:
            for script in scripts:
                yield asgi.conversation(mode, wire, script)
                yield asgi.conversation(mode, wire, b"\1" + script, small=True)


SEEDS = {
    "http1": http1,
    "http2": http2,
    "websocket": of_websocket,
    "forwarded": forwarded,
    "proxy_protocol": proxy_protocol,
    "asgi": of_asgi,
}


def seeds(target: str) -> dict[str, bytes]:
    """Name and bytes of each seed, as many as the corpus may take."""
    found: dict[str, bytes] = {}
    size = 0
    for data in SEEDS[target]():
        if len(data) <= LONGEST and size + len(data) <= MOST:
            name = file_name(data)
            size += len(data) if name not in found else 0
            found[name] = data
    return found


def file_name(data: bytes) -> str:
    """Named by content, as libFuzzer does, so that nothing is there twice."""
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()[:16]


def main() -> None:
    """Write the seeds."""
    for target in SEEDS:
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in seeds(target).items():
            (folder / name).write_bytes(data)
        sizes = [path.stat().st_size for path in folder.iterdir()]
        print(f"{target:<16} {len(sizes):4} inputs {sum(sizes):7} bytes")


if __name__ == "__main__":
    main()
