"""The lifespan exchange (ASGI lifespan 2.0): one for each event loop that serves."""

from __future__ import annotations

import enum
import logging
import re
from typing import Any

import anyio
import anyio.abc

from tricorn.asgi import async_library, cancellation
from tricorn.asgi.stopping import EXTENSION as STOPPING
from tricorn.asgi.stopping import Stopping
from tricorn.config import Config
from tricorn.counters import CURRENT, Counters
from tricorn.exceptions import InvalidMessage, LifespanError
from tricorn.types import ASGIApplication, Message, Scope

_log = logging.getLogger("tricorn.error")

# The exception of a printed traceback is its first line in the first column; in a group's
# the columns begin behind a bar.
_TRACEBACK = "Traceback (most recent call last):\n"
_FIRST_COLUMN = re.compile(r"^(?: *\| )?(\S.*)", re.MULTILINE)


class _State(enum.Enum):
    STARTING = "before lifespan.startup.complete"
    RUNNING = "between startup and shutdown"
    STOPPING = "before lifespan.shutdown.complete"
    DONE = "after lifespan.shutdown.complete"


_ALLOWED: dict[_State, tuple[str, ...]] = {
    _State.STARTING: ("lifespan.startup.complete", "lifespan.startup.failed"),
    # Starlette tells so of whatever its lifespan raises, also while it has nothing to do.
    _State.RUNNING: ("lifespan.shutdown.failed",),
    _State.STOPPING: ("lifespan.shutdown.complete", "lifespan.shutdown.failed"),
    _State.DONE: (),
}


