"""A worker: what ``python -m tricorn.worker_process`` does, started by the supervisor.

The descriptor named on the command line is the worker's end of the control channel. The
first message on it is the configuration with the listening sockets; later ones say what to
do. Its end of file says that the supervisor is gone: then the worker drains and ends. A
thread of its own listens there, so that even a blocked event loop does not outlive it.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

import anyio
import anyio.abc

from tricorn import collector, error_report, logs
from tricorn.config import Config
from tricorn.control_channel import Channel, Message
from tricorn.counters import Counters
from tricorn.event_loop import caller_from_threads, run_on
from tricorn.exceptions import TricornError
from tricorn.forked_children import keep_from_children
from tricorn.io.listener import Listener
from tricorn.last_resort import LastResort, leave
from tricorn.privileges import drop, take_umask
from tricorn.supervisor_environment import CUT_TIME, DUMP_SIGNAL
from tricorn.supervisor_sockets import in_worker

if TYPE_CHECKING:
    from tricorn.server import Server

_log = logging.getLogger("tricorn.error")

# Seconds between two heartbeats.
_BEAT = 1.0
# The supervisor's affair; a key press in a terminal goes to all processes. Not ignored, which
# would go on to the programs that the application starts.
_NOT_OURS = (signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)
# These are, of the supervisor's, what the system sends to all processes of a background job where
# one reads its terminal, again and again where that goes on. Where they are ignored it sends none,
# and the read fails (EIO); so it is to be with the programs that the application starts.
_OF_JOBS = (signal.SIGTTIN, signal.SIGTTOU)


class Link:
    """The worker's side of the control channel.

    The thread tells the loop; what comes before there is a loop waits for it.
    """

    def __init__(self, channel: Channel, config: Config) -> None:
        self._channel = channel
        self._config = config
        self._lock = threading.RLock()  # a signal handler may come in between
        self._call: Callable[[Callable[[], object]], object] | None = None
        self._waiting: list[Callable[[], object]] = []
        self._listeners: list[Listener] = []
        self._server: Server | None = None
        self._stop: anyio.Event
        self._scope: anyio.CancelScope
        self._draining = False
        self._sigterms = 0
        self._beaten = 0.0
        self.ended = False

    def listen(self, heard: list[Message]) -> None:
        """Hear the supervisor from now on; ``heard`` it has said already."""
        for message in heard:
            self._heed(message)
        threading.Thread(target=self._listen, name="tricorn-control", daemon=True).start()

    # In the thread

    def _listen(self) -> None:
        while (messages := self._channel.receive(wait=True)) is not None:
            for message in messages:
                self._heed(message)
        self._orphaned()

    def _heed(self, message: Message) -> None:
        match message["type"]:
            case "drain":
                self.drain(message["delay"], stopping=message["stopping"])
            case "cut":
                self._in_loop(self._cut)
            case "reopen-logs":
                logs.reopen()

    def _orphaned(self) -> None:
        """The supervisor is gone, and nobody is left to kill us."""
        if self.ended:
            return
        _log.error("the supervisor is gone: worker %d drains and ends", os.getpid())
        self.drain(0.0, stopping=True)
        config = self._config
        if config.graceful_timeout is None or config.shutdown_timeout is None:
            return
        time.sleep(config.graceful_timeout + CUT_TIME + config.shutdown_timeout + CUT_TIME)
        faulthandler.dump_traceback()
        os._exit(1)

    # In the thread, or in a signal handler

    def drain(self, delay: float, *, stopping: bool) -> None:
        """Finish what is in flight, then end."""
        with self._lock:
            self._draining = True
            self._in_loop(lambda: self._drain(delay, stopping=stopping))
            self._let_go()

    def on_sigterm(self, number: int, frame: FrameType | None) -> None:
        """Drain; the second time end at once.

        The supervisor may have said so before: a signal to the whole group comes both ways.
        """
        self._sigterms += 1
        if self._sigterms > 1:
            self._in_loop(self._cut)
        elif not self._draining:
            self.drain(self._config.drain_delay, stopping=True)
            self._channel.send("draining")  # behind it, as the answer may correct it

    def _let_go(self) -> None:
        """Where nothing will be served, the start of the application keeps no address open."""
        if self._draining and self._server is not None:
            self._server.opening.close()
        elif self._draining:
            for listener in self._listeners:
                listener.socket.close()

    def _in_loop(self, action: Callable[[], object]) -> None:
        with self._lock:
            if self._call is None:
                self._waiting.append(action)
                return
            try:
                self._call(action)
            except RuntimeError:
                pass  # the loop has ended

    # Before there is an event loop

    def listeners(self, rows: list[Message]) -> list[Listener]:
        """The sockets that the supervisor sent."""
        with self._lock:
            self._listeners = in_worker(rows)
            self._let_go()
        return self._listeners

    # In the event loop

    def _drain(self, delay: float, *, stopping: bool) -> None:
        assert self._server is not None
        self._server.drain_delay = delay
        self._server.replaced = not stopping
        if self._stop.is_set():  # we did not know better
            self._server.tell_balancers()
        self._stop.set()

    def _cut(self) -> None:
        assert self._server is not None
        self._server.hurry()
        self._scope.cancel()

    async def serve(self, server: Server) -> None:
        """Serve until told to end."""
        from tricorn.server import run_server

        self._server = server
        self._stop = anyio.Event()
        server.on_tick = self._beat
        with anyio.CancelScope() as self._scope:
            with self._lock:
                self._call = caller_from_threads()
                if self._draining:
                    return  # nothing has begun
                waiting, self._waiting = self._waiting, []
                for action in waiting:
                    action()
            await run_server(server, self._stop, False, _Ready(self._ready))

    def _ready(self, urls: list[str]) -> None:
        if not urls:
            self._channel.send("shutdown", wait=True)  # the application's, as it has started
            return
        for handler in _log.handlers:
            handler.flush()  # our addresses stand in the log before what the supervisor says
        self._channel.send("ready", wait=True, urls=urls)

    def _beat(self, now: float) -> None:
        if now - self._beaten < _BEAT * 0.9:
            return
        self._beaten = now
        assert self._server is not None
        self._channel.send("heartbeat", requests=self._server.worker.requests, rss=_rss())

    def failed(self, exc: TricornError) -> None:
        """Why the worker ends; the supervisor prints it."""
        self._channel.send(
            "failed",
            wait=True,
            code=exc.exit_code,
            reason=str(exc),
            traceback=error_report.application_traceback(exc),
        )


class _Ready(anyio.abc.TaskStatus[list[str]]):
    """Passes on that connections are accepted, or will not be."""

    def __init__(self, tell: Callable[[list[str]], None]) -> None:
        self._tell = tell

    def started(self, value: list[str] | None = None) -> None:
        self._tell(value or [])


def _rss() -> int:
    """Resident memory of this process (bytes); where the system does not tell, the most so far."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        # Descriptors may have run out, and an import would need one.
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


