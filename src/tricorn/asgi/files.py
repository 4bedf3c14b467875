"""Files as responses: ``http.response.pathsend`` and ``http.response.zerocopysend``.

Where the wire allows it (HTTP/1.1 in cleartext) the file goes from the page cache to the
socket by ``os.sendfile``; elsewhere it is read piece by piece, each as the peer takes it.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread

from tricorn.exceptions import FileUnavailable, InvalidMessage
from tricorn.protocol.flow import FileRegion
from tricorn.types import Message

_GET_FLAGS: int | None = None
try:
    import fcntl
except ImportError:
    pass  # Windows
else:
    _GET_FLAGS = fcntl.F_GETFL

# Bytes read at a time.
PIECE = 65536
_RWF_NOWAIT = getattr(os, "RWF_NOWAIT", None)
# Reads at a time that wait for the disk, on one event loop. anyio's own limit is the application's:
# where its threads are all taken, by a slow database perhaps, files are sent on.
_READS = 16
_readers: anyio.lowlevel.RunVar[anyio.CapacityLimiter] = anyio.lowlevel.RunVar("tricorn_readers")
# What the file system answers where it cannot say whether a read would wait.
_CANNOT_TELL = (errno.EAGAIN, errno.EOPNOTSUPP, errno.EINVAL)


def open_path(message: Message) -> FileRegion:
    """The whole file that ``message["path"]`` names.

    The specification has absolute paths only; but Starlette hands on what its ``FileResponse`` was
    given, and a relative one is found where the application's own ``open`` would find it.

    :raises InvalidMessage: unless it is the path of a file, as text.
    :raises FileUnavailable: if it cannot be opened or is no regular file.
    """
    path = message.get("path")
    if isinstance(path, os.PathLike):
        path = os.fspath(path)
    if not isinstance(path, str) or not path:
        raise InvalidMessage(f"http.response.pathsend: 'path' must be a path, as str: {path!r}")
    # Not blocking, lest a named pipe hold the event loop.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        fd = os.open(path, flags | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as exc:
        raise FileUnavailable(f"http.response.pathsend: cannot open {path!r}: {exc}") from exc
    region = FileRegion(fd, 0, 0)
    region.count = _size(region.fd, f"http.response.pathsend: {path!r}")
    return region


def open_file(message: Message) -> FileRegion:
    """The piece of ``message["file"]`` that ``offset`` and ``count`` (bytes) tell.

    The application keeps its file: the piece has a descriptor of its own. Without an
    offset it begins where the file stands, and the file moves behind it.

    :raises InvalidMessage: for anything but a regular file open for reading in binary mode.
    :raises FileUnavailable: if the descriptor is closed, write-only or no regular file's.
    """
    what = "http.response.zerocopysend"
    file: Any = message.get("file")
    offset, count = message.get("offset"), message.get("count")
    for name, number in (("offset", offset), ("count", count)):
        wrong = not isinstance(number, int) or isinstance(number, bool) or number < 0
        if number is not None and wrong:
            raise InvalidMessage(f"{what}: {name!r} must be an int of at least 0, not {number!r}")
    try:
        descriptor = file if isinstance(file, int) else file.fileno()
        region = FileRegion(os.dup(descriptor), 0, 0)
    except (AttributeError, TypeError):
        raise InvalidMessage(f"{what}: 'file' must be a file with a descriptor: {file!r}") from None
    except (OSError, ValueError) as exc:
        raise FileUnavailable(f"{what}: cannot use {file!r}: {exc}") from exc
    if not _is_readable(region.fd):
        raise FileUnavailable(f"{what}: {file!r} is not open for reading")
    size = _size(region.fd, what)
    seek = getattr(file, "seek", None)
    if offset is None:
        # A buffered file stands elsewhere than its descriptor does.
        region.offset = file.tell() if seek else os.lseek(region.fd, 0, os.SEEK_CUR)
    else:
        region.offset = offset
    left = max(0, size - region.offset)
    region.count = left if count is None else count
    if region.count > left:
        raise FileUnavailable(f"{what}: the file ends {region.count - left} bytes short of 'count'")
    if offset is None:
        end = region.offset + region.count
        if seek:
            seek(end)
        else:
            os.lseek(region.fd, end, os.SEEK_SET)
    return region


def _size(descriptor: int, what: str) -> int:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise FileUnavailable(f"{what} is not a regular file")
    return found.st_size


def _is_readable(descriptor: int) -> bool:
    """What only the first read would tell otherwise, when the head has left."""
    if _GET_FLAGS is None:
        return True
    flags = fcntl.fcntl(descriptor, _GET_FLAGS)
    return flags & os.O_ACCMODE != os.O_WRONLY and not flags & getattr(os, "O_PATH", 0)


def unavailable(failure: FileUnavailable) -> FileUnavailable:
    """The same as an error of the application's, without the frames of whoever sent the file."""
    error = FileUnavailable(str(failure))
    error.__cause__ = failure.__cause__
    return error


async def read_piece(region: FileRegion) -> bytes:
    """The next bytes, at most ``PIECE``; b"" where the file has become too short.

    A file outside the page cache is read in a thread, so that no other request waits for
    the disk.
    """
    size = min(PIECE, region.count)
    if _RWF_NOWAIT is not None:
        buffer = bytearray(size)
        try:
            got = os.preadv(region.fd, [buffer], region.offset, _RWF_NOWAIT)
        except OSError as exc:
            if exc.errno not in _CANNOT_TELL:
                raise FileUnavailable(f"cannot read a file being sent: {exc}") from exc
        else:
            if got:
                region.advance(got)
                return bytes(buffer) if got == size else bytes(buffer[:got])
    try:
        data = await anyio.to_thread.run_sync(
            os.pread, region.fd, size, region.offset, limiter=_limiter()
        )
    except OSError as exc:
        raise FileUnavailable(f"cannot read a file being sent: {exc}") from exc
    region.advance(len(data))
    return data


def _limiter() -> anyio.CapacityLimiter:
    """That of the running event loop."""
    try:
        return _readers.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(_READS)
        _readers.set(limiter)
        return limiter
