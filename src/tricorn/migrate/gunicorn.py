"""Gunicorn's settings."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from tricorn.exceptions import ConfigError
from tricorn.migrate.gunicorn_join import OTHER_VARIABLES, join
from tricorn.migrate.python_file import find_object, run_file
from tricorn.migrate.table import (
    Peer,
    Row,
    Shape,
    Taken,
    access_format,
    address,
    binds,
    logging_file,
    none,
    off_at_zero,
    same,
    several,
    switch,
)
from tricorn.migrate.variables import UNKNOWN, unknown_in

_HOOK = "hooks of processes: do it in the application's lifespan, or keep Gunicorn with its worker"
_DIRTY = "there are no such processes: give long work to a task queue"
_SYSLOG = "give a SysLogHandler in a file for logconfig, or let the service manager do it"
_PARSER = "requests are read strictly, as RFC 9110 to 9112 say; it cannot be loosened"
_PASTE = "there is no PasteDeploy: name the application, or a function that makes it, as factory"
_PARSERS = {"auto": "auto", "fast": "httptools", "python": "h11"}
_PROXY_MODES = {
    **dict.fromkeys(("off", "false", "none", "0"), "off"),
    **dict.fromkeys(("auto", "true", "1"), "auto"),
    "v1": "v1", "v2": "v2",
}  # fmt: skip
_CONTROL = "there is no control socket; signals stop the server"


_HOST_AND_PORT = re.compile(rf"(.*\]|[^:\[\]]*):(\d+|{UNKNOWN.pattern})")


def number(text: str) -> int:
    """A number as Gunicorn reads one: octal with a leading 0; raises ValueError."""
    text = text.strip()
    return int(text, 8) if re.fullmatch(r"0\d+", text) else int(text, 0)


def _truth(text: str, origin: str) -> bool:
    """A switch as Gunicorn reads one in a file. Raises `ConfigError`."""
    found = {"true": True, "false": False}.get(text.strip().lower())
    if found is None:
        raise ConfigError(f"a switch is True or False, not {text!r} ({origin})")
    return found


def _proxy_mode(text: str) -> str:
    return _PROXY_MODES[text.strip().lower()]


def bind(text: str) -> str:
    """An address of Gunicorn's as ``bind`` has it."""
    text = text.strip()
    if text.startswith("unix:"):
        return "unix:" + text.removeprefix("unix:").removeprefix("//")
    if text.startswith("fd://"):
        return text
    host, port = text.removeprefix("tcp://"), "8000"
    if match := _HOST_AND_PORT.fullmatch(host):
        host, port = match[1], match[2]
    elif unknown_in(host):
        return host
    return address(host or "0.0.0.0", port)


def _binds(value: Any) -> Taken:
    return Taken({"bind": binds(value, bind)})


def _protocols(value: str) -> Taken:
    names = {"h1": "http/1.1", "h2": "h2"}
    words = [word.strip().lower() for word in value.split(",")]
    found = [names[word] for word in words if word in names]
    return Taken({"alpn_protocols": found} if found else {}, "" if found else f"{value!r}?")


def _cleartext(value: str | bool) -> Taken:
    prior, upgrade = value in (True, "prior-knowledge", "both"), value in ("upgrade", "both")
    return Taken({"h2_prior_knowledge": prior, "h2c_upgrade": upgrade})


def _format(value: str) -> Taken:
    from tricorn.access_log import from_gunicorn, reads_environment

    taken = access_format(from_gunicorn(value))
    if taken.options and reads_environment(value):
        note = "%({name}e)s is a variable of the process here, of the WSGI environ with Gunicorn"
        return taken._replace(note=note)
    return taken


def _parser(value: str) -> Taken:
    return Taken({"http1_codec": _PARSERS[value]})


def _timeout(value: int) -> Taken:
    note = "for a worker that stands still; what bounds a request is response_timeout"
    return Taken({"worker_heartbeat_timeout": value or None}, note if value else "")


def _chdir(value: str) -> Taken:
    return Taken({"app_dir": value}, "only the import follows it; other paths are from where "
                 "Tricorn is started")  # fmt: skip


def _statsd(value: Any) -> Taken:
    text = ":".join(map(str, value)) if isinstance(value, tuple) else value
    return Taken({"statsd_host": text})


def _class(option: str) -> Any:
    def convert(value: Any) -> Taken:
        name = f"{value.__module__}.{value.__qualname__}" if isinstance(value, type) else value
        return Taken({option: name})

    return convert


def _flag(name: str, note: str, **extra: Any) -> Row:
    return switch(name, "--" + name.replace("_", "-"), note=note, **extra)


