"""Granian's options."""

from __future__ import annotations

import os
import re
from typing import Any

from tricorn.exceptions import ConfigError
from tricorn.migrate.table import (
    Draft,
    Peer,
    Taken,
    Values,
    access_format,
    address,
    both_or_neither,
    host_and_port,
    none,
    same,
    several,
    switch,
)

_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_RUNTIME = "not needed: requests run on the event loop, there is no other runtime"
_SCRAPE = "the counters are up to date at every scrape"
_METRICS: dict[str, Any] = {"joint": True, "unset": {}}
_RELOAD: dict[str, Any] = {"joint": True, "unset": {}}
_STATIC: dict[str, Any] = {"joint": True, "unset": {}}
_ATOMS = {
    "addr": "%(h)s", "time": "%(t)s", "dt_ms": "%(M)s", "status": "%(s)s", "path": "%(U)s",
    "query_string": "%(q)s", "method": "%(m)s", "scheme": "%(S)s", "protocol": "%(H)s",
}  # fmt: skip
# Our time has brackets of its own.
_ATOM = re.compile(
    r"\[%\(time\)s\]|%\(header\{(?P<field>[^}]+)\}\)s|%\((?P<atom>\w+)\)[-0-9.]*[sdfr]"
)
DEFAULT_ACCESS_FORMAT = (
    '[%(time)s] %(addr)s - "%(method)s %(path)s %(protocol)s" %(status)d %(dt_ms).3f'
)


def duration(text: str) -> int:
    """Seconds of ``30`` or ``1h30m``; raises ValueError."""
    if text.isdecimal():
        return int(text)
    match = _DURATION.fullmatch(text)
    if match is None or not text:
        raise ValueError("not a duration")
    units = zip(match.groups(), (86400, 3600, 60, 1), strict=True)
    return sum(int(number or 0) * unit for number, unit in units)


def octal(text: str) -> int:
    """A number, octal with a leading 0; raises ValueError."""
    return int(text, 8 if text.startswith("0") else 10)


def our_format(value: str) -> Taken:
    """The line with our atoms; ``%(header{name})s`` is a field of the request."""
    unknown: list[str] = []

    def atom(match: re.Match[str]) -> str:
        if match["field"]:
            return f"%({{{match['field'].strip().lower()}}}i)s"
        name = match["atom"] or "time"
        if name not in _ATOMS:
            unknown.append(name)
        return _ATOMS.get(name, "")

    text = _ATOM.sub(atom, value)
    if unknown:
        return Taken({}, f"access_log_format has no atom for %({unknown[0]})s")
    taken = access_format(text)
    return taken if taken.note else Taken(taken.options, "times are whole milliseconds")


def _http(value: str) -> Taken:
    if value == "1":
        return Taken({"alpn_protocols": ["http/1.1"], "h2_prior_knowledge": False})
    if value == "2":
        return Taken(
            {"alpn_protocols": ["h2"]}, "clients that speak HTTP/1.1 all the same are served"
        )
    return Taken({"alpn_protocols": ["h2", "http/1.1"], "h2_prior_knowledge": True})


def _loop(value: str) -> Taken:
    if value in ("auto", "asyncio", "uvloop"):
        return Taken({"worker_class": value})
    return Taken({"worker_class": "auto"}, f"{value} is not there: uvloop where it is installed")


def _keep_alive(value: bool) -> Taken:
    return Taken({"keep_alive_max_requests": None if value else 1})


def _mebibytes(value: int) -> Taken:
    return Taken({"worker_max_memory": value * 2**20})


def _milliseconds(value: int) -> Taken:
    return Taken({"header_timeout": value / 1000})


def _backpressure(value: int) -> Taken:
    note = "requests above it get 503; with Granian they wait"
    return Taken({"max_concurrent_requests": value}, note)


def _connection_window(value: int) -> Taken:
    low = 65535
    note = "RFC 9113 section 6.9.2 begins at 65535" if value < low else ""
    return Taken({"h2_connection_window_size": max(value, low)}, note)


