"""``LambdaHandler``: an application as the handler of a Lambda function."""

from __future__ import annotations

import atexit
import logging
import os
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import CancelledError
from typing import Any

from tricorn.application import compose
from tricorn.asgi.host import Exchange, Worker
from tricorn.asgi.runner import describe
from tricorn.config import Config
from tricorn.exceptions import ConfigError
from tricorn.serverless.events import (
    AUTO,
    Event,
    EventError,
    EventSource,
    Request,
    Response,
    context_of,
)
from tricorn.serverless.exchange import LambdaExchange, MemoryConnection, Outlet, ResponseStream
from tricorn.serverless.loop import ContainerLoop, close_on_sigterm
from tricorn.serverless.response import TEXT_MIME_TYPES, encode_body, json_size
from tricorn.serverless.sources import SOURCES
from tricorn.types import ASGIApplication

_log = logging.getLogger("tricorn.error")

EXTENSION = "tricorn.aws"
# Below this part of a limit no body is measured: JSON makes six bytes of one at most.
_SURELY_FITS = 6
# Runtimes whose JSON keeps characters beyond ASCII.
_UTF8_RUNTIME = re.compile(r"AWS_Lambda_python3\.(1[2-9]|[2-9]\d)")


class LambdaHandler:
    """Runs an application for the events of API Gateway, function URLs and load balancers.

    Call it as Lambda does, with ``(event, context)``. The application runs on an event loop
    in a thread of its own, with one lifespan for the life of the container.

    :param app: an ASGI or WSGI application.
    :param config: options; those about sockets, TLS and connections have no effect. Without
        one, ``Date`` and ``Server`` are left to the gateway.
    :param base_path: path under which the gateway shows the application, such as ``/shop``;
        it becomes ``root_path``. ``"auto"``: the stage, where it is in the URL.
    :param text_mime_types: content types sent as text: whole names, beginnings that end in
        a slash, ends that begin with a plus. All others are sent as Base64.
    :param exclude_headers: response fields to leave out (names).
    :param sources: event sources of your own, asked before the built-in ones.
    :param startup: ``"first"`` starts the application with the first invocation, ``"init"``
        at once, in Lambda's init phase.
    :param timeout_margin: seconds before the end of an invocation's time at which the
        application is cancelled and the answer is 504.
    :raises ConfigError: for a value it cannot take.
    :raises LifespanError: with ``startup="init"``, if the application's startup failed.
    """

    def __init__(
        self,
        app: Any,
        config: Config | None = None,
        *,
        base_path: str = "",
        text_mime_types: Sequence[str] = TEXT_MIME_TYPES,
        exclude_headers: Iterable[str] = (),
        sources: Iterable[EventSource] = (),
        startup: str = "first",
        timeout_margin: float = 0.5,
    ) -> None:
        if config is None:
            config = Config(include_date_header=False, include_server_header=False)
        self._base_path = _checked_base_path(base_path or config.root_path)
        if startup not in ("first", "init"):
            raise ConfigError(f"startup: expected 'first' or 'init', got {startup!r}")
        if not timeout_margin >= 0:
            raise ConfigError(f"timeout_margin: expected seconds, got {timeout_margin!r}")
        # The request brings its root_path; figures of one container of many say nothing, and
        # an address of their own would take the probes' paths out of the application's.
        self.config = config.replace(
            root_path="", root_path_stripped=False, metrics_path=None, health_bind=()
        )
        self._app: ASGIApplication = compose(app, self.config)
        self._text_mime_types = tuple(name.lower() for name in text_mime_types)
        self._excluded = frozenset(name.lower().encode("latin-1") for name in exclude_headers)
        self._sources = (*sources, *SOURCES)
        self._margin = timeout_margin
        self._only_ascii = not _UTF8_RUNTIME.match(os.environ.get("AWS_EXECUTION_ENV", ""))
        self._access_log = _access_log(config)
        self._lock = threading.RLock()
        self._worker: Worker | None = None
        self._loop: ContainerLoop | None = None
        if startup == "init":
            self.start()

    def __call__(self, event: Any, context: Any) -> dict[str, Any]:
        """Answer an event.

        :raises EventError: for an event that no source knows.
        :raises LifespanError: if the application's startup failed; the next call tries again.
        """
        answer = self.invoke(event, context)
        assert answer is not None
        return answer

    def start(self) -> None:
        """Start the application, if it does not run already; any number of times.

        :raises LifespanError: if its startup failed.
        """
        with self._lock:
            if self._loop is not None:
                return
            worker = Worker(self._app, self.config, access_log=_collect, peer_log=_log_refusal)
            loop = ContainerLoop(worker)
            loop.start()
            self._worker, self._loop = worker, loop
            atexit.register(self.close)
            if "AWS_LAMBDA_RUNTIME_API" in os.environ:
                close_on_sigterm(self.close)

    def close(self) -> None:
        """Shut the application down, if it runs. A further call starts it again."""
        with self._lock:
            loop, self._loop = self._loop, None
            if loop is not None:
                atexit.unregister(self.close)
                loop.close()

    def source_of(self, event: Any) -> EventSource:
        """The source that made an event.

        :raises EventError: if none is known.
        """
        if not isinstance(event, dict):
            raise EventError(f"an event is a dict, not {type(event).__name__}")
        for source in self._sources:
            if source.matches(event):
                return source
        if "connectionId" in context_of(event):
            raise EventError(
                "the event comes from an API Gateway WebSocket API, which has messages but no "
                "connections: it cannot be served as ASGI"
            )
        keys = ", ".join(sorted(map(str, event))[:10]) or "none"
        raise EventError(
            f"the event comes from no HTTP source that is known (its keys: {keys}); "
            "LambdaHandler takes further ones as sources"
        )

    def invoke(
        self,
        event: Any,
        context: Any,
        open_stream: Callable[[], ResponseStream] | None = None,
        *,
        only_ascii: bool | None = None,
    ) -> dict[str, Any] | None:
        """Answer an event; for runtimes.

        :param open_stream: gives where to send a streamed response, for sources that can.
        :param only_ascii: the runtime's JSON escapes other characters; None: look for it.
        :return: None where the response was streamed.
        :raises EventError: for an event that no source knows.
        :raises LifespanError: if the application's startup failed.
        """
        source = self.source_of(event)
        request = source.request(event, self._base_path)
        self.start()
        invocation = _Invocation(self, source, event, context, request)
        if only_ascii is None:
            only_ascii = self._only_ascii
        if open_stream is not None and source.can_stream:
            invocation.stream(open_stream())
            return None
        return invocation.answer(only_ascii)

    # For _Invocation

    def run(self, exchange: LambdaExchange, context: Any) -> None:
        """Run the application for an exchange, within the invocation's time."""
        loop = self._loop
        assert loop is not None
        remaining = _remaining(context)
        limit = None if remaining is None else max(remaining - self._margin, remaining / 2)
        future = loop.soon(exchange.run, limit)
        try:
            # The loop keeps the limit, unless the application blocks it.
            future.result(None if limit is None or remaining is None else (limit + remaining) / 2)
        except TimeoutError:
            future.cancel()
            if exchange.cut():
                _log.error("Lambda did not take the response: %s", describe(exchange.stream))
                return
            exchange.timed_out = not exchange.response.ended
            _log.error("the application blocks its event loop: %s", describe(exchange.stream))
        except CancelledError:
            # Its time was not over: the application did it itself, or the container ends.
            if exchange.stream.unfinished or not exchange.response.ended:
                _log.error("the application was cancelled: %s", describe(exchange.stream))

    def exchange(self, request: Request, scope: dict[str, Any], **options: Any) -> LambdaExchange:
        """An exchange of the running application."""
        assert self._worker is not None
        return LambdaExchange(self._worker, request, scope, **options)

    def response(self, http: MemoryConnection, body: bytes = b"") -> Response:
        """A response as its source takes it."""
        assert http.status is not None
        headers = [header for header in http.headers if header[0] not in self._excluded]
        text, is_base64 = encode_body(body, http.headers, self._text_mime_types)
        return Response(http.status, headers, text, is_base64)

    def log(self, exchange: LambdaExchange) -> None:
        """Write the access log line."""
        if self._access_log is not None and exchange.logged is not None:
            self._access_log(exchange.logged)


