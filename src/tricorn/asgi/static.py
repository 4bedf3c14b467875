"""Static files: GET and HEAD with validators, ranges and precompressed variants (RFC 9110).

A file is opened once, and what was looked at is what is sent: the descriptor goes to the
server by ``http.response.zerocopysend``. Where only ``pathsend`` is offered the server opens
it again, and where neither is, it is read here in pieces. Opening a file and asking for its
size wait for the disk only where its directory is not in memory, so they are done in place:
a thread takes thirty times as long as they do.
"""

from __future__ import annotations

import errno
import os
import time
from dataclasses import dataclass
from functools import lru_cache

from tricorn.asgi import preconditions
from tricorn.asgi.dates import http_date
from tricorn.asgi.file_tree import DIRECTORY, FileTree, OpenFile, safe_segments
from tricorn.asgi.files import read_piece
from tricorn.asgi.media_types import content_type
from tricorn.asgi.preconditions import Validators
from tricorn.asgi.replies import below, encoded, reply
from tricorn.config_mounts import Mount, cache_control
from tricorn.exceptions import FileUnavailable
from tricorn.percent import quote
from tricorn.types import Headers, Message, Receive, Scope, Send

#: Names of precompressed variants beside a file.
SUFFIXES = {"br": ".br", "zstd": ".zst", "gzip": ".gz"}
# A file up to this size (bytes) leaves with the head of its response in one write, which is
# less work than a second system call for it.
_SMALL = 16384
_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_ALLOW = [(b"allow", b"GET, HEAD")]

Range = tuple[int, int]  # offset and count, bytes


@dataclass(slots=True)
class _Found:
    """What is to be sent: ``file`` is the variant in ``coding``, ``""`` for the file itself."""

    file: OpenFile
    relative: str
    coding: str = ""
    is_fallback: bool = False