def _level(value: str) -> Taken:
    return Taken({"loglevel": {"warn": "warning", "notset": "debug"}.get(value, value)})


def _log(value: bool) -> Taken:
    return Taken({"errorlog": "-" if value else None})


def _log_config(value: str) -> Taken:
    note = "its loggers _granian and granian.access are tricorn.error and tricorn.access here"
    return Taken({"logconfig": f"json:{value}"}, note)


def _access_log(value: bool) -> Taken:
    return Taken({"accesslog": "-" if value else None})


def _client_verify(value: bool) -> Taken:
    return Taken({"verify_mode": "CERT_REQUIRED" if value else "CERT_NONE"})


def _join(values: Values, draft: Draft) -> None:
    _join_address(values, draft)
    both_or_neither(values, draft, "ssl_certificate", "ssl_keyfile")
    _join_static(values, draft)
    _join_metrics(values, draft)
    _join_reload(values, draft)
    interface, origin = values.get("interface", ("rsgi", "no --interface"))
    if "interface" in draft.unknown:
        draft.leave(("interface",), values["interface"])
    elif interface == "rsgi":
        draft.left_out.append(
            (origin, "RSGI is not served: give the ASGI or WSGI application of your framework")
        )
    elif interface == "wsgi":
        draft.take(Taken({"interface": "wsgi"}), origin)
    else:
        off: dict[str, object] = {"lifespan": "off"} if interface == "asginl" else {}
        draft.take(Taken({"interface": "asgi3", **off}), origin)
    if "blocking_threads" in values:
        threads, origin = values["blocking_threads"]
        wanted = interface == "wsgi" or "interface" in draft.unknown
        options = {"wsgi_threads": threads} if wanted else {}
        draft.take(Taken(options), origin, "" if options else "only WSGI applications use threads")


def _join_static(values: Values, draft: Draft) -> None:
    """The directories of files, each with its route, as mounts."""
    given = {name: values[name] for name in _STATIC_ROWS if name in values}
    origin = ", ".join(item.origin for item in given.values())
    if not given:
        return
    if "static_path_mount" not in given:
        draft.left_out.append((origin, "without --static-path-mount it has no effect"))
        return
    if draft.unknown.intersection(_STATIC_ROWS):
        draft.leave(("mounts",), *given.values())
        return
    value = {name: item.value for name, item in given.items()}
    expires = value.get("static_path_expires", 86400)
    directories = value["static_path_mount"]
    routes = value.get("static_path_route", ["/static"])
    if len(routes) != len(directories):
        raise ConfigError(f"as many routes as directories are needed ({origin})")
    tables = [
        {
            "path": route,
            "directory": directory,
            "index": value.get("static_path_dir_to_file", "none"),
            "max_age": float(expires) if expires else "none",
        }
        for route, directory in zip(routes, directories, strict=True)
    ]
    draft.take(Taken({"mounts": tables}), origin)


def _join_metrics(values: Values, draft: Draft) -> None:
    """The address of the metrics, where they are on."""
    names = ("metrics_enabled", "metrics_address", "metrics_port")
    given = {name: values[name] for name in names if name in values}
    if not given:
        return
    if "metrics_enabled" in draft.unknown:
        draft.leave(("health_bind",), *given.values())
        return
    origin = ", ".join(item.origin for item in given.values())
    value = {name: item.value for name, item in given.items()}
    if not value.get("metrics_enabled"):
        if given.keys() != {"metrics_enabled"}:
            draft.left_out.append((origin, "the metrics are off"))
        return
    host = value.get("metrics_address", "127.0.0.1")
    port = value.get("metrics_port", 9090)
    note = "at /metrics, with names of our own, beside /livez and /readyz"
    draft.take(Taken({"health_bind": [address(host, port)]}, note), origin)


