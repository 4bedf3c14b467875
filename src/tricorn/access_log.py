"""The access log: one line for each exchange, written at its true end.

Text lines follow ``access_log_format``, made of Gunicorn's and Hypercorn's atoms:

=========  =====================================================================
``%(h)s``  address of the client, ``-`` for a UNIX socket
``%(l)s``  ``-``
``%(u)s``  user of Basic authorization (RFC 7617), as the client claims it
``%(t)s``  end of the exchange: ``[21/Nov/2026:12:00:00 +0000]``, local time
``%(r)s``  ``GET /path HTTP/1.1``; ``R`` the same with the query
``%(m)s``  method; a WebSocket has GET over HTTP/1.1 and CONNECT over HTTP/2
``%(U)s``  path as it came in, still percent-encoded; ``Uq`` with the query
``%(q)s``  query without its question mark; ``S`` scheme
``%(H)s``  protocol: ``HTTP/1.1``, ``HTTP/2``
``%(s)s``  status; 499 if the peer left before one was sent; ``st`` its phrase
``%(B)s``  bytes of the body that were written; ``b`` the same, ``-`` for none
``%(f)s``  Referer; ``a`` User-Agent
``%(T)s``  duration in seconds; ``M`` milliseconds, ``D`` microseconds (whole
           numbers); ``L`` seconds with six decimals
``%(p)s``  ``<process id>``
=========  =====================================================================

``%({name}i)s`` is a request header, ``%({name}o)s`` a response header, ``%({name}e)s`` an
environment variable as it was at the start. ``%({key}x)s`` is ours: one of ``stream_id``,
``close_code``, ``bytes_received``, ``disconnected``, ``request_id``, ``trace_id``, ``span_id``
(with the options that make them), else an entry of the ASGI scope by its
dotted name, as in ``%({http_version}x)s``, ``%({client.1}x)s`` (the port) or
``%({extensions.tls.tls_version}x)s``; ``%(http_version)x`` is short for it. Widths work:
``%(s)-5s``. What is absent is ``-``. All values are escaped to printable ASCII.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from tricorn.config import Config
from tricorn.exceptions import ConfigError
from tricorn.logs import ACCESS, ERROR, LogHandler, escape, rfc3339, wants_access
from tricorn.reasons import REASONS

# Sent by nobody: the mark nginx gives to a request whose client closed the connection.
CLIENT_CLOSED_REQUEST = 499


class Exchange(Protocol):
    """What the log reads of a finished exchange."""

    @property
    def scope(self) -> Mapping[str, Any]:
        """ASGI scope (HTTP or WebSocket)."""

    @property
    def status(self) -> int | None:
        """Status sent; None: none was."""

    @property
    def response_headers(self) -> Iterable[tuple[bytes, bytes]]: ...

    @property
    def bytes_sent(self) -> int:
        """Body bytes written."""

    @property
    def bytes_received(self) -> int:
        """Body bytes received."""

    @property
    def duration(self) -> float:
        """Seconds."""

    @property
    def stream_id(self) -> int: ...

    @property
    def disconnected(self) -> bool:
        """The peer left before the end."""

    @property
    def close_code(self) -> int | None:
        """WebSocket close code (RFC 6455 section 7.4)."""

    @property
    def finished_at(self) -> float:
        """Epoch seconds."""


Getter = Callable[[Exchange], str]


class AccessLog:
    """Writes one line for an exchange: ``log(exchange)``. Never waits, never raises."""

    def __init__(self, template: str, *, as_json: bool) -> None:
        """
        :raises ConfigError: an unknown atom in ``template`` (the access log format).
        """
        self._logger = logging.getLogger(ACCESS)
        self._pattern, self._getters = compile_format(template)
        self.line = _json_line if as_json else self._text_line
        """Exchange -> its line (str, no line end)."""

    @classmethod
    def create(cls, config: Config) -> AccessLog | None:
        """The log asked for, None for none; call it after `tricorn.logs.setup`.

        :raises ConfigError: an unknown atom in ``access_log_format``, named.
        """
        if not wants_access(config):
            return None
        return cls(config.access_log_format, as_json=config.log_format == "json")

    def __call__(self, exchange: Exchange) -> None:
        try:
            self._write(exchange)
        except Exception as exc:  # the application may have left anything in its scope
            logging.getLogger(ERROR).error("no access line could be made: %r", exc)

    def _write(self, exchange: Exchange) -> None:
        logger = self._logger
        handlers = logger.handlers
        if len(handlers) == 1 and type(handlers[0]) is LogHandler and not logger.filters:
            # The usual set-up needs no LogRecord, which would double the cost of a line.
            if not logger.disabled:
                handlers[0].sink.write(self.line(exchange))
        elif logger.isEnabledFor(logging.INFO):
            logger.info("%s", self.line(exchange), extra=fields(exchange))

    def _text_line(self, exchange: Exchange) -> str:
        return self._pattern % tuple([getter(exchange) for getter in self._getters])


def _json_line(exchange: Exchange) -> str:
    return json.dumps(fields(exchange), default=repr)


def fields(exchange: Exchange) -> dict[str, Any]:
    """The structured form: what a JSON line holds, and the extra fields of a record."""
    scope = exchange.scope
    user_agent, referer = _header(scope, b"user-agent"), _header(scope, b"referer")
    client = scope.get("client")
    identity = {name: found for name in _IDENTITY if (found := _walk(scope, _IDENTITY[name]))}
    return identity | {
        "time": rfc3339(exchange.finished_at),
        "client": client[0] if client else None,
        "method": _method(exchange),
        "path": _path(exchange),
        "query": _decode(scope.get("query_string", b"")),
        "http_version": scope.get("http_version"),
        "status": _status_number(exchange),
        "bytes_sent": exchange.bytes_sent,
        "bytes_received": exchange.bytes_received,
        "duration": round(exchange.duration, 6),
        "user_agent": None if user_agent is None else _decode(user_agent),
        "referer": None if referer is None else _decode(referer),
        "stream_id": exchange.stream_id,
        "scheme": scope.get("scheme"),
        "type": scope.get("type"),
        "close_code": exchange.close_code,
        "disconnected": exchange.disconnected,
    }


# Where the exchange's ids stand in its scope, with the options that ask for them on.
_IDENTITY = {
    "request_id": ["extensions", "tricorn.request_id", "id"],
    "trace_id": ["extensions", "tricorn.trace_context", "trace_id"],
    "span_id": ["extensions", "tricorn.trace_context", "span_id"],
}

_ATOM = re.compile(r"%(?:(%)|\(([^(){}]*|\{[^{}]*\}[a-zA-Z])\)(-?[0-9]*(?:\.[0-9]+)?)([a-zA-Z]))")


def compile_format(template: str) -> tuple[str, list[Getter]]:
    """A pattern for the ``%`` operator and the getters of its values, in order.

    :raises ConfigError: an unknown atom, or a ``%`` that begins none.
    """
    pattern: list[str] = []
    getters: list[Getter] = []
    position = 0
    while (start := template.find("%", position)) >= 0:
        match = _ATOM.match(template, start)
        if match is None:
            rest = template[start : start + 20]
            raise ConfigError(f"access_log_format: not an atom: {rest!r} (%% is a percent sign)")
        pattern.append(template[position:start])
        position = match.end()
        percent, name, width, conversion = match.groups()
        if percent:
            pattern.append("%%")
            continue
        if conversion == "x" and not name.startswith("{"):
            name, conversion = f"{{{name}}}x", "s"
        getter = _getter(name) if conversion == "s" else None
        if getter is None:
            raise ConfigError(f"access_log_format: unknown atom {match[0]!r}")
        pattern.append(f"%{width}s")
        getters.append(getter)
    return "".join(pattern) + template[position:], getters


def from_gunicorn(template: str) -> str:
    """A format in which ``r`` has the query, as with Gunicorn and nobody else, in our atoms."""
    return _ATOM.sub(lambda atom: "%(R)" + atom[0][4:] if atom[2] == "r" else atom[0], template)


def reads_environment(template: str) -> bool:
    """Whether there is a ``%({name}e)s`` in the format."""
    return any(atom[2] and atom[2].endswith("}e") for atom in _ATOM.finditer(template))


def _getter(name: str) -> Getter | None:
    if not name.startswith("{"):
        return _ATOMS.get(name)
    key, kind = name[1:-2], name[-1]
    if kind == "i":
        return _request_header(key.lower().encode("latin-1", "replace"))
    if kind == "o":
        return _response_header(key.lower().encode("latin-1", "replace"))
    if kind == "e":
        value = escape(os.environ.get(key, os.environ.get(key.upper(), "-")))
        return lambda exchange: value
    return _extra(key) if kind == "x" else None


def _decode(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")


def _bytes(value: bytes) -> str:
    # Latin-1 keeps bytes apart, so escape() shows each one that is not ASCII as \xHH.
    return escape(value.decode("latin-1"))


def _header(scope: Mapping[str, Any], name: bytes) -> bytes | None:
    length = len(name)
    for key, value in scope["headers"]:
        # With h11_pass_raw_headers names have the peer's own case.
        if key == name or (len(key) == length and key.lower() == name):
            return bytes(value)
    return None


def _request_header(name: bytes) -> Getter:
    def get(exchange: Exchange) -> str:
        value = _header(exchange.scope, name)
        return "-" if value is None else _bytes(value)

    return get


def _response_header(name: bytes) -> Getter:
    def get(exchange: Exchange) -> str:
        for key, value in exchange.response_headers:
            if key.lower() == name:
                return _bytes(value)
        return "-"

    return get


def _extra(key: str) -> Getter:
    if key in ("stream_id", "close_code", "bytes_received", "disconnected"):
        return lambda exchange: _show(getattr(exchange, key))
    parts = _IDENTITY.get(key) or key.split(".")
    return lambda exchange: _show(_walk(exchange.scope, parts))


def _walk(value: object, parts: list[str]) -> object:
    for part in parts:
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
            index = int(part) if part.isdecimal() else len(value)
            value = value[index] if index < len(value) else None
        else:
            return None
    return value


def _show(value: object) -> str:
    if value is None:
        return "-"
    return _bytes(value) if isinstance(value, bytes) else escape(str(value))


def _client(exchange: Exchange) -> str:
    client = exchange.scope.get("client")
    return escape(client[0]) or "-" if client else "-"


def _user(exchange: Exchange) -> str:
    value = _header(exchange.scope, b"authorization")
    if value is None or value[:6].lower() != b"basic ":
        return "-"
    try:
        user, colon, _ = base64.b64decode(value[6:].strip(), validate=True).partition(b":")
    except binascii.Error:
        return "-"
    return _bytes(user) or "-" if colon else "-"


class _Clock:
    """The time atom; a second has one text, formatted once."""

    def __init__(self) -> None:
        self._second = (-1, "")

    def __call__(self, exchange: Exchange) -> str:
        moment = int(exchange.finished_at)
        if moment != self._second[0]:
            now = time.localtime(moment)
            # Not %b, which speaks the locale's language.
            month = "JanFebMarAprMayJunJulAugSepOctNovDec"[3 * now.tm_mon - 3 : 3 * now.tm_mon]
            self._second = moment, time.strftime(f"[%d/{month}/%Y:%H:%M:%S %z]", now)
        return self._second[1]


def _method(exchange: Exchange) -> str:
    scope = exchange.scope
    if scope["type"] == "websocket":
        return "CONNECT" if scope.get("http_version") == "2" else "GET"  # RFC 8441 section 4
    return str(scope["method"])


def _path(exchange: Exchange) -> str:
    # Not scope["path"]: frameworks change it, and the log tells what came in.
    raw = exchange.scope.get("raw_path")
    return str(exchange.scope["path"]) if raw is None else raw.decode("latin-1")


def _path_atom(exchange: Exchange) -> str:
    return escape(_path(exchange))


def _query(exchange: Exchange) -> str:
    return _bytes(exchange.scope.get("query_string", b""))


def _target(exchange: Exchange) -> str:
    query = _query(exchange)
    return f"{_path_atom(exchange)}?{query}" if query else _path_atom(exchange)


def _protocol(exchange: Exchange) -> str:
    return escape(f"HTTP/{exchange.scope.get('http_version', '1.1')}")


def _request_line(exchange: Exchange) -> str:
    return f"{escape(_method(exchange))} {_path_atom(exchange)} {_protocol(exchange)}"


def _full_request_line(exchange: Exchange) -> str:
    return f"{escape(_method(exchange))} {_target(exchange)} {_protocol(exchange)}"


def _status_number(exchange: Exchange) -> int | None:
    if exchange.status is None and exchange.disconnected:
        return CLIENT_CLOSED_REQUEST
    return exchange.status


def _status(exchange: Exchange) -> str:
    return _show(_status_number(exchange))


def _phrase(exchange: Exchange) -> str:
    number = _status_number(exchange)
    if number == CLIENT_CLOSED_REQUEST:
        return "Client Closed Request"
    return REASONS.get(number or 0, "-")


_ATOMS: dict[str, Getter] = {
    "h": _client,
    "l": lambda exchange: "-",
    "u": _user,
    "t": _Clock(),
    "r": _request_line,
    "R": _full_request_line,
    "s": _status,
    "st": _phrase,
    "S": lambda exchange: escape(str(exchange.scope.get("scheme", "-"))),
    "m": lambda exchange: escape(_method(exchange)),
    "U": _path_atom,
    "Uq": _target,
    "q": _query,
    "H": _protocol,
    "b": lambda exchange: str(exchange.bytes_sent or "-"),
    "B": lambda exchange: str(exchange.bytes_sent),
    "f": _request_header(b"referer"),
    "a": _request_header(b"user-agent"),
    "T": lambda exchange: str(int(exchange.duration)),
    "D": lambda exchange: str(int(exchange.duration * 1_000_000)),
    "M": lambda exchange: str(int(exchange.duration * 1_000)),
    "L": lambda exchange: f"{exchange.duration:.6f}",
    "p": lambda exchange: f"<{os.getpid()}>",
}
