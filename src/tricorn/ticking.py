"""How often a server looks at the clock."""

from __future__ import annotations

from tricorn.config import Config

# Seconds between two looks, at most; shorter where a limit is shorter.
_LONGEST = 1.0
_SHORTEST = 0.02
#: While draining: idle connections are left open for a moment only.
DRAINING = 0.1


def tick_interval(config: Config, within: float | None = None) -> float:
    """Seconds between two looks: a quarter of the shortest limit there is.

    :param within: seconds, the most that somebody else can wait.
    """
    limits = (
        config.keep_alive_timeout,
        config.header_timeout,
        config.read_timeout,
        config.write_timeout,
        config.close_timeout,
        config.disconnect_grace,
        config.websocket_ping_interval,
        config.websocket_ping_timeout,
        config.websocket_close_timeout,
        config.websocket_handshake_timeout,
        config.response_timeout,
        config.min_body_rate_grace if config.min_body_rate is not None else None,
    )
    shortest = min((limit for limit in limits if limit is not None), default=_LONGEST)
    longest = _LONGEST if within is None else min(_LONGEST, within)
    return max(_SHORTEST, min(longest, shortest / 4))
