"""The path of a Unix socket: how one is made there, told from others, and whose it is."""

from __future__ import annotations

import errno
import os
import socket
import stat

from tricorn.config import Config
from tricorn.privileges import current_umask, group_id, user_id, wanted_umask

TAKEN = "another process has taken the path meanwhile"

# Linux' names of open files: what is done to one is done to that file, wherever its path leads.
_DESCRIPTORS = "/proc/self/fd"


def bind_path(path: str, config: Config) -> tuple[socket.socket, tuple[int, int, int]]:
    """A socket bound to a path, with the mode and owner asked for, and its `identity`.

    One that was left behind there is removed. Raises OSError.
    """
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    previous = None
    try:
        # Made without access for others first, so that no moment of wider access exists.
        mode = config.unix_socket_mode
        # A reload binds before the process takes the umask of its configuration.
        umask = wanted_umask(config.umask) if mode is None else 0o177
        if umask >= 0:
            previous = os.umask(umask)
        try:
            sock.bind(path)
        finally:
            if previous is not None:
                os.umask(previous)
        inode = identity(os.lstat(path))
        change_access(path, inode, user_id(config.user), group_id(config.group), mode)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock, inode


def asked_mode(unix_socket_mode: int | None, umask: int | None) -> int:
    """What the two options make of the mode of a Unix socket."""
    if unix_socket_mode is not None:
        return unix_socket_mode
    umask = wanted_umask(umask)
    return 0o777 & ~(umask if umask >= 0 else current_umask())


def change_access(
    path: str, inode: tuple[int, int, int], uid: int, gid: int, mode: int | None
) -> None:
    """Give a Unix socket we made an owner and a mode; -1 and None leave what there is.

    That socket only: who may write to its directory could put a link there at any moment that
    leads to somebody else's file. Raises OSError.
    """
    if uid < 0 and gid < 0 and mode is None:
        return
    flags = getattr(os, "O_PATH", 0) if os.path.isdir(_DESCRIPTORS) else 0
    fd = os.open(path, flags | os.O_NOFOLLOW) if flags else -1
    try:
        found = os.fstat(fd) if flags else os.lstat(path)
        if not stat.S_ISSOCK(found.st_mode) or identity(found) != inode:
            raise OSError(errno.EEXIST, TAKEN)
        place, follow = (f"{_DESCRIPTORS}/{fd}", True) if flags else (path, False)
        if uid >= 0 or gid >= 0:
            os.chown(place, uid, gid, follow_symlinks=follow)
        if mode is not None:
            follow = follow or os.chmod not in os.supports_follow_symlinks
            os.chmod(place, mode, follow_symlinks=follow)
    finally:
        if flags:
            os.close(fd)


def identity(found: os.stat_result) -> tuple[int, int, int]:
    """What tells a Unix socket from the next one at its path.

    Its number may be the next one's as soon as both socket and path are gone; the time it was
    made (ns) stays, whatever becomes of its owner and mode.
    """
    return found.st_dev, found.st_ino, found.st_mtime_ns


def _remove_stale(path: str) -> None:
    """Remove a socket nobody listens on; anything else at the path is in the way."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise OSError(errno.EEXIST, "the path exists and is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except OSError:
            pass
    raise OSError(errno.EADDRINUSE, "in use")