def _quiet(number: int, frame: FrameType | None) -> None:
    """A signal that is not ours."""


def _reopen_logs(number: int, frame: FrameType | None) -> None:
    logs.reopen()


def _serve(link: Link, config: Config, start: Message) -> None:
    """Serve to the end. What needs the rights the process began with comes first."""
    from tricorn.application import compose, load
    from tricorn.server import Server

    listeners = link.listeners(start["listeners"])
    counters = Counters.create(**start["counters"])
    os.close(start["counters"]["fd"])
    tls: TLSContext | None = None
    if config.ssl_enabled:
        from tricorn.io.tls import TLSContext  # not above: for TLS only

        tls = TLSContext(config)
    dropped = drop(config)
    collector.resume()
    app, config = load(config)
    served = compose(app, config, multiprocess=True)  # even one is replaced beside itself

    async def main() -> None:
        server = Server(served, config, listeners=listeners, tls=tls, counters=counters)
        server.announces = start["announce"]
        server.watches_certificates = not dropped  # the supervisor does where we cannot
        server.last_resort = last_resort
        await link.serve(server)

    last_resort = LastResort()
    last_resort.tell = link.failed
    try:
        run_on(config, main)
    finally:
        last_resort.cancel()


def _rename(start: Message, numbers: dict[int, int]) -> None:
    """Write the numbers that descriptors have here, where they came over the channel."""
    for row in (*start["listeners"], start["counters"]):
        row["fd"] = numbers.get(row["fd"], row["fd"])


def main(argv: list[str] | None = None) -> int:
    """Run a worker with `argv` (default: the process's, which is to end then); its exit code."""
    code = 1  # with a traceback
    try:
        code = _run(sys.argv[1:] if argv is None else argv)
    finally:
        if argv is None:
            leave(code)
    return code


def _run(argv: list[str]) -> int:
    former = {number: signal.signal(number, _quiet) for number in _NOT_OURS}
    former[signal.SIGUSR1] = signal.signal(signal.SIGUSR1, _reopen_logs)
    for number in _OF_JOBS:
        signal.signal(number, signal.SIG_IGN)
    if sys.__stderr__ is not None:
        faulthandler.register(DUMP_SIGNAL, sys.__stderr__, all_threads=True)
    channel = Channel(socket.socket(fileno=int(argv[0])))
    channel.socket.set_inheritable(False)
    passed: list[int] = []
    messages = channel.receive(wait=True, descriptors=passed)
    if not messages:
        return 0  # the supervisor was gone before it could say anything
    start = messages[0]
    _rename(start, dict(zip(start["passed"], passed, strict=True)))
    sys.path[:] = start["path"]
    sys.argv[:] = start["argv"]
    config = Config(**start["config"])
    link = Link(channel, config)
    former[signal.SIGTERM] = signal.signal(signal.SIGTERM, link.on_sigterm)
    keep_from_children(former)
    try:
        take_umask(config)
        logs.setup(config)
        link.listen(messages[1:])
        _serve(link, config, start)
    except TricornError as exc:
        logs.shutdown()
        link.failed(exc)
        return exc.exit_code
    except KeyboardInterrupt:
        return 130
    finally:
        link.ended = True
        logs.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
