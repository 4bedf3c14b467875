"""A command line means the same to its server's parser and to us."""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from migrate_peers import config_of, known_options, moved, parse

from helpers.peers import peer_module
from tricorn.config import OPTIONS
from tricorn.config_values import coerce
from tricorn.io.listener import bind_all
from tricorn.migrate import PEERS
from tricorn.migrate.table import Row

LINES = {
    "hypercorn": [
        "shop:app",
        "shop:app --bind 0.0.0.0:80 -b [::]:80 --insecure-bind :8080 --certfile c --keyfile k",
        "-k trio --keep-alive 7 --graceful-timeout 9 --access-logfile - --log-level debug shop:app",
        "shop:app -w4 -m 18 -u 33 -g 33 -p /run/a.pid --root-path /shop/ --server-name a.example",
        "shop:app --verify-mode CERT_OPTIONAL --ca-certs ca --ciphers AES --websocket-ping-int 30",
        "shop:app --reload --statsd-host localhost:8125 --statsd-prefix a --max-requests 9",
        "shop:app --quic-bind :4433 --debug --backlog 10 --error-logfile e.log --log-config l.ini",
    ],
    "uvicorn": [
        "shop:app",
        "shop:app --host 0.0.0.0 --port 80 --workers 4 --log-level warning --no-access-log",
        "--factory shop:make --reload --reload-dir . --lifespan=off --interface asgi2",
        "shop:app --ws-max-size 1000 --ws-ping-interval 5.5 --ws-ping-timeout 6 --backlog 9",
        "shop:app --ws-per-message-deflate false --no-server-header --no-date-header --use-colors",
        "shop:app --timeout-keep-alive 9 --timeout-graceful-shutdown 3 --limit-max-requests 100",
        "shop:app --ssl-keyfile k --ssl-certfile c --ssl-keyfile-password s --ssl-cert-reqs 2",
        "shop:app --ssl-ca-certs a --ssl-ciphers TLSv1.2 --h11-max-incomplete-event-size 4096",
    ],
    "granian": [
        "--interface asgi shop:app",
        "--interface asgi shop:app --host 0.0.0.0 --port 80 --workers 2 --backlog 256 --factory",
        "--interface asginl shop:app --uds s.sock --uds-permissions 0660 --pid-file a.pid",
        "--interface wsgi shop:app --blocking-threads 8 --http 1 --access-log --no-log",
        "--interface asgi shop:app --http2-max-concurrent-streams 50 --http2-max-frame-size 32768",
        "--interface asgi shop:app --http2-initial-stream-window-size 70000 --ssl-certificate c.pem"
        " --ssl-keyfile k.pem --ssl-keyfile-password x --ssl-ca c.pem --ssl-client-verify",
        "--interface asgi shop:app --url-path-prefix /shop --reload --http1-buffer-size 9000",
    ],
    "daphne": [
        "shop.asgi:application",
        "-b 0.0.0.0 -p 80 shop.asgi:application --access-log a.log --root-path /shop",
        "-u a.sock --ping-interval 5 --ping-timeout 6 shop:app --application-close-timeout 3",
        "--fd 3 --websocket-max-message-size 9 --websocket-max-frame-size 200 shop:app -v 2",
        "-e tcp:80 shop:app --websocket_connect_timeout 3 --no-server-name",
    ],
    "gunicorn": [
        "shop.wsgi",
        "shop:app -w 3 -b 0.0.0.0:80 -b unix:/run/a.sock --backlog 64 --threads 4",
        "-k uvicorn.workers.UvicornWorker shop:app --keep-alive 9 --graceful-timeout 20",
        "-k asgi shop:app --asgi-loop uvloop --asgi-lifespan on --websocket-max-message-size 9",
        "shop:app --max-requests 100 --max-requests-jitter 9 --limit-request-line 4000 --reload",
        "shop:app --limit-request-fields 50 --access-logfile - --error-logfile e --log-level debug",
        "shop:app --certfile c --keyfile k --ca-certs a --cert-reqs 2 --ciphers AES -p a.pid",
        "-m 0022 -D shop:app --http2-max-concurrent-streams 9 --http2-initial-window-size 70000",
        "shop:app --http2-max-frame-size 20000 --http2-max-header-list-size 9000",
    ],
}  # fmt: skip

CASES = [
    pytest.param(peer, shlex.split(line), id=f"{peer} {line}")
    for peer, lines in LINES.items()
    for line in lines
]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("WEB_CONCURRENCY", "PORT", "FORWARDED_ALLOW_IPS", "GUNICORN_CMD_ARGS"):
        monkeypatch.delenv(name, raising=False)
    for name in ("c.pem", "k.pem"):
        (tmp_path / name).touch()


def is_plain(row: Row) -> bool:
    return bool(row.to) and row.convert is None and (not row.joint or row.name in JOINT)


# Joint rows that are taken over as they are.
JOINT = {"certfile", "keyfile", "ssl_certificate", "ssl_keyfile"}


@pytest.mark.parametrize(("peer", "words"), CASES)
def test_plain_options_have_the_values_the_server_reads(peer: str, words: list[str]) -> None:
    theirs = parse(peer, words)
    config = config_of(moved(peer, words, keep_defaults=True))
    compared = 0
    for row in filter(is_plain, PEERS[peer].rows):
        value: Any = theirs.get(row.name)
        if value is None or row.name in NOT_COMPARED or (value == row.default and row.unset == {}):
            continue
        if value == OF_THE_PROCESS.get((peer, row.name)):
            continue
        option = OPTIONS[row.to[0]]
        value = list(value) if isinstance(value, tuple) else value
        wanted = coerce(option, value.rstrip("/") if row.name == "root_path" else value)
        assert getattr(config, option.name) == wanted, row.name
        compared += 1
    assert compared >= 5


