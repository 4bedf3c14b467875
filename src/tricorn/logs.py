"""The loggers ``tricorn.error`` and ``tricorn.access``: where they write, and in what form.

Tricorn never touches the root logger or another library's loggers; only a logging
configuration given by the operator may do that, and what it says about our two loggers
wins over the other options. Lines go through a `Sink`, which never makes the caller wait.

A peer's bytes reach the log only escaped (CVE-2020-7694): `escape` for single fields, and
the text form indents the further lines of a message, so none can pass for a new entry.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import logging
import os
import re
import sys
import time
from collections import OrderedDict
from collections.abc import Callable

from tricorn.config import Config
from tricorn.exceptions import ConfigError
from tricorn.log_sink import Sink
from tricorn.privileges import hand_over_logs

TYPE_CHECKING = False  # typing itself takes a megabyte
if TYPE_CHECKING:
    from typing import Any, Final

    from tricorn.asgi.host import Exchange

ERROR: Final = "tricorn.error"
ACCESS: Final = "tricorn.access"

# Seconds to wait for a stuck target: the process must still end when asked to.
FLUSH_LIMIT: Final = 1.0

_UNSAFE = re.compile(r"[^ !#-\[\]-~]")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_COLOURS = {10: "\x1b[36m", 20: "\x1b[32m", 30: "\x1b[33m", 40: "\x1b[31m", 50: "\x1b[1;31m"}
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}

_sinks: dict[str, Sink] = {}
# Handlers and filters that a logging configuration has given to our loggers.
_given: set[object] = set()
# Those of our loggers that it has disabled.
_disabled: set[logging.Logger] = set()


def _escaped(match: re.Match[str]) -> str:
    char = match[0]
    if char in '"\\':
        return "\\" + char
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def escape(text: str) -> str:
    """Printable ASCII of ``text``; all else, quotes and backslashes become escapes."""
    return _UNSAFE.sub(_escaped, text) if _UNSAFE.search(text) else text


def rfc3339(moment: float) -> str:
    """``moment`` (epoch seconds) as RFC 3339 section 5.6 in UTC, with milliseconds."""
    seconds, millis = divmod(int(moment * 1000), 1000)
    return f"{_utc_second(seconds)}.{millis:03d}Z"


@functools.lru_cache(maxsize=4)  # lines come many to the second
def _utc_second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


class TextFormatter(logging.Formatter):
    """``2026-11-21 12:00:00.123 INFO  message`` in local time, traceback below."""

    def __init__(self, colours: bool) -> None:
        super().__init__()
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        level = f"{record.levelname:<5}"
        if self._colours:
            colour = _COLOURS.get(min(record.levelno // 10 * 10, 50), "")
            level = f"{colour}{level}\x1b[0m" if colour else level
        parts = [record.getMessage()]
        if record.exc_info:
            parts.append(self.formatException(record.exc_info))
        if record.stack_info:
            parts.append(record.stack_info)
        # Only the start of an entry stands in the first column, whatever a peer sent.
        text = _CONTROLS.sub(_escaped, "\n".join(parts)).replace("\n", "\n    ")
        return f"{moment}.{int(record.msecs):03d} {level} {text}"


class JSONFormatter(logging.Formatter):
    """One JSON object to a line: time, level, logger, message, the record's extra fields."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": rfc3339(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            entry["stack"] = record.stack_info
        for name, value in record.__dict__.items():
            if name not in _STANDARD:
                entry.setdefault(name, value)
        try:
            return json.dumps(entry, default=repr, allow_nan=False)
        except (TypeError, ValueError):  # a cycle, a NaN, a key of another type
            return json.dumps({k: v if type(v) is str else repr(v) for k, v in entry.items()})


class LogHandler(logging.Handler):
    """Puts formatted records into a `Sink`; neither waits nor raises."""

    def __init__(self, sink: Sink, formatter: logging.Formatter) -> None:
        super().__init__()
        self.sink = sink
        self.setFormatter(formatter)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception as exc:  # wrong arguments, or their __str__ raises: say so, go on
            place = f"{record.pathname}:{record.lineno}"
            line = f"log record of {place} cannot be formatted: {type(exc).__name__}"
            if isinstance(self.formatter, JSONFormatter):
                line = json.dumps({"level": "ERROR", "logger": record.name, "message": line})
        self.sink.write(line)

    def flush(self) -> None:
        self.sink.flush(FLUSH_LIMIT)

    # close() is inherited and leaves the sink alone: an application that calls dictConfig
    # closes every handler of the process, ours included, and must not silence the server.


class _Silence(logging.NullHandler):
    """Ours, told apart from one that a logging configuration asks for."""


