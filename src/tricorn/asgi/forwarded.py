"""What trusted proxies say about the client: Forwarded (RFC 7239), X-Forwarded-*, PROXY.

Theory. Each proxy appends what it knows of the connection it has taken, so a list is read
from its end: the last element is the peer's word, the one before it that of the proxy the
last one names, and so on for as long as the proxies named are trusted. The first one that
is not is the client, and what stands before it is anybody's. It is never looked at: a
client cannot make a field unreadable by sending the beginning of one.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from tricorn.asgi.hosts import host_of
from tricorn.config import Config
from tricorn.config_proxies import Address, TrustedProxies, parse_address
from tricorn.host_names import split_authority
from tricorn.percent import quote, unquote
from tricorn.protocol.proxy_protocol import ProxyHeader
from tricorn.types import Headers, Scope

#: The entry of ``scope["extensions"]`` on connections that began with a PROXY header.
EXTENSION: Final = "tricorn.proxy_protocol"

_FORWARDED: Final = b"forwarded"
_FOR, _PROTO, _HOST, _PORT, _PREFIX = (
    b"x-forwarded-for",
    b"x-forwarded-proto",
    b"x-forwarded-host",
    b"x-forwarded-port",
    b"x-forwarded-prefix",
)
_SCHEMES: Final = {"http": "http", "ws": "http", "https": "https", "wss": "https"}
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_OWS: Final = b" \t"
# Elements of a list that are looked at, empty ones too (RFC 9110 section 5.6.1.2). Chains of
# proxies are short; what is longer was made by a client whom everybody trusts.
_MOST_HOPS: Final = 64
# Nodes whose meaning is remembered, and the characters one may have for that.
_REMEMBERED: Final = 1024
_LONGEST_REMEMBERED: Final = 64

Client = tuple[str, int] | None


class Node(NamedTuple):
    """A client or proxy as a field names it; ``address`` is None where that is hidden."""

    address: Address | None
    port: int = 0  # 0: not told
    unix: bool = False

    @property
    def client(self) -> Client:
        """As ``client`` of the ASGI scope."""
        return None if self.address is None else (str(self.address), self.port)


# RFC 7239 section 6: node = nodename [ ":" node-port ], either of them hidden or known.
_NODE: Final = re.compile(
    r"(?:([0-9.]{7,15})|\[([0-9A-Fa-f:.]{2,45})\]|(unknown|_[A-Za-z0-9._-]+))"
    r"(?::(?:([0-9]{1,5})|_[A-Za-z0-9._-]+))?",
    re.IGNORECASE,
)


def parse_node(text: str) -> Node:
    """A node identifier of RFC 7239 section 6, unquoted.

    :raises ValueError: if it is none.
    """
    match = _NODE.fullmatch(text)
    if match is None:
        raise ValueError("no node identifier")
    port = int(match[4] or 0)
    if port > 65535:
        raise ValueError("no port")
    if match[3] is not None:
        return Node(None)
    # The two forms tell the families apart.
    parse = ipaddress.IPv4Address if match[1] else ipaddress.IPv6Address
    return Node(parse_address(str(parse(match[1] or match[2]))), port)


def parse_hop(text: str) -> Node:
    """An element of X-Forwarded-For: a node, an IPv6 address without brackets, or ``unix:``.

    :raises ValueError: if it is none.
    """
    if text == "unix:":  # nginx names the peers of its unix sockets so
        return Node(None, unix=True)
    if text.count(":") > 1 and text[0] != "[":
        return Node(parse_address(text))
    return parse_node(text)


def from_the_right(values: Sequence[bytes]) -> Iterator[str]:
    """The elements of a comma-separated list in several field lines, the last one first.

    :raises ValueError: if there are too many.
    """
    count = 0
    for value in reversed(values):
        end = len(value)
        while end >= 0:
            comma = value.rfind(b",", 0, end)
            element = value[comma + 1 : end].strip(_OWS)
            count = _counted(count)
            if element:
                yield element.decode("latin-1")
            end = comma


def _counted(count: int) -> int:
    if count >= _MOST_HOPS:
        raise ValueError("too many elements")
    return count + 1


_TOKEN: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
# Values without quotes are tokens; some proxies leave the quotes off an address with a port.
_PAIR: Final = re.compile(
    rf'({_TOKEN})=(?:([!#$%&\'*+\-.^_`|~0-9A-Za-z:\[\]]+)|"([^"\\]*(?:\\.[^"\\]*)*)")', re.DOTALL
)
_SEPARATOR: Final = re.compile(r"[ \t]*;[ \t;]*")
_QUOTED_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)


def parse_element(text: str) -> dict[str, str]:
    """Parameters of one forwarded-element (RFC 7239 section 4), names in lower case.

    :raises ValueError: if it is malformed or has a parameter twice.
    """
    parameters: dict[str, str] = {}
    position = 0
    start = _SEPARATOR.match(text)
    if start is not None:  # pairs may be empty
        position = start.end()
    while position < len(text):
        pair = _PAIR.match(text, position)
        if pair is None:
            raise ValueError("no parameter")
        name = pair[1].lower()
        if name in parameters:
            raise ValueError("a parameter is there twice")
        quoted = pair[3]
        parameters[name] = pair[2] if quoted is None else _QUOTED_PAIR.sub(r"\1", quoted)
        position = pair.end()
        if position < len(text):
            separator = _SEPARATOR.match(text, position)
            if separator is None:
                raise ValueError("no semicolon")
            position = separator.end()
    return parameters


def elements_from_the_right(values: Sequence[bytes]) -> Iterator[dict[str, str]]:
    """The forwarded-elements of Forwarded fields, the last one first.

    A list read from its left and from its right has the same elements wherever it is
    well-formed; one that is not gives those behind the fault and then raises.

    :raises ValueError: at an element that is malformed, or if there are too many.
    """
    count = 0
    for value in reversed(values):
        text = value.decode("latin-1")
        end = len(text)
        while end >= 0:
            comma = _comma_before(text, end)
            element = text[comma + 1 : end].strip(" \t")
            count = _counted(count)
            if element:
                yield parse_element(element)
            end = comma


def _comma_before(text: str, end: int) -> int:
    """Where the comma in front of the element that ends at ``end`` is; -1: at no place."""
    comma = text.rfind(",", 0, end)
    while True:
        quote_mark = text.rfind('"', 0, end)
        if quote_mark < comma or quote_mark < 0:
            return comma
        end = _opening_quote(text, quote_mark)
        if comma >= end:  # in quotes; else it is known, and not looked for at each pair of them
            comma = text.rfind(",", 0, end)


def _opening_quote(text: str, closing: int) -> int:
    """Where the quoted-string begins whose last quote is at ``closing``.

    :raises ValueError: if nothing opens it.
    """
    end = closing
    while True:
        opening = text.rfind('"', 0, end)
        if opening < 1:
            raise ValueError("a quote without its other")
        before = opening
        while before and text[before - 1] == "\\":
            before -= 1
        if (opening - before) % 2 == 0:
            return opening
        end = opening


class Reader:
    """Reads forwarded fields into scopes, as ``trusted_proxies`` and ``forwarded_fields`` say.

    :param fault: told (reason, peer) about a field of a trusted proxy that cannot be read.
    """

    def __init__(
        self,
        trusted: TrustedProxies,
        fields: Sequence[str],
        fault: Callable[[str, Client], None] | None = None,
    ) -> None:
        # Clients come again and again; addresses are slow to parse.
        self._known = functools.lru_cache(_REMEMBERED)(self._judge)
        self._trusted = trusted
        self._wanted = frozenset(field.encode("ascii") for field in fields)
        self._fault = fault

    def apply(self, scope: Scope, headers: Headers, peer: Client, root_path: str = "") -> None:
        """Set what the proxies say: ``client``, ``scheme``, the host field, ``server``,
        ``root_path``.

        :param headers: the request's, names in lower case.
        :param peer: of the connection, for the log.
        :param root_path: what was put in front of the path for a proxy that takes it off.
        """
        found: dict[bytes, list[bytes]] = {}
        for name, value in headers:
            if name in self._wanted:
                found.setdefault(name, []).append(value)
        if not found:
            return
        hops = 0
        if _FORWARDED in found:
            self._attempt(_FORWARDED, peer, self._apply_forwarded, scope, found[_FORWARDED])
        if _FOR in found:
            hops = self._attempt(_FOR, peer, self._apply_for, scope, found[_FOR]) or 0
        for name, apply in _SINGLE.items():
            if name in found:
                self._attempt(name, peer, _apply_one, apply, scope, found[name], hops)
        if _PREFIX in found:
            self._attempt(_PREFIX, peer, _apply_prefix, scope, found[_PREFIX], hops, root_path)

    def _attempt(self, name: bytes, peer: Client, apply: Callable[..., Any], *args: Any) -> Any:
        """Apply a field; one that cannot be read is left out as a whole, with a line."""
        try:
            return apply(*args)
        except ValueError:
            if self._fault is not None:
                self._fault(f"a malformed {name.decode('ascii').title()} field", peer)
            return None

    def _trusts(self, node: Node) -> bool:
        trusted = self._trusted
        if trusted.everybody:
            return True
        if node.address is not None:
            return trusted.trusts(node.address)
        return node.unix and trusted.unix

    def _judge(self, parse: Callable[[str], Node], text: str) -> tuple[Client, bool]:
        """The client an element names, and whether it is trusted."""
        node = parse(text)
        return node.client, self._trusts(node)

    def _hop(self, parse: Callable[[str], Node], text: str) -> tuple[Client, bool]:
        judge = self._known if len(text) <= _LONGEST_REMEMBERED else self._judge
        return judge(parse, text)

    def _apply_for(self, scope: Scope, values: list[bytes]) -> int:
        """Set the client; the number of proxies between it and the peer."""
        hops = -1
        client: Client = scope["client"]
        for text in from_the_right(values):
            hops += 1
            client, is_trusted = self._hop(parse_hop, text)
            if not is_trusted:
                break
        scope["client"] = client
        return max(hops, 0)

    def _apply_forwarded(self, scope: Scope, values: list[bytes]) -> None:
        client: Client = scope["client"]
        proto = host = None
        for element in elements_from_the_right(values):
            # Of several the word of the proxy nearest the client counts.
            proto = element.get("proto", proto)
            host = element.get("host", host)
            if "for" not in element:
                if self._trusted.everybody:
                    continue
                break
            client, is_trusted = self._hop(parse_node, element["for"])
            if not is_trusted:
                break
        # Nothing is set before everything is read.
        scheme = _scheme(proto) if proto is not None else scope["scheme"]
        authority = _authority(host) if host is not None else None
        scope["client"] = client
        scope["scheme"] = scheme
        if authority is not None:
            _set_host(scope, *authority)


def _element(values: list[bytes], hops: int) -> str | None:
    """What the proxy said that took the client's connection, where all append a word.

    Most set the field anew, or pass it on: then there are fewer, and the first counts.
    """
    found = None
    for place, text in enumerate(from_the_right(values)):
        found = text
        if place == hops:
            break
    return found


def _apply_one(
    apply: Callable[[Scope, str], None], scope: Scope, values: list[bytes], hops: int
) -> None:
    text = _element(values, hops)
    if text is not None:
        apply(scope, text)


def _elements(values: list[bytes], hops: int) -> list[str]:
    """What the proxies said, one element each, the first of them first."""
    found: list[str] = []
    for text in from_the_right(values):
        found.append(text)
        if len(found) > hops:
            break
    found.reverse()
    return found


def _scheme(text: str) -> str:
    scheme = _SCHEMES.get(text.lower())
    if scheme is None:
        raise ValueError("no scheme of ours")
    return scheme


def _authority(text: str) -> tuple[bytes, str, int | None]:
    """A host field's value as it came, its host and its port."""
    value = text.encode("latin-1")
    found = split_authority(value)
    if found is None:
        raise ValueError("no host")
    return value, found[0].strip("[]"), found[1]