def _join_reload(values: Values, draft: Draft) -> None:
    """Directories that are not watched, by name or by path, as patterns."""
    if "reload" in values and values["reload"].value:
        draft.take_default({"reload_include": ["*"]})
    names = ("reload_ignore_dirs", "reload_ignore_paths")
    given = [values[name] for name in names if name in values]
    if given and draft.unknown.intersection((*names, "reload_paths", "working_dir")):
        roots_given = [values[name] for name in ("reload_paths", "working_dir") if name in values]
        draft.leave(("reload_exclude",), *given, *roots_given)
        return
    roots: list[str] = [os.curdir]
    if "reload_paths" in values:
        roots = values["reload_paths"].value
    elif "working_dir" in values:
        roots = [values["working_dir"].value]
    patterns: list[str] = []
    origins: list[str] = []
    for name in names:
        for text in values[name].value if name in values else ():
            below = _below(text, roots) if name == "reload_ignore_paths" else [text]
            patterns += below
            if below:
                origins.append(values[name].origin)
            else:
                reason = f"{text} is below no directory that is watched"
                draft.left_out.append((values[name].origin, reason))
    if patterns:
        draft.take(Taken({"reload_exclude": patterns}), ", ".join(dict.fromkeys(origins)))


def _below(path: str, roots: list[str]) -> list[str]:
    """The path as seen from those of `roots` that it is below."""
    seen = [os.path.relpath(path, root) for root in roots]
    return [text for text in seen if text.split(os.sep)[0] not in (os.curdir, os.pardir)]


def _join_address(values: Values, draft: Draft) -> None:
    if "uds" in values:
        draft.take(Taken({"bind": [f"unix:{values['uds'].value}"]}), values["uds"].origin)
        return
    found, origin = host_and_port(values)
    if found:
        draft.take(Taken({"bind": found}), origin)


