"""TLS: the context a configuration asks for, and what a connection came to be.

RFC 9113 section 9.2 (TLS 1.2 or later, no compression, no renegotiation), RFC 7301 (ALPN),
ASGI TLS extension 0.2.
"""

from __future__ import annotations

import ssl
import sys
from collections.abc import Sequence
from typing import Any, Final, NoReturn
from weakref import WeakKeyDictionary

from tricorn.config import Config
from tricorn.exceptions import ConfigError
from tricorn.file_fingerprint import Fingerprint, fingerprint
from tricorn.io import certificates
from tricorn.protocol import distinguished_name
from tricorn.protocol.client_hello import ClientHello

# Bytes to encrypt at a time: 64 KiB of a body, with its framing. For twice as much malloc maps
# memory anew each time, and its pages cost more than the encryption.
TOGETHER: Final = 65536 + 1024
# Bytes that TLS may answer by itself while the peer does not take what was written before: some
# 600 KeyUpdates. Honest peers send one in millions of records (RFC 8446 section 5.5).
MOST_ANSWERS: Final = 16384
UNTAKEN: Final = "TLS messages whose answers the peer does not take"
# A record with the fatal alert no_application_protocol (RFC 7301 section 3.2), as it is
# before anything is encrypted.
_NO_APPLICATION_PROTOCOL = bytes((21, 3, 3, 0, 2, 2, 120))
_VERSIONS = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}
# Where what nobody wants goes; a record is this large at most (RFC 8446 section 5.1).
_NOWHERE = bytearray(16384)


def create_ssl_context(config: Config) -> ssl.SSLContext:
    """A server side TLS context of a configuration, without its certificates.

    :raises ConfigError: naming the option at fault.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    # All that is offered is good: the client knows which it is quick at (browsers AES-128,
    # phones without AES ChaCha20). OpenSSL's own order begins with AES-256.
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    # A second ticket would be a 25th of the handshake's work, and serves only clients that open
    # several connections at once and use no ticket twice.
    context.num_tickets = 1
    try:
        context.set_ciphers(config.ciphers)
    except (ssl.SSLError, UnicodeEncodeError):
        raise ConfigError(
            f"ciphers: expected an OpenSSL cipher list, got {config.ciphers!r}"
        ) from None
    if config.ca_certs is not None:
        try:
            context.load_verify_locations(config.ca_certs)
        except (ssl.SSLError, OSError) as exc:
            raise ConfigError(
                f"ca_certs: expected a file of PEM certificates, got {config.ca_certs!r}: {exc}"
            ) from None
    elif config.verify_mode == "CERT_REQUIRED":
        raise ConfigError("verify_mode: CERT_REQUIRED without ca_certs would refuse every client")
    if config.ssl_verify_mode is not None:
        context.verify_mode = config.ssl_verify_mode
    if config.ssl_verify_flags is not None:
        context.verify_flags |= config.ssl_verify_flags
    context.set_alpn_protocols(_spoken(config))
    return context


def _spoken(config: Config) -> list[str]:
    """The protocols of clients that are taken (RFC 7301), the preferred one first.

    HTTP/1.0 has a name of its own (IANA), and clients that are told to speak it offer no other.
    """
    names = list(config.alpn_protocols)
    return [*names, "http/1.0"] if "http/1.1" in names else names


class _Choice:
    """Decides on the certificate, and on going on at all, once the ClientHello is there."""

    def __init__(self, names: certificates.Names, alpn: Sequence[str]) -> None:
        self._names = names
        self._alpn = frozenset(name.encode("ascii") for name in alpn)

    def context(self, hello: ClientHello) -> ssl.SSLContext | None:
        """The context for the server name that the client asks for; None: that for all."""
        return self._names.find(hello.server_name) if hello.server_name else None

    def refuses(self, hello: ClientHello) -> bool:
        """Whether the client has a list of protocols, and none of it is spoken here."""
        return hello.offered is not None and self._alpn.isdisjoint(hello.offered)


class ServerObject(ssl.SSLObject):
    """The server's side of one TLS connection.

    Beside what the ssl module does, it heeds the ClientHello, and an alert that ends a
    handshake reaches the client: the event loops would close before.
    """

    bios: tuple[ssl.MemoryBIO, ssl.MemoryBIO]
    """What has come from the peer, and what is to go to it."""
    hello: ClientHello
    choice: _Choice
    _failure: ssl.SSLError | None = None

    def do_handshake(self) -> None:
        """The next step of the handshake."""
        if self._failure is not None:
            try:
                raise self._failure
            finally:
                self._failure = None  # its traceback has us
        incoming, outgoing = self.bios
        if not self.hello.done and incoming.pending:
            data = incoming.read()
            self.hello.feed(data)
            incoming.write(data)
            self._heed()
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as exc:
            if not outgoing.pending:
                raise
            self._fail(exc)

    def send_close_notify(self) -> bool:
        """Say that nothing more comes; whether the peer has said so too (RFC 8446 section 6.1)."""
        try:
            self.unwrap()
        except ssl.SSLError:
            # What it sent before is to be read first, or has still to come; or all is lost.
            return False
        return True

    def discard(self) -> bool:
        """Drop what the peer has sent; whether its close_notify, or a fault, was the last of it."""
        try:
            while self.read(len(_NOWHERE), _NOWHERE):
                pass
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError:
            pass
        return True

    def _heed(self) -> None:
        hello = self.hello
        if not hello.done:
            return
        if self.choice.refuses(hello):
            self.bios[1].write(_NO_APPLICATION_PROTOCOL)
            self._fail(ssl.SSLError(ssl.SSL_ERROR_SSL, "no protocol of the client's is spoken"))
        context = self.choice.context(hello)
        if context is not None:
            # Of the former one, its options, the verify mode and the tickets' keys stay.
            self.context = context

    def _fail(self, exc: ssl.SSLError) -> NoReturn:
        """Let the alert out; the peer's next move, or the time limit, ends the handshake."""
        self._failure = exc.with_traceback(None)  # that has us
        raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "an alert goes out") from None