def _apply_proto(scope: Scope, text: str) -> None:
    scope["scheme"] = _scheme(text)


def _apply_host(scope: Scope, text: str) -> None:
    _set_host(scope, *_authority(text))


def _set_host(scope: Scope, value: bytes, host: str, port: int | None) -> None:
    headers = [item for item in scope["headers"] if item[0].lower() != b"host"]
    scope["headers"] = [(b"host", value), *headers]
    scope["server"] = (host, _DEFAULT_PORTS[scope["scheme"]] if port is None else port)


def _apply_port(scope: Scope, text: str) -> None:
    if not (text.isascii() and text.isdecimal()) or len(text) > 5 or not 0 < int(text) < 65536:
        raise ValueError("no port")
    server = scope["server"]
    if server is None or server[1] is None:  # a unix socket has a path instead of a host
        found = split_authority(host_of(scope["headers"]))
        server = (found[0].strip("[]") if found else "localhost", 0)
    scope["server"] = (server[0], int(text))


_SINGLE: Final[dict[bytes, Callable[[Scope, str], None]]] = {
    _PROTO: _apply_proto,
    _HOST: _apply_host,
    _PORT: _apply_port,
}

# Segments of RFC 3986 section 3.3; an empty one in front would make the next a host.
_PREFIX_PATH: Final = re.compile(r"(?:/(?:[A-Za-z0-9\-._~!$&'()*+;=:@]|%[0-9A-Fa-f]{2})+)+/?|/")


