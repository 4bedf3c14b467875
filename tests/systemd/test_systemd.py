"""What systemd is told, and the sockets it passes."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tricorn.exceptions
from helpers.daemon import COMMAND, daemon
from tricorn.config import Config
from tricorn.exceptions import BindError
from tricorn.io.listener import bind_all
from tricorn.systemd import Notifier, named_sockets, passed_sockets, unused_sockets

SOURCE = Path(tricorn.exceptions.__file__).parents[1]


class Manager:
    """systemd's end of NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.environ = {"NOTIFY_SOCKET": address.replace("\0", "@")}
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.settimeout(5)
        self.sock.bind(address)

    def take(self) -> list[str]:
        return self.sock.recv(65536).decode().split("\n")


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    if request.param == "abstract" and sys.platform != "linux":
        pytest.skip("only Linux has abstract sockets")
    abstract = f"\0tricorn-test-{os.getpid()}"
    manager = Manager(abstract if request.param == "abstract" else str(tmp_path / "notify"))
    with manager.sock:
        yield manager


MakeNotifier = Callable[..., Notifier]


@pytest.fixture
def notifier_of() -> Iterator[MakeNotifier]:
    made: list[Notifier] = []

    def make(environ: dict[str, str], *, heir: bool = False) -> Notifier:
        made.append(Notifier(environ, heir=heir))
        return made[-1]

    yield make
    for notifier in made:
        notifier.close()


def test_every_message(manager: Manager, notifier_of: MakeNotifier) -> None:
    notifier = notifier_of(manager.environ)
    assert notifier.enabled
    assert notifier.ready("serving\nat 8000")
    assert manager.take() == ["READY=1", "STATUS=serving at 8000"]
    assert notifier.reloading()
    first, stamp = manager.take()
    assert first == "RELOADING=1"
    assert re.fullmatch(r"MONOTONIC_USEC=\d{4,}", stamp)
    assert notifier.stopping("draining")
    assert manager.take() == ["STOPPING=1", "STATUS=draining"]
    assert notifier.status("3 workers")
    assert manager.take() == ["STATUS=3 workers"]
    assert notifier.main_pid(4711)
    assert manager.take() == ["MAINPID=4711"]
    assert notifier.watchdog()
    assert manager.take() == ["WATCHDOG=1"]
    assert notifier.extend_timeout(1.5)
    assert manager.take() == ["EXTEND_TIMEOUT_USEC=1500000"]


def test_nobody_to_tell(notifier_of: MakeNotifier) -> None:
    notifier = notifier_of({})
    assert not notifier.enabled
    assert not notifier.ready()
    assert notifier.watchdog_interval is None


@pytest.mark.parametrize("address", ["/no/such/socket", "@tricorn-nobody", "vsock:2:1", "x" * 200])
def test_failure_is_told_once(
    address: str, caplog: pytest.LogCaptureFixture, notifier_of: MakeNotifier
) -> None:
    notifier = notifier_of({"NOTIFY_SOCKET": address})
    logging.getLogger("tricorn.error").disabled = False
    with caplog.at_level(logging.WARNING, "tricorn.error"):
        assert not notifier.ready()
        assert not notifier.watchdog()
    assert len(caplog.records) == 1
    assert "READY=1" in caplog.text


def test_full_socket_does_not_hold_us_up(tmp_path: Path, notifier_of: MakeNotifier) -> None:
    """A manager that does not read costs a moment, not the server."""
    manager = Manager(str(tmp_path / "notify"))
    with manager.sock:
        notifier = notifier_of(manager.environ)
        sent = 0
        while notifier.watchdog():
            sent += 1
            assert sent < 100_000
        manager.take()
        assert notifier.watchdog()


def test_another_socket_at_the_same_path(tmp_path: Path, notifier_of: MakeNotifier) -> None:
    """As behind a new start of whatever plays systemd in a container."""
    notifier = None
    for _ in range(2):
        manager = Manager(str(tmp_path / "notify"))
        with manager.sock:
            notifier = notifier or notifier_of(manager.environ)
            assert notifier.watchdog()
            assert manager.take() == ["WATCHDOG=1"]
        (tmp_path / "notify").unlink()
    assert not notifier.watchdog()


@pytest.mark.parametrize(
    ("usec", "pid", "interval"),
    [
        ("30000000", None, 15.0),
        ("30000000", "own", 15.0),
        ("30000000", "1", None),
        ("0", None, None),
        ("soon", None, None),
        ("", None, None),
    ],
)
def test_watchdog(
    usec: str, pid: str | None, interval: float | None, notifier_of: MakeNotifier
) -> None:
    environ = {"NOTIFY_SOCKET": "/run/notify", "WATCHDOG_USEC": usec}
    if pid is not None:
        environ["WATCHDOG_PID"] = str(os.getpid()) if pid == "own" else pid
    assert notifier_of(environ).watchdog_interval == interval
    heir = 15.0 if usec.startswith("3") else None
    assert notifier_of(environ, heir=True).watchdog_interval == heir


def environ_of(count: int, names: str | None = None) -> dict[str, str]:
    environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(count)}
    return environ if names is None else environ | {"LISTEN_FDNAMES": names}


