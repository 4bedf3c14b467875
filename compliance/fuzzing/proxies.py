"""What proxies say: the PROXY protocol and the forwarded fields."""

from __future__ import annotations

import ipaddress
from typing import Any

from compliance.fuzzing.inputs import WHOLE, chunks, split
from tricorn.asgi.forwarded import Proxies
from tricorn.config import Config
from tricorn.exceptions import RemoteProtocolError
from tricorn.protocol.proxy_protocol import LARGEST_BLOCK, ProxyHeader, ProxyHeaderParser
from tricorn.types import Headers

_SOCKET = ("192.0.2.9", 9)
_OWN = ("192.0.2.10", 10)
# What comes in more pieces than one is none of the header's business.
_LONGEST = 107 + LARGEST_BLOCK + 16


def _parse(wire: bytes, sizes: tuple[int, ...]) -> tuple[str, ProxyHeader | None, bytes]:
    parser = ProxyHeaderParser()
    fed = 0
    for piece in chunks(wire, sizes):
        fed += len(piece)
        try:
            header = parser.feed(piece)
        except RemoteProtocolError:
            return "refused", None, b""
        if header is not None:
            return "taken", header, parser.rest + wire[fed:]
        assert fed <= _LONGEST, "waits for ever"
    return "waits", None, b""


def check_proxy_protocol(data: bytes) -> None:
    """The target: the same in any cut; nothing but RemoteProtocolError; what it gives is sound."""
    wire, choices = split(data)
    sizes = choices.sizes()
    told = _parse(wire, WHOLE)
    for cut in (sizes, (1,)):
        assert _parse(wire, cut) == told, f"{_parse(wire, cut)} in pieces, {told} whole"
    header = told[1]
    if header is None:
        return
    assert wire.endswith(told[2])
    client, server = header.ends(_SOCKET, _OWN)
    if client is not None:
        ipaddress.ip_address(client[0])
        assert 0 <= client[1] <= 65535
    assert server is not None
    described = header.describe(_SOCKET)
    assert described["version"] in (1, 2)
    assert header.secure in (True, False)


_TRUSTS = (["192.0.2.0/24"], ["*"], ["192.0.2.9", "10.0.0.0/8", "::1", "unix"])
_FIELDS = (
    ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port",
     "x-forwarded-prefix"],
    ["forwarded"],
    ["x-forwarded-for"],
)  # fmt: skip
_NAMES = (
    b"x-forwarded-for",
    b"forwarded",
    b"x-forwarded-proto",
    b"x-forwarded-host",
    b"x-forwarded-port",
    b"x-forwarded-prefix",
)


_READERS = [
    Proxies(Config(trusted_proxies=trusted, forwarded_fields=fields), None)
    for trusted in _TRUSTS
    for fields in _FIELDS
]


def check_forwarded(data: bytes) -> None:
    """The target: no exception, and a scope as sound as before, whatever the fields hold.

    The lines of the wire are fields ``name: value``; a line without a known name is a value
    of X-Forwarded-For.
    """
    wire, choices = split(data)
    proxies = choices.pick(_READERS)
    via = proxies.via(_SOCKET)
    assert via is not None, "these peers are trusted"
    fields: Headers = []
    for line in wire.split(b"\n")[:64]:
        name, colon, value = line.partition(b":")
        if not colon or name not in _NAMES:
            name, value = b"x-forwarded-for", line
        # No field of a request holds these.
        fields.append((name, value.translate(None, b"\0\r\n").strip(b" \t")))
    scope: dict[str, Any] = {
        "scheme": "http",
        "client": _SOCKET,
        "server": choices.pick([_OWN, None, ("/run/socket", None)]),
        "headers": [(b"host", b"a"), *fields],
        "root_path": "",
        "path": "/p",
        "raw_path": b"/p",
        "extensions": {},
    }
    via.apply(scope, fields, "")
    _check_scope(scope)


def _check_scope(scope: dict[str, Any]) -> None:
    assert scope["scheme"] in ("http", "https")
    client = scope["client"]
    if client is not None:
        ipaddress.ip_address(client[0])
        assert 0 <= client[1] <= 65535
    server = scope["server"]
    assert server is None or (isinstance(server[0], str) and server[0])
    if server is not None and server[1] is not None:
        assert 0 <= server[1] <= 65535
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    assert len(hosts) == 1
    assert not set(hosts[0]) & set(b"\0\r\n /\\@"), f"no host: {hosts[0]!r}"
    root = scope["root_path"]
    assert scope["path"] == root + "/p"
    assert not root or (root.startswith("/") and not root.startswith("//"))
    assert scope["raw_path"].endswith(b"/p")
