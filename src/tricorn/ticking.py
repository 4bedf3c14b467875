"""How often a server looks at the clock, and which time it counts."""

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


class Clock:
    """The time that limits are about: that in which the event loop turned.

    While it stands still (an application blocks it, the process is stopped) nobody is heard, and
    what they said lies in their sockets.
    """

    def __init__(self, now: float) -> None:
        self._seen = now
        self._lost = 0.0

    @property
    def time(self) -> float:
        """Seconds, as of the last look: monotonic, less those that were lost."""
        return self._seen - self._lost

    def look(self, now: float, interval: float) -> bool:
        """Note the time; whether the loop stood still, and what has come is to be read first.

        :param now: seconds, monotonic.
        :param interval: seconds within which this look was due. As much again may be missing:
            that much less is left of no limit than half.
        """
        late = now - self._seen - interval
        self._seen = now
        if late <= interval:
            return False
        self._lost += late
        return True