def _none(name: str, note: str, **extra: Any) -> Row:
    return none(name, "--" + name.replace("_", "-"), note, **extra)


def _hooks(*names: str, note: str = _HOOK) -> tuple[Row, ...]:
    return tuple(none(name, "", note) for name in names)


_SERVER = (
    several("args", "", "application", joint=True, unset={}, note="its attribute is `application`"),
    none("config", "-c --config", "the file is read", default="./gunicorn.conf.py"),
    same("wsgi_app", "", "application", joint=True),
    several("bind", "-b --bind", "bind unix_socket_mode", default=("127.0.0.1:8000",),
            convert=_binds, note="Gunicorn's mode of unix sockets is 777, less its umask"),
    same("backlog", "--backlog", "backlog", type=number, default=2048),
    same("workers", "-w --workers", "workers", type=number, default=1),
    same("worker_class", "-k --worker-class", "interface worker_class", joint=True, unset={},
         default="sync", note="a WSGI worker is interface wsgi"),
    same("threads", "--threads", "wsgi_threads", type=number, default=1, joint=True, unset={},
         note="for WSGI"),
    same("worker_connections", "--worker-connections", "max_connections", type=number,
         default=1000, joint=True, unset={},
         note="idle ones are closed at the limit, then new ones; with Gunicorn they wait"),
    same("max_requests", "--max-requests", "max_requests", type=number, default=0,
         convert=off_at_zero("max_requests")),
    same("max_requests_jitter", "--max-requests-jitter", "max_requests_jitter", type=number,
         default=0),
    same("timeout", "-t --timeout", "worker_heartbeat_timeout", type=number, default=30,
         convert=_timeout, note="for a worker that stands still, not for a request: see "
         "response_timeout"),
    same("graceful_timeout", "--graceful-timeout", "graceful_timeout", type=number, default=30),
    same("keepalive", "--keep-alive", "keep_alive_timeout", type=number, default=2),
    same("limit_request_line", "--limit-request-line", "max_request_target_size", type=number,
         default=4094, note="0 has no counterpart"),
    same("limit_request_fields", "--limit-request-fields", "max_header_count", type=number,
         default=100),
    none("limit_request_field_size", "--limit-request-field_size",
         "the whole head is bounded, by h11_max_incomplete_size", type=number, default=8190),
)  # fmt: skip

_MECHANICS = (
    switch("reload", "--reload", "use_reloader"),
    _none("reload_engine", "watchfiles where it is installed, else a look every half second",
          default="auto"),
    several("reload_extra_files", "--reload-extra-file", "reload_dirs reload_include", joint=True,
            unset={}, note="beside the directory of the application; a pattern belongs to "
            "reload_include, beside `*.py`"),
    _flag("spew", "sys.settrace, or a debugger"),
    _flag("check_config", "`tricorn --check-config`"),
    _flag("print_config", "`tricorn --print-config`"),
    switch("preload_app", "--preload", note="each worker imports the application "
           "itself"),
    Row(name="sendfile", off=("--no-sendfile",), shape=Shape.SWITCH,
        note="sendfile is used where it can be"),
    switch("reuse_port", "--reuse-port", "reuse_port",
           note="each worker has sockets of its own"),
    same("chdir", "--chdir", "app_dir", convert=_chdir, note="only the import follows it"),
    switch("daemon", "-D --daemon", "daemon"),
    several("raw_env", "-e --env", "root_path", joint=True, unset={}, note=f"SCRIPT_NAME, for "
            f"WSGI; {OTHER_VARIABLES}"),
    same("pidfile", "-p --pid", "pid_path"),
    _none("worker_tmp_dir", "there is no heartbeat file"),
    same("user", "-u --user", "user", unset={}, note="of workers that are started as root, and "
         "of unix sockets"),
    same("group", "-g --group", "group", unset={}),
    same("umask", "-m --umask", "umask", type=number, default=0, unset={},
         note="not set, it stays as it is; Gunicorn sets 0"),
    _flag("initgroups", "not needed: workers always get the groups of user"),
    *_hooks("tmp_upload_dir", note="request bodies are not written to files"),
    none("secure_scheme_headers", "", "of these X-Forwarded-Proto is read", type=dict,
         default={"X-FORWARDED-PROTOCOL": "ssl", "X-FORWARDED-PROTO": "https",
                  "X-FORWARDED-SSL": "on"}),
    same("forwarded_allow_ips", "--forwarded-allow-ips", "trusted_proxies",
         default="127.0.0.1,::1", joint=True, unset={},
         note="the client's address in X-Forwarded-For is believed too"),
    none("proc_name", "-n --name", "the process keeps its name"),
    none("default_proc_name", "", "the process keeps its name", default="gunicorn"),
    _none("pythonpath", "set the environment variable PYTHONPATH"),
    none("paste", "--paste --paster", _PASTE),
    several("raw_paste_global_conf", "--paste-global", note=_PASTE),
    Row(name="proxy_protocol", flags=("--proxy-protocol",), shape=Shape.MAYBE, const="auto",
        type=_proxy_mode, default="off", to=("proxy_protocol",), joint=True, unset={},
        note="`all` or addresses; both versions are taken"),
    same("proxy_allow_ips", "--proxy-allow-from", "trusted_proxies", default="127.0.0.1,::1",
         joint=True, unset={}),
    _none("protocol", "uwsgi is not spoken: let the proxy speak HTTP", default="http"),
    none("uwsgi_allow_ips", "--uwsgi-allow-from", "uwsgi is not spoken: let the proxy speak HTTP",
         default="127.0.0.1,::1"),
    same("root_path", "--root-path", "root_path", default="", joint=True),
)  # fmt: skip