def setup(config: Config) -> None:
    """Give the two loggers their handlers; may be called again (a reload).

    :raises ConfigError: an unknown level, a log file that cannot be opened, a logging
        configuration that cannot be read. The former handlers stay in that case, unless
        the logging configuration itself has replaced them.
    """
    level = logging.getLevelNamesMapping().get(config.loglevel.upper())
    if level is None:
        raise ConfigError(f"loglevel: {config.loglevel!r} is not a level")
    wanted = {ERROR: config.errorlog, ACCESS: config.accesslog}
    loggers = [logging.getLogger(name) for name in (ERROR, ACCESS, "tricorn")]
    former = _parts(loggers)
    enabled = {logger for logger in loggers if not logger.disabled} | _disabled
    _disable(_disabled, False)
    try:
        sinks = {name: _sink(target, name) for name, target in wanted.items() if target}
        if config.logconfig is not None or config.logconfig_dict is not None:
            from tricorn import log_config  # not above: large, and few use it

            log_config.apply(config)
    except ConfigError:
        _disable(_disabled, True)
        _close_unused()
        raise
    _disabled.clear()
    _disabled.update(logger for logger in enabled if logger.disabled)
    _take_back(loggers, given=_parts(loggers) - former)
    for name in (ERROR, ACCESS):
        logger = logging.getLogger(name)
        for old in list(logger.handlers):
            if isinstance(old, LogHandler | _Silence):
                logger.removeHandler(old)
        if not former.issuperset(logger.handlers + loggers[-1].handlers):
            continue  # the operator's configuration speaks for this logger
        if name in sinks:
            logger.addHandler(LogHandler(sinks[name], _formatter(name, config, sinks[name])))
        elif not logger.handlers:
            # Without any handler logging would print warnings to stderr by itself.
            logger.addHandler(_Silence())
        logger.propagate = False
        # Access lines have no severity: loglevel is about the error log.
        logger.setLevel(level if name == ERROR else logging.INFO)
    _close_unused()
    for sink in _sinks.values():
        sink.prepare = functools.partial(_hand_over, config)
    atexit.unregister(shutdown)
    atexit.register(shutdown)


def unsilence() -> None:
    """Enable our loggers again where the application has disabled them in passing.

    ``dictConfig`` and ``fileConfig`` disable every logger that they do not name, unless they are
    told otherwise. An application that silences the access log alone means it; the error log is
    silenced by its own option.
    """
    error = logging.getLogger(ERROR)
    if error.disabled and _sinks:
        passing = {error, logging.getLogger(ACCESS)} - _disabled
        _disable(passing, False)


def _parts(loggers: list[logging.Logger]) -> set[object]:
    return {part for logger in loggers for part in (*logger.handlers, *logger.filters)}


def _disable(loggers: set[logging.Logger], disabled: bool) -> None:
    for logger in loggers:
        logger.disabled = disabled


def _take_back(loggers: list[logging.Logger], given: set[object]) -> None:
    """What a former logging configuration has given goes, as ``given`` by the present one does."""
    for logger in loggers:
        for handler in [handler for handler in logger.handlers if handler in _given]:
            logger.removeHandler(handler)
            handler.close()
        for part in [part for part in logger.filters if part in _given]:
            logger.removeFilter(part)
    _given.clear()
    _given.update(given)


def wants_access(config: Config) -> bool:
    """Whether requests are logged; to be asked after `setup`.

    A logging configuration that gives ``tricorn.access`` handlers switches that on too.
    """
    configured = config.logconfig is not None or config.logconfig_dict is not None
    handlers = logging.getLogger(ACCESS).handlers + logging.getLogger("tricorn").handlers
    heard = any(not isinstance(handler, logging.NullHandler) for handler in handlers)
    return bool(config.accesslog) or (configured and heard)


def access_log(config: Config) -> Callable[[Exchange], None] | None:
    """What logs a request at its end, None where nobody wants that; to be asked after `setup`.

    :raises ConfigError: an unknown atom in ``access_log_format``, named.
    """
    if not wants_access(config):
        return None
    from tricorn.access_log import AccessLog  # not above: large, and off by default

    return AccessLog.create(config)


def reopen() -> None:
    """Open the log files anew, for log rotation. Returns at once; standard streams stay.

    Of a process that is root, what others need to open them too is done when it returns.
    """
    for sink in list(_sinks.values()):
        sink.reopen()


def shutdown(limit: float = 2.0) -> None:
    """Write what is queued, within ``limit`` seconds; the loggers can still be used."""
    deadline = time.monotonic() + limit
    # The error log last: it also takes the reports about lines the other one dropped.
    errors = {handler.sink for handler in _ours(logging.getLogger(ERROR))}
    for sink in sorted(_sinks.values(), key=errors.__contains__):
        reserve = 0.0 if sink in errors else limit / 2  # one that is stuck leaves it its time
        sink.stop(max(0.0, deadline - reserve - time.monotonic()))
        if sink not in errors:
            sink.tell_dropped()


