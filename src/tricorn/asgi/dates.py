"""Times as HTTP writes them."""

from __future__ import annotations

import time

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"
)  # fmt: skip


def http_date(moment: float) -> bytes:
    """``moment`` (epoch seconds) as IMF-fixdate, RFC 9110 section 5.6.7.

    `email.utils` has it too, but takes long to import.
    """
    year, month, day, hour, minute, second, weekday, _, _ = time.gmtime(moment)
    text = (
        f"{_DAYS[weekday]}, {day:02d} {_MONTHS[month - 1]} {year:04d} "
        f"{hour:02d}:{minute:02d}:{second:02d} GMT"
    )
    return text.encode("ascii")
