"""A client for tests that look beneath TLS."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from helpers.clients import open_socket
from helpers.serving import Served
from helpers.site import Serving

REQUEST = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


class Wire:
    """A TLS client whose records are at hand."""

    def __init__(
        self,
        serving: Serving,
        served: Served,
        version: ssl.TLSVersion | None = None,
        *,
        alpn: str | None = None,
        address: str | None = None,
        receive_buffer: int | None = None,
        keys: Path | None = None,
    ) -> None:
        """Connect.

        :param address: of a Unix socket.
        :param keys: where the secrets go, as NSS has it.
        """
        context = serving.certificate.client()
        if alpn is not None:
            context.set_alpn_protocols([alpn])
        if keys is not None:
            context.keylog_filename = str(keys)
        if version is not None:
            context.minimum_version = context.maximum_version = version
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        self.served = served
        self.sock = open_socket(address or served.address, receive_buffer=receive_buffer)
        serving.stack.callback(self.sock.close)

    def flush(self) -> None:
        """Send what there is."""
        if self.outgoing.pending:
            self.sock.sendall(self.outgoing.read())

    def more(self) -> bool:
        """Take what comes; False at the end."""
        data = self.sock.recv(65536)
        self.incoming.write(data)
        return bool(data)

    def begin_handshake(self) -> None:
        """The first flight, and the beginning of the server's."""
        with pytest.raises(ssl.SSLWantReadError):
            self.tls.do_handshake()
        self.flush()
        assert self.more()

    def shake(self) -> None:
        """The handshake."""
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.flush()
                assert self.more()
            else:
                self.flush()
                return

    def records(self, *pieces: bytes) -> bytes:
        """These pieces, each encrypted as a record."""
        for piece in pieces:
            self.tls.write(piece)
        return self.outgoing.read()

    def read(self) -> bytes:
        """Bytes, b"" behind close_notify; raises SSLEOFError at the end of TCP without it."""
        while True:
            try:
                return self.tls.read(65536)
            except ssl.SSLWantReadError:
                if not self.more():
                    self.incoming.write_eof()
            except ssl.SSLZeroReturnError:
                return b""

    def until(self, end: bytes) -> bytes:
        """What comes, up to an end."""
        data = b""
        while not data.endswith(end):
            piece = self.read()
            assert piece, data
            data += piece
        return data