def _ours(logger: logging.Logger) -> list[LogHandler]:
    return [handler for handler in logger.handlers if isinstance(handler, LogHandler)]


def _close_unused() -> None:
    used = {h.sink.name for name in (ERROR, ACCESS) for h in _ours(logging.getLogger(name))}
    for name in _sinks.keys() - used:
        _sinks.pop(name).close(FLUSH_LIMIT)


def _sink(target: str, logger: str) -> Sink:
    """The sink of a target, shared by loggers and by calls of `setup`."""
    if target == "-":
        name, fd = ("stderr", 2) if logger == ERROR else ("stdout", 1)
        if (sys.__stderr__ if fd == 2 else sys.__stdout__) is None:
            # Started with the stream closed: the number may be a client's socket by now.
            raise ConfigError(f"{'errorlog' if fd == 2 else 'accesslog'}: {name} is closed")
    else:
        name, fd = os.path.abspath(target), -1
    if name not in _sinks:
        try:
            _sinks[name] = Sink(path=None if target == "-" else name, fd=fd, report=_report)
        except OSError as exc:
            raise ConfigError(f"cannot open the log {target}: {exc.strerror}") from exc
    return _sinks[name]


def _hand_over(config: Config) -> None:
    # The workers are not root, and in a directory of root's cannot make their files.
    with contextlib.suppress(ConfigError):  # a user that is gone is told by who becomes it
        hand_over_logs(config)


def _report(sentence: str) -> None:
    logging.getLogger(ERROR).warning("%s", sentence)


def _formatter(name: str, config: Config, sink: Sink) -> logging.Formatter:
    if name == ACCESS:
        return logging.Formatter("%(message)s")  # AccessLog makes whole lines
    if config.log_format == "json":
        return JSONFormatter()
    return TextFormatter(_wants_colours(config.use_colors, sink))


def _wants_colours(choice: bool | None, sink: Sink) -> bool:
    """The option; else NO_COLOR (no-color.org), FORCE_COLOR, and whether it is a terminal."""
    if choice is not None:
        return choice
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR", "0") not in ("", "0"):
        return True
    return sink.is_terminal and os.environ.get("TERM") != "dumb"


def finishing(config: Config) -> str:
    """What a stop does, in words."""
    limit = config.graceful_timeout
    within = "" if limit is None else f", at most {limit:g} s"
    return f"finishing what is in flight{within}"


class RateLimitedLog:
    """Lines about misbehaving peers, at most one in ``interval`` seconds for each key.

    Keys name the kind of trouble; at most ``max_keys`` are remembered, more than there are
    kinds, and the one unused for longest is forgotten first. Time is an argument (seconds of
    any one clock).
    """

    def __init__(self, logger: logging.Logger, interval: float, max_keys: int = 256) -> None:
        self._logger = logger
        self._interval = interval
        self._max_keys = max_keys
        self._keys: OrderedDict[str, _Suppressed] = OrderedDict()

    def log(self, level: int, key: str, now: float, message: str, *args: object) -> None:
        """Log ``message % args``, or count it if ``key`` had a line less than an interval ago."""
        if not self._logger.isEnabledFor(level):
            return
        entry = self._keys.get(key)
        if entry is None:
            if len(self._keys) >= self._max_keys:
                self._tell(self._keys.popitem(last=False)[1], now)
            entry = self._keys[key] = _Suppressed(now)
            self._logger.log(level, message, *args)
            return
        self._keys.move_to_end(key)
        entry.level, entry.message, entry.args = level, message, args
        if now - entry.told < self._interval:
            entry.count += 1
        elif entry.count:
            self._tell(entry, now)
        else:
            entry.told = now
            self._logger.log(level, message, *args)

    def flush(self, now: float, *, due_only: bool = False) -> None:
        """Report what is counted but not logged; with ``due_only`` just what may be by now."""
        for entry in self._keys.values():
            if not due_only or now - entry.told >= self._interval:
                self._tell(entry, now)

    def _tell(self, entry: _Suppressed, now: float) -> None:
        if entry.count:
            text = entry.message % entry.args if entry.args else entry.message
            suffix = "(%d more like this suppressed)"
            self._logger.log(entry.level, f"%s {suffix}", text, entry.count)
        entry.count, entry.told, entry.args = 0, now, ()


class _Suppressed:
    """What is known of one key: time of its last line, and the count and last line since."""

    __slots__ = ("args", "count", "level", "message", "told")

    def __init__(self, told: float) -> None:
        self.told = told
        self.count = 0
        self.level = logging.INFO
        self.message = ""
        self.args: tuple[object, ...] = ()