def close_limit(config: Config) -> float | None:
    """How long (seconds) a peer that has ended TLS may take nothing of what is unsent."""
    limit: float | None = getattr(config, close_limit_option(config))
    return limit


def close_limit_option(config: Config) -> str:
    """The option that limits that."""
    return "write_timeout" if config.ssl_shutdown_timeout is None else "ssl_shutdown_timeout"


class TLSContext:
    """The TLS contexts of a configuration, by server name, and what their connections share.

    A reload makes new contexts, so that a connection has all of one state or of the other;
    tickets of former contexts lead to a full handshake.

    OpenSSL's memory buffers grow to the most that went through them and never shrink. So they
    are shared: each connection leaves both empty, whatever it does, before anything else can run.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self.incoming = ssl.MemoryBIO()
        """What has come from the peer of a connection."""
        self.outgoing = ssl.MemoryBIO()
        """What is to go to it."""
        # By context and not of the present only: connections outlive a reload.
        self._server_certs: WeakKeyDictionary[ssl.SSLContext, str | None] = WeakKeyDictionary()
        self._for_new: tuple[ssl.SSLContext, _Choice]
        self.paths: tuple[str, ...]
        """The files it is made of."""
        self.loaded: Fingerprint
        """Their fingerprint just before they were loaded."""
        self.reload()
        self._suites = {
            cipher["name"]: int(cipher["id"]) & 0xFFFF for cipher in self.main.get_ciphers()
        }
        self._asks_client = self.main.verify_mode is not ssl.CERT_NONE

    def reload(self) -> None:
        """Read the files again, for connections from now on. Any thread may do it.

        :raises ConfigError: if they cannot be used; all stays as it is.
        """
        config = self._config
        found = certificates.pairs(config)
        files = [path for pair in found for path in (pair.certfile, pair.keyfile)]
        paths = tuple(dict.fromkeys(filter(None, (*files, config.ca_certs))))
        try:
            loaded = fingerprint(paths)
        except PermissionError:
            loaded = ()  # loading tells which file it is
        made = [(pair.names, self._context(pair)) for pair in found]
        choice = _Choice(certificates.Names(made[1:]), _spoken(config))
        self._for_new = made[0][1], choice
        self.paths, self.loaded = paths, loaded

    @property
    def main(self) -> ssl.SSLContext:
        """The context of new connections until their ClientHello is there."""
        return self._for_new[0]

    def connection(self) -> ServerObject:
        """The server's side of a new connection."""
        context, choice = self._for_new
        made = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        assert isinstance(made, ServerObject)
        made.bios, made.hello, made.choice = (self.incoming, self.outgoing), ClientHello(), choice
        return made

    def _context(self, pair: certificates.Pair) -> ssl.SSLContext:
        context = create_ssl_context(self._config)
        context.sslobject_class = ServerObject
        self._server_certs[context] = certificates.load(context, pair)
        return context

    def describe(self, connection: ssl.SSLObject | ssl.SSLSocket) -> dict[str, Any]:
        """The ``tls`` entry of ``scope["extensions"]`` (ASGI TLS extension 0.2)."""
        cipher = connection.cipher()
        chain: tuple[str, ...] = ()
        name = None
        # Python's chain of a peer without a certificate is none at all, or a list of None.
        own = connection.getpeercert(True) if self._asks_client else None
        if own is not None:
            # Of a session that is resumed OpenSSL has kept the client's own certificate only.
            chain = _peer_chain(connection) or (ssl.DER_cert_to_PEM_cert(own),)
            name = distinguished_name.subject(own)
        return {
            "server_cert": self._server_certs.get(connection.context),
            "client_cert_chain": chain,
            "client_cert_name": name,
            "client_cert_error": None,
            "tls_version": _VERSIONS.get(connection.version() or ""),
            "cipher_suite": self._suites.get(cipher[0]) if cipher else None,
        }


def _peer_chain(connection: ssl.SSLObject | ssl.SSLSocket) -> tuple[str, ...]:
    """The certificates the client sent, PEM, its own first."""
    if sys.version_info >= (3, 13):
        return tuple(map(ssl.DER_cert_to_PEM_cert, connection.get_unverified_chain()))
    # The same method without a public name; these versions of Python change no more.
    certificates = connection._sslobj.get_unverified_chain()  # type: ignore[union-attr]
    return tuple(certificate.public_bytes() for certificate in certificates or ())
