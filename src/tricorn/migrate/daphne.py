"""Daphne's options."""

from __future__ import annotations

import re
from typing import Any

from tricorn.exceptions import ConfigError
from tricorn.migrate.table import (
    Draft,
    Peer,
    Taken,
    Values,
    address,
    host_and_port,
    none,
    same,
    several,
    switch,
)
from tricorn.migrate.variables import unknown_in

_LEVELS = {0: "WARNING", 1: "INFO", 2: "DEBUG", 3: "DEBUG"}
_ALWAYS_BOUNDED = "there is always a limit here: set {} to one that fits"
ACCESS_FORMAT = '%(h)s:%({client.1}x)s - - %(t)s "%(m)s %(Uq)s" %(s)s %(b)s'


def _without(option: str, off: int) -> Any:
    """A limit that `off` turns off, with Daphne and here."""
    return lambda value: Taken({option: None if value == off else value})


def _size(option: str) -> Any:
    def convert(value: int) -> Taken:
        if value == 0:
            return Taken({}, _ALWAYS_BOUNDED.format(option))
        return Taken({option: value})

    return convert


def _response_timeout(value: int) -> Taken:
    note = "until the response begins, with 504; Daphne's until it ends, with 503"
    return Taken({"response_timeout": value or None}, note if value else "")


def _verbosity(value: int) -> Taken:
    options: dict[str, object] = {"loglevel": _LEVELS.get(value, "DEBUG")}
    if value >= 1:
        options["accesslog"] = "-"
    if value >= 3:
        options["debug"] = True
    return Taken(options)


def _server_name(value: str) -> Taken:
    if not value:
        return Taken({"include_server_header": False})
    return Taken({"include_server_header": False, "headers": [f"Server: {value}"]})


def _proxies(value: bool) -> Taken:
    if not value:
        return Taken({"trusted_proxies": []})
    note = "Daphne believes everybody: put the addresses of your proxies in the place of *"
    return Taken({"trusted_proxies": ["*"]}, note)


def _join(values: Values, draft: Draft) -> None:
    """Addresses; an ``ssl:`` endpoint turns the others into insecure_bind."""
    plain, origin = host_and_port(values)
    secure: list[str] = []
    origins = [origin] if origin else []
    strings = values["socket_strings"].value if "socket_strings" in values else ()
    if any(_tells_too_little(text) for text in strings):
        draft.leave(("bind",), *(values[name] for name in _ADDRESSES if name in values))
        return
    for name, form in (("unix_socket", "unix:{}"), ("file_descriptor", "fd://{}")):
        if name in values:
            plain.append(form.format(values[name].value))
            origins.append(values[name].origin)
    for text in strings:
        origin = values["socket_strings"].origin
        options, reason = endpoint(text)
        if reason:
            draft.left_out.append((f"{origin} {text.partition(':')[0]}:", reason))
        if options:
            is_secure = "certfile" in options
            (secure if is_secure else plain).append(str(options.pop("bind")))
            draft.take(Taken(options), origin)
            origins.append(origin)
    origin = ", ".join(dict.fromkeys(origins))
    is_set = "unix_socket_mode" in {**draft.entries, **draft.outside}
    if not is_set and any(text.startswith("unix:") for text in plain):
        mode = Taken({"unix_socket_mode": 0o666}, "everybody may connect, as with Daphne")
        draft.take(mode, origin)
    if secure:
        draft.take(Taken({"bind": secure}), origin)
        if plain:
            draft.take(Taken({"insecure_bind": plain}), origin)
    elif plain:
        draft.take(Taken({"bind": plain}), origin)


_ADDRESSES = ("port", "host", "unix_socket", "file_descriptor", "socket_strings")


def _tells_too_little(text: str) -> bool:
    """Whether a variable in an endpoint decides what it is."""
    kind = text.partition(":")[0]
    return bool(unknown_in(kind) or (kind == "systemd" and unknown_in(text)))


# The parameters of Twisted's endpoints, in the order in which they stand without their names.
_PARAMETERS = {
    "tcp": ("port", "interface", "backlog"),
    "tcp6": ("port", "backlog", "interface"),
    "ssl": ("port", "privateKey", "certKey", "sslmethod", "interface", "backlog",
            "extraCertChain", "dhParameters"),
    "unix": ("address", "mode", "backlog", "lockfile"),
    "fd": ("fileno", "domain"),
    "systemd": ("domain", "index", "name"),
}  # fmt: skip