def _apply_prefix(scope: Scope, values: list[bytes], hops: int, stripped: str) -> None:
    """Put what the proxies have taken off the path in front of it again (ASGI HTTP 2.4)."""
    parts = _elements(values, hops)
    for part in parts:
        decoded = unquote(part)
        segments = decoded.split("/")
        if (
            not _PREFIX_PATH.fullmatch(part)
            or "//" in decoded
            or "." in segments
            or ".." in segments
        ):
            raise ValueError("no path")
    raw = "".join(part.rstrip("/") for part in parts)
    root: str = scope["root_path"]
    path: str = scope["path"]
    raw_path: bytes = scope["raw_path"]
    if stripped:  # the prefix is said by the proxy and not by the option
        root, path = "", path.removeprefix(stripped)
        raw_path = raw_path.removeprefix(quote(stripped).encode("ascii"))
    if path.startswith("/"):  # OPTIONS * is about the server
        path = unquote(raw) + path
        raw_path = raw.encode("ascii") + raw_path
    scope["root_path"] = unquote(raw) + root
    scope["path"] = path
    scope["raw_path"] = raw_path


class Via:
    """The proxy at the other end of one connection, as far as it is believed."""

    __slots__ = ("_extension", "_peer", "_reader", "_secure")

    def __init__(
        self, reader: Reader | None, header: ProxyHeader | None, peer: Client, client: Client
    ) -> None:
        self._reader = reader
        self._peer = client
        self._secure = header is not None and header.secure
        self._extension = header.describe(peer) if header is not None else None

    def apply(self, scope: Scope, headers: Headers, root_path: str) -> None:
        """Set in the scope what the proxy says.

        :param root_path: what was put in front of the path for a proxy that takes it off.
        """
        if self._extension is not None:
            scope["extensions"][EXTENSION] = self._extension
            if self._secure:
                scope["scheme"] = "https"
        if self._reader is not None:
            self._reader.apply(scope, headers, self._peer, root_path)