# Hypercorn's flag stores max_requests in it; its -D is on by default and without effect.
NOT_COMPARED = {"max_requests_jitter", "daemon", "logger_class"}
# Gunicorn's defaults are those of the process that reads them.
OF_THE_PROCESS = {("gunicorn", "user"): os.geteuid(), ("gunicorn", "group"): os.getegid()}


@pytest.mark.parametrize(("peer", "words"), CASES)
def test_nothing_given_is_lost_in_silence(peer: str, words: list[str]) -> None:
    found = moved(peer, words)
    told = {origin for origin, _ in found.left_out}
    made = {part for entry in found.entries.values() for part in entry.origin.split(", ")}
    rows = {flag: row for row in PEERS[peer].rows for flag in (*row.flags, *row.off)}
    for word in words:
        flag = word.partition("=")[0]
        if flag in rows:
            assert flag in told | made, flag


@pytest.fixture
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.parametrize("umask", [None, "0", "007", "0117"])
def test_access_to_a_unix_socket_is_gunicorns(umask: str | None, usual_umask: None) -> None:
    """A proxy of another account can go on to connect."""
    socket = peer_module("gunicorn.sock")
    words = ["shop:app", "-b", "unix:a.sock", *(["-m", umask] if umask else [])]
    theirs = peer_module("gunicorn.config").Config()
    theirs.set("bind", ["unix:a.sock"])
    if umask:
        theirs.set("umask", int(umask, 8))
    (sock,) = socket.create_sockets(theirs, logging.getLogger("gunicorn"))
    mode = os.stat("a.sock").st_mode
    sock.close()
    os.unlink("a.sock")
    (listener,) = bind_all(config_of(moved("gunicorn", words)))
    try:
        assert oct(os.stat("a.sock").st_mode) == oct(mode)
    finally:
        listener.close()


@pytest.mark.parametrize(
    ("line", "endpoints", "mode"),
    [
        ("-u a.sock", ["unix:a.sock"], 0o666),
        ("-e unix:a.sock", ["unix:a.sock"], 0o666),
        ("-e unix:a.sock:mode=600", ["unix:a.sock:mode=600"], 0o600),
        ("-u a.sock -e unix:b.sock:640", ["unix:b.sock:640"], 0o640),
        ("-e tcp:80", [], None),
    ],
)
def test_access_to_a_unix_socket_is_daphnes(
    line: str, endpoints: list[str], mode: int | None
) -> None:
    known_options("daphne")  # or skips
    from twisted.internet.endpoints import serverFromString
    from twisted.internet.protocol import Factory
    from twisted.internet.testing import MemoryReactor

    reactor = MemoryReactor()
    for text in endpoints:
        serverFromString(reactor, text).listen(Factory())
    assert [server[3] for server in reactor.unixServers] == [mode] * len(endpoints)
    assert config_of(moved("daphne", [*line.split(), "shop:app"])).unix_socket_mode == mode


@pytest.mark.parametrize(
    ("peer", "line", "wanted"),
    [
        ("uvicorn", "shop:app --host :: --port 80", ("[::]:80",)),
        ("uvicorn", "shop:app --port 80", ("127.0.0.1:80",)),
        ("uvicorn", "shop:app --host a.example", ("a.example:8000",)),
        ("uvicorn", "shop:app --port 80 --uds a.sock", ("unix:a.sock",)),
        ("uvicorn", "shop:app --uds a.sock --fd 3", ("fd://3",)),
        ("granian", "shop:app --host ::1", ("[::1]:8000",)),
        ("granian", "shop:app --uds a.sock --port 80", ("unix:a.sock",)),
        ("daphne", "shop:app", ("127.0.0.1:8000",)),
        ("daphne", "-b 0.0.0.0 shop:app", ("0.0.0.0:8000",)),
        ("daphne", "-b [::1] -p 80 -u a.sock --fd 4 shop:app",
         ("[::1]:80", "unix:a.sock", "fd://4")),
        ("daphne", r"-e 'tcp:80:interface=\:\:' shop:app", ("[::]:80",)),
        ("daphne", "-e tcp:port=80 -e unix:/a.sock:mode=660 shop:app",
         ("0.0.0.0:80", "unix:/a.sock")),
        ("daphne", "-e systemd:domain=INET:index=1 -e fd:fileno=9 shop:app", ("fd://4", "fd://9")),
        ("daphne", "-e systemd:domain=INET:name=web shop:app", ("systemd:web",)),
        ("daphne", "-e systemd:INET:1 shop:app", ("fd://4",)),
        ("daphne", "-e tcp:80:127.0.0.1 -e fd:9:2 shop:app", ("127.0.0.1:80", "fd://9")),
        ("daphne", "-e tcp6:80 shop:app", ("[::]:80",)),
        ("daphne", r"-e 'tcp6:80:50:\:\:1' shop:app", ("[::1]:80",)),
        ("daphne", "-e unix:/a.sock:660 shop:app", ("unix:/a.sock",)),
        ("gunicorn", "shop:app -b :80", ("0.0.0.0:80",)),
        ("gunicorn", "shop:app -b tcp://a:80 -b [::]:81 -b unix:///a -b fd://3 -b b",
         ("a:80", "[::]:81", "unix:/a", "fd://3", "b:8000")),
        ("hypercorn", "shop:app -b unix:/a -b a -b fd://3", ("unix:/a", "a", "fd://3")),
    ],
)  # fmt: skip
def test_addresses(peer: str, line: str, wanted: tuple[str, ...]) -> None:
    words = shlex.split(line)
    parse(peer, words)
    assert config_of(moved(peer, words)).bind == wanted
