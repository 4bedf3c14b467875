"""``start_response``, ``write`` and the iteration of a WSGI response (PEP 3333)."""

from __future__ import annotations

import functools
import io
import logging
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tricorn.asgi.wsgi_exchange import Exchange, FilePiece
from tricorn.exceptions import InvalidMessage
from tricorn.types import Header, Message

_log = logging.getLogger("tricorn.error")

# "999 Message here" (PEP 3333); the message is not sent by HTTP/2, and not by us.
_STATUS = re.compile(r"([2-9]\d\d)( [^\x00-\x1f\x7f]*)?")
# RFC 2616 section 13.5.1, to which PEP 3333 refers, and Trailer as RFC 9110 spells it.
_HOP_BY_HOP = {
    "proxy-authenticate", "proxy-authorization", "te", "trailer", "trailers", "transfer-encoding",
    "upgrade",
}  # fmt: skip
# These too, but all that they can ask for is what the server decides anyway; recipes for event
# streams have them, and Gunicorn, mod_wsgi and uWSGI take them.
_LEFT_OUT = {"connection", "keep-alive"}
# What reads the bytes its descriptor has; a GzipFile has a descriptor too.
_PLAIN_FILES = (io.FileIO, io.BufferedReader, io.BufferedRandom)


class FileWrapper:
    """``wsgi.file_wrapper``: the blocks of a file.

    :param block_size: bytes read at a time where the file is not sent by the system.
    """

    def __init__(self, file: Any, block_size: int = 8192) -> None:
        self.file = file
        self.block_size = block_size
        if hasattr(file, "close"):
            self.close = file.close

    def __iter__(self) -> Iterator[bytes]:
        return self.blocks(None)

    def blocks(self, count: int | None) -> Iterator[bytes]:
        """What is left of the file, at most ``count`` bytes."""
        while count is None or count > 0:
            size = self.block_size if count is None else min(self.block_size, count)
            data = self.file.read(size)
            if not data:
                return
            if count is not None:
                count -= len(data)
            yield data

    def piece(self, count: int | None) -> FilePiece | None:
        """What is left of a regular file, at most ``count`` bytes; None for another file."""
        file = self.file
        if type(file).__module__ == "tempfile":
            file = getattr(file, "file", file)  # NamedTemporaryFile's wrapper
        if type(file) not in _PLAIN_FILES:
            return None
        raw = getattr(file, "raw", file)
        if type(raw) is not io.FileIO or not file.readable():
            return None
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            return None
        offset = file.tell()
        left = max(0, found.st_size - offset)
        return FilePiece(file, offset, left if count is None else min(left, count))


class Response:
    """The response of one request, made in its thread."""

    def __init__(self, exchange: Exchange, method: str, *, send_files: bool) -> None:
        self._exchange = exchange
        self._method = method
        self._send_files = send_files
        self._head: Message | None = None
        self._head_sent = False
        self._length: int | None = None  # the declared Content-Length
        self._given = 0  # bytes of content
        self._ended = False

    def start(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], None]:
        """``start_response``: hold status and fields until there is content, or the end.

        :raises InvalidMessage: for a status or field that PEP 3333 forbids, and for a second
            call without ``exc_info``.
        """
        if exc_info is not None:
            try:
                if self._head_sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # a cycle of frame and traceback
        elif self._head is not None:
            raise InvalidMessage("start_response was called again without exc_info")
        if not isinstance(status, str):
            raise InvalidMessage(f"start_response: invalid status {status!r}")
        code = _status_code(status)
        self._length = None
        fields: list[Header] = []
        for name, value in headers:
            try:
                lower = _field_name(name)
                if lower is None:
                    continue
                field = lower, value.encode("latin-1")
            except (AttributeError, UnicodeEncodeError):
                raise InvalidMessage(
                    f"start_response: field {name!r}: names and values are str of latin-1"
                ) from None
            if field[0] == b"content-length" and field[1].isdigit():
                self._length = int(field[1])
            fields.append(field)
        self._head = {
            "type": "http.response.start",
            "status": code,
            "headers": fields,
        }
        return self.write

    def write(self, data: bytes) -> None:
        """The callable ``start_response`` returns: send ``data``, head first."""
        self._put(data)

    def run(self, result: Iterable[bytes], *, wake: bool) -> None:
        """Send what the application returned.

        :param wake: False where nothing follows the end of the iteration.
        """
        if isinstance(result, FileWrapper):
            if self._put_file(result):
                return
            result = result.blocks(self._length)
        # Content known whole is one message with its end, and gets its Content-Length.
        length = len(result) if hasattr(type(result), "__len__") else -1  # type: ignore[arg-type]
        number = 0
        for data in result:
            number += 1
            if not data:
                continue
            if number == length:
                self._put(data, last=True, wake=wake)
                return
            if self._method == "HEAD":
                break  # the fields are known, and content there is none
            self._put(data)
        self._end(wake)

    def _put(self, data: bytes, *, last: bool = False, wake: bool = True) -> None:
        if not isinstance(data, bytes):
            raise InvalidMessage(f"the application gave {type(data).__name__}, not bytes")
        if not data:
            return
        head = self._take_head()
        if self._ended:
            raise InvalidMessage("response is longer than its content-length")
        self._given += len(data)
        sized = self._length is not None
        # The peer need not wait for what an iterator does behind its last piece.
        self._ended = last or (sized and self._given == self._length and self._method != "HEAD")
        self._exchange.put(data, head, last=self._ended, sized=sized, wake=wake)

    def _end(self, wake: bool) -> None:
        if not self._ended:
            self._ended = True
            self._exchange.put(b"", self._take_head(), last=True, wake=wake)

    def _take_head(self) -> Message | None:
        if self._head_sent:
            return None
        if self._head is None:
            raise InvalidMessage("the application did not call start_response")
        self._head_sent = True
        return self._head

    def _put_file(self, wrapper: FileWrapper) -> bool:
        piece = wrapper.piece(self._length) if self._send_files else None
        if piece is None:
            return False
        self._exchange.put(piece, self._take_head(), last=True)
        return True


@functools.lru_cache(128)
def _status_code(status: str) -> int:
    match = _STATUS.fullmatch(status)
    if match is None:
        raise InvalidMessage(f"start_response: invalid status {status!r}")
    return int(match[1])


@functools.lru_cache(512)
def _field_name(name: str) -> bytes | None:
    """The name in lower case; None where the field is left out, which is told once."""
    lower = name.lower()
    if lower in _LEFT_OUT:
        _log.warning("a field %r of a WSGI application is left out: it is the server's", name)
        return None
    if lower in _HOP_BY_HOP:
        raise InvalidMessage(f"start_response: {name!r} is hop-by-hop and the server's business")
    return lower.encode("latin-1")
