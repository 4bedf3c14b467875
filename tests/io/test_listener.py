"""The sockets a configuration names, by themselves."""

from __future__ import annotations

import ipaddress
import os
import stat
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from tricorn.config import Config
from tricorn.exceptions import BindError
from tricorn.io import unix_path
from tricorn.io.listener import Listener, bind_all


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s"


def bound(path: Path, **options: object) -> Listener:
    (listener,) = bind_all(Config(bind=f"unix:{path}", **options))
    return listener


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_path_goes_with_its_socket_whatever_became_of_its_mode(path: Path) -> None:
    listener = bound(path)
    path.chmod(0o600)
    listener.close()
    assert not path.exists()


def test_the_path_of_a_later_socket_stays(path: Path) -> None:
    former = bound(path)
    former.socket.close()
    later = bound(path)  # nobody listens, so the path is free
    former.close()
    assert path.is_socket()
    later.close()
    assert not path.exists()


def test_a_later_socket_with_the_number_of_the_former_one_is_another(path: Path) -> None:
    """File systems such as ext4 give the number of a file that is gone to the next one."""
    former = bound(path)
    former.socket.close()
    later = bound(path)
    assert former.inode is not None
    found = os.lstat(path)
    a_second_before = former.inode[2] - 10**9
    former.inode = (found.st_dev, found.st_ino, a_second_before)
    former.close()
    assert path.is_socket()
    later.close()


@pytest.mark.parametrize("unix", [False, True])
def test_its_url_outlives_its_socket(path: Path, unix: bool) -> None:
    """A server that is cancelled as it starts may be about to say it."""
    (listener,) = bind_all(Config(bind=f"unix:{path}" if unix else "127.0.0.1:0"))
    url = listener.url
    assert url == (f"http+unix:{path}" if unix else f"http://127.0.0.1:{listener.address[1]}")
    listener.close()
    assert listener.url == url


@pytest.fixture
def swap(path: Path, tmp_path: Path) -> Callable[[], Path]:
    """Puts a link in the place of the socket, and says what it leads to."""
    target = tmp_path / "target"
    target.touch(0o640)

    def put() -> Path:
        if not path.is_symlink():
            path.unlink()
            path.symlink_to(target)
        return target

    return put


def before(monkeypatch: pytest.MonkeyPatch, where: object, name: str, act: object) -> None:
    """Have ``act`` done each time right before a function is called."""
    former = getattr(where, name)

    def both(*args: object, **options: object) -> object:
        act()
        return former(*args, **options)

    monkeypatch.setattr(where, name, both)


linux = pytest.mark.skipif(sys.platform != "linux", reason="needs the names of open files")


@linux
@pytest.mark.parametrize("step", ["open", "chown", "chmod"])
def test_no_link_is_followed_to_change_the_mode_and_owner(
    path: Path, swap: Callable[[], Path], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Who may write to the directory can put it there between the look and the change."""
    listener = bound(path, unix_socket_mode=0o600)
    group = 4711 if os.geteuid() == 0 else os.getegid()
    before(monkeypatch, os, step, swap)
    told = "its mode and owner stay: another process has taken the path"
    with pytest.raises(BindError, match=told) if step == "open" else nullcontext():
        listener.take_access(Config(unix_socket_mode=0o666, group=group))
    assert path.is_symlink()
    target = swap()
    assert mode_of(target) == 0o640
    assert target.stat().st_gid == os.getegid()
    listener.close()


@linux
def test_no_link_is_followed_when_the_socket_is_made(
    path: Path, swap: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    before(monkeypatch, os, "chmod", swap)
    listener = bound(path, unix_socket_mode=0o666)
    assert path.is_symlink()
    assert mode_of(swap()) == 0o640
    with pytest.raises(BindError, match="another process has taken the path"):
        listener.listen(1)
    listener.close()


def test_mode_and_owner_without_names_of_open_files(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where /proc is not mounted, or the system has none."""
    monkeypatch.setattr(unix_path, "_DESCRIPTORS", str(tmp_path / "none"))
    listener = bound(path, unix_socket_mode=0o600, group=os.getegid())
    assert mode_of(path) == 0o600
    listener.take_access(Config(unix_socket_mode=0o660))
    assert mode_of(path) == 0o660
    listener.close()


def test_the_url_of_a_link_local_address_names_the_interface() -> None:
    """Without it no client can connect."""
    table = Path("/proc/net/if_inet6")
    rows = [line.split() for line in table.read_text().splitlines()] if table.exists() else []
    found = [(row[0], row[5]) for row in rows if row[3] == "20"]
    if not found:
        pytest.skip("no interface has a link-local address")
    number, interface = found[0]
    host = f"{ipaddress.IPv6Address(bytes.fromhex(number))}%{interface}"
    (listener,) = bind_all(Config(bind=f"[{host}]:0"))
    port = listener.socket.getsockname()[1]
    assert listener.url == f"http://[{host}]:{port}"
    listener.close()
