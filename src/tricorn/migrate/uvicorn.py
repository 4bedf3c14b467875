"""Uvicorn's options."""

from __future__ import annotations

import os
from typing import Any

from tricorn.migrate.proxies import LOOPBACK, trusted
from tricorn.migrate.table import (
    Draft,
    Peer,
    Taken,
    Values,
    host_and_port,
    logging_file,
    none,
    same,
    several,
    switch,
)
from tricorn.migrate.uvicorn_reload import join_reload
from tricorn.migrate.variables import unknown_in

ACCESS_FORMAT = 'INFO:     %(h)s:%({client.1}x)s - "%(R)s" %(s)s %(st)s'
_FASTEST = "auto takes the fastest codec that is installed"


def _loop(value: str) -> Taken:
    if value in ("auto", "asyncio", "uvloop"):
        return Taken({"worker_class": value})
    if value == "none":
        return Taken({"worker_class": "asyncio"})
    return Taken({}, f"the loop {value} is not among worker_class: auto, asyncio, uvloop, trio")


def _http2(value: bool) -> Taken:
    protocols = ["h2", "http/1.1"] if value else ["http/1.1"]
    return Taken({"alpn_protocols": protocols, "h2_prior_knowledge": value})


def _ws(value: str) -> Taken:
    if value == "none":
        return Taken({}, "WebSocket cannot be turned off: the application refuses it, with 403")
    if value in ("auto", "wsproto"):
        return Taken({"websocket_codec": value})
    return Taken({}, f"there is no codec {value}: {_FASTEST}")


def _http(value: str) -> Taken:
    if value in ("auto", "h11", "httptools"):
        return Taken({"http1_codec": value})
    return Taken({}, f"there is no codec {value}: {_FASTEST}")


def _headers(values: list[str]) -> Taken:
    fields = []
    options: dict[str, object] = {}
    for text in values:
        name, colon, value = text.partition(":")
        if not colon and not unknown_in(text):
            return Taken({}, f"{text!r} is not Name:Value")
        fields.append(f"{name.strip()}: {value.strip()}" if colon else text)
        if name.strip().lower() in ("server", "date"):
            options[f"include_{name.strip().lower()}_header"] = False
    return Taken({"headers": fields, **options})


def _level(value: str) -> Taken:
    if value == "trace":
        return Taken({"loglevel": "DEBUG"}, "there is no level below DEBUG")
    return Taken({"loglevel": value})


def _log_config(value: str) -> Taken:
    taken = logging_file("uvicorn.*")(value)
    note = "uvicorn.logging.AccessFormatter reads records of Uvicorn's: give the handler of "
    note += 'tricorn.access a formatter with "%(message)s", the line is access_log_format\'s'
    return taken._replace(note=f"{taken.note}; {note}")


def _root_path(value: str) -> Taken:
    # Uvicorn puts root_path in front of the path, for a proxy that takes it off.
    return Taken({"root_path": value, "root_path_stripped": bool(value.strip("/"))})


def _access_log(value: bool) -> Taken:
    return Taken({"accesslog": "-" if value else None})


def _app_dir(value: str) -> Taken:
    return Taken({"app_dir": value or os.curdir})


def _join(values: Values, draft: Draft) -> None:
    """What several options say together."""
    _join_proxies(values, draft)
    _join_address(values, draft)
    join_reload(values, draft)


def _join_proxies(values: Values, draft: Draft) -> None:
    """Whom is believed, unless nobody is."""
    switched = values.get("proxy_headers")
    given = values.get("forwarded_allow_ips")
    if switched is not None and "proxy_headers" in draft.unknown:
        draft.leave(("trusted_proxies",), *([switched, given] if given else [switched]))
    elif switched is not None and not switched.value:
        if given is not None:
            draft.left_out.append((given.origin, f"no effect with {switched.origin}"))
    elif given is not None:
        names, note = trusted(given.value)
        draft.take(Taken({"trusted_proxies": names}, note), given.origin)
    else:
        if switched is not None:
            draft.take(Taken({"trusted_proxies": LOOPBACK}), switched.origin)
        draft.take_default({"trusted_proxies": LOOPBACK})