_STATIC_ROWS = (
    "static_path_route", "static_path_mount", "static_path_dir_to_file", "static_path_expires",
)  # fmt: skip
_ADDRESS: dict[str, Any] = {"joint": True, "unset": {}}
ROWS = (
    same("app", "", "application"),
    same("host", "--host", "bind", default="127.0.0.1", **_ADDRESS),
    same("port", "--port", "bind", type=int, default=8000, **_ADDRESS),
    same("uds", "--uds", "bind", **_ADDRESS),
    same("uds_permissions", "--uds-permissions", "unix_socket_mode", type=octal),
    same("interface", "--interface", "interface lifespan", joint=True, unset={}, default="rsgi",
         choices=("asgi", "asginl", "rsgi", "wsgi"), note="no RSGI; asginl is asgi3 with "
         "lifespan off"),
    same("http", "--http", "alpn_protocols h2_prior_knowledge", convert=_http, default="auto",
         choices=("auto", "1", "2"), note="HTTP/1.1 cannot be turned off"),
    switch("websockets", "--ws/--no-ws", default=True,
           note="WebSocket cannot be turned off: the application refuses it, with 403"),
    same("workers", "--workers", "workers", type=int, default=1),
    same("blocking_threads", "--blocking-threads", "wsgi_threads", type=int, joint=True,
         note="for WSGI"),
    none("blocking_threads_idle_timeout", "--blocking-threads-idle-timeout",
         "threads start when they are needed and stay", type=duration, default=30),
    none("runtime_threads", "--runtime-threads", _RUNTIME, type=int, default=1),
    none("runtime_blocking_threads", "--runtime-blocking-threads", _RUNTIME, type=int),
    none("runtime_mode", "--runtime-mode", _RUNTIME, default="auto", choices=("auto", "mt", "st")),
    same("loop", "--loop", "worker_class", convert=_loop, default="auto",
         choices=("auto", "asyncio", "rloop", "uvloop", "winloop")),
    none("task_impl", "--task-impl", "not needed: a request is a task of the event loop",
         default="asyncio", choices=("asyncio", "rust")),
    same("backlog", "--backlog", "backlog", type=int, default=1024),
    same("backpressure", "--backpressure", "max_concurrent_requests", type=int, unset={},
         convert=_backpressure, note="503 above it; with Granian such requests wait"),
    same("http1_buffer_size", "--http1-buffer-size", "h11_max_incomplete_size", type=int,
         default=417792, note="the part of it that bounds a request head"),
    same("http1_header_read_timeout", "--http1-header-read-timeout", "header_timeout", type=int,
         default=30000, convert=_milliseconds, note="milliseconds; here seconds"),
    switch("http1_keep_alive", "--http1-keep-alive/--no-http1-keep-alive",
           "keep_alive_max_requests", default=True, convert=_keep_alive, note="off: 1"),
    switch("http1_pipeline_flush", "--http1-pipeline-flush/--no-http1-pipeline-flush",
           note="not needed: what is there at one time leaves in one write"),
    switch("http2_adaptive_window", "--http2-adaptive-window/--no-http2-adaptive-window",
           note="windows are fixed: set h2_stream_window_size"),
    same("http2_initial_connection_window_size", "--http2-initial-connection-window-size",
         "h2_connection_window_size", type=int, default=2**20, convert=_connection_window,
         note="at least 65535"),
    same("http2_initial_stream_window_size", "--http2-initial-stream-window-size",
         "h2_stream_window_size", type=int, default=2**20),
    none("http2_keep_alive_interval", "--http2-keep-alive-interval", "no HTTP/2 PING is sent; "
         "idle connections are closed after keep_alive_timeout", type=int),
    none("http2_keep_alive_timeout", "--http2-keep-alive-timeout", "no HTTP/2 PING is sent; "
         "idle connections are closed after keep_alive_timeout", type=duration, default=20),
    same("http2_max_concurrent_streams", "--http2-max-concurrent-streams",
         "h2_max_concurrent_streams", type=int, default=200),
    same("http2_max_frame_size", "--http2-max-frame-size", "h2_max_inbound_frame_size", type=int,
         default=16384),
    same("http2_max_headers_size", "--http2-max-headers-size", "h2_max_header_list_size",
         type=int, default=2**24),
    none("http2_max_send_buffer_size", "--http2-max-send-buffer-size",
         "output is bounded for each connection, by write_buffer_high", type=int, default=409600),
    switch("log_enabled", "--log/--no-log", "errorlog", default=True, convert=_log),
    same("log_level", "--log-level", "loglevel", convert=_level, default="info",
         choices=("critical", "error", "warning", "warn", "info", "debug", "notset"),
         note="notset: DEBUG"),
    same("log_config", "--log-config", "logconfig", convert=_log_config, note="`json:FILE`, and "
         "loggers `tricorn.*`"),
    switch("log_access_enabled", "--access-log/--no-access-log", "accesslog",
           convert=_access_log, note="a place, `-`"),
    same("log_access_fmt", "--access-log-fmt", "access_log_format", convert=our_format,
         unset=our_format(DEFAULT_ACCESS_FORMAT).options, note="with Gunicorn's atoms"),
    same("ssl_certificate", "--ssl-certificate", "certfile", joint=True),
    same("ssl_keyfile", "--ssl-keyfile", "keyfile", joint=True),
    same("ssl_keyfile_password", "--ssl-keyfile-password", "keyfile_password"),
    none("ssl_protocol_min", "--ssl-protocol-min", "TLS 1.2 and 1.3 are spoken; it cannot be set",
         default="tls1.3", choices=("tls1.2", "tls1.3"), lost=True),
    same("ssl_ca", "--ssl-ca", "ca_certs"),
    several("ssl_crl", "--ssl-crl", note="put the lists into the file of ca_certs and set "
            "verify_flags to VERIFY_CRL_CHECK_LEAF", separator=os.pathsep),
    switch("ssl_client_verify", "--ssl-client-verify/--no-ssl-client-verify", "verify_mode",
           convert=_client_verify, unset={}, note="on: CERT_REQUIRED"),
    same("url_path_prefix", "--url-path-prefix", "root_path", note="the path is left as it came, "
         "by both"),
    switch("respawn_failed_workers", "--respawn-failed-workers/--no-respawn-failed-workers",
           note="a worker that fails is always replaced"),
    none("respawn_interval", "--respawn-interval", "a worker that fails is replaced at once, then "
         "with growing pauses", type=float, default=3.5),
    none("rss_sample_interval", "--rss-sample-interval", "workers tell their memory every second",
         type=duration, default=30),
    none("rss_samples", "--rss-samples", "one sample above worker_max_memory is enough", type=int,
         default=1),
    same("workers_lifetime", "--workers-lifetime", "worker_max_lifetime", type=duration),
    same("workers_max_rss", "--workers-max-rss", "worker_max_memory", type=int,
         convert=_mebibytes, note="MiB with Granian, here bytes or `512MiB`"),
    none("workers_kill_timeout", "--workers-kill-timeout", "a worker is killed behind "
         "graceful_timeout and shutdown_timeout by itself", type=duration),
    switch("factory", "--factory/--no-factory", "factory"),
    same("working_dir", "--working-dir", "app_dir", note="only the import follows it"),
    several("env_files", "--env-files", note="variables for the application come from outside: "
            "EnvironmentFile= of systemd, env_file of Compose, or `set -a; . ./.env; set +a`",
            separator=os.pathsep),
    several("static_path_route", "--static-path-route", "mounts", note="the key path", **_STATIC),
    several("static_path_mount", "--static-path-mount", "mounts", note="the key directory",
            separator=os.pathsep, **_STATIC),
    same("static_path_dir_to_file", "--static-path-dir-to-file", "mounts", note="the key index",
         **_STATIC),
    same("static_path_expires", "--static-path-expires", "mounts", type=duration, default=86400,
         note="the key max_age", **_STATIC),
    switch("metrics_enabled", "--metrics/--no-metrics", "health_bind", **_METRICS),
    none("metrics_scrape_interval", "--metrics-scrape-interval", _SCRAPE, type=duration,
         default=15),
    same("metrics_address", "--metrics-address", "health_bind", default="127.0.0.1", **_METRICS),
    same("metrics_port", "--metrics-port", "health_bind", type=int, default=9090, **_METRICS),
    switch("reload", "--reload/--no-reload", "use_reloader",
           note="Granian watches all files, reload_include only `*.py`"),
    several("reload_paths", "--reload-paths", "reload_dirs", separator=os.pathsep),
    several("reload_ignore_dirs", "--reload-ignore-dirs", "reload_exclude", **_RELOAD),
    several("reload_ignore_patterns", "--reload-ignore-patterns", note="they are regular "
            "expressions: write them as patterns such as `*.tmp` into reload_exclude"),
    several("reload_ignore_paths", "--reload-ignore-paths", "reload_exclude",
            note="paths below the directories of reload_dirs", separator=os.pathsep, **_RELOAD),
    none("reload_tick", "--reload-tick", "an edit is taken as soon as it is complete", type=int,
         default=50),
    switch("reload_ignore_worker_failure",
           "--reload-ignore-worker-failure/--no-reload-ignore-worker-failure",
           note="always so: the next edit is waited for"),
    none("process_name", "--process-name", "the process keeps its name"),
    same("pid_file", "--pid-file", "pid_path"),
    switch("version", "--version", default=None, note="`tricorn --version`"),
)  # fmt: skip

GRANIAN = Peer(
    name="granian",
    title="Granian",
    release="2.8",
    programs=("granian",),
    rows=ROWS,
    join=_join,
    abbreviates=False,
    prefix="GRANIAN_",
    changes=(
        "The application runs on the event loop of Python alone; there is no Rust runtime.",
        "Request bodies and responses that stand still have time limits, and idle connections "
        "keep_alive_timeout.",
        "The application is cancelled disconnect_grace after its client has gone.",
    ),
)
