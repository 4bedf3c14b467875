"""Hypercorn's options; their names are ours."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from typing import Any

from tricorn.config_binds import is_ipv6
from tricorn.migrate.python_file import find_object, read_toml, run_file
from tricorn.migrate.table import (
    Draft,
    Peer,
    Row,
    Taken,
    Values,
    access_format,
    binds,
    both_or_neither,
    logging_file,
    none,
    same,
    several,
    switch,
)

_INSECURE = "without certfile and keyfile Hypercorn does not serve these addresses"


def _application(value: str) -> Taken:
    kind, _, rest = value.partition(":")
    if kind in ("asgi", "wsgi") and ":" in rest:
        return Taken({"application": rest, **({"interface": "wsgi"} if kind == "wsgi" else {})})
    return Taken({"application": value})


def _bind(text: str) -> str:
    """Hypercorn takes what is behind the last colon for the port, with brackets and without."""
    host, _, port = text.rpartition(":")
    return f"[{host}]:{port}" if is_ipv6(host) and port.isdecimal() else text


def _binds(value: Sequence[str] | str) -> list[str]:
    return binds([value] if isinstance(value, str) else value, _bind)


def _log(option: str, value: Any) -> Taken:
    if not isinstance(value, str):
        return Taken({}, f"{option} is a Logger object: name a file, or use logconfig")
    return Taken({option: value})


def _join(values: Values, draft: Draft) -> None:
    """TLS is on with certfile and keyfile together, and only then are insecure_bind served."""
    is_on = both_or_neither(values, draft, "certfile", "keyfile")
    if "insecure_bind" in values:
        value, origin = values["insecure_bind"]
        found = {"insecure_bind": _binds(value)} if is_on else {}
        draft.take(Taken(found), origin, _INSECURE)


def _key(name: str, flags: str = "", **extra: Any) -> Row:
    return same(name, flags, name, **extra)


ROWS = (
    same("application_path", "", "application", convert=_application),
    none("config", "-c --config", "the file is read"),
    _key("access_log_format", "--access-logformat", convert=access_format,
         default='%(h)s %(l)s %(l)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"',
         note="`h` without the port; `H`, and the end of `r` and `R`, with `HTTP/`"),
    _key("accesslog", "--access-logfile --access-log", convert=lambda v: _log("accesslog", v)),
    several("alpn_protocols", "", "alpn_protocols", default=("h2", "http/1.1")),
    several("alt_svc_headers", "", "alt_svc_headers", note="sent as given, never filled in"),
    _key("backlog", "--backlog", type=int, default=100),
    several("bind", "-b --bind", "bind", default=("127.0.0.1:8000",),
            convert=lambda value: Taken({"bind": _binds(value)})),
    _key("ca_certs", "--ca-certs"),
    same("cert_reqs", "--cert-reqs", "verify_mode", type=int),
    _key("certfile", "--certfile", joint=True),
    _key("ciphers", "--ciphers", default="ECDHE+AESGCM"),
    switch("daemon", "-D --daemon", "daemon", default=True, unset={}),
    switch("debug", "--debug", "debug"),
    _key("dogstatsd_tags", default=""),
    _key("errorlog", "--error-logfile --log-file --error-log", default="-",
         convert=lambda v: _log("errorlog", v)),
    _key("graceful_timeout", "--graceful-timeout", type=int, default=3.0),
    _key("group", "-g --group", type=int,
         note="names too; also of the workers, where they are started as root"),
    _key("h11_max_incomplete_size", type=int, default=16384),
    switch("h11_pass_raw_headers", "", "h11_pass_raw_headers"),
    _key("h2_max_concurrent_streams", type=int, default=100),
    _key("h2_max_header_list_size", type=int, default=65536),
    _key("h2_max_inbound_frame_size", type=int, default=16384,
         note="without effect with Hypercorn; in effect here"),
    switch("include_date_header", "", "include_date_header", default=True),
    switch("include_server_header", "", "include_server_header", default=True,
           note="the value is `tricorn`"),
    several("insecure_bind", "--insecure-bind", "insecure_bind", joint=True,
            note="served without TLS too, where Hypercorn leaves it out"),
    _key("keep_alive_max_requests", type=int, default=1000),
    _key("keep_alive_timeout", "--keep-alive", type=int, default=5.0),
    _key("keyfile", "--keyfile", joint=True),
    _key("keyfile_password", "--keyfile-password"),
    _key("logconfig", "--log-config", convert=logging_file("hypercorn.*"),
         note="loggers `tricorn.*`"),
    _key("logconfig_dict", type=dict, note="loggers `tricorn.*`"),
    _key("logger_class", default="hypercorn.logging.Logger", unset={}),
    _key("loglevel", "--log-level", default="INFO"),
    _key("max_app_queue_size", type=int, default=10),
    _key("max_requests", "--max-requests", type=int),
    _key("max_requests_jitter", "--max-requests-jitter", type=int, default=0),
    _key("pid_path", "-p --pid"),
    several("quic_bind", "--quic-bind", "quic_bind"),
    _key("read_timeout", "--read-timeout", type=int, unset={"read_timeout": None},
         note="any read with Hypercorn; between two pieces of a request body here"),
    _key("root_path", "--root-path", default=""),
    several("server_names", "--server-name", "server_names",
            note="with or without port, and 421; with Hypercorn exactly, and 404"),
    _key("shutdown_timeout", type=int, default=60.0),
    _key("ssl_handshake_timeout", type=int, default=60.0),
    _key("startup_timeout", type=int, default=60.0),
    _key("statsd_host", "--statsd-host"),
    _key("statsd_prefix", "--statsd-prefix", default=""),
    _key("umask", "-m --umask", type=int,
         note="of all files, not only unix sockets; as a flag also octal, with a leading 0"),
    switch("use_reloader", "--reload", "use_reloader"),
    _key("user", "-u --user", type=int,
         note="names too; also of the workers, where they are started as root"),
    _key("verify_flags", type=int),
    _key("verify_mode", "--verify-mode"),
    _key("websocket_max_message_size", type=int, default=2**24),
    _key("websocket_ping_interval", "--websocket-ping-interval", type=int,
         unset={"websocket_ping_interval": None}, note="and websocket_ping_timeout"),
    _key("worker_class", "-k --worker-class", default="asyncio"),
    _key("workers", "-w --workers", type=int, default=1),
    _key("wsgi_max_body_size", type=int, default=2**24, note="413; with Hypercorn 400"),
)  # fmt: skip


def _read(name: str) -> Mapping[str, Any]:
    """The settings of TOML, ``file:x.py`` or ``python:module``, as Hypercorn reads them."""
    if name.startswith("python:"):
        found = find_object(name.removeprefix("python:"))
    elif name.startswith("file:") or name.endswith(".py"):
        found = run_file(name.removeprefix("file:"))
    else:
        return read_toml(name)
    known = {row.name for row in ROWS}
    settings: dict[str, Any] = {}
    for key in dir(found):
        # Hypercorn's own Config has cert_reqs, which can be written and not read.
        value = getattr(found, key, None)
        if key in known and value is not None and not isinstance(value, types.ModuleType):
            settings[key] = value
    if isinstance(settings.get("logger_class"), type):
        kind = settings["logger_class"]
        settings["logger_class"] = f"{kind.__module__}.{kind.__qualname__}"
    return settings


HYPERCORN = Peer(
    name="hypercorn",
    title="Hypercorn",
    release="0.18",
    programs=("hypercorn",),
    rows=ROWS,
    join=_join,
    abbreviates=True,
    habits={"h2c_upgrade": True, "disconnect_grace": None, "websocket_ping_timeout": None},
    changes=(
        "h2c by Upgrade is off; h2c_upgrade turns it on. Prior knowledge is on.",
        "The application is cancelled disconnect_grace after its client has gone.",
        "Request heads, bodies and responses that stand still have time limits.",
        "send() raises an OSError once the client has gone.",
    ),
    read_file=_read,
)
