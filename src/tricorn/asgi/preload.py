"""Push and early hints for applications that only send ``Link: rel=preload`` fields.

RFC 8288 (Link), W3C Preload (``nopush``), RFC 8297 (103), RFC 9113 section 8.4 (push).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from tricorn.asgi.hosts import host_of
from tricorn.protocol.fields import valid_target
from tricorn.types import Headers, Scope

if TYPE_CHECKING:
    from tricorn.asgi.http_response import HTTPResponse

# Link = "<" URI-Reference ">" *( ";" parameter ), the list separated by commas. A quoted
# string may hold either separator.
_QUOTED: Final = rb'"(?:[^"\\]|\\.)*"'
_LINK: Final = re.compile(rb"[\s,]*<([^<>]*)>((?:" + _QUOTED + rb'|[^",])*)')
_PARAMETER: Final = re.compile(
    rb";\s*([\w!#$&+\-.^`|~*]+)\s*(?:=\s*(" + _QUOTED + rb'|[^\s";,]*))?'
)
# What a pushed request takes over from the one it belongs to: the fields that choose
# between representations (as Apache httpd does it), and no credentials.
_TAKEN_OVER: Final = frozenset({b"accept-encoding", b"accept-language", b"user-agent"})


class Link(NamedTuple):
    """One ``rel=preload`` link: ``value`` is the whole of it as it stood in the field."""

    target: bytes
    value: bytes
    nopush: bool


def announce(response: HTTPResponse, headers: Headers) -> bool:
    """Push or hint what a response start preloads; whether there is something to write.

    :param headers: the response's fields, lower-case names.
    """
    links = list(_preloads(headers, response.host.worker.config.link_preload_max))
    if not links:
        return False
    scope = response.scope
    mode = response.host.worker.config.link_preload
    hints = [link.value for link in links]
    written = False
    if mode != "early-hints" and response.can_push:
        # Where pushes go, a hint would ask for what is under way already.
        hints = [link.value for link in links if link.nopush]
        for link in links:
            target = None if link.nopush else own_target(scope, link.target)
            if target is not None and response.push_preload(target) is not None:
                written = True
    if hints and mode != "push" and response.offers("http.response.early_hint"):
        response.hint(hints)
        written = True
    return written


def request_headers(scope: Scope) -> Headers:
    """The fields of a pushed request."""
    return [header for header in scope["headers"] if header[0].lower() in _TAKEN_OVER]


def _preloads(headers: Headers, limit: int) -> Iterator[Link]:
    count = 0
    for name, value in headers:
        if name != b"link":
            continue
        for link in parse_links(value):
            yield link
            count += 1
            if count == limit:
                return


def parse_links(value: bytes) -> Iterator[Link]:
    """The ``rel=preload`` links of one Link field value; what is malformed is passed over."""
    for found in _LINK.finditer(value):
        relations: list[bytes] = []
        nopush = False
        for parameter in _PARAMETER.finditer(found[2]):
            name, text = parameter[1].lower(), parameter[2] or b""
            if name == b"rel" and not relations:  # RFC 8288 3.3: the first counts
                relations = text.strip(b'"').lower().split()
            elif name == b"nopush":
                nopush = True
        if b"preload" in relations:
            whole = found[0].lstrip(b" \t\r\n,").rstrip(b" \t")
            yield Link(found[1].strip(), whole, nopush)


def own_target(scope: Scope, reference: bytes) -> bytes | None:
    """The request target of a URI reference, None where it is not of the scope's own authority.

    :param scope: of the request whose response holds the reference, its base.
    """
    from urllib.parse import urljoin, urlsplit  # not above: few servers push

    try:
        origin = f"{scope['scheme']}://{host_of(scope['headers']).decode('latin-1')}"
        base = f"{origin}{scope['raw_path'].decode('latin-1')}"
        parts = urlsplit(urljoin(base, reference.decode("ascii")))
        own = urlsplit(origin)
        same = parts.scheme == own.scheme and (parts.hostname, parts.port) == (
            own.hostname,
            own.port,
        )
    except (KeyError, ValueError):  # the application may have taken something out of its scope
        return None
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    encoded = target.encode("ascii")
    if not same or parts.username is not None or not valid_target(encoded):
        return None
    return encoded