class Proxies:
    """What the options behind a proxy ask for."""

    def __init__(self, config: Config, fault: Callable[[str, Client], None] | None) -> None:
        self.trusted = TrustedProxies(config.trusted_proxies)
        fields = config.forwarded_fields
        self._reader = Reader(self.trusted, fields, fault) if fields else None

    @classmethod
    def create(
        cls, config: Config, fault: Callable[[str, Client], None] | None = None
    ) -> Proxies | None:
        """For a configuration; None where nobody is trusted.

        :param fault: told (reason, peer) about a field that cannot be read.
        """
        return cls(config, fault) if config.trusted_proxies else None

    def via(self, peer: Client, header: ProxyHeader | None = None) -> Via | None:
        """For a connection of this peer; None where its requests stand for themselves.

        A PROXY header names another peer, whose bytes its sender passes on: then that one
        must be trusted for its fields to be believed.
        """
        if header is None or header.local:
            client, trusted = peer, self.trusted.trusts_peer(peer)
        elif header.client is None:
            # A client on a unix socket of the proxy's machine, or one that is not told, whoever
            # that is.
            client, trusted = header.ends(peer, None)[0], self.trusted.everybody
        else:
            client, trusted = header.client, self.trusted.trusts_peer(header.client)
        reader = self._reader if trusted else None
        if reader is None and header is None:
            return None
        return Via(reader, header, peer, client)
