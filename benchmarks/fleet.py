"""The servers, each in its fastest documented configuration with one process and no access log."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from .servers import HOST, Listen, Server, Wire

APP = "benchmarks.app:app"
WSGI_APP = "benchmarks.wsgi_app:app"
WSGI_THREADS = 40
"""Requests that every WSGI server runs at a time: Tricorn's default."""

LARGE_BODY = 100_000_000
"""Bytes of a download: nginx needs it as a file."""

UNLIMITED = 1_000_000_000
"""For limits of requests on a connection: reconnections are not to be measured."""

ZTTP_STREAMS = 4_000
"""zttp ends an HTTP/2 connection after 4,096 streams, those that are open included."""

HTTP1: frozenset[Wire] = frozenset({"http1", "http1-tls"})
PYTHON_WIRES: frozenset[Wire] = HTTP1 | {"websocket"}
TLS_WIRES: frozenset[Wire] = PYTHON_WIRES | {"http2"}
ALL_WIRES: frozenset[Wire] = TLS_WIRES | {"h2c"}

LOOPS = ("uvloop", "asyncio", "trio")

Command = Callable[[Listen], list[str]]


def _python(*arguments: str) -> list[str]:
    return [sys.executable, "-m", *arguments]


def _pem(listen: Listen, chain: str, key: str) -> list[str]:
    """The two flags of a certificate, where there is one."""
    if listen.certificate is None:
        return []
    return [chain, str(listen.certificate.chain), key, str(listen.certificate.key)]


def _tricorn(worker: str, *more: str) -> Command:
    def command(listen: Listen) -> list[str]:
        arguments = _python("tricorn", "--worker-class", worker, "--bind", listen.bind)
        arguments += ["--workers", str(listen.workers), "--log-level", "WARNING", *more]
        return [*arguments, *_pem(listen, "--certfile", "--keyfile"), APP]

    return command


PURE = ("--http1-codec", "h11", "--http2-codec", "h2", "--websocket-codec", "wsproto")


def _uvicorn(parser: str) -> Command:
    def command(listen: Listen) -> list[str]:
        arguments = _python("uvicorn", "--host", HOST, "--port", str(listen.port))
        arguments += ["--loop", "uvloop", "--http", parser, "--no-access-log"]
        arguments += ["--log-level", "warning", "--workers", str(listen.workers)]
        if listen.wire in ("http2", "h2c"):
            arguments.append("--http2")
        return [*arguments, *_pem(listen, "--ssl-certfile", "--ssl-keyfile"), APP]

    return command


def _hypercorn(program: str, worker: str) -> Command:
    """Hypercorn, and Anycorn, which is made from it."""

    def command(listen: Listen) -> list[str]:
        # They end a connection after 1,000 requests and have no flag for it.
        settings = listen.folder / "settings.toml"
        settings.write_text(f"keep_alive_max_requests = {UNLIMITED}\n")
        arguments = _python(program, "--config", str(settings), "-k", worker)
        arguments += ["--workers", str(listen.workers), "--bind", listen.bind]
        arguments += ["--log-level", "WARNING"]
        return [*arguments, *_pem(listen, "--certfile", "--keyfile"), APP]

    return command


def _granian(listen: Listen) -> list[str]:
    arguments = _python("granian", "--interface", "asgi", "--host", HOST)
    arguments += ["--port", str(listen.port), "--workers", str(listen.workers)]
    arguments += ["--runtime-threads", "1", "--loop", "uvloop"]
    if sys.version_info < (3, 12):  # Granian has it for no later Python
        arguments += ["--task-impl", "rust"]
    # By default it answers no more than 1,024 requests at a time.
    arguments += ["--backlog", "2048", "--no-access-log", "--log-level", "warning"]
    return [*arguments, *_pem(listen, "--ssl-certificate", "--ssl-keyfile"), APP]