_LOGS = (
    same("accesslog", "--access-logfile", "accesslog"),
    _flag("disable_redirect_access_to_syslog", _SYSLOG),
    same("access_log_format", "--access-logformat", "access_log_format", convert=_format,
         default='%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"',
         note="`%(r)s` is `%(R)s` here; `%({name}e)s` is a variable of the process"),
    same("errorlog", "--error-logfile --log-file", "errorlog", default="-"),
    same("loglevel", "--log-level", "loglevel", default="info"),
    _flag("capture_output", "what the application prints goes to standard output, as without it"),
    same("logger_class", "--logger-class", "logger_class", default="gunicorn.glogging.Logger",
         convert=_class("logger_class"), unset={}),
    same("logconfig", "--log-config", "logconfig", convert=logging_file("gunicorn.*"),
         note="loggers `tricorn.*`"),
    same("logconfig_dict", "", "logconfig_dict", type=dict, unset={}, default={},
         note="loggers `tricorn.*`"),
    same("logconfig_json", "--log-config-json", "logconfig", note="`json:FILE`",
         convert=lambda value: Taken({"logconfig": f"json:{value}"})),
    none("syslog_addr", "--log-syslog-to", _SYSLOG, default="udp://localhost:514"),
    switch("syslog", "--log-syslog", note=_SYSLOG),
    none("syslog_prefix", "--log-syslog-prefix", _SYSLOG),
    none("syslog_facility", "--log-syslog-facility", _SYSLOG, default="user"),
    switch("enable_stdio_inheritance", "-R --enable-stdio-inheritance",
           note="not needed: the server stays in the foreground"),
    same("statsd_host", "--statsd-host", "statsd_host", convert=_statsd),
    same("dogstatsd_tags", "--dogstatsd-tags", "dogstatsd_tags", default=""),
    same("statsd_prefix", "--statsd-prefix", "statsd_prefix", default=""),
    _flag("enable_backlog_metric", "there is no such metric"),
)  # fmt: skip

_TLS_AND_HTTP2 = (
    *_hooks("ssl_context", note="there is no such hook; certfile, keyfile, ciphers, "
            "verify_flags and certificates, by server name, are options"),
    same("keyfile", "--keyfile", "keyfile"),
    same("certfile", "--certfile", "certfile"),
    _none("ssl_version", "TLS 1.2 and 1.3 are spoken; Gunicorn ignores it too", default=2),
    same("cert_reqs", "--cert-reqs", "verify_mode", type=number, default=0, unset={}),
    same("ca_certs", "--ca-certs", "ca_certs"),
    _flag("suppress_ragged_eofs", "a missing close_notify is no error", default=True),
    _flag("do_handshake_on_connect", "not needed: no handshake holds up others"),
    same("ciphers", "--ciphers", "ciphers",
         note="for TLS 1.2; our default is narrower than OpenSSL's"),
    same("http_protocols", "--http-protocols", "alpn_protocols", default="h1",
         convert=_protocols),
    same("http2_cleartext", "--http2-cleartext", "h2_prior_knowledge h2c_upgrade", default="off",
         choices=("off", "prior-knowledge", "upgrade", "both"), convert=_cleartext,
         note="for every peer, not only trusted ones"),
    same("http2_max_concurrent_streams", "--http2-max-concurrent-streams",
         "h2_max_concurrent_streams", type=number, default=100),
    same("http2_initial_window_size", "--http2-initial-window-size", "h2_stream_window_size",
         type=number, default=65535),
    same("http2_max_frame_size", "--http2-max-frame-size", "h2_max_inbound_frame_size",
         type=number, default=16384),
    same("http2_max_header_list_size", "--http2-max-header-list-size", "h2_max_header_list_size",
         type=number, default=65536),
)  # fmt: skip