def test_names_and_numbers() -> None:
    assert passed_sockets(environ_of(3, "web:admin:web")) == [(3, "web"), (4, "admin"), (5, "web")]
    assert passed_sockets(environ_of(2)) == [(3, "unknown"), (4, "unknown")]
    assert passed_sockets(environ_of(2, "web")) == [(3, "web"), (4, "unknown")]


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "LISTEN_FDS is not set"),
        ({"LISTEN_FDS": "1"}, "for process"),
        ({"LISTEN_FDS": "1", "LISTEN_PID": "1"}, "for process 1 "),
        (environ_of(0) | {"LISTEN_FDS": "-1"}, "no number"),
        (environ_of(0), "there is: none"),
        (environ_of(2, "b:a"), "there is: a, b"),
    ],
)
def test_nothing_of_the_name(environ: dict[str, str], said: str) -> None:
    with pytest.raises(OSError, match=said):
        named_sockets("web", environ)


@pytest.mark.parametrize(
    ("options", "environ", "wanted"),
    [
        ({}, environ_of(1, "gunicorn.socket"), '["systemd:gunicorn.socket"]'),
        ({"bind": ":80"}, environ_of(3, "web:admin:web"), '["systemd:web", "systemd:admin"]'),
        ({"bind": "unix:/run/s"}, environ_of(1), '["systemd:unknown"]'),
        ({"bind": "systemd:web"}, environ_of(1, "web"), None),
        ({"bind": "fd://3"}, environ_of(1, "web"), None),
        ({"insecure_bind": "systemd:web"}, environ_of(1, "web"), None),
        ({"health_bind": "systemd:web"}, environ_of(1, "web"), None),
        ({}, {"LISTEN_FDS": "1", "LISTEN_PID": "1"}, None),
        ({}, environ_of(0), None),
        ({}, {}, None),
    ],
)  # fmt: skip
def test_sockets_that_no_address_takes(
    options: dict[str, str], environ: dict[str, str], wanted: str | None
) -> None:
    line = f"systemd passed sockets that no address takes; bind = {wanted} would"
    assert unused_sockets(Config.from_mapping(options), environ) == ([line] if wanted else [])


@pytest.mark.parametrize("workers", ["0", "1"])
def test_they_are_told_at_the_start(tmp_path: Path, workers: str) -> None:
    (tmp_path / "site_app.py").write_text("async def app(scope, receive, send): ...\n")
    script = 'LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web.socket exec "$0" "$@"'
    argv = "site_app:app", "--bind", "127.0.0.1:0", "--workers", workers
    with daemon(tmp_path, *argv, command=("sh", "-c", script, *COMMAND)) as server:
        server.wait_for(
            'WARNING systemd passed sockets that no address takes; bind = ["systemd:web'
        )


def test_bind_without_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LISTEN_FDS", raising=False)
    with pytest.raises(BindError, match=r"^bind: cannot bind 'systemd:web': LISTEN_FDS is not set"):
        bind_all(Config(bind="systemd:web"))


_ACTIVATED = """
import fcntl, json, os, sys
os.environ["LISTEN_PID"] = str(os.getpid())
aside = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 50) for fd in sys.argv[1].split(",")]
for place, fd in enumerate(aside):
    os.dup2(fd, 3 + place)
from tricorn.config import Config
from tricorn.exceptions import BindError
from tricorn.io.listener import bind_all
found = {}
for name in sys.argv[2:]:
    try:
        listeners = bind_all(Config(bind=f"systemd:{name}"))
    except BindError as exc:
        found[name] = str(exc)
    else:
        found[name] = [listener.url for listener in listeners]
        for listener in listeners:
            listener.close()
print(json.dumps(found))
print(json.dumps([os.get_inheritable(fd) for fd in (3, 4)]))
"""


def test_bind_by_name(tmp_path: Path) -> None:
    """Sockets of descriptors 3, 4, 5: one name for two of them, and one that is no stream."""
    path = str(tmp_path / "web.sock")
    with (
        socket.create_server(("127.0.0.1", 0)) as first,
        socket.socket(socket.AF_UNIX) as second,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as third,
    ):
        second.bind(path)
        numbers = [sock.fileno() for sock in (first, second, third)]
        result = subprocess.run(
            [sys.executable, "-c", _ACTIVATED, ",".join(map(str, numbers)), "web", "udp", "none"],
            env={"PYTHONPATH": str(SOURCE), "LISTEN_FDS": "3", "LISTEN_FDNAMES": "web:web:udp"},
            pass_fds=numbers, stdout=subprocess.PIPE, text=True, timeout=30, check=True,
        )  # fmt: skip
        port = first.getsockname()[1]
    told, inheritable = map(json.loads, result.stdout.splitlines())
    assert told["web"] == [f"http://127.0.0.1:{port}", f"http+unix:{path}"]
    assert "descriptor 5 is no stream socket" in told["udp"]
    assert "no socket of this name; there is: udp, web" in told["none"]
    assert inheritable == [False, False]
    assert Path(path).exists(), "the path of a socket unit is systemd's"
