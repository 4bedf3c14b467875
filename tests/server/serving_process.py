"""The server as a process of its own, on a free port."""

from __future__ import annotations

from helpers.daemon import Daemon, daemon

__all__ = ["Daemon", "daemon"]
