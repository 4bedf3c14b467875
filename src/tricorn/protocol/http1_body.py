"""Reads one HTTP/1.1 request body: by Content-Length or chunked (RFC 9112 sections 6, 7)."""

from __future__ import annotations

from typing import Final

from tricorn.codecs.chunked import ChunkedDecoder
from tricorn.config import Config
from tricorn.exceptions import RemoteProtocolError
from tricorn.protocol import fields
from tricorn.types import Headers

# What an honest chunk costs in framing (bytes); beyond it the overhead budget pays.
_CHUNK_ALLOWANCE: Final = 16


class BodyReader:
    """Takes a body's bytes off the connection's.

    ``remaining`` is what is to come of a Content-Length (bytes; 0 for a chunked body),
    ``complete`` whether the body has ended, ``trailers`` what came behind it.
    """

    __slots__ = ("_config", "_decoder", "_overhead", "complete", "remaining", "trailers")

    def __init__(self, config: Config, length: int, *, chunked: bool) -> None:
        self._config = config
        self._decoder = ChunkedDecoder() if chunked else None
        self._overhead = 0
        self.remaining = length
        self.complete = False
        self.trailers: Headers = []

    def read(self, data: bytes) -> tuple[bytes, bytes]:
        """Body bytes in ``data``, in one piece, and what lies behind the body.

        :raises RemoteProtocolError: 400 on malformed framing, 431 past a limit.
        """
        if self._decoder is not None:
            return self._read_chunks(self._decoder, data)
        rest = b""
        if len(data) > self.remaining:
            data, rest = data[: self.remaining], data[self.remaining :]
        self.remaining -= len(data)
        self.complete = not self.remaining
        return data, rest

    def _read_chunks(self, decoder: ChunkedDecoder, data: bytes) -> tuple[bytes, bytes]:
        """Chunk extensions and trailers are bounded in sum: a peer may otherwise wrap
        gigabytes of framing round a small body (CVE-2023-39326, CVE-2024-22019).
        """
        chunks = decoder.chunks
        body = decoder.feed(data)
        self.complete = decoder.complete
        rest = decoder.unused
        allowance = _CHUNK_ALLOWANCE * (decoder.chunks - chunks)
        self._overhead = max(0, self._overhead + len(data) - len(body) - len(rest) - allowance)
        if self._overhead > self._config.max_chunk_overhead:
            reason = "chunk extensions or trailers too large"
            raise RemoteProtocolError(reason, 431, limit="max_chunk_overhead")
        if decoder.trailers:
            if len(decoder.trailers) > self._config.max_header_count:
                reason = "too many trailer fields"
                raise RemoteProtocolError(reason, 431, limit="max_header_count")
            fields.check_trailers(decoder.trailers)
            self.trailers = decoder.trailers
        return body, rest