class StaticFiles:
    """The ASGI application of a mount with a ``directory``."""

    def __init__(self, mount: Mount) -> None:
        assert mount.directory is not None
        self.mount = mount
        self._tree = FileTree(mount.directory, follow_symlinks=mount.follow_symlinks)
        self._own = mount.fields()
        own = dict(self._own)
        self._replaced = frozenset(own)
        self._kind = own.get(b"content-type")
        self._validators = own.get(b"etag"), own.get(b"last-modified")
        # Files of a coding that the operator names have no variants in another.
        self._codings = () if b"content-encoding" in own else mount.precompressed
        self._fields: Headers = [(b"x-content-type-options", b"nosniff")]
        caching = cache_control(mount)
        self._caching: Headers = [] if caching is None else [(b"cache-control", caching.encode())]
        if self._codings:
            self._fields.append((b"vary", b"accept-encoding"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; a WebSocket is refused with 404."""
        if scope["type"] not in ("http", "websocket"):
            raise ValueError(f"files have no {scope['type']!r} scope")
        if scope["type"] == "websocket":
            await reply(scope, receive, send, 404, "Not Found")
            return
        if scope["method"] not in ("GET", "HEAD"):
            await reply(scope, receive, send, 405, "Method Not Allowed", _ALLOW)
            return
        path = below(scope, self.mount.prefix)
        fields = preconditions.collect(scope["headers"])
        try:
            found = self._find(path, fields)
        except OSError as exc:
            if exc.errno not in _NO_DESCRIPTORS:
                raise
            await reply(scope, receive, send, 503, "Service Unavailable", [(b"retry-after", b"1")])
            return
        if found is None:
            await reply(scope, receive, send, 404, "Not Found")
        elif isinstance(found, str):
            location = _slash_location(scope)
            await reply(scope, receive, send, 308, "Permanent Redirect", [location])
        else:
            try:
                await self._answer(found, fields, scope, receive, send)
            finally:
                found.file.close()

    # Which file

    def _find(self, path: str, fields: dict[bytes, bytes]) -> _Found | str | None:
        """The file for a path below the mount, ``DIRECTORY`` for one that is to be asked for
        with a slash behind it, None where there is none.

        :raises OSError: as ``FileTree.open`` does.
        """
        segments = safe_segments(path, hidden=self.mount.hidden)
        if segments is None:
            return None
        found = self._open(segments)
        if found is None and self.mount.fallback is not None:
            fallback = self._tree.open(self.mount.fallback)
            if isinstance(fallback, OpenFile):
                found = _Found(fallback, self.mount.fallback, is_fallback=True)
        if not isinstance(found, _Found):
            return found
        try:
            self._choose_variant(found, fields)
        except BaseException:
            found.file.close()
            raise
        return found

    def _open(self, segments: list[str]) -> _Found | str | None:
        index = self.mount.index
        if segments and segments[-1]:
            relative = "/".join(segments)
            opened = self._tree.open(relative)
            if isinstance(opened, OpenFile):
                return _Found(opened, relative)
            if opened is None or index is None:
                return None
            within = self._tree.open(f"{relative}/{index}")
        else:
            if index is None:
                return None
            relative = "/".join([*segments[:-1], index])
            within = self._tree.open(relative)
            if segments:
                return _Found(within, relative) if isinstance(within, OpenFile) else None
        if not isinstance(within, OpenFile):
            return None
        # A directory without its slash: relative links in its index would lead astray.
        within.close()
        return DIRECTORY

    def _choose_variant(self, found: _Found, fields: dict[bytes, bytes]) -> None:
        """Put the best precompressed variant that the peer takes in the file's place."""
        value = fields.get(b"accept-encoding")
        for coding in preconditions.accepted_codings(value, self._codings):
            variant = self._tree.open(found.relative + SUFFIXES[coding])
            if isinstance(variant, OpenFile):
                found.file.close()
                found.file, found.coding = variant, coding
                return

    # The answer

    async def _answer(
        self,
        found: _Found,
        fields: dict[bytes, bytes],
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        file = found.file
        current = preconditions.validators(file.mtime_ns, file.size, time.time(), found.coding)
        current = preconditions.replaced(current, *self._validators, found.coding)
        status = preconditions.failed_status(fields, current)
        if status == 412:
            await reply(scope, receive, send, 412, "Precondition Failed")
            return
        if status == 304:
            start = _start(304, self._with_own(self._describe(found, current)))
            await send(start)
            await send({"type": "http.response.body", "body": b""})
            return
        ranges = None
        if scope["method"] == "GET":  # no other method has ranges (RFC 9110 section 14.2)
            ranges = preconditions.wanted_ranges(fields, current, file.size)
        if ranges is not None and not ranges:
            unsatisfied = (b"content-range", b"bytes */%d" % file.size)
            await reply(scope, receive, send, 416, "Range Not Satisfiable", [unsatisfied])
            return
        headers = self._describe(found, current)
        headers.append((b"accept-ranges", b"bytes"))
        headers.append((b"last-modified", _file_date(current.modified)))
        if found.coding:
            headers.append((b"content-encoding", found.coding.encode()))
        kind = self._kind or content_type(found.relative)
        if ranges is not None and len(ranges) > 1:
            await _send_parts(send, scope, file, ranges, self._with_own(headers), kind)
            return
        headers.append((b"content-type", kind))
        offset, count = ranges[0] if ranges else (0, file.size)
        headers.append((b"content-length", b"%d" % count))
        if ranges:
            headers.append((b"content-range", _content_range(offset, count, file.size)))
        start = _start(206 if ranges else 200, self._with_own(headers))
        if scope["method"] == "HEAD":
            await send(start)
            await send({"type": "http.response.body", "body": b""})
        else:
            await _send_file(send, scope, self._tree, found, start, (offset, count))

    def _describe(self, found: _Found, current: Validators) -> Headers:
        """The fields that 200, 206 and 304 share (RFC 9110 section 15.4.5)."""
        headers = [(b"etag", current.field), *self._fields]
        if found.is_fallback:
            # It is served under names that may be real files tomorrow.
            headers.append((b"cache-control", b"no-cache"))
        else:
            headers += self._caching
        return headers

    def _with_own(self, headers: Headers) -> Headers:
        """These fields and the operator's, which replace those of their names."""
        return [field for field in headers if field[0] not in self._replaced] + self._own


def _start(status: int, headers: Headers) -> Message:
    return {"type": "http.response.start", "status": status, "headers": headers}


def _slash_location(scope: Scope) -> tuple[bytes, bytes]:
    """A Location for the same path with a slash behind it.

    It is relative, so that it is right behind a proxy that shows another path, and begins
    with a dot, so that nothing in a name is read as a host or a scheme.
    """
    raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode("ascii")
    query: bytes = scope["query_string"]
    url = b"./" + raw.rpartition(b"/")[2] + b"/" + (b"?" + query if query else b"")
    return b"location", encoded(url).encode("ascii")


@lru_cache(512)
def _file_date(seconds: int) -> bytes:
    return http_date(seconds)


def _content_range(offset: int, count: int, size: int) -> bytes:
    return b"bytes %d-%d/%d" % (offset, offset + count - 1, size)


async def _send_parts(
    send: Send, scope: Scope, file: OpenFile, ranges: list[Range], headers: Headers, kind: bytes
) -> None:
    """Several ranges as ``multipart/byteranges`` (RFC 9110 section 14.6)."""
    boundary = os.urandom(12).hex().encode()
    heads = [
        b"\r\n--%b\r\ncontent-type: %b\r\ncontent-range: %b\r\n\r\n"
        % (boundary, kind, _content_range(offset, count, file.size))
        for offset, count in ranges
    ]
    end = b"\r\n--%b--\r\n" % boundary
    length = sum(map(len, heads)) + sum(count for _, count in ranges) + len(end)
    headers = [field for field in headers if field[0] != b"content-type"]
    headers.append((b"content-type", b"multipart/byteranges; boundary=" + boundary))
    headers.append((b"content-length", b"%d" % length))
    await send(_start(206, headers))
    for head, part in zip(heads, ranges, strict=True):
        await send({"type": "http.response.body", "body": head, "more_body": True})
        await _send_piece(send, scope, file, part, more=True)
    await send({"type": "http.response.body", "body": end})


async def _send_file(
    send: Send, scope: Scope, tree: FileTree, found: _Found, start: Message, part: Range
) -> None:
    """One range, or all, of a file."""
    await send(start)
    file = found.file
    extensions = scope.get("extensions") or {}
    whole = part == (0, file.size)
    if (
        whole
        and file.size > _SMALL
        and "http.response.zerocopysend" not in extensions
        and "http.response.pathsend" in extensions
    ):
        path = f"{tree.root}/{found.relative}{SUFFIXES.get(found.coding, '')}"
        await send({"type": "http.response.pathsend", "path": path})
    else:
        await _send_piece(send, scope, file, part, more=False)


async def _send_piece(send: Send, scope: Scope, file: OpenFile, part: Range, *, more: bool) -> None:
    """A range of a file: by the server where it takes files, else read here."""
    offset, count = part
    if count > _SMALL and "http.response.zerocopysend" in (scope.get("extensions") or {}):
        message = {"file": file, "offset": offset, "count": count, "more_body": more}
        await send({"type": "http.response.zerocopysend", **message})
        return
    file.narrow(offset, count)
    while True:
        data = await read_piece(file) if count else b""
        if not data and count:
            raise FileUnavailable("a file shrank while it was sent")
        left = file.count > 0
        await send({"type": "http.response.body", "body": data, "more_body": more or left})
        if not left:
            return
