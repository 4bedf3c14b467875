"""Who may connect to a Unix socket that stays over a reload, and over a new supervisor."""

from __future__ import annotations

import grp
import os
import signal
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest
from workers_daemon import eventually, is_alive, workers

from helpers.daemon import COMMAND

pytestmark = pytest.mark.long

_UMASK = ("sh", "-c", 'umask 022; exec "$0" "$@"', *COMMAND)


def configure(folder: Path, *lines: str, names: Sequence[str] = ("s",)) -> None:
    addresses = ", ".join(f'"unix:{folder / name}"' for name in names)
    (folder / "tricorn.toml").write_text("\n".join([f"insecure_bind = [{addresses}]", *lines]))


def mode_of(path: Path) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


def test_a_reload_gives_it_the_mode_that_is_set_now(tmp_path: Path) -> None:
    path = tmp_path / "s"
    configure(tmp_path, "unix_socket_mode = 0o660")
    with workers(tmp_path, command=_UMASK) as site:
        number = os.lstat(path).st_ino
        assert mode_of(path) == 0o660
        steps = (["unix_socket_mode = 0o600"], 0o600), ([], 0o755), (["umask = '0o027'"], 0o750)
        for turn, (lines, mode) in enumerate(steps, 2):
            configure(tmp_path, *lines)
            site.server.send(signal.SIGHUP)
            site.wait_said(turn)
            assert mode_of(path) == mode
        assert os.lstat(path).st_ino == number


def test_one_that_a_reload_adds_has_no_former_umask(tmp_path: Path) -> None:
    configure(tmp_path, "umask = '0o077'")
    with workers(tmp_path, command=_UMASK) as site:
        configure(tmp_path, names=["s", "added"])
        site.server.send(signal.SIGHUP)
        site.wait_said(2)
        assert mode_of(tmp_path / "s") == 0o755
        assert mode_of(tmp_path / "added") == 0o755


def test_a_mode_that_somebody_else_gave_it_stays(tmp_path: Path) -> None:
    """Another process' socket at the path is not ours to change, nor is what nobody asks for."""
    path = tmp_path / "s"
    configure(tmp_path)
    with workers(tmp_path, command=_UMASK) as site:
        path.chmod(0o777)
        configure(tmp_path, "workers = 2")
        site.server.send(signal.SIGHUP)
        site.wait_said(2)
        assert mode_of(path) == 0o777
        path.unlink()
        path.touch(0o640)
        configure(tmp_path, "unix_socket_mode = 0o600")
        site.server.send(signal.SIGHUP)
        site.wait_said(3)
        assert mode_of(path) == 0o640


@pytest.mark.parametrize("change", ["umask = '0o027'", "group = 4711"], ids=["umask", "group"])
def test_a_mode_that_nobody_changed_stays(tmp_path: Path, change: str) -> None:
    """With unix_socket_mode the umask says nothing of the socket, and a group is no mode."""
    if "group" in change and os.geteuid() != 0:
        pytest.skip("needs root")
    path = tmp_path / "s"
    configure(tmp_path, "unix_socket_mode = 0o660")
    with workers(tmp_path, command=_UMASK) as site:
        path.chmod(0o666)
        configure(tmp_path, "unix_socket_mode = 0o660", change)
        site.server.send(signal.SIGHUP)
        site.wait_said(2)
        assert mode_of(path) == 0o666
        configure(tmp_path, "unix_socket_mode = 0o600", change)
        site.server.send(signal.SIGHUP)
        site.wait_said(3)
        assert mode_of(path) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_an_owner_that_nobody_changed_stays(tmp_path: Path) -> None:
    """The group may be the directory's; so may an operator have given it away."""
    folder = tmp_path / "run"
    folder.mkdir()
    os.chown(folder, -1, 4711)
    folder.chmod(0o2755)

    def owner() -> tuple[int, int]:
        found = os.lstat(folder / "s")
        return found.st_uid, found.st_gid

    configure(tmp_path, "unix_socket_mode = 0o660", names=["run/s"])
    with workers(tmp_path, command=_UMASK) as site:
        assert owner() == (0, 4711)
        configure(tmp_path, "unix_socket_mode = 0o600", names=["run/s"])
        site.server.send(signal.SIGHUP)
        site.wait_said(2)
        assert (*owner(), mode_of(folder / "s")) == (0, 4711, 0o600)
        os.chown(folder / "s", 4712, -1)
        configure(tmp_path, "unix_socket_mode = 0o600", "group = 4713", names=["run/s"])
        site.server.send(signal.SIGHUP)
        site.wait_said(3)
        assert owner() == (4712, 4713)


def test_a_reload_that_fails_changes_nothing(tmp_path: Path) -> None:
    configure(tmp_path, "unix_socket_mode = 0o660")
    with workers(tmp_path, command=_UMASK) as site:
        configure(tmp_path, "unix_socket_mode = 0o600")
        (tmp_path / "site_app.py").write_text("def app(:\n")
        site.server.send(signal.SIGHUP)
        site.server.wait_for("SIGHUP: the reload failed")
        assert mode_of(tmp_path / "s") == 0o660


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_reload_gives_it_the_group_that_is_set_now(tmp_path: Path) -> None:
    path = tmp_path / "s"
    configure(tmp_path, "group = 'daemon'")
    with workers(tmp_path, command=_UMASK) as site:
        assert path.stat().st_gid == grp.getgrnam("daemon").gr_gid
        configure(tmp_path, "group = 'bin'")
        site.server.send(signal.SIGHUP)
        site.wait_said(2)
        assert path.stat().st_gid == grp.getgrnam("bin").gr_gid
        configure(tmp_path)
        site.server.send(signal.SIGHUP)
        site.wait_said(3)
        assert path.stat().st_gid == os.getegid()


def test_a_new_supervisor_gives_it_the_mode_that_is_set_now(tmp_path: Path) -> None:
    configure(tmp_path, "unix_socket_mode = 0o660")
    with workers(tmp_path, command=_UMASK) as site:
        configure(tmp_path, "unix_socket_mode = 0o600")
        site.server.send(signal.SIGUSR2)
        (_, new) = site.wait_said(2)
        try:
            assert mode_of(tmp_path / "s") == 0o600
        finally:
            os.kill(new, signal.SIGTERM)
            eventually(lambda: not is_alive(new), "the new supervisor stays")