def endpoint(text: str) -> tuple[dict[str, object], str]:
    """Options of ours for an endpoint of Twisted, and what of it is left out.

    Raises `ConfigError` for what Twisted would refuse too.
    """
    kind, *parts = (part.replace("\\:", ":") for part in re.split(r"(?<!\\):", text))
    if kind not in _PARAMETERS:
        return {}, "only tcp, ssl, unix, fd and systemd endpoints have a counterpart"
    keys = dict(zip(_PARAMETERS[kind], (part for part in parts if "=" not in part), strict=False))
    keys |= {part.partition("=")[0]: part.partition("=")[2] for part in parts if "=" in part}
    used = {"domain"}  # tells the kind of a socket, which the socket knows
    if kind in ("tcp", "tcp6", "ssl"):
        host = keys.get("interface") or ("::" if kind == "tcp6" else "0.0.0.0")
        found: dict[str, object] = {"bind": address(host, keys.get("port", ""))}
        used |= {"port", "interface"}
        if kind == "ssl":
            found["keyfile"] = keys.get("privateKey", "server.pem")
            found["certfile"] = keys.get("certKey", found["keyfile"])
            used |= {"privateKey", "certKey"}
    elif kind == "unix":
        found = {"bind": f"unix:{keys.get('address', '')}"}
        if "mode" in keys:
            found["unix_socket_mode"] = keys["mode"]
        used |= {"address", "mode"}
    elif kind == "fd":
        found = {"bind": f"fd://{keys.get('fileno', '')}"}
        used.add("fileno")
    else:
        found = {"bind": _of_systemd(text, keys)}
        used |= {"index", "name"}
    rest = keys.keys() - used
    if "extraCertChain" in rest:
        return found, "append the file of extraCertChain to that of certfile"
    return found, f"no counterpart for {', '.join(sorted(rest))} of the endpoint" if rest else ""


def _of_systemd(text: str, keys: dict[str, str]) -> str:
    """``bind`` for a socket that systemd passes, by its name or its place."""
    if ("index" in keys) == ("name" in keys):
        raise ConfigError(f"{text}: one of index and name is needed")
    if "name" in keys:
        return f"systemd:{keys['name']}"
    if not keys["index"].isdecimal():
        raise ConfigError(f"{text}: {keys['index']!r} is not an index")
    return f"fd://{3 + int(keys['index'])}"  # descriptors are from 3 on (sd_listen_fds)


_ADDRESS: dict[str, Any] = {"joint": True, "unset": {}}
ROWS = (
    same("application", "", "application"),
    same("port", "-p --port", "bind", type=int, **_ADDRESS),
    same("host", "-b --bind", "bind", note="a host; here `host:port`", **_ADDRESS),
    same("unix_socket", "-u --unix-socket", "bind unix_socket_mode", note="Daphne's mode is 666",
         **_ADDRESS),
    same("file_descriptor", "--fd", "bind", type=int, **_ADDRESS),
    several("socket_strings", "-e --endpoint",
            "bind insecure_bind certfile keyfile unix_socket_mode",
            note="tcp, ssl, unix, fd and systemd endpoints", **_ADDRESS),
    none("websocket_timeout", "--websocket_timeout", "a WebSocket is not closed for its age; the "
         "application can", type=int, default=86400, lost=True),
    same("websocket_connect_timeout", "--websocket_connect_timeout",
         "websocket_handshake_timeout", type=int, default=5,
         convert=_without("websocket_handshake_timeout", -1)),
    same("verbosity", "-v --verbosity", "loglevel accesslog debug", type=int, default=1,
         convert=_verbosity, unset={"accesslog": "-", "access_log_format": ACCESS_FORMAT},
         note="1 and above: INFO and the access log, 2: DEBUG, 3: debug"),
    same("http_timeout", "-t --http-timeout", "response_timeout", type=int,
         convert=_response_timeout, note="until the response begins; with Daphne until it ends"),
    same("access_log", "--access-log", "accesslog"),
    none("log_fmt", "--log-fmt", "give the format in a file for logconfig",
         default="%(asctime)-15s %(levelname)-8s %(message)s"),
    same("ping_interval", "--ping-interval", "websocket_ping_interval", type=int, default=20),
    same("ping_timeout", "--ping-timeout", "websocket_ping_timeout", type=int, default=30),
    same("websocket_max_message_size", "--websocket-max-message-size",
         "websocket_max_message_size", type=int, default=2**20,
         convert=_size("websocket_max_message_size"), note="0 has no counterpart"),
    same("websocket_max_frame_size", "--websocket-max-frame-size", "websocket_max_frame_size",
         type=int, default=2**20, convert=_size("websocket_max_frame_size"),
         note="0 has no counterpart"),
    same("application_close_timeout", "--application-close-timeout", "disconnect_grace", type=int,
         default=10),
    same("root_path", "--root-path", "root_path", default="",
         note="the field Daphne-Root-Path is not read"),
    switch("proxy_headers", "--proxy-headers", "trusted_proxies", convert=_proxies, unset={},
           note="Daphne believes everybody: name your proxies instead"),
    none("proxy_headers_host", "--proxy-headers-host",
         "the client is in X-Forwarded-For or in Forwarded: see forwarded_fields", default=False),
    none("proxy_headers_port", "--proxy-headers-port", "X-Forwarded-Port is the server's port; "
         "the client's stands behind its address", default=False),
    same("server_name", "-s --server-name", "include_server_header headers", default="daphne",
         convert=_server_name, unset={}),
    switch("no_server_name", "--no-server-name", "include_server_header", default=None,
           convert=lambda value: _server_name("")),
)  # fmt: skip

DAPHNE = Peer(
    name="daphne",
    title="Daphne",
    release="4.2",
    programs=("daphne",),
    rows=ROWS,
    join=_join,
    abbreviates=True,
    changes=(
        'The application gets lifespan events, which Daphne does not send; lifespan = "off" '
        "holds them back.",
        "receive() and send() wait where the other side is slow; Daphne holds it in memory.",
        "Request heads, bodies and responses that stand still have time limits.",
    ),
)