_REST = (
    _flag("permit_obsolete_folding", _PARSER),
    _flag("strip_header_spaces", _PARSER),
    _flag("permit_unconventional_http_method", _PARSER),
    _flag("permit_unconventional_http_version", _PARSER),
    _flag("casefold_http_method", _PARSER),
    _none("forwarder_headers", "X-Forwarded-Prefix says what SCRIPT_NAME does: see "
          "forwarded_fields", default="SCRIPT_NAME,PATH_INFO"),
    _none("header_map", "fields with an underscore reach ASGI applications, and never WSGI ones",
          default="drop"),
    same("asgi_loop", "--asgi-loop", "worker_class", default="auto", joint=True,
         choices=("auto", "asyncio", "uvloop"), note="for the worker `asgi`"),
    same("asgi_lifespan", "--asgi-lifespan", "lifespan", default="auto", joint=True,
         choices=("auto", "on", "off"), note="for the worker `asgi`"),
    same("asgi_disconnect_grace_period", "--asgi-disconnect-grace-period", "disconnect_grace",
         type=number, default=3, joint=True, unset={}, note="for the worker `asgi`"),
    same("websocket_max_message_size", "--websocket-max-message-size",
         "websocket_max_message_size", type=number, default=2**24),
    same("http_parser", "--http-parser", "http1_codec", default="auto",
         choices=tuple(_PARSERS), convert=_parser, note="fast is httptools, python is h11"),
    several("dirty_apps", "--dirty-app", note=_DIRTY),
    _none("dirty_workers", _DIRTY, type=number, default=0),
    _none("dirty_timeout", _DIRTY, type=number, default=300),
    _none("dirty_threads", _DIRTY, type=number, default=1),
    _none("dirty_graceful_timeout", _DIRTY, type=number, default=30),
    _none("control_socket", _CONTROL, default="gunicorn.ctl"),
    _none("control_socket_mode", _CONTROL, type=number, default=0o600),
    switch("control_socket_disable", "--no-control-socket", note=_CONTROL),
    switch("version", "-v --version", default=None, note="`tricorn --version`"),
    *_hooks(
        "on_starting", "on_reload", "when_ready", "pre_fork", "post_fork", "post_worker_init",
        "worker_int", "worker_abort", "pre_exec", "pre_request", "post_request", "child_exit",
        "worker_exit", "nworkers_changed", "on_exit", "on_dirty_starting", "dirty_post_fork",
        "dirty_worker_init", "dirty_worker_exit",
    ),
)  # fmt: skip

ROWS = (*_SERVER, *_MECHANICS, *_LOGS, *_TLS_AND_HTTP2, *_REST)


def _read(name: str) -> Mapping[str, Any]:
    """The settings of a Python file, or of ``python:module``, as Gunicorn reads them.

    Raises `ConfigError`.
    """
    if name.startswith("python:"):
        found = find_object(name.removeprefix("python:"))
    else:
        found = run_file(name.removeprefix("file:"))
    known = {row.name: row for row in ROWS if row.name not in ("args", "version", "config")}
    settings: dict[str, Any] = {}
    for key, value in vars(found).items():
        if key not in known or value is None:
            continue
        if known[key].shape is Shape.LIST and isinstance(value, str):
            value = [part.strip() for part in value.split(",") if part.strip()]
        if known[key].shape is Shape.SWITCH and isinstance(value, str):
            value = _truth(value, f"{key} in {name}")
        settings[key] = os.fspath(value) if isinstance(value, os.PathLike) else value
    return settings


GUNICORN = Peer(
    name="gunicorn",
    title="Gunicorn",
    release="27.0",
    programs=("gunicorn", "gunicorn.app.wsgiapp"),
    rows=ROWS,
    join=join,
    abbreviates=True,
    variables={
        "WEB_CONCURRENCY": "workers", "PORT": "bind", "FORWARDED_ALLOW_IPS": "forwarded_allow_ips",
    },
    arguments="GUNICORN_CMD_ARGS",
    changes=(
        "Workers are started anew, not forked: each imports the application, and there are no "
        "hooks.",
        "A worker that stands still is replaced; a request may take as long as it likes unless "
        "response_timeout is set.",
        "Nobody is believed about the client unless trusted_proxies names him; Gunicorn believes "
        "X-Forwarded-Proto of 127.0.0.1, ::1 and unix sockets.",
        "An ASGI application is cancelled disconnect_grace after its client has gone.",
        "Request heads, bodies and responses that stand still have time limits.",
    ),
    read_file=_read,
    default_file="gunicorn.conf.py",
)  # fmt: skip