def _daphne(listen: Listen) -> list[str]:
    # Verbosity 0 is how Daphne is told to write no access log.
    if listen.certificate is None:
        return _python("daphne", "-v", "0", "-b", HOST, "-p", str(listen.port), APP)
    endpoint = f"ssl:{listen.port}:interface={HOST}"
    endpoint += f":privateKey={listen.certificate.key}:certKey={listen.certificate.chain}"
    return _python("daphne", "-v", "0", "-e", endpoint, APP)


def _gunicorn(listen: Listen) -> list[str]:
    # No control socket: it would be a file outside of our folder.
    arguments = _python("gunicorn", "--bind", listen.bind, "--workers", str(listen.workers))
    arguments += ["-k", "asgi", "--asgi-loop", "uvloop", "--worker-connections", "10000"]
    arguments += ["--log-level", "warning", "--no-control-socket"]
    if listen.wire == "http2":
        arguments += ["--http-protocols", "h2,h1"]
    return [*arguments, *_pem(listen, "--certfile", "--keyfile"), APP]


def _nginx(listen: Listen) -> list[str]:
    """nginx with the application's answers: the small one in its memory, the others as files."""
    from .app import TEN_K

    root = listen.folder / "files"
    (root / "stream").mkdir(parents=True)
    (root / "10k").write_bytes(TEN_K)
    large = root / "stream" / str(LARGE_BODY)
    large.touch()
    os.truncate(large, LARGE_BODY)
    settings = listen.folder / "nginx.conf"
    settings.write_text(_nginx_settings(listen, root))
    return ["nginx", "-p", str(listen.folder), "-c", str(settings), "-e", "stderr"]


