"""Several applications as one: by path and host, with a lifespan each.

The longest path wins; among mounts of one path an exact host comes before a wildcard, the
longer wildcard before the shorter, and those before a mount for every host.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel

from tricorn.asgi.hosts import host_of, parents
from tricorn.asgi.lifespan import Lifespan
from tricorn.asgi.replies import reply
from tricorn.asgi.stopping import EXTENSION as STOPPING
from tricorn.config import Config
from tricorn.config_mounts import Mount
from tricorn.exceptions import LifespanError
from tricorn.host_names import normal_name, split_authority
from tricorn.types import ASGIApplication, Header, Receive, Scope, Send

_log = logging.getLogger("tricorn.error")


@dataclass(slots=True)
class _Mounted:
    """An application at its place; ``state`` is what its lifespan left, None without one."""

    app: ASGIApplication
    prefix: str
    name: str
    has_lifespan: bool
    state: dict[str, Any] | None = None


class _Hosts:
    """The mounts of one path, by host."""

    __slots__ = ("any", "exact", "wildcards")

    def __init__(self) -> None:
        self.any: _Mounted | None = None
        self.exact: dict[str, _Mounted] = {}
        self.wildcards: dict[str, _Mounted] = {}

    def add(self, names: Sequence[str], mounted: _Mounted) -> None:
        """Put a mount under its names; without names under every host."""
        if not names:
            self.any = mounted
        for name in map(normal_name, names):
            if name.startswith("*."):
                self.wildcards[name[1:]] = mounted
            else:
                self.exact[name] = mounted

    def find(self, headers: Sequence[Header]) -> _Mounted | None:
        """The mount for the host that the fields name."""
        if self.exact or self.wildcards:
            found = split_authority(host_of(headers))
            if found is not None:
                host = found[0]
                if host in self.exact:
                    return self.exact[host]
                for end in parents(host) if self.wildcards else ():
                    if end in self.wildcards:
                        return self.wildcards[end]
        return self.any


class Mounts:
    """The ASGI application that all mounts make together.

    :param mounted: each mount with its application. One application object at several
        places has one lifespan and one state.
    """

    def __init__(self, mounted: Sequence[tuple[Mount, ASGIApplication]], config: Config) -> None:
        # Each waits as long as the server waits for all of them together.
        self._config = config.replace(startup_timeout=None)
        self._shutdown_timeout = config.shutdown_timeout
        self._all: list[_Mounted] = []
        table: dict[str, _Hosts] = {}
        for mount, app in mounted:
            one = _Mounted(app, mount.prefix, _name(mount), mount.application is not None)
            self._all.append(one)
            table.setdefault(mount.prefix, _Hosts()).add(mount.host, one)
        self._table = sorted(table.items(), key=lambda item: -len(item[0]))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an exchange to its mount; 404 where there is none."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        found = self._find(scope)
        if found is None:
            await reply(scope, receive, send, 404, "Not Found")
            return
        child: Scope = {**scope}
        child["root_path"] = scope.get("root_path", "") + found.prefix
        if "extensions" in scope:
            child["extensions"] = {**scope["extensions"]}
        if found.state is not None:
            child["state"] = {**scope.get("state", {}), **found.state}
        else:
            child.pop("state", None)
        await found.app(child, receive, send)

    def _find(self, scope: Scope) -> _Mounted | None:
        path: str = scope["path"]
        root: str = scope.get("root_path", "")
        if root and path.startswith(root) and path[len(root) :][:1] in ("", "/"):
            path = path[len(root) :]
        for prefix, hosts in self._table:
            if path.startswith(prefix) and path[len(prefix) :][:1] in ("", "/"):
                found = hosts.find(scope["headers"])
                if found is not None:
                    return found
            elif not prefix:  # OPTIONS *
                return hosts.find(scope["headers"])
        return None

    # Lifespan

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Start the applications in order, and shut them down in the reverse one."""
        await receive()
        started: list[Lifespan] = []
        async with anyio.create_task_group() as tasks:
            try:
                try:
                    failure = await self._start(scope, tasks, started)
                    await anyio.lowlevel.checkpoint()  # no cancellation is left for what follows
                except anyio.get_cancelled_exc_class():
                    # Those that run are owed their shutdown.
                    with anyio.CancelScope(shield=True):
                        await self._stop(started)
                    raise
                if failure is None:
                    await send({"type": "lifespan.startup.complete"})
                    await receive()
                await self._stop(started)
            finally:
                # Their tasks are shielded, and would outlive a cancelled server.
                for lifespan in started:
                    lifespan.cancel()
        if failure is None:
            await send({"type": "lifespan.shutdown.complete"})
        else:
            await send({"type": "lifespan.startup.failed", "message": failure})

    async def _start(
        self, scope: Scope, tasks: anyio.abc.TaskGroup, started: list[Lifespan]
    ) -> str | None:
        """Start one after the other up to the first failure, which is returned in words."""
        signal = (scope.get("extensions") or {}).get(STOPPING, {}).get("signal")
        states: dict[int, dict[str, Any] | None] = {}
        for mounted in self._all:
            if not mounted.has_lifespan:
                continue
            key = id(mounted.app)
            if key not in states:
                lifespan = Lifespan(mounted.app, self._config, signal, name=mounted.name)
                started.append(lifespan)
                try:
                    await lifespan.startup(tasks)
                except LifespanError as exc:
                    if exc.__cause__ is not None:
                        _log.error("%s: %s", mounted.name, exc, exc_info=exc.__cause__)
                    return f"{mounted.name}: {lifespan.failure or exc}"
                except anyio.get_cancelled_exc_class():
                    _log.warning("%s: cancelled in the application's startup", mounted.name)
                    raise
                states[key] = lifespan.state
            mounted.state = states[key]
        return None

    async def _stop(self, started: list[Lifespan]) -> None:
        """Shut down in reverse; each has an even part of the time that is left."""
        whole = self._shutdown_timeout
        deadline = None if whole is None else time.monotonic() + whole
        for place in range(len(started), 0, -1):
            limit = None
            if deadline is not None:
                limit = max(0.0, deadline - time.monotonic()) / place
            await started[place - 1].shutdown(limit, shield=False)


def _name(mount: Mount) -> str:
    return f"mount {mount.path}" + (f" of {', '.join(mount.host)}" if mount.host else "")
