"""Redirects: the mount that leads elsewhere, cleartext to HTTPS, and HSTS (RFC 6797)."""

from __future__ import annotations

import contextlib

from tricorn.asgi.hosts import HostNames, host_of
from tricorn.asgi.replies import TARGET_SAFE, below, encoded, reply
from tricorn.config import Config
from tricorn.config_binds import parse_bind
from tricorn.config_mounts import Mount
from tricorn.exceptions import ClientDisconnected
from tricorn.host_names import split_authority
from tricorn.percent import quote, unquote
from tricorn.reasons import REASONS
from tricorn.types import ASGIApplication, Header, Message, Receive, Scope, Send

#: Below it certificate authorities look for their proofs (RFC 8555 section 8.3).
ACME_PATH = "/.well-known/acme-challenge"

_HTTPS_PORT = 443
_SECURE = {"http": "https", "ws": "wss"}
_STARTS = ("http.response.start", "websocket.http.response.start")


class Redirect:
    """The ASGI application of a mount with a ``redirect``."""

    def __init__(self, mount: Mount) -> None:
        assert mount.redirect is not None
        self.mount = mount
        self._target = mount.redirect

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the redirect."""
        if scope["type"] not in ("http", "websocket"):
            raise ValueError(f"redirects have no {scope['type']!r} scope")
        status = self.mount.status
        location = (b"location", self.location(scope).encode("ascii"))
        await reply(scope, receive, send, status, REASONS[status], [location])

    def location(self, scope: Scope) -> str:
        """The target with what follows the mount's path, and the query, behind it."""
        tail = _tail(scope, below(scope, self.mount.prefix))
        url = self._target.rstrip("/") + tail if tail else self._target
        if self._target.startswith("/"):
            outer = scope.get("root_path", "").removesuffix(self.mount.prefix)
            # Two slashes at its front would make the first segment a host.
            url = "/" + (quote(outer, safe=TARGET_SAFE) + url).lstrip("/")
        query = encoded(scope["query_string"])
        return f"{url}?{query}" if query else url


def _tail(scope: Scope, rest: str) -> str:
    """The end ``rest`` of the path as it stood in the request where that can be told."""
    if not rest.startswith("/"):
        return ""  # the mount's own path, or OPTIONS *
    raw = encoded(scope.get("raw_path") or b"")
    front = scope["path"][: len(scope["path"]) - len(rest)]
    # As many slashes as the front has end it, none of them encoded: an encoded one would not
    # end the host in front of it.
    slashes = front.count("/")
    *written, tail = raw.split("/", slashes + 1)
    if len(written) == slashes + 1 and unquote("/".join(written)) == front:
        return f"/{tail}"
    return quote(rest, safe="/")


class HTTPSRedirect:
    """Answers what comes in cleartext with 308 to the same URL in https (or wss).

    What is asked below the ACME path goes to the application where the configuration has a
    mount there: before the first certificate there is no https to go to.
    """

    def __init__(self, app: ASGIApplication, config: Config) -> None:
        self._app = app
        self._names = HostNames(config.server_names)
        self._host = config.https_redirect_host
        self._port = tls_port(config)
        self._answers_acme = any(
            str(table.get("path")).rstrip("/") == ACME_PATH for table in config.mounts
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Redirect, or pass on what came over TLS and the lifespan."""
        scheme = _SECURE.get(scope.get("scheme", "")) if scope["type"] != "lifespan" else None
        if scheme is None or (self._answers_acme and _is_below_acme(scope)):
            await self._app(scope, receive, send)
            return
        authority = self._authority(scope)
        if authority is None:
            await reply(scope, receive, send, 400, "Bad Request: no valid Host")
            return
        raw: bytes = scope.get("raw_path") or quote(scope["path"], safe="/").encode("ascii")
        path = encoded(raw) if raw.startswith(b"/") else ""  # OPTIONS *
        query = encoded(scope["query_string"])
        url = f"{scheme}://{authority}{path}" + (f"?{query}" if query else "")
        location = (b"location", url.encode("ascii"))
        await reply(scope, receive, send, 308, "Permanent Redirect", [location])

    def _authority(self, scope: Scope) -> str | None:
        """``host`` or ``host:port`` to go to; None where the request names no host of ours."""
        if self._host is not None:
            return self._host
        given = host_of(scope["headers"])
        found = split_authority(given)
        if found is None or (self._names and not self._names.match(given)):
            return None
        host = found[0]
        return host if self._port == _HTTPS_PORT else f"{host}:{self._port}"


def _is_below_acme(scope: Scope) -> bool:
    return below(scope, "").startswith(f"{ACME_PATH}/")


def tls_port(config: Config) -> int:
    """The port of the first address with TLS; 443 where there is none to tell."""
    if config.ssl_enabled:
        for text in config.bind:
            address = parse_bind(text)
            if address.kind == "tcp":
                return address.port
    return _HTTPS_PORT


class StrictTransportSecurity:
    """Adds Strict-Transport-Security to what is sent over TLS (RFC 6797 section 7.2)."""

    def __init__(self, app: ASGIApplication, config: Config) -> None:
        self._app = app
        self._field = hsts_field(config)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application; its failure before a response becomes a 500 with the field."""
        if scope["type"] == "lifespan" or scope["scheme"] not in ("https", "wss"):
            await self._app(scope, receive, send)
            return
        field = self._field
        started = False

        async def send_with_field(message: Message) -> None:
            nonlocal started
            started = True
            await send(_with_field(message, field))

        try:
            await self._app(scope, receive, send_with_field)
        except Exception as exc:
            if not started and scope["type"] == "http" and not isinstance(exc, ClientDisconnected):
                with contextlib.suppress(ClientDisconnected):
                    await reply(scope, receive, send_with_field, 500, "Internal Server Error")
            raise


def _with_field(message: Message, field: Header) -> Message:
    """A response start with the field, unless it has one (RFC 6797 section 7.1: only one)."""
    try:
        if message["type"] not in _STARTS:
            return message
        headers = list(message.get("headers") or ())
        if any(name.lower() == field[0] for name, _ in headers):
            return message
    except (AttributeError, KeyError, TypeError, ValueError):
        return message  # malformed: the server's send() says how
    return {**message, "headers": [*headers, field]}


def hsts_field(config: Config) -> Header:
    """The field that the options ``hsts_*`` make."""
    assert config.hsts_max_age is not None
    value = f"max-age={int(config.hsts_max_age)}"
    if config.hsts_include_subdomains:
        value += "; includeSubDomains"
    if config.hsts_preload:
        value += "; preload"
    return b"strict-transport-security", value.encode("ascii")
