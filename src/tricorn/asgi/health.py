"""What the server itself answers: whether it lives, whether it takes requests, its counters.

No application, no limit on requests and no access log is between: a server that is full or
whose application hangs still tells so. The driver asks here before anything else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from tricorn.config import Config
from tricorn.counters import Counters
from tricorn.protocol.events import RequestReceived
from tricorn.types import Headers

_NO_STORE = (b"cache-control", b"no-store")
_PLAIN = (b"content-type", b"text/plain; charset=utf-8")
# https://prometheus.io/docs/instrumenting/exposition_formats/
_METRICS = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
_ALLOW = (b"allow", b"GET, HEAD")


class Answer(NamedTuple):
    """A whole response; the driver leaves the content of one to HEAD away."""

    status: int
    headers: Headers
    text: bytes


class Subject(Protocol):
    """Who is asked about: the worker."""

    counters: Counters
    ready: bool
    measure: Callable[[], None] | None


class Health:
    """The answers by path.

    :param only: whether every other path is answered too, with 404.
    """

    def __init__(self, subject: Subject, livez: str | None, readyz: str | None,
                 metrics: str | None, *, only: bool) -> None:  # fmt: skip
        self._subject = subject
        self._only = only
        paths = ((livez, self._livez), (readyz, self._readyz), (metrics, self._metrics))
        self._answers = {path.encode(): answer for path, answer in paths if path is not None}
        self.paths = [path for path, _ in paths if path is not None]

    @classmethod
    def create(cls, config: Config, subject: Subject) -> Health | None:
        """What the application's own addresses answer; None for nothing."""
        paths = (config.livez_path, config.readyz_path, config.metrics_path)
        if config.health_bind or paths == (None, None, None):
            return None
        return cls(subject, *paths, only=False)

    @classmethod
    def apart(cls, config: Config, subject: Subject) -> Health:
        """What the addresses of ``health_bind`` answer."""
        livez = config.livez_path or "/livez"
        readyz = config.readyz_path or "/readyz"
        return cls(subject, livez, readyz, config.metrics_path or "/metrics", only=True)

    def answer(self, request: RequestReceived) -> Answer | None:
        """The answer to a request; None where it is the application's."""
        answer = self._answers.get(request.target.partition(b"?")[0])
        if answer is None:
            return Answer(404, [_PLAIN, _NO_STORE], b"Not Found\n") if self._only else None
        if request.method not in ("GET", "HEAD") or request.protocol is not None:
            return Answer(405, [_PLAIN, _ALLOW, _NO_STORE], b"Method Not Allowed\n")
        return answer()

    def _livez(self) -> Answer:
        return Answer(200, [_PLAIN, _NO_STORE], b"ok\n")

    def _readyz(self) -> Answer:
        if self._subject.ready:
            return Answer(200, [_PLAIN, _NO_STORE], b"ready\n")
        return Answer(503, [_PLAIN, _NO_STORE], b"stopping\n")

    def _metrics(self) -> Answer:
        if self._subject.measure is not None:
            self._subject.measure()
        return Answer(200, [_METRICS, _NO_STORE], self._subject.counters.exposition())
