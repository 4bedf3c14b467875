"""Worker classes for Gunicorn: ``gunicorn -k tricorn.gunicorn.TricornWorker app:app``.

Gunicorn binds the addresses, starts and replaces the processes; each serves as Tricorn does.
Needs ``pip install 'tricorn[gunicorn]'``.
"""

from __future__ import annotations

import functools
import logging
import os
import signal
import ssl
import sys
import traceback
from collections.abc import AsyncIterator
from types import FrameType
from typing import Any, ClassVar

import anyio
import anyio.abc

from tricorn.access_log import from_gunicorn
from tricorn.application import compose
from tricorn.config import Config
from tricorn.config_sources import (
    CONFIG_VARIABLE,
    merge,
    read_environment,
    read_mapping,
    read_named,
)
from tricorn.event_loop import run_on
from tricorn.exceptions import ConfigError, TricornError
from tricorn.forked_children import open_signal_receiver
from tricorn.server import Server, run_server
from tricorn.types import ASGIApplication, Receive, Scope, Send

try:
    from gunicorn.arbiter import Arbiter
    from gunicorn.workers.base import Worker
except ImportError as exc:
    raise ImportError(
        "tricorn.gunicorn needs Gunicorn: pip install 'tricorn[gunicorn]'", name="gunicorn"
    ) from exc

# Gunicorn's own settings for ASGI and HTTP/2, of its later versions: taken where they are set.
_IF_SET = {
    "asgi_lifespan": "lifespan",
    "asgi_loop": "worker_class",
    "asgi_disconnect_grace_period": "disconnect_grace",
    "http2_max_concurrent_streams": "h2_max_concurrent_streams",
    "http2_initial_window_size": "h2_stream_window_size",
    "http2_max_frame_size": "h2_max_inbound_frame_size",
    "http2_max_header_list_size": "h2_max_header_list_size",
    "websocket_max_message_size": "websocket_max_message_size",
}
# What would be served otherwise than the operator means, and what only goes missing.
_REFUSED = ("protocol", "ssl_context")
_IGNORED = ("pre_request", "post_request")
# A head has other fields too beside the longest.
_HEAD = 65536
_UNLIMITED = 2**20
# Gunicorn kills a worker at graceful_timeout: part of it is the lifespan's.
_SHUTDOWN_SHARE = 0.2
_LONGEST_BEAT = 1.0


def settings_to_options(cfg: Any) -> dict[str, Any]:
    """Tricorn's options (name to value) for Gunicorn's settings, a ``gunicorn.config.Config``.

    :raises ConfigError: for a setting that Tricorn cannot honour and must not ignore.
    """
    for name in _REFUSED:
        if _is_set(cfg, name):
            raise ConfigError(f"Tricorn's Gunicorn worker cannot do {name}: leave it unset")
    line, field_size = cfg.limit_request_line, cfg.limit_request_field_size
    head = (line or _UNLIMITED) + (field_size or _UNLIMITED)
    options: dict[str, Any] = {
        "backlog": cfg.backlog,
        "keep_alive_timeout": cfg.keepalive,
        "graceful_timeout": cfg.graceful_timeout * (1 - _SHUTDOWN_SHARE),
        "max_request_target_size": line or _UNLIMITED,
        "max_header_count": cfg.limit_request_fields or 32768,
        "h11_max_incomplete_size": max(_HEAD, head),
        "h2_max_header_list_size": max(_HEAD, head),
        "root_path": getattr(cfg, "root_path", "") or os.environ.get("SCRIPT_NAME", ""),
        "access_log_format": from_gunicorn(cfg.access_log_format),
        "accesslog": "-" if _has_access_log(cfg) else None,
    }
    if cfg.certfile or cfg.keyfile:
        # One file may hold both.
        options["certfile"] = cfg.certfile or cfg.keyfile
        options["keyfile"] = cfg.keyfile or cfg.certfile
        options["ca_certs"] = cfg.ca_certs
        if cfg.ca_certs or cfg.cert_reqs:
            options["verify_mode"] = ssl.VerifyMode(cfg.cert_reqs).name
        if cfg.ciphers:
            options["ciphers"] = cfg.ciphers
    for theirs, ours in _IF_SET.items():
        if _is_set(cfg, theirs):
            options[ours] = getattr(cfg, theirs)
    return options | _proxy_options(cfg)


def _proxy_options(cfg: Any) -> dict[str, Any]:
    """Who may speak for clients, where it is said; Gunicorn believes peers of unix sockets."""
    names: list[str] = []
    options: dict[str, Any] = {}
    if cfg.proxy_protocol not in (False, "off"):
        options["proxy_protocol"] = ["all"]
        names += cfg.proxy_allow_ips
    # Its default is of the environment.
    if _is_set(cfg, "forwarded_allow_ips") or "FORWARDED_ALLOW_IPS" in os.environ:
        names += cfg.forwarded_allow_ips
    if names or options:
        options["trusted_proxies"] = [*dict.fromkeys([*map(str, names), "unix"])]
    return options


def _is_set(cfg: Any, name: str) -> bool:
    setting = cfg.settings.get(name)
    if setting is None:
        return False  # of another version
    value, default = setting.get(), setting.default
    # The default as its validator leaves it: "127.0.0.1,::1" becomes a list.
    setting.set(default)
    default = setting.get()
    setting.value = value
    return bool(value != default)


def _has_access_log(cfg: Any) -> bool:
    """Whether Gunicorn's logger would write one."""
    configured = (cfg.accesslog, cfg.logconfig, cfg.logconfig_dict, cfg.logconfig_json)
    return any(configured) or (cfg.syslog and not cfg.disable_redirect_access_to_syslog)


