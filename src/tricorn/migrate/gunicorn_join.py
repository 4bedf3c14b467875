"""What several of Gunicorn's options say together: worker, reload, proxies."""

from __future__ import annotations

import os
import re

from tricorn.migrate.proxies import LOOPBACK, trusted
from tricorn.migrate.table import Convert, Draft, Taken, Values
from tricorn.migrate.variables import unknown_in

# Their worker, and what it is here; the others run WSGI applications.
_ASGI_WORKERS = {
    "asgi": "", "gunicorn.workers.gasgi.ASGIWorker": "",
    "uvicorn.workers.UvicornWorker": "auto", "uvicorn_worker.UvicornWorker": "auto",
    "uvicorn.workers.UvicornH11Worker": "asyncio", "uvicorn_worker.UvicornH11Worker": "asyncio",
    "tricorn.gunicorn.TricornWorker": "auto",
}  # fmt: skip
_WSGI_WORKERS = ("sync", "gthread", "gevent", "gevent_wsgi", "gevent_pywsgi", "eventlet", "tornado")
_TRICORN_WORKER = "tricorn.gunicorn.TricornWorker"
# Workers that a class names.
_SHORT_NAMES = {
    "gunicorn.workers.sync.SyncWorker": "sync",
    "gunicorn.workers.gthread.ThreadWorker": "gthread",
    "gunicorn.workers.ggevent.GeventWorker": "gevent",
    "gunicorn.workers.ggevent.GeventPyWSGIWorker": "gevent_pywsgi",
}
# Those that serve as many requests at a time as they have threads; sync has one.
_THREADED = ("sync", "gthread")
OTHER_VARIABLES = (
    "variables for the application come from outside: Environment= of systemd, environment of "
    "Compose"
)
_SCRIPT_NAME = "SCRIPT_NAME="
# What makes a pattern of a name.
_MAGIC = re.compile(r"[*?\[]")
# Those that stop accepting at worker_connections.
_COUNTING = ("gthread", "gevent", "gevent_wsgi", "gevent_pywsgi", "eventlet")


def join(values: Values, draft: Draft) -> None:
    """The application, and the worker: it tells which of the others have an effect."""
    for name in ("wsgi_app", "args"):
        if name in values:
            value, origin = values[name]
            text = value[0] if isinstance(value, list) else value
            whole = ":" in text or text.endswith(".py") or unknown_in(text)
            draft.take(Taken({"application": text if whole else f"{text}:application"}), origin)
    _join_socket_mode(values, draft)
    _join_proxies(values, draft)
    _join_reload(values, draft)
    worker, origin = _worker(values, draft)
    # Ours has SCRIPT_NAME as workers of WSGI have it.
    prefixed = worker not in _ASGI_WORKERS or worker == _TRICORN_WORKER
    _join_variables(values, draft, wsgi=prefixed)
    if worker in _ASGI_WORKERS:
        _join_asgi(worker, origin, values, draft)
        _join_connections(worker, values, draft)
        if "threads" in values:
            reason = "ASGI applications need no threads"
            draft.left_out.append((values["threads"].origin, reason))
        return
    known = worker in _WSGI_WORKERS or worker.startswith("gunicorn.workers.")
    if "worker_class" in draft.unknown:
        draft.leave(("interface", "worker_class"), values["worker_class"])
    elif not known:
        draft.left_out.append((origin, f"the worker {worker} is not known; interface is auto"))
    else:
        draft.take(Taken({"interface": "wsgi"}), origin, "WSGI applications run in threads")
    if worker in _THREADED:
        draft.take_default({"wsgi_threads": 1})
    if "threads" in values:
        value, origin = values["threads"]
        draft.take(Taken({"wsgi_threads": value}), origin)
    _join_connections(worker, values, draft)
    for name in ("asgi_loop", "asgi_lifespan", "asgi_disconnect_grace_period", "root_path"):
        if name in values and known:
            draft.left_out.append((values[name].origin, "only ASGI workers read it"))
        elif name in values:
            draft.take(_ASGI[name](values[name].value), values[name].origin)


def _join_socket_mode(values: Values, draft: Draft) -> None:
    """Who may connect to a unix socket: everybody, unless there is a umask."""
    if "bind" not in values or "umask" in values:
        return
    addresses, origin = values["bind"]
    if any(text.strip().startswith("unix:") for text in addresses):
        mode = Taken({"unix_socket_mode": 0o777}, "everybody may connect, as with Gunicorn")
        draft.take(mode, origin)


def _worker(values: Values, draft: Draft) -> tuple[str, str]:
    """The worker's name, and where it was given; sync with threads is gthread."""
    given, origin = values.get("worker_class", ("sync", "Gunicorn's default worker"))
    if isinstance(given, type):
        given = f"{given.__module__}.{given.__qualname__}"
    name = _SHORT_NAMES.get(given.strip(), given.strip())
    threads = values["threads"].value if "threads" in values else 1
    has_threads = "threads" in draft.unknown or threads > 1
    return "gthread" if name == "sync" and has_threads else name, origin