def _join_address(values: Values, draft: Draft) -> None:
    """The address: a descriptor wins over a unix socket, that over host and port."""
    for name, form in (("fd", "fd://{}"), ("uds", "unix:{}")):
        if name in values:
            value, origin = values[name]
            options: dict[str, Any] = {"bind": [form.format(value)]}
            if name == "uds":
                options["unix_socket_mode"] = 0o666
            draft.take(Taken(options), origin)
            return
    found, origin = host_and_port(values)
    if found:
        draft.take(Taken({"bind": found}), origin)


_ADDRESS: dict[str, Any] = {"joint": True, "unset": {}}
ROWS = (
    same("app", "", "application"),
    same("host", "--host", "bind", default="127.0.0.1", **_ADDRESS),
    same("port", "--port", "bind", type=int, default=8000, **_ADDRESS),
    same("uds", "--uds", "bind unix_socket_mode", note="Uvicorn's mode is 666", **_ADDRESS),
    same("fd", "--fd", "bind", type=int, **_ADDRESS),
    switch("reload", "--reload", "use_reloader"),
    several("reload_dirs", "--reload-dir", "reload_dirs", separator=os.pathsep),
    several("reload_includes", "--reload-include", "reload_include reload_dirs", joint=True,
            unset={}, note="in place of `*.py`, Uvicorn's come on top of it; a directory belongs "
            "to reload_dirs"),
    several("reload_excludes", "--reload-exclude", "reload_exclude", joint=True, unset={},
            note="names, or paths below the directories of reload_dirs"),
    none("reload_delay", "--reload-delay", "an edit is taken as soon as it is complete",
         type=float, default=0.25),
    same("workers", "--workers", "workers", type=int),
    same("loop", "--loop", "worker_class", default="auto", convert=_loop),
    same("http", "--http", "http1_codec", default="auto", convert=_http,
         note="`auto`, `h11` and `httptools`"),
    switch("http2", "--http2", "alpn_protocols h2_prior_knowledge", convert=_http2),
    same("ws", "--ws", "websocket_codec", default="auto", convert=_ws,
         note="`auto` and `wsproto`; no counterpart for `none`"),
    same("ws_max_size", "--ws-max-size", "websocket_max_message_size", type=int, default=2**24),
    none("ws_max_queue", "--ws-max-queue",
         "it counts messages, ours bytes: websocket_max_queue_size", type=int, default=32),
    same("ws_ping_interval", "--ws-ping-interval", "websocket_ping_interval", type=float,
         default=20.0),
    same("ws_ping_timeout", "--ws-ping-timeout", "websocket_ping_timeout", type=float,
         default=20.0),
    same("ws_per_message_deflate", "--ws-per-message-deflate", "websocket_compression", type=bool,
         default=True),
    same("lifespan", "--lifespan", "lifespan", choices=("auto", "on", "off"), default="auto"),
    same("interface", "--interface", "interface", choices=("auto", "asgi3", "asgi2", "wsgi"),
         default="auto"),
    none("env_file", "--env-file", "variables for the application come from outside: "
         "EnvironmentFile= of systemd, env_file of Compose, or `set -a; . ./.env; set +a`"),
    same("log_config", "--log-config", "logconfig", convert=_log_config,
         note="loggers `tricorn.*`, for `tricorn.access` a formatter of its own; YAML where PyYAML "
         "is installed"),
    same("log_level", "--log-level", "loglevel", convert=_level, note="no level `trace`",
         choices=("critical", "error", "warning", "info", "debug", "trace")),
    switch("access_log", "--access-log/--no-access-log", "accesslog", default=True,
           convert=_access_log, unset={"accesslog": "-", "access_log_format": ACCESS_FORMAT},
           note="a place, `-`, and off by default; access_log_format sets the line"),
    switch("use_colors", "--use-colors/--no-use-colors", "use_colors", default=None),
    switch("proxy_headers", "--proxy-headers/--no-proxy-headers", "trusted_proxies", default=True,
           note="off: nobody is trusted", **_ADDRESS),
    switch("server_header", "--server-header/--no-server-header", "include_server_header",
           default=True, note="the value is `tricorn`"),
    switch("date_header", "--date-header/--no-date-header", "include_date_header", default=True),
    same("forwarded_allow_ips", "--forwarded-allow-ips", "trusted_proxies",
         note="not set: 127.0.0.1 and ::1 with Uvicorn, nobody here", **_ADDRESS),
    same("root_path", "--root-path", "root_path root_path_stripped", default="",
         convert=_root_path, note="Uvicorn puts it in front of the path: so does "
         "root_path_stripped"),
    same("limit_concurrency", "--limit-concurrency", "max_concurrent_requests", type=int,
         note="503 above it; Uvicorn counts idle connections too"),
    same("backlog", "--backlog", "backlog", type=int, default=2048),
    same("limit_max_requests", "--limit-max-requests", "max_requests", type=int),
    same("limit_max_requests_jitter", "--limit-max-requests-jitter", "max_requests_jitter",
         type=int, default=0),
    same("timeout_keep_alive", "--timeout-keep-alive", "keep_alive_timeout", type=int, default=5),
    same("timeout_graceful_shutdown", "--timeout-graceful-shutdown", "graceful_timeout", type=int,
         unset={"graceful_timeout": None}, note="not set, Uvicorn waits for ever"),
    same("timeout_worker_healthcheck", "--timeout-worker-healthcheck",
         "worker_heartbeat_timeout", type=int, default=5),
    same("ssl_keyfile", "--ssl-keyfile", "keyfile"),
    same("ssl_certfile", "--ssl-certfile", "certfile"),
    same("ssl_keyfile_password", "--ssl-keyfile-password", "keyfile_password"),
    none("ssl_version", "--ssl-version", "TLS 1.2 and 1.3 are spoken; it cannot be set", type=int,
         default=17),
    same("ssl_cert_reqs", "--ssl-cert-reqs", "verify_mode", type=int, default=0, unset={}),
    same("ssl_ca_certs", "--ssl-ca-certs", "ca_certs"),
    same("ssl_ciphers", "--ssl-ciphers", "ciphers",
         note="for TLS 1.2; our default is narrower than OpenSSL's"),
    several("headers", "--header", "headers", convert=_headers),
    switch("version", "--version", default=None, note="`tricorn --version`"),
    same("app_dir", "--app-dir", "app_dir", default="", convert=_app_dir, unset={}),
    same("h11_max_incomplete_event_size", "--h11-max-incomplete-event-size",
         "h11_max_incomplete_size", type=int, note="in effect for every request head"),
    switch("reset_contextvars", "--reset-contextvars",
           note="not needed: every request has a context of its own"),
    switch("factory", "--factory", "factory"),
)  # fmt: skip

UVICORN = Peer(
    name="uvicorn",
    title="Uvicorn",
    release="0.54",
    programs=("uvicorn",),
    rows=ROWS,
    join=_join,
    abbreviates=False,
    prefix="UVICORN_",
    variables={"WEB_CONCURRENCY": "workers", "FORWARDED_ALLOW_IPS": "forwarded_allow_ips"},
    habits={"disconnect_grace": None},
    changes=(
        "Nobody is believed about the client unless trusted_proxies names him; Uvicorn believes "
        "127.0.0.1 and ::1.",
        "The application is cancelled disconnect_grace after its client has gone.",
        "Request heads, bodies and responses that stand still have time limits.",
        "send() raises an OSError once the client has gone.",
    ),
)