class Lifespan:
    """Runs the application's lifespan beside the serving.

    ``state`` is the dict each request gets a shallow copy of, None where the application
    has no lifespan.
    """

    def __init__(
        self,
        app: ASGIApplication,
        config: Config,
        stopping: Stopping | None = None,
        *,
        name: str = "",
        counters: Counters | None = None,
    ) -> None:
        """
        :param counters: where its timeouts are counted; not given: those of the lifespan
            around it, if any.
        :param name: tells one application of several in the log, such as ``mount /api``.
        :param stopping: told to the application in its scope, so that what it runs in the
            background may end before ``lifespan.shutdown``, which comes behind the requests.
        """
        self._app = app
        self._counters = counters or CURRENT.get(None)
        self._label = f"{name}: " if name else ""
        self._stopping = stopping or Stopping()
        self._config = config
        self._state = _State.STARTING
        self._started = anyio.Event()
        self._stop = anyio.Event()
        self._stopped = anyio.Event()
        # Shielded: a cancelled serve() still shuts its application down in order.
        self._scope = anyio.CancelScope(shield=True)
        self._told_startup = False
        self._failure: str | None = None
        self._error: BaseException | None = None
        self._reported = False  # the application's own report is in the log
        self._supported = False
        self._namespace: dict[str, Any] = {}

    @property
    def state(self) -> dict[str, Any] | None:
        """The lifespan state, where the application started one."""
        return self._namespace if self._supported else None

    @property
    def failure(self) -> str | None:
        """What the application said with ``lifespan.startup.failed``."""
        return self._failure

    async def startup(self, task_group: anyio.abc.TaskGroup) -> None:
        """Start the application's lifespan in ``task_group`` and wait for it.

        :raises LifespanError: if it said ``startup.failed``, took longer than
            ``startup_timeout``, or (with ``lifespan = "on"``) raised.
        """
        if self._config.lifespan == "off":
            return
        task_group.start_soon(self._run, name="lifespan")
        try:
            await self._wait_for_startup()
        except BaseException:
            # Completed just as the wait for it was cancelled, it is still owed a shutdown.
            if not self._supported:
                self.cancel()
            raise

    async def _wait_for_startup(self) -> None:
        with anyio.move_on_after(self._config.startup_timeout) as scope:
            await self._started.wait()
        if scope.cancelled_caught:
            limit = self._config.startup_timeout
            self._count("startup_timeout")
            raise LifespanError(f"lifespan startup took longer than startup_timeout = {limit} s")
        if self._failure is not None:
            raise LifespanError(f"the application's startup failed: {self._failure}") from (
                None if self._reported else self._error
            )
        if self._error is not None and not self._supported:
            if self._config.lifespan == "on":
                raise LifespanError(
                    f"the application's lifespan raised {self._error!r}"
                ) from self._error
            # ASGI lifespan: go on without; but never hide why.
            if self._told_startup and self._error.__traceback__ is not None:
                _log.error(
                    "%sthe application failed in its lifespan startup",
                    self._label,
                    exc_info=self._error,
                )
            _log.warning(
                '%slifespan = "auto": the application raised %r on the lifespan scope; '
                "serving without lifespan events",
                self._label,
                self._error,
            )

    async def shutdown(self, limit: float | None = None, *, shield: bool = True) -> None:
        """Tell the application to shut down and wait for it.

        :param limit: in seconds; not given: ``shutdown_timeout``.
        :param shield: whether it is waited for where the caller is cancelled too.
        """
        if not self._supported or self._stopped.is_set():
            self.cancel()
            return
        self._state = _State.STOPPING
        self._stop.set()
        whole = self._config.shutdown_timeout
        with anyio.move_on_after(whole if limit is None else limit, shield=shield) as scope:
            await self._stopped.wait()
        if scope.cancelled_caught:
            self._count("shutdown_timeout")
            taken = "" if limit is None else f"{limit:.3g} s, its part of "
            _log.error(
                "%slifespan shutdown took longer than %sshutdown_timeout = %s s",
                self._label,
                taken,
                whole,
            )
        self.cancel()

    def _count(self, option: str) -> None:
        if self._counters is not None:
            self._counters.limit(option)

    def cancel(self) -> None:
        """End the application's lifespan task now."""
        self._scope.cancel()

    async def _run(self) -> None:
        async_library.forget()
        if self._counters is not None:
            CURRENT.set(self._counters)
        scope: Scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self._namespace,
            "extensions": {STOPPING: {"signal": self._stopping}},
        }
        cancelled = anyio.get_cancelled_exc_class()
        interrupted = False
        try:
            with self._scope:
                await self._app(scope, self._receive, self._send)
        except BaseException as exc:
            interrupted = cancellation.interrupted(exc)
            if interrupted or (isinstance(exc, cancelled) and cancellation.requested(cancelled)):
                raise
            self._error = exc
            if self._supported and not self._reported:
                _log.error("%sthe application's lifespan failed", self._label, exc_info=exc)
        else:
            if self._state is _State.STARTING and not self._failure:
                self._error = RuntimeError("returned before lifespan.startup.complete")
        finally:
            if not interrupted:  # else who waits for the start is cancelled
                self._started.set()
            self._stopped.set()

    async def _receive(self) -> Message:
        if not self._told_startup:
            self._told_startup = True
            return {"type": "lifespan.startup"}
        await self._stop.wait()
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: Message) -> None:
        kind = message.get("type") if hasattr(message, "get") else None
        if kind not in _ALLOWED[self._state]:
            expected = ", ".join(map(repr, _ALLOWED[self._state])) or "nothing"
            raise InvalidMessage(
                f"message type {kind!r} in lifespan state {self._state.value}; allowed: {expected}"
            )
        if kind == "lifespan.startup.complete":
            self._supported = True
            self._state = _State.RUNNING
            self._started.set()
        elif self._scope.cancel_called:
            # Starlette gives our cancellation for a failure of its own.
            self._state = _State.DONE
            self._stopped.set()
        elif kind == "lifespan.startup.failed":
            self._failure = self._summary("startup", message)
            self._state = _State.DONE
            self._started.set()
        else:
            if kind == "lifespan.shutdown.failed":
                phase = "shutdown" if self._state is _State.STOPPING else "lifespan"
                reason = self._summary(phase, message)
                _log.error("%sthe application's %s failed: %s", self._label, phase, reason)
            self._state = _State.DONE
            self._stopped.set()

    def _summary(self, phase: str, message: Message) -> str:
        """What went wrong in a line; a message of several is logged as it stands.

        Starlette, Litestar and others give a whole traceback as the message.
        """
        text = str(message.get("message") or "").strip()
        if "\n" not in text:
            return text or "no message given"
        self._reported = True
        _log.error("%sthe application's %s failed:\n%s", self._label, phase, text)
        _, header, rest = text.rpartition(_TRACEBACK)
        found = _FIRST_COLUMN.search(rest) if header else None
        return found[1] if found else text.splitlines()[0]