class TricornWorker(Worker):  # type: ignore[misc]  # Gunicorn has no annotations
    """Serves on Gunicorn's sockets, on uvloop where it is installed, else on asyncio.

    Gunicorn's settings win over Tricorn's defaults, the file that ``TRICORN_CONFIG`` names
    over those, ``TRICORN_`` variables over that, and a subclass' ``options`` over all.
    """

    #: Options of `tricorn.Config` for a subclass to set.
    options: ClassVar[dict[str, Any]] = {}
    #: ``worker_class`` of the worker; None: the settings decide.
    event_loop: ClassVar[str | None] = None

    def run(self) -> None:
        """Serve until told to stop; called by Gunicorn in the worker's process."""
        # Gunicorn's pipe would get what the event loop is to be woken by.
        signal.set_wakeup_fd(-1)
        if not self.alive:
            return
        self._share_logs()
        try:
            config = self._config()
            run_on(config, functools.partial(self._serve, config))
        except TricornError as exc:
            # Any of them means that it cannot start, and another worker could not either.
            self.log.error("Tricorn cannot serve: %s", exc, exc_info=exc.__cause__)
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    def _config(self) -> Config:
        layers = [read_mapping(settings_to_options(self.cfg), "Gunicorn's settings")]
        if named := os.environ.get(CONFIG_VARIABLE):
            layers.append(read_named(named))
        environment, notes = read_environment(os.environ)
        layers += [environment, read_mapping(self.options, type(self).__name__)]
        given: dict[str, Any] = {
            "bind": [f"fd://{sock.fileno()}" for sock in self.sockets],
            "insecure_bind": (),
            "health_bind": (),
            "workers": self.cfg.workers,
        }
        # Each worker would bind it, and the second one finds it in use.
        if any("health_bind" in layer and layer["health_bind"].value for layer in layers):
            notes.append("health_bind has no effect with Gunicorn; set the paths instead")
        if self.event_loop is not None:
            given["worker_class"] = self.event_loop
        config = merge(*layers, read_mapping(given, "Gunicorn"), notes=notes).config
        for name in _IGNORED:
            if _is_set(self.cfg, name):
                notes.append(f"{name} has no effect with Tricorn's worker")
        for line in notes:
            self.log.warning("%s", line)
        return config

    def _share_logs(self) -> None:
        """Our loggers write where Gunicorn's do, and are reopened with them."""
        for ours, theirs in (("error", "error_log"), ("access", "access_log")):
            source = getattr(self.log, theirs, None)
            if isinstance(source, logging.Logger):
                logger = logging.getLogger(f"tricorn.{ours}")
                logger.handlers = source.handlers
                logger.propagate = source.propagate
                logger.setLevel(source.level)

    async def _serve(self, config: Config) -> None:
        stop = anyio.Event()
        app = compose(self.wsgi, config, multiprocess=self.cfg.workers > 1)
        server = Server(self._counted(app, stop), config)
        error: TricornError | None = None
        with open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGQUIT) as signals:
            async with anyio.create_task_group() as tasks:
                serving = anyio.CancelScope()
                tasks.start_soon(self._beat, stop)
                tasks.start_soon(self._heed, signals, stop, serving)
                try:
                    with serving:
                        await run_server(server, stop, False)
                except TricornError as exc:
                    error = exc
                tasks.cancel_scope.cancel()
        if error is not None:
            raise error

    async def _beat(self, stop: anyio.Event) -> None:
        """Tell the arbiter that we live; stop when it is gone or the reloader says so."""
        # self.timeout is half the setting; 0 means no limit.
        interval = min(_LONGEST_BEAT, self.timeout / 2) or _LONGEST_BEAT
        while True:
            self.notify()
            if os.getppid() != self.ppid and not stop.is_set():
                self.log.info("Parent changed, shutting down: %s", self)
                stop.set()
            elif not self.alive:
                stop.set()
            await anyio.sleep(interval)

    async def _heed(
        self, signals: AsyncIterator[signal.Signals], stop: anyio.Event, serving: anyio.CancelScope
    ) -> None:
        async for number in signals:
            self.alive = False
            if number == signal.SIGTERM:
                stop.set()  # the arbiter may say so every second
            else:
                self.cfg.worker_int(self)
                serving.cancel()

    def _counted(self, app: ASGIApplication, stop: anyio.Event) -> ASGIApplication:
        """``app``, which has the worker stop in order after ``max_requests``."""
        if self.max_requests == sys.maxsize:
            return app

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "lifespan":
                self.nr += 1
                if self.nr >= self.max_requests and self.alive:
                    self.log.info("Autorestarting worker after current request.")
                    self.alive = False
                    stop.set()
            await app(scope, receive, send)

        return counted

    def handle_abort(self, sig: int, frame: FrameType | None) -> None:
        """End now: the event loop stood still for ``timeout`` seconds. Says where."""
        self.alive = False
        where = "".join(traceback.format_stack(frame))
        self.log.critical("The event loop of %s is stuck:\n%s", self, where)
        self.cfg.worker_abort(self)
        # Not SystemExit, which the code that it is stuck in may swallow.
        os._exit(1)


class TricornAsyncioWorker(TricornWorker):
    """Serves on asyncio."""

    event_loop = "asyncio"


class TricornUvloopWorker(TricornWorker):
    """Serves on uvloop."""

    event_loop = "uvloop"


class TricornTrioWorker(TricornWorker):
    """Serves on trio."""

    event_loop = "trio"
