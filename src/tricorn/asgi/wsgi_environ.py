"""The WSGI environ of an HTTP scope (PEP 3333; CGI, RFC 3875 section 4.1)."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Iterator, MutableMapping
from typing import Any
from urllib.parse import unquote_to_bytes

from tricorn.types import Scope

_log = logging.getLogger("tricorn.error")

# RFC 3875 section 4.1.16 wants a minor version, and applications index it; nginx and
# Apache say HTTP/2.0 too (RFC 9110 section 2.5: the minor version implied is 0).
_PROTOCOLS = {"1.0": "HTTP/1.0", "1.1": "HTTP/1.1", "2": "HTTP/2.0", "3": "HTTP/3.0"}
_PORTS = {"http": "80", "https": "443"}
# As Apache's mod_ssl says it.
_TLS_VERSIONS = {0x0303: "TLSv1.2", 0x0304: "TLSv1.3"}


class ErrorStream:
    """``wsgi.errors``: what is written becomes records of the error log, from any thread."""

    __slots__ = ("_lock", "_rest")

    def __init__(self) -> None:
        self._rest = ""
        self._lock = threading.Lock()

    def write(self, text: str) -> int:
        """Take text; whole lines of it become one record."""
        with self._lock:
            lines, newline, self._rest = (self._rest + text).rpartition("\n")
        if newline:
            _tell(lines)
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Take several texts."""
        self.write("".join(lines))

    def flush(self) -> None:
        """Log an unfinished line."""
        with self._lock:
            rest, self._rest = self._rest, ""
        _tell(rest)


def _tell(lines: str) -> None:
    # The end of the last line was cut off between its two characters.
    lines = lines.replace("\r\n", "\n").removesuffix("\r")
    if lines.strip():
        _log.error("%s", lines)


class QuietScope(MutableMapping[str, Any]):
    """``asgi.scope``: the scope itself, which does not show what it holds.

    Frameworks print the environ in the reports of errors. Django leaves out what is secret by the
    keys of the environ and of dicts in it; a scope has the same fields in a list of pairs.
    """

    __slots__ = ("_scope",)

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def __getitem__(self, key: str) -> Any:
        return self._scope[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._scope[key] = value

    def __delitem__(self, key: str) -> None:
        del self._scope[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._scope)

    def __len__(self) -> int:
        return len(self._scope)

    def __repr__(self) -> str:
        return "<the ASGI scope>"


def build_environ(scope: Scope, base: dict[str, Any]) -> dict[str, Any]:
    """``base`` and what the scope says; all text but ``wsgi.*`` is latin-1 (PEP 3333)."""
    environ = base.copy()
    script_name, path_info = _split_path(scope)
    query = scope["query_string"].decode("latin-1")
    raw = scope.get("raw_path")
    target = path_info if raw is None else raw.decode("latin-1")
    version = scope["http_version"]
    scheme = scope["scheme"]
    environ["REQUEST_METHOD"] = scope["method"]
    environ["SCRIPT_NAME"] = script_name
    environ["PATH_INFO"] = path_info
    environ["QUERY_STRING"] = query
    environ["REQUEST_URI"] = environ["RAW_URI"] = f"{target}?{query}" if query else target
    environ["SERVER_PROTOCOL"] = _PROTOCOLS.get(version) or f"HTTP/{version}"
    environ["wsgi.url_scheme"] = scheme
    if scheme == "https":
        environ["HTTPS"] = "on"
        tls = (scope.get("extensions") or {}).get("tls")
        if tls and tls["tls_version"] in _TLS_VERSIONS:
            environ["SSL_PROTOCOL"] = _TLS_VERSIONS[tls["tls_version"]]
    environ["asgi.scope"] = QuietScope(scope)
    for name, value in scope["headers"]:
        key = _key(name)
        if key not in environ:
            environ[key] = value.decode("latin-1")
        elif key == "HTTP_COOKIE":
            environ[key] += "; " + value.decode("latin-1")
        elif key != "CONTENT_LENGTH":
            environ[key] += "," + value.decode("latin-1")
    environ.pop("", None)
    client = scope.get("client")
    environ["REMOTE_ADDR"] = client[0] if client else ""
    if client:
        environ["REMOTE_PORT"] = str(client[1])
    server = scope.get("server")
    if server and server[1] is not None:
        environ["SERVER_NAME"], environ["SERVER_PORT"] = server[0], str(server[1])
    else:
        _name_server(environ, scheme)
    return environ


def _name_server(environ: dict[str, Any], scheme: str) -> None:
    """Name and port where there is no network address: a unix socket. Never empty."""
    name, _, port = environ.get("HTTP_HOST", "").rpartition(":")
    if not port.isdigit() or (":" in name and not name.endswith("]")):
        name, port = environ.get("HTTP_HOST", ""), ""
    environ["SERVER_NAME"] = name or "localhost"
    environ["SERVER_PORT"] = port or _PORTS.get(scheme, "80")


@functools.lru_cache(1024)
def _key(name: bytes) -> str:
    """The environ key of a field; "" for one that the application is not to see.

    ``X_Forwarded_For`` and ``X-Forwarded-For`` have the same key: a peer could slip one
    past a proxy that sets the other. Transfer-Encoding is undone already, and Bottle would
    undo it again.
    """
    key = name.decode("latin-1").upper().replace("-", "_")
    if b"_" in name or key == "TRANSFER_ENCODING":
        return ""
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"


def _split_path(scope: Scope) -> tuple[str, str]:
    """SCRIPT_NAME and PATH_INFO.

    ``path`` begins with ``root_path`` (ASGI HTTP 2.5); where a proxy has taken that off
    already, all of it is PATH_INFO.
    """
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    if path == "*":
        path = ""  # OPTIONS * (RFC 9112 section 3.2.4) is about the server
    if path.isascii() and root.isascii():
        inside = path.startswith(root) and path[len(root) : len(root) + 1] in ("", "/")
        return root, path[len(root) :] if root and inside else path
    # Where bytes that are no UTF-8 have become replacement characters, the raw path has them.
    raw_path: bytes = scope.get("raw_path") or b""
    octets = unquote_to_bytes(raw_path) if "\ufffd" in path and raw_path else path.encode()
    prefix = root.encode()
    if prefix and octets.startswith(prefix) and octets[len(prefix) :][:1] in (b"", b"/"):
        octets = octets[len(prefix) :]
    return prefix.decode("latin-1"), octets.decode("latin-1")
