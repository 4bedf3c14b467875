"""Counts exchanges as they end, where somebody can ask for the numbers."""

from __future__ import annotations

from collections.abc import Callable

from tricorn.asgi.host import Exchange
from tricorn.config import Config
from tricorn.counters import CUT_LOST, REQUEST_BYTES, REQUESTS, RESPONSE_BYTES, Counters

_Log = Callable[[Exchange], None]


def wants_metrics(config: Config) -> bool:
    """Whether the counters are answered anywhere."""
    return config.metrics_path is not None or bool(config.health_bind)


def counted(log: _Log | None, config: Config, counters: Counters) -> _Log | None:
    """``log``, with counting in front of it where metrics are answered.

    It is called once for each exchange, at its end, so nothing else is on the way of a request.
    """
    if not wants_metrics(config):
        return log
    add = counters.add

    def ended(exchange: Exchange) -> None:
        # Nothing of the scope, where the application may have left anything.
        status = exchange.status or 0
        # A WebSocket that was accepted is counted then; one that was refused is a request.
        if not exchange.is_websocket or status >= 300:
            # An invalid status, to be taken for 5xx (RFC 9110 section 15), has no class of its own.
            add(REQUESTS[exchange.http_version] + min(status // 100, 5))
        if exchange.bytes_received:
            add(REQUEST_BYTES, exchange.bytes_received)
        if exchange.bytes_sent:
            add(RESPONSE_BYTES, exchange.bytes_sent)
        if exchange.disconnected:
            add(CUT_LOST)
        if log is not None:
            log(exchange)

    return ended
