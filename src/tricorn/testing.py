"""Running servers for tests: of the pytest plugin's fixtures, and for any other framework."""

from __future__ import annotations

import contextlib
import logging
import ssl
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tricorn import dev_certificate
from tricorn.config import Config
from tricorn.threaded import ServerThread, current_server
from tricorn.types import Application

# No client of a test keeps a request open for good reasons; a drain ends soon.
_GRACE = 2.0
_LOGGERS = ("tricorn.error", "tricorn.access")


class RunningServer(ServerThread):
    """A server in a thread, with what clients need to reach it."""

    def __init__(
        self, app: Application | None, config: Config, *, ca_file: str | None = None
    ) -> None:
        super().__init__(app, config)
        #: The server's log records (list of logging.LogRecord) from INFO up; access lines too.
        self.records: list[logging.LogRecord] = []
        #: PEM file of the certificate to trust (str); None without TLS.
        self.ca_file = ca_file if config.ssl_enabled else None

    @property
    def url(self) -> str:
        """Base URL; for a unix socket one to send there, such as ``http://localhost``."""
        url = super().url
        scheme, unix, _ = url.partition("+unix:")
        return f"{scheme}://localhost" if unix else url

    @property
    def ws_url(self) -> str:
        """``url`` with the scheme ``ws`` or ``wss``."""
        return "ws" + self.url.removeprefix("http")

    @property
    def socket_path(self) -> str | None:
        """Path of the unix socket; None where it serves none."""
        paths = (url.partition("+unix:")[2] for url in self.urls)
        return next(filter(None, paths), None)

    def ssl_context(self) -> ssl.SSLContext | None:
        """A new context that trusts this server's certificates; None without TLS.

        One for each client: clients write into it what they speak.
        """
        if self.ca_file is None:
            return None
        context = ssl.create_default_context(cafile=self.ca_file)
        for table in self.config.certificates:
            context.load_verify_locations(table["certfile"])
        # A certificate that was given may be signed by an authority the file has not; Python
        # trusts it by itself from 3.13 on.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return context

    def messages(self, level: int = logging.INFO) -> list[str]:
        """Messages of ``records`` at ``level`` or above."""
        return [record.getMessage() for record in self.records if record.levelno >= level]


@contextlib.contextmanager
def running_server(
    app: Application | None,
    *,
    tls: bool = False,
    unix: bool = False,
    certificate_directory: Path | None = None,
    **options: Any,
) -> Iterator[RunningServer]:
    """Serve ``app`` in a thread while the ``with`` block runs.

    It is on a free port of 127.0.0.1 unless ``options``, those of `Config`, say otherwise.

    :param tls: serve with a certificate made for the purpose, for localhost, 127.0.0.1, ::1.
    :param unix: serve on a unix socket instead, in a directory of its own.
    :param certificate_directory: keeps the certificate for the next one (Path).
    :raises TricornError: what ``serve`` raises where the server cannot start.
    """
    with contextlib.ExitStack() as stack:
        given: dict[str, Any] = {"bind": "127.0.0.1:0", "graceful_timeout": _GRACE}
        given["accesslog"] = "-"  # to the logger; nothing is printed without logs.setup
        if unix:
            # Not in pytest's directory: the path of a socket has at most 107 bytes.
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="tricorn-"))
            given["bind"] = f"unix:{folder}/server.sock"
        ca_file = options.get("certfile")
        if tls and ca_file is None:
            if certificate_directory is None:
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="tricorn-"))
                certificate_directory = Path(folder)
            certificate, key = dev_certificate.ensure(certificate_directory)
            ca_file = str(certificate)
            given |= {"certfile": ca_file, "keyfile": str(key)}
        server = RunningServer(app, Config(**given | options), ca_file=ca_file)
        stack.enter_context(_recorded(server))
        yield stack.enter_context(server)


# Both loggers are the process's; a server's records are those of its thread, and of the threads
# that work for it.

_lock = threading.Lock()
_levels: dict[str, int] = {}
_recording = 0


class _Recorder(logging.Handler):
    def __init__(self, server: RunningServer) -> None:
        super().__init__()
        self._server = server

    def emit(self, record: logging.LogRecord) -> None:
        if current_server() is self._server:
            self._server.records.append(record)


@contextlib.contextmanager
def _recorded(server: RunningServer) -> Iterator[None]:
    global _recording
    recorder = _Recorder(server)
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    with _lock:
        _recording += 1
        for logger in loggers:
            if _recording == 1:
                _levels[logger.name] = logger.level
            if logger.getEffectiveLevel() > logging.INFO:
                logger.setLevel(logging.INFO)
            logger.addHandler(recorder)
    try:
        yield
    finally:
        with _lock:
            _recording -= 1
            for logger in loggers:
                logger.removeHandler(recorder)
                if not _recording:
                    logger.setLevel(_levels[logger.name])