def _join_variables(values: Values, draft: Draft, *, wsgi: bool) -> None:
    """SCRIPT_NAME is where a WSGI application is; the others are the application's affair."""
    given, origin = values.get("raw_env", ([], ""))
    names = [text for text in given if wsgi and text.startswith(_SCRIPT_NAME)]
    if len(names) < len(given):
        draft.left_out.append((origin, OTHER_VARIABLES))
    if names:
        draft.take(Taken({"root_path": names[-1].removeprefix(_SCRIPT_NAME)}), origin)
    elif wsgi and draft.environ.get("SCRIPT_NAME"):
        found = Taken({"root_path": draft.environ["SCRIPT_NAME"]})
        draft.take(found, "variable SCRIPT_NAME")
    else:
        return
    draft.read.add("SCRIPT_NAME")


def _join_connections(worker: str, values: Values, draft: Draft) -> None:
    """The most connections of a worker, as far as the worker counts them."""
    if worker in _COUNTING:
        draft.take_default({"max_connections": 1000})
    if "worker_connections" not in values:
        return
    value, origin = values["worker_connections"]
    note = "at the limit idle connections are closed, then new ones; Gunicorn lets them wait"
    if worker in _COUNTING or worker not in (*_WSGI_WORKERS, *_ASGI_WORKERS):
        draft.take(Taken({"max_connections": value}), origin, note)
    else:
        reason = "this worker does not limit connections; max_connections does"
        draft.left_out.append((origin, reason))


def _join_reload(values: Values, draft: Draft) -> None:
    """Files that are watched beside the application: by name, or by pattern below a directory."""
    if "reload_extra_files" not in values:
        return
    files, origin = values["reload_extra_files"]
    root = values["chdir"].value if "chdir" in values else os.curdir
    places: list[str] = []
    patterns: list[str] = []
    for file in files:
        path = os.path.normpath(os.path.join(root, file))
        if not _MAGIC.search(file):
            places.append(path)
            continue
        fixed = os.path.dirname(_MAGIC.split(path)[0]) or os.curdir
        place = root if _is_below(fixed, root) else fixed
        if place != root:
            places.append(place)
        # Our * goes across slashes.
        patterns.append(os.path.relpath(path, place).replace("**/", "*").replace("**", "*"))
    if places:
        draft.take(Taken({"reload_dirs": list(dict.fromkeys([root, *places]))}), origin)
    if patterns:
        draft.take(Taken({"reload_include": list(dict.fromkeys(["*.py", *patterns]))}), origin)


def _is_below(path: str, root: str) -> bool:
    return os.path.relpath(path, root).split(os.sep)[0] != os.pardir


def _join_proxies(values: Values, draft: Draft) -> None:
    """Whom is believed; peers of unix sockets are with Gunicorn."""
    names: list[str] = []
    origins: list[str] = []
    given = values.get("proxy_protocol")
    if given is not None and given.value not in (False, "off"):
        if "proxy_protocol" in draft.unknown:
            draft.leave(("proxy_protocol",), given)
        else:
            draft.take(Taken({"proxy_protocol": ["all"]}), given.origin, "both versions are taken")
        if "proxy_allow_ips" not in values:
            names += LOOPBACK
            origins.append(given.origin)
    elif "proxy_allow_ips" in values:
        reason = "no effect without --proxy-protocol"
        draft.left_out.append((values["proxy_allow_ips"].origin, reason))
        values = {name: value for name, value in values.items() if name != "proxy_allow_ips"}
    notes: list[str] = []
    for name in ("proxy_allow_ips", "forwarded_allow_ips"):
        if name in values:
            found, note = trusted(values[name].value)
            names += found
            notes += [note] if note else []
            origins.append(values[name].origin)
    if origins:
        whom = list(dict.fromkeys([*names, "unix"]))
        draft.take(Taken({"trusted_proxies": whom}, "; ".join(notes)), ", ".join(origins))
    else:
        draft.take_default({"trusted_proxies": [*LOOPBACK, "unix"]})
    draft.together("proxy_protocol", "trusted_proxies")


def _join_asgi(worker: str, origin: str, values: Values, draft: Draft) -> None:
    if loop := _ASGI_WORKERS[worker]:
        draft.take(Taken({"worker_class": loop}), origin)
        if worker == _TRICORN_WORKER:
            draft.left_out.append(
                (origin, "Gunicorn runs Tricorn already: this file replaces both")
            )
        draft.take_default({"disconnect_grace": None})
    else:
        given = values.get("asgi_loop")
        draft.take(
            Taken({"worker_class": given.value if given else "auto"}),
            f"{origin}, {given.origin}" if given else origin,
        )
        draft.take_default({"disconnect_grace": 3})
    for name, convert in _ASGI.items():
        if name in values and loop and worker != _TRICORN_WORKER:
            draft.left_out.append((values[name].origin, "only the worker asgi reads it"))
        elif name in values and (loop or name != "asgi_loop"):
            draft.take(convert(values[name].value), values[name].origin)


_ASGI: dict[str, Convert] = {
    "asgi_loop": lambda value: Taken({"worker_class": value}),
    "asgi_lifespan": lambda value: Taken({"lifespan": value}),
    "asgi_disconnect_grace_period": lambda value: Taken({"disconnect_grace": value}),
    "root_path": lambda value: Taken({"root_path": value}),
}