class _Invocation:
    """One event, from its request to its answer."""

    def __init__(
        self,
        handler: LambdaHandler,
        source: EventSource,
        event: Event,
        context: Any,
        request: Request,
    ) -> None:
        self._handler = handler
        self._source = source
        self._event = event
        self._context = context
        self._request = request

    def answer(self, only_ascii: bool) -> dict[str, Any]:
        """The whole response in the form of its source."""
        limit = self._source.max_response_size
        exchange = self._exchange(limit=limit)
        refusal = self._run(exchange)
        if exchange.response.overflow:
            refusal = self._too_large()
        if refusal is not None:
            exchange = refusal
        answer, size = self._form(exchange, only_ascii)
        if size > limit:
            exchange = self._too_large()
            answer, _ = self._form(exchange, only_ascii)
        self._handler.log(exchange)
        return answer

    def stream(self, sink: ResponseStream) -> None:
        """Send the response on while the application makes it."""
        outlet = Outlet(sink)
        exchange = self._exchange(sink=outlet, prelude=self._prelude)
        refusal = self._run(exchange)
        error: tuple[str, str] | None = None
        if exchange.started:
            if exchange.timed_out:
                error = ("Tricorn.Timeout", "the application took too long")
            elif exchange.response.aborted or not exchange.response.ended:
                error = ("Tricorn.ApplicationError", "the response is not complete")
        elif refusal is not None:
            exchange = refusal
        self._handler.log(exchange)
        try:
            outlet.end(exchange.pending(), error)
        except OSError as exc:
            _log.error("the response stream broke: %s", exc)

    def _run(self, exchange: LambdaExchange) -> LambdaExchange | None:
        """Run the application; another exchange with the answer where it gave none."""
        self._handler.run(exchange, self._context)
        if exchange.timed_out:
            _log.error("the application took too long: %s", describe(exchange.stream))
            return self._refusal(504, b"Gateway Timeout")
        if exchange.response.aborted or exchange.response.status is None:
            return self._refusal(500, b"Internal Server Error")
        return None

    def _exchange(self, **options: Any) -> LambdaExchange:
        scope = {
            "aws.event": self._event,
            "aws.context": self._context,
            "extensions": {EXTENSION: {"event": self._event, "context": self._context}},
        }
        return self._handler.exchange(self._request, scope, **options)

    def _refusal(self, status: int, text: bytes) -> LambdaExchange:
        exchange = self._exchange(prelude=self._prelude)
        exchange.stream.refuse(status, text)
        return exchange

    def _too_large(self) -> LambdaExchange:
        limit = self._source.max_response_size
        _log.error(
            "the response to %s %s is larger than the %d bytes that %s takes",
            self._request.method,
            ascii(self._request.target.decode("latin-1"))[1:-1],
            limit,
            self._source.name,
        )
        return self._refusal(500, b"Internal Server Error: the response is too large")

    def _form(self, exchange: LambdaExchange, only_ascii: bool) -> tuple[dict[str, Any], int]:
        """The answer, and its size as JSON in bytes (0 where it is small without doubt)."""
        body = exchange.response.take_data()
        response = self._handler.response(exchange.response, body)
        answer = self._source.response(self._event, response)
        heads = sum(len(name) + len(value) + 8 for name, value in response.headers)
        if (len(response.body) + heads) * _SURELY_FITS < self._source.max_response_size:
            return answer, 0
        return answer, json_size(answer, only_ascii=only_ascii)

    def _prelude(self, http: MemoryConnection) -> dict[str, Any]:
        return self._source.prelude(self._handler.response(http))


def _collect(exchange: Exchange) -> None:
    """Keep a finished exchange until it is known which one is the answer."""
    exchange.host.logged = exchange  # type: ignore[attr-defined]


def _log_refusal(reason: str, peer: str) -> None:
    """A line for a request that a limit has ended."""
    _log.info("refused %s from %s", reason, peer)


def _access_log(config: Config) -> Callable[[Exchange], None] | None:
    """The access log through ``logging``, which is where Lambda collects lines."""
    if not config.accesslog:
        return None
    from tricorn.access_log import AccessLog
    from tricorn.logs import ACCESS

    logger = logging.getLogger(ACCESS)
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)  # Lambda's root logger begins at WARNING
    return AccessLog(config.access_log_format, as_json=config.log_format == "json")


def _checked_base_path(base_path: str) -> str:
    if base_path == AUTO:
        return base_path
    base_path = base_path.rstrip("/")
    if base_path and not base_path.startswith("/"):
        raise ConfigError(f"base_path: expected a path that begins with /, got {base_path!r}")
    return base_path


def _remaining(context: Any) -> float | None:
    """Seconds left of the invocation, None where nobody tells."""
    ask = getattr(context, "get_remaining_time_in_millis", None)
    return None if ask is None else max(0.0, ask() / 1000)
