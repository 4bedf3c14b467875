"""SIGHUP and SIGUSR2: new workers, or a new supervisor, before the old ones end."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from workers_daemon import APP, Echo, eventually, is_alive, state_of, workers

from helpers.daemon import COMMAND

# The first of the new workers is ready; the others are caught as they start.
_CAUGHT = """
import time

try:
    open("first", "x").close()
except FileExistsError:
    open(f"caught.{os.getpid()}", "x").close()
    time.sleep(60)
"""


def test_reload_takes_new_code_and_configuration(tmp_path: Path) -> None:
    (tmp_path / "tricorn.toml").write_text("workers = 1\n")
    with workers(tmp_path) as site:
        (firsts, supervisor) = site.said[0]
        assert site.version() == "1"
        (tmp_path / "site_app.py").write_text(APP.replace("VERSION = 1", "VERSION = 22"))
        (tmp_path / "tricorn.toml").write_text(
            f'workers = 2\npid_path = "pid"\ninsecure_bind = "unix:{tmp_path}/s"\n'
        )
        site.server.send(signal.SIGHUP)
        seconds, above = site.wait_said(2)
        assert above == supervisor
        assert len(seconds) == 2
        assert not set(firsts) & set(seconds)
        assert site.version() == "22"
        assert (tmp_path / "pid").read_text() == f"{supervisor}\n"
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(f"{tmp_path}/s")
        eventually(lambda: not is_alive(firsts[0]), "the former worker stays")
        (tmp_path / "tricorn.toml").write_text("workers = 1\n")
        site.server.send(signal.SIGHUP)
        assert len(site.wait_said(3)[0]) == 1
        assert not (tmp_path / "s").exists()
        assert not (tmp_path / "pid").exists()


def test_reload_imports_a_configuration_module_again(tmp_path: Path) -> None:
    (tmp_path / "site_settings.py").write_text("workers = 1\n")
    with workers(tmp_path, "-c", "python:site_settings") as site:
        assert len(site.said[0][0]) == 1
        (tmp_path / "site_settings.py").write_text("workers = 1 + 1\n")
        site.server.send(signal.SIGHUP)
        assert len(site.wait_said(2)[0]) == 2


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("tricorn.toml", "workers = 'many'", "workers: expected"),
        ("tricorn.toml", "workers = 0", "workers: 0 takes a restart"),
        ("tricorn.toml", "reuse_port = true", "reuse_port:"),
        ("tricorn.toml", "insecure_bind = 'BUSY'", "insecure_bind: cannot bind"),
        ("site_app.py", "def app(:\n", "importing 'site_app' failed: SyntaxError"),
        ("site_app.py", "import os; os._exit(3)\n", "exit code 3"),
        ("site_app.py", APP.replace("startup.complete", "startup.failed"), "startup failed"),
    ],
)
def test_what_fails_leaves_the_former_workers(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, workers(tmp_path) as site:
        (former, _) = site.said[0]
        busy = f"127.0.0.1:{other.getsockname()[1]}"
        (tmp_path / name).write_text(text.replace("BUSY", busy))
        site.server.send(signal.SIGHUP)
        site.server.wait_for("SIGHUP: the reload failed, the former workers and configuration")
        assert site.worker() == former[0]
        assert site.version() == "1"
        (line,) = [line for line in site.server.errors.splitlines() if "reload failed" in line]
        assert said in line
        # Once it is right again the next one succeeds.
        (tmp_path / "tricorn.toml").unlink(missing_ok=True)
        (tmp_path / "site_app.py").write_text(APP.replace("VERSION = 1", "VERSION = 22"))
        site.server.send(signal.SIGHUP)
        site.wait_said(2)
        assert site.version() == "22"


def test_new_workers_that_die_together_leave_the_former_ones(tmp_path: Path) -> None:
    with workers(tmp_path, "--workers", "3") as site:
        (former, supervisor) = site.said[0]
        (tmp_path / "site_app.py").write_text(APP + _CAUGHT)
        site.server.send(signal.SIGHUP)
        eventually(lambda: len([*tmp_path.glob("caught.*")]) == 2, "no new workers")
        # It finds both dead when it looks the next time.
        os.kill(supervisor, signal.SIGSTOP)
        eventually(lambda: state_of(supervisor) == "T", "the supervisor goes on")
        caught = [int(path.suffix[1:]) for path in tmp_path.glob("caught.*")]
        for pid in caught:
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: not any(map(is_alive, caught)), "a new worker stays")
        os.kill(supervisor, signal.SIGCONT)
        site.server.wait_for("SIGHUP: the reload failed, the former workers and configuration")
        # The third of the new ones, which was ready, may answer until it has ended.
        eventually(lambda: {site.worker() for _ in range(5)} <= set(former), "a new worker stays")
        assert all(map(is_alive, former))
        (tmp_path / "site_app.py").write_text(APP.replace("VERSION = 1", "VERSION = 22"))
        site.server.send(signal.SIGHUP)
        site.wait_said(2)
        eventually(lambda: site.version() == "22", "a former worker serves on")
    assert site.server.errors.count("the reload failed") == 1


@pytest.mark.parametrize("extra", [(), ("--reuse-port", "--workers", "2")])
def test_a_new_supervisor_takes_over(tmp_path: Path, extra: tuple[str, ...]) -> None:
    argv = ["--pid-path", "pid", "--insecure-bind", f"unix:{tmp_path}/s", *extra]
    with workers(tmp_path, *argv) as site:
        (firsts, old) = site.said[0]
        site.server.send(signal.SIGUSR2)
        (seconds, new) = site.wait_said(2)
        assert new != old
        try:
            assert site.server.process.wait(20) == 0
            assert not any(map(is_alive, firsts))
            assert site.worker() in seconds
            assert (tmp_path / "pid").read_text() == f"{new}\n"
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(f"{tmp_path}/s")
        finally:
            os.kill(new, signal.SIGTERM)
            eventually(lambda: not is_alive(new), "the new supervisor stays")
        assert not (tmp_path / "pid").exists()
        assert not (tmp_path / "s").exists()
    assert "ERROR" not in site.server.errors
    assert "WARN" not in site.server.errors


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR2])
@pytest.mark.parametrize("left", ["workers = 1", "workers = 2"])
def test_fewer_workers_leave_no_queue_without_an_end(
    tmp_path: Path, number: signal.Signals, left: str
) -> None:
    """With reuse_port each has a queue of its own, which the system goes on filling."""
    (tmp_path / "tricorn.toml").write_text("workers = 4\n")
    with workers(tmp_path, "--reuse-port") as site:
        (firsts, old) = site.said[0]
        (tmp_path / "tricorn.toml").write_text(f"{left}\n")
        site.server.send(number)
        (seconds, above) = site.wait_said(2)
        try:
            eventually(lambda: not any(map(is_alive, firsts)), "a former worker stays")
            for _ in range(24):
                assert site.worker() in seconds
        finally:
            if above != old:
                os.kill(above, signal.SIGTERM)
                eventually(lambda: not is_alive(above), "the new supervisor stays")


def test_a_new_supervisor_without_reuse_port_has_one_queue(tmp_path: Path) -> None:
    (tmp_path / "tricorn.toml").write_text("workers = 2\nreuse_port = true\n")
    with workers(tmp_path) as site:
        (firsts, _) = site.said[0]
        (tmp_path / "tricorn.toml").write_text("workers = 2\n")
        site.server.send(signal.SIGUSR2)
        (seconds, new) = site.wait_said(2)
        try:
            eventually(lambda: not any(map(is_alive, firsts)), "a former worker stays")
            for _ in range(24):
                assert site.worker() in seconds
        finally:
            os.kill(new, signal.SIGTERM)
            eventually(lambda: not is_alive(new), "the new supervisor stays")


def test_a_reload_that_fails_keeps_every_queue(tmp_path: Path) -> None:
    (tmp_path / "tricorn.toml").write_text("workers = 2\n")
    with workers(tmp_path, "--reuse-port") as site:
        (former, _) = site.said[0]
        (tmp_path / "tricorn.toml").write_text("workers = 1\n")
        (tmp_path / "site_app.py").write_text("def app(:\n")
        site.server.send(signal.SIGHUP)
        site.server.wait_for("SIGHUP: the reload failed")
        eventually(lambda: site.worker() == former[0], "its queue is gone")
        eventually(lambda: site.worker() == former[1], "its queue is gone")


def test_the_former_supervisor_counts_its_signals(tmp_path: Path) -> None:
    """SIGUSR2, then SIGTERM to the old process, is what scripts written for Gunicorn do."""
    command = ("env", f"NOTIFY_SOCKET={tmp_path}/notify", *COMMAND)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"{tmp_path}/notify")
        with workers(tmp_path, command=command) as site:
            echo = Echo(site)
            site.server.send(signal.SIGUSR2)
            (_, new) = site.wait_said(2)
            try:
                site.server.wait_for(f"supervisor {new} serves; this one drains and ends")
                site.server.send(signal.SIGTERM)
                site.server.wait_for("SIGTERM: finishing what is in flight")
                for byte in b"b", b"c", b"d", b"e":
                    echo.send(byte)
                site.server.send_again(signal.SIGTERM, "SIGTERM again: stopping at once")
                assert not echo.end()
                assert site.server.process.wait(20) == 0
                told = "".join(_received(manager))
            finally:
                os.kill(new, signal.SIGTERM)
                eventually(lambda: not is_alive(new), "the new supervisor stays")
    assert f"MAINPID={new}" in told
    assert "STOPPING" not in told  # systemd would stop the new one with it


def _received(manager: socket.socket) -> Iterator[str]:
    with suppress(BlockingIOError):
        while True:
            yield manager.recv(4096, socket.MSG_DONTWAIT).decode()


def test_a_reload_that_is_asked_for_meanwhile_is_the_new_supervisors(tmp_path: Path) -> None:
    held = APP + (
        "open('imported', 'w').close()\nwhile os.path.exists('hold'):\n    time.sleep(0.02)\n"
    )
    (tmp_path / "site_app.py").write_text(held)
    with workers(tmp_path) as site:
        (tmp_path / "hold").touch()
        (tmp_path / "imported").unlink()
        site.server.send(signal.SIGUSR2)
        eventually((tmp_path / "imported").exists, "the new supervisor has no worker")
        (tmp_path / "site_app.py").write_text(APP.replace("VERSION = 1", "VERSION = 22"))
        site.server.send(signal.SIGHUP)
        site.server.wait_for("SIGHUP: a reload waits")
        (tmp_path / "hold").unlink()
        _, supervisor = site.wait_said(3)
        try:
            assert site.version() == "22"
            assert supervisor == site.said[1][1] != site.said[0][1]
        finally:
            os.kill(supervisor, signal.SIGTERM)
            eventually(lambda: not is_alive(supervisor), "it does not end")


def test_where_the_new_supervisor_fails_the_old_one_goes_on(tmp_path: Path) -> None:
    with workers(tmp_path, "--pid-path", "pid") as site:
        (former, old) = site.said[0]
        (tmp_path / "site_app.py").write_text("def app(:\n")
        site.server.send(signal.SIGUSR2)
        site.server.wait_for("ended with exit code 4 before it served; this one goes on")
        assert site.worker() == former[0]
        assert (tmp_path / "pid").read_text() == f"{old}\n"
        site.server.send(signal.SIGTERM)
        assert site.server.end() == 0


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "gone"])
def test_a_new_supervisor_that_fails_leaves_the_paths(tmp_path: Path, kept: bool) -> None:
    """Of a Unix socket that it would serve, and of one that it would no longer serve."""
    (tmp_path / "tricorn.toml").write_text(f"insecure_bind = 'unix:{tmp_path}/s'\n")
    with workers(tmp_path) as site:
        if not kept:
            (tmp_path / "tricorn.toml").write_text("")
        (tmp_path / "site_app.py").write_text("def app(:\n")
        site.server.send(signal.SIGUSR2)
        site.server.wait_for("ended with exit code 4 before it served; this one goes on")
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(f"{tmp_path}/s")
        site.server.send(signal.SIGTERM)
        assert site.server.end() == 0
    assert not (tmp_path / "s").exists()


def test_a_new_supervisor_removes_the_paths_it_does_not_serve(tmp_path: Path) -> None:
    (tmp_path / "tricorn.toml").write_text(f"insecure_bind = 'unix:{tmp_path}/s'\n")
    with workers(tmp_path) as site:
        (tmp_path / "tricorn.toml").write_text("")
        site.server.send(signal.SIGUSR2)
        (_, new) = site.wait_said(2)
        try:
            assert site.server.process.wait(20) == 0
            assert not (tmp_path / "s").exists()
            assert site.version() == "1"
        finally:
            os.kill(new, signal.SIGTERM)
            eventually(lambda: not is_alive(new), "the new supervisor stays")


def test_reload_in_one_process_says_what_it_does_not_do(tmp_path: Path) -> None:
    from helpers.daemon import daemon

    (tmp_path / "site_app.py").write_text(APP)
    with daemon(tmp_path, "site_app:app", "--bind", "127.0.0.1:0", "--workers", "0") as server:
        server.wait_for(" speaks ")
        server.send(signal.SIGHUP)
        server.wait_for("SIGHUP: log files and certificates opened anew; the rest")
        server.send(signal.SIGTERM)
        assert server.end() == 0


def test_watched_files_are_those_of_the_configuration_now(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("1")
    config = tmp_path / "tricorn.toml"
    with workers(tmp_path) as site:
        config.write_text("use_reloader = true\n")
        site.server.send(signal.SIGHUP)
        site.wait_said(2)
        assert f"watching {tmp_path} (" in site.server.errors
        (tmp_path / "site_app.py").write_text(APP.replace("VERSION = 1", "VERSION = 22"))
        site.wait_said(3)
        assert site.version() == "22"
        config.write_text("use_reloader = true\nreload_include = ['*.html']\n")
        site.server.send(signal.SIGHUP)
        site.wait_said(4)
        page.write_text("22")
        site.server.wait_for("page.html changed: ")
        site.wait_said(5)
        config.write_text("use_reloader = true\nreload_include = ['*.html']\nworkers = 2\n")
        site.server.send(signal.SIGHUP)
        site.wait_said(6)
        assert site.server.errors.count(f"watching {tmp_path} (") == 2
        config.write_text("")
        site.server.send(signal.SIGHUP)
        site.wait_said(7)
        assert "watching no files" in site.server.errors
        page.write_text("333")
        site.server.send(signal.SIGHUP)
        site.wait_said(8)
        assert site.server.errors.count("page.html changed") == 1


def test_watching_code_waits_for_the_next_edit(tmp_path: Path) -> None:
    from helpers.daemon import daemon

    (tmp_path / "site_app.py").write_text("def app(:\n")
    with daemon(tmp_path, "site_app:app", "--bind", "127.0.0.1:0", "--reload") as server:
        server.wait_for("waiting for the next edit")
        for option in "workers = 0", "reuse_port = true":
            (tmp_path / "tricorn.toml").write_text(option)
            server.send(signal.SIGHUP)
            server.wait_for(f"SIGHUP: {option.split()[0]}: ")
        (tmp_path / "tricorn.toml").unlink()
        (tmp_path / "site_app.py").write_text(APP)
        server.wait_for("1 worker (")
        (tmp_path / "site_app.py").write_text("def app(:\n# more\n")
        server.wait_for("the reload failed, the former workers")
        (tmp_path / "site_app.py").write_text(APP + "# right again\n")
        server.wait_until(lambda errors: errors.count("1 worker (") == 2)
        server.send(signal.SIGTERM)
        assert server.end() == 0
