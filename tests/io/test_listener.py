"""The sockets a configuration names, by themselves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tricorn.config import Config
from tricorn.io.listener import Listener, bind_all


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s"


def bound(path: Path) -> Listener:
    (listener,) = bind_all(Config(bind=f"unix:{path}"))
    return listener


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
