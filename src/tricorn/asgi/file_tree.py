"""Opens files below a directory and never one outside of it.

What is checked is what was opened: the file is opened first, without following a symbolic
link at its end, and its descriptor is then asked where it lies. A link that is exchanged
meanwhile wins nothing.
"""

from __future__ import annotations

import errno
import os
import stat

from tricorn.protocol.flow import FileRegion

_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)  # a named pipe must not hold the event loop
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_DIRECTORY_IS_NO_FILE = os.name == "nt"

# There is no such file for the peer; anything else is the server's trouble.
_NOT_THERE = frozenset(
    {
        errno.ENOENT,
        errno.ENOTDIR,
        errno.ENAMETOOLONG,
        errno.ELOOP,
        errno.EINVAL,
        errno.EACCES,
        errno.EPERM,
        errno.ENXIO,
        errno.ENODEV,
    }
)


class OpenFile(FileRegion):
    """A regular file, open for reading; ``close`` it. ``size`` in bytes.

    As a region it is the whole file until ``narrow``.
    """

    __slots__ = ("mtime_ns", "size")

    def __init__(self, fd: int, size: int, mtime_ns: int) -> None:
        super().__init__(fd, 0, size)
        self.size = size
        self.mtime_ns = mtime_ns

    def fileno(self) -> int:
        """The descriptor, as ``http.response.zerocopysend`` wants it."""
        return self.fd

    def narrow(self, offset: int, count: int) -> None:
        """Make the region these ``count`` bytes from ``offset`` on."""
        self.offset, self.count = offset, count


#: What ``FileTree.open`` gives for a directory.
DIRECTORY = "directory"


def safe_segments(path: str, *, hidden: bool) -> list[str] | None:
    """The segments of a decoded URL path, the last one empty behind a slash.

    :returns: None for a path that names no file: empty, ``.`` and ``..`` segments, NUL,
        backslash, and names that begin with a dot unless ``hidden`` (``.well-known`` at
        the top is for everybody: RFC 8615).
    """
    if "\0" in path or "\\" in path or (os.name == "nt" and ":" in path):
        return None
    if path[:1] not in ("", "/"):  # OPTIONS *
        return None
    segments = path.split("/")[1:]
    for place, segment in enumerate(segments):
        if segment in (".", "..") or (not segment and place < len(segments) - 1):
            return None
        if segment[:1] == "." and not hidden and (place or segment != ".well-known"):
            return None
    return segments


class FileTree:
    """The files below a directory."""

    def __init__(self, root: str, *, follow_symlinks: bool = False) -> None:
        self.root = os.path.abspath(root)
        self._follow = follow_symlinks
        self._real = os.path.realpath(self.root)

    def open(self, relative: str) -> OpenFile | str | None:
        """Open a file by its path below the root (``a/b.txt``), made of safe segments.

        :returns: ``DIRECTORY`` for one, None where there is no such file or it is none
            that may be served.
        :raises OSError: if the system is out of descriptors or the disk fails.
        """
        path = f"{self.root}/{relative}" if relative else self.root
        try:
            fd = os.open(path, _FLAGS) if self._follow else self._open_inside(path)
        except ValueError:  # surrogates: no file has such a name
            return None
        except OSError as exc:
            if _DIRECTORY_IS_NO_FILE and os.path.isdir(path):
                return DIRECTORY
            if exc.errno in _NOT_THERE:
                return None
            raise
        try:
            found = os.fstat(fd)
            if stat.S_ISREG(found.st_mode):
                opened = OpenFile(fd, found.st_size, found.st_mtime_ns)
                fd = -1
                return opened
            return DIRECTORY if stat.S_ISDIR(found.st_mode) else None
        finally:
            if fd >= 0:
                os.close(fd)

    def _open_inside(self, path: str) -> int:
        """A descriptor of the file, which lies below the root.

        :raises OSError: ENOENT where it leads out of the root.
        """
        try:
            fd = os.open(path, _FLAGS | _NOFOLLOW)
        except OSError as exc:
            if exc.errno not in (errno.ELOOP, errno.EMLINK):
                raise
            # A link at the end: only if it leads to a place inside.
            path = os.path.realpath(path)
            if not self._inside(path):
                raise FileNotFoundError(errno.ENOENT, "leads out of the directory") from None
            fd = os.open(path, _FLAGS | _NOFOLLOW)
        try:
            if self._inside(_path_of(fd, path)):
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        raise FileNotFoundError(errno.ENOENT, "leads out of the directory")

    def _inside(self, real: str) -> bool:
        if self._holds(real):
            return True
        # The root itself may be a link that a deployment has turned to a new place.
        self._real = os.path.realpath(self.root)
        return self._holds(real)

    def _holds(self, real: str) -> bool:
        root = self._real
        return real == root or real.startswith(root if root.endswith(os.sep) else root + os.sep)


def _path_of(fd: int, path: str) -> str:
    """Where an open file really lies: as the kernel tells it, else by following the links."""
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return os.path.realpath(path)
