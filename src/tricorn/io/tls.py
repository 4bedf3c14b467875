"""TLS: the context a configuration asks for, and what a connection came to be.

RFC 9113 section 9.2 (TLS 1.2 or later, no compression, no renegotiation), RFC 7301 (ALPN),
ASGI TLS extension 0.2.
"""

from __future__ import annotations

import re
import ssl
import sys
from typing import Any
from weakref import WeakKeyDictionary

from tricorn.config import Config
from tricorn.exceptions import ConfigError
from tricorn.io import certificates
from tricorn.io.certificates import Fingerprint
from tricorn.protocol.client_hello import ClientHello

# RFC 7301 section 3.2.
_NO_APPLICATION_PROTOCOL = 120
_VERSIONS = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}
# RFC 4514 section 3: attribute types with a short name.
_ATTRIBUTES = {
    "commonName": "CN",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "streetAddress": "STREET",
    "domainComponent": "DC",
    "userId": "UID",
}
_ESCAPED = re.compile(r'([,+"\\<>;=]|^[ #]| $)')


def create_ssl_context(config: Config) -> ssl.SSLContext:
    """A server side TLS context of a configuration, without its certificates.

    :raises ConfigError: naming the option at fault.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    try:
        context.set_ciphers(config.ciphers)
    except ssl.SSLError:
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
    if config.ssl_verify_mode is not None:
        context.verify_mode = config.ssl_verify_mode
    if config.ssl_verify_flags is not None:
        context.verify_flags |= config.ssl_verify_flags
    context.set_alpn_protocols(list(config.alpn_protocols))
    return context


class HandshakeObject(ssl.SSLObject):
    """The server's side of one TLS connection.

    Beside what the ssl module does, it knows the protocols that the client offers, and an
    alert that ends a handshake reaches the client: the event loops would close before.
    """

    _bios: tuple[ssl.MemoryBIO, ssl.MemoryBIO]
    _hello: ClientHello
    _failure: ssl.SSLError | None = None

    @classmethod
    def made_by(cls, context: ssl.SSLContext) -> None:
        """Have the context's connections be of this class."""
        context.sslobject_class = cls
        make = context.wrap_bio

        def wrap_bio(
            incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **options: Any
        ) -> ssl.SSLObject:
            made = make(incoming, outgoing, *args, **options)
            assert isinstance(made, cls)
            made._bios = incoming, outgoing
            made._hello = ClientHello()
            return made

        # Not in a subclass of SSLContext: for one of those anyio takes a thread per connection.
        context.wrap_bio = wrap_bio  # type: ignore[method-assign]

    @property
    def offered(self) -> tuple[bytes, ...] | None:
        """The protocols that the client offers (ALPN); None where it has no list."""
        return self._hello.offered

    def do_handshake(self) -> None:
        """The next step of the handshake."""
        if self._failure is not None:
            raise self._failure
        incoming, outgoing = self._bios
        if not self._hello.done and incoming.pending:
            data = incoming.read()
            self._hello.feed(data)
            incoming.write(data)
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as exc:
            if not outgoing.pending:
                raise
            # What is outgoing is the alert. The peer's next move, or the time limit, ends it.
            self._failure = exc
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "an alert goes out") from None


class TLSContext:
    """The TLS contexts of a configuration, by server name, and what their connections share.

    A reload makes new contexts, so that a connection has all of one state or of the other;
    tickets of former contexts lead to a full handshake.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._alpn = frozenset(name.encode("ascii") for name in config.alpn_protocols)
        # By context and not of the present only: connections outlive a reload.
        self._server_certs: WeakKeyDictionary[ssl.SSLContext, str | None] = WeakKeyDictionary()
        self.ssl: ssl.SSLContext
        """The context for new connections."""
        self.paths: tuple[str, ...]
        """The files it is made of."""
        self.loaded: Fingerprint
        """Their fingerprint just before they were loaded."""
        self.reload()
        self._suites = {
            cipher["name"]: int(cipher["id"]) & 0xFFFF for cipher in self.ssl.get_ciphers()
        }
        self._asks_client = self.ssl.verify_mode is not ssl.CERT_NONE

    def reload(self) -> None:
        """Read the files again, for connections from now on. Any thread may do it.

        :raises ConfigError: if they cannot be used; all stays as it is.
        """
        config = self._config
        found = certificates.pairs(config)
        files = [path for pair in found for path in (pair.certfile, pair.keyfile)]
        paths = tuple(dict.fromkeys(filter(None, (*files, config.ca_certs))))
        loaded = certificates.fingerprint(paths)
        made = [(pair.names, self._context(pair)) for pair in found]
        # RFC 6066 section 3: the name is known before the certificate is chosen.
        main = made[0][1]
        main.sni_callback = _Chooser(certificates.Names(made[1:]), self._alpn)
        HandshakeObject.made_by(main)
        self.ssl, self.paths, self.loaded = main, paths, loaded

    def _context(self, pair: certificates.Pair) -> ssl.SSLContext:
        context = create_ssl_context(self._config)
        self._server_certs[context] = certificates.load(context, pair)
        return context

    def describe(self, connection: ssl.SSLObject | ssl.SSLSocket) -> dict[str, Any]:
        """The ``tls`` entry of ``scope["extensions"]`` (ASGI TLS extension 0.2)."""
        cipher = connection.cipher()
        chain: tuple[str, ...] = ()
        name = None
        # Python's chain of a peer without a certificate is none at all, or a list of None.
        if self._asks_client and connection.getpeercert(True) is not None:
            chain = _peer_chain(connection)
            name = _distinguished_name(connection.getpeercert() or {})
        return {
            "server_cert": self._server_certs.get(connection.context),
            "client_cert_chain": chain,
            "client_cert_name": name,
            "client_cert_error": None,
            "tls_version": _VERSIONS.get(connection.version() or ""),
            "cipher_suite": self._suites.get(cipher[0]) if cipher else None,
        }


class _Chooser:
    """Decides on the certificate, and on going on at all, once the ClientHello is read."""

    def __init__(self, names: certificates.Names, alpn: frozenset[bytes]) -> None:
        self._names = names
        self._alpn = alpn

    def __call__(
        self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, context: ssl.SSLContext
    ) -> int | None:
        """The alert to end with, None to go on."""
        if name and self._names:
            found = self._names.find(name)
            if found is not None:
                connection.context = found
        offered = connection.offered if isinstance(connection, HandshakeObject) else None
        if offered is not None and self._alpn.isdisjoint(offered):
            return _NO_APPLICATION_PROTOCOL
        return None


def _peer_chain(connection: ssl.SSLObject | ssl.SSLSocket) -> tuple[str, ...]:
    """The certificates the client sent, PEM, its own first."""
    if sys.version_info >= (3, 13):
        return tuple(map(ssl.DER_cert_to_PEM_cert, connection.get_unverified_chain()))
    # The same method without a public name; these versions of Python change no more.
    certificates = connection._sslobj.get_unverified_chain()  # type: ignore[union-attr]
    return tuple(certificate.public_bytes() for certificate in certificates or ())


def _distinguished_name(certificate: Any) -> str:
    """The subject as RFC 4514 text: most specific part first."""
    parts = []
    for relative in reversed(certificate.get("subject", ())):
        pairs = (
            f"{_ATTRIBUTES.get(kind, kind)}={_ESCAPED.sub(_escape, value)}"
            for kind, value in relative
        )
        parts.append("+".join(pairs))
    return ",".join(parts)


def _escape(match: re.Match[str]) -> str:
    return "\\" + match.group()