def _nginx_settings(listen: Listen, root: Path) -> str:
    from .app import SMALL

    certificate = ""
    flags = " http2" if listen.wire == "http2" else ""
    if listen.certificate is not None:
        certificate = (
            f"ssl_certificate {listen.certificate.chain};"
            f" ssl_certificate_key {listen.certificate.key};"
        )
        flags = f" ssl{flags}"
    # Workers of root would become a user that may not read the folder.
    user = "user root;" if os.geteuid() == 0 else ""
    temporary = " ".join(
        f"{name}_temp_path {listen.folder / name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""{user}
daemon off; worker_processes {listen.workers}; pid {listen.folder / "pid"}; error_log stderr;
events {{ worker_connections 10000; }}
http {{
    access_log off; default_type text/plain; sendfile on; tcp_nopush on;
    ssl_protocols TLSv1.2 TLSv1.3;
    keepalive_requests {UNLIMITED}; open_file_cache max=100; {temporary}
    server {{
        listen {listen.bind}{flags} backlog=2048; {certificate} root {root};
        location = / {{ return 200 "{SMALL.decode()}"; }}
    }}
}}
"""


def _tricorn_wsgi(worker: str) -> Command:
    def command(listen: Listen) -> list[str]:
        arguments = _python("tricorn", "--worker-class", worker, "--bind", listen.bind)
        arguments += ["--log-level", "WARNING", "--interface", "wsgi"]
        return [*arguments, "--wsgi-threads", str(WSGI_THREADS), WSGI_APP]

    return command


def _gunicorn_gthread(listen: Listen) -> list[str]:
    arguments = _python("gunicorn", "--bind", listen.bind, "--workers", "1", "-k", "gthread")
    arguments += ["--threads", str(WSGI_THREADS), "--log-level", "warning"]
    return [*arguments, "--no-control-socket", WSGI_APP]


def _granian_wsgi(listen: Listen) -> list[str]:
    arguments = _python("granian", "--interface", "wsgi", "--host", HOST)
    arguments += ["--port", str(listen.port), "--workers", "1", "--runtime-threads", "1"]
    arguments += ["--blocking-threads", str(WSGI_THREADS)]
    return [*arguments, "--no-access-log", "--log-level", "warning", WSGI_APP]


def _waitress(listen: Listen) -> list[str]:
    threads = f"--threads={WSGI_THREADS}"
    return _python("waitress", f"--listen={listen.bind}", threads, WSGI_APP)


def _own(name: str, worker: str, *more: str) -> Server:
    needs = ("tricorn.__main__",) if worker == "asyncio" else ("tricorn.__main__", worker)
    return Server(name, "tricorn", needs, ALL_WIRES, _tricorn(worker, *more), kind="own")


def _own_wsgi(worker: str, *needs: str) -> Server:
    name = f"tricorn-wsgi-{worker}"
    command = _tricorn_wsgi(worker)
    needs = ("tricorn.__main__", *needs)
    return Server(name, "tricorn", needs, HTTP1, command, kind="own", interface="wsgi")


def _own_servers() -> list[Server]:
    return [
        *(_own(f"tricorn-{loop}", loop) for loop in LOOPS),
        *(_own(f"tricorn-pure-{loop}", loop, *PURE) for loop in LOOPS),
    ]


def _peer(
    name: str,
    needs: tuple[str, ...],
    wires: frozenset[Wire],
    command: Command,
    *,
    python: bool = True,
    most_streams: int | None = None,
) -> Server:
    """A peer; its distribution and first module are called as its name begins."""
    distribution = name.partition("-")[0]
    needs = (distribution, *needs)
    return Server(
        name, distribution, needs, wires, command, python=python, most_streams=most_streams
    )


def _peers() -> list[Server]:
    twisted = ("twisted.web._http2",)
    zttp = _uvicorn("zttp")
    return [
        _peer("uvicorn-h11", ("uvloop", "h11"), PYTHON_WIRES, _uvicorn("h11")),
        _peer("uvicorn-httptools", ("uvloop", "httptools"), PYTHON_WIRES, _uvicorn("httptools")),
        _peer("uvicorn-zttp", ("uvloop", "zttp"), ALL_WIRES, zttp, most_streams=ZTTP_STREAMS),
        _peer("hypercorn-uvloop", ("uvloop",), ALL_WIRES, _hypercorn("hypercorn", "uvloop")),
        _peer("hypercorn-trio", ("trio",), ALL_WIRES, _hypercorn("hypercorn", "trio")),
        _peer("granian", ("uvloop",), ALL_WIRES, _granian, python=False),
        _peer("daphne", twisted, TLS_WIRES, _daphne),
        _peer("gunicorn-asgi", ("uvloop",), TLS_WIRES, _gunicorn),
        _peer("anycorn-asyncio", (), ALL_WIRES, _hypercorn("anycorn", "asyncio")),
        _peer("anycorn-trio", ("trio",), ALL_WIRES, _hypercorn("anycorn", "trio")),
    ]


def _ceiling() -> Server:
    return Server(
        "nginx",
        "nginx",
        (),
        HTTP1 | {"http2"},
        _nginx,
        kind="ceiling",
        interface="static",
        python=False,
        program="nginx",
    )


def _wsgi_servers() -> list[Server]:
    peers = {
        "gunicorn-gthread": _gunicorn_gthread,
        "granian-wsgi": _granian_wsgi,
        "waitress": _waitress,
    }
    found = [_own_wsgi("uvloop", "uvloop"), _own_wsgi("asyncio")]
    for name, command in peers.items():
        peer = _peer(name, (), HTTP1, command, python=not name.startswith("granian"))
        found.append(replace(peer, interface="wsgi"))
    return found


SERVERS: dict[str, Server] = {
    server.name: server for server in (*_own_servers(), *_peers(), _ceiling(), *_wsgi_servers())
}


def baseline(tree: Path) -> list[Server]:
    """Tricorn of another checkout (its root folder), to see what has become slower.

    With the codecs in Python, as the bars compare them; a tree without the options has no others.
    """
    source = tree.resolve() / "src"
    path = os.pathsep.join(filter(None, [str(source), os.environ.get("PYTHONPATH", "")]))
    environment = {"PYTHONPATH": path}
    options = source / "tricorn" / "config_options.py"
    chosen = options.is_file() and "http1_codec" in options.read_text(encoding="utf-8")
    more = PURE if chosen else ()
    return [
        replace(_own(f"baseline-{loop}", loop, *more), environment=environment) for loop in LOOPS
    ]
