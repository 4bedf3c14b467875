"""TLS: the context a configuration asks for, and what a connection came to be.

RFC 9113 section 9.2 (TLS 1.2 or later, no compression, no renegotiation), RFC 7301 (ALPN),
ASGI TLS extension 0.2.
"""

from __future__ import annotations

import re
import ssl
import sys
from pathlib import Path
from typing import Any

from tricorn import dev_certificate
from tricorn.config import Config
from tricorn.exceptions import ConfigError

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


def certificate_paths(config: Config) -> tuple[str, str | None]:
    """Certificate and key file: those given, or the development pair, made on first use.

    :raises ConfigError: if the development pair cannot be written.
    """
    if config.certfile is not None:
        return config.certfile, config.keyfile
    certificate, key = dev_certificate.ensure()
    return str(certificate), str(key)


def create_ssl_context(config: Config) -> ssl.SSLContext:
    """The server side TLS context of a configuration.

    :raises ConfigError: naming the option at fault.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    certificate, key = certificate_paths(config)
    try:
        # Without a password OpenSSL would prompt on the terminal for an encrypted key.
        context.load_cert_chain(certificate, key, password=config.keyfile_password or "")
    except (ssl.SSLError, OSError, ValueError) as exc:
        raise ConfigError(_certificate_trouble(config, certificate, key, exc)) from None
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


def _certificate_trouble(config: Config, certificate: str, key: str | None, exc: Exception) -> str:
    text = str(exc)
    if "KEY_VALUES_MISMATCH" in text:
        return f"keyfile: {key!r} is not the key of certfile {certificate!r}"
    if "BAD_DECRYPT" in text or "bad password" in text.lower() or "BAD_PASSWORD" in text:
        given = "the given one is wrong" if config.keyfile_password else "none was given"
        return f"keyfile_password: {key!r} is encrypted, and {given}"
    if isinstance(exc, FileNotFoundError | PermissionError):
        return f"certfile, keyfile: cannot read {certificate!r} or {key!r}: {exc.strerror}"
    return (
        f"certfile, keyfile: expected PEM files, got {certificate!r} and {key!r}: "
        f"{getattr(exc, 'reason', None) or text}"
    )


class TLSContext:
    """An SSL context with what its connections have in common."""

    def __init__(self, config: Config) -> None:
        self.ssl = create_ssl_context(config)
        certificate, _ = certificate_paths(config)
        text = Path(certificate).read_text("ascii", "replace")
        match = re.search(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n?", text, re.S)
        self._server_cert = match.group() if match else None
        self._suites = {
            cipher["name"]: int(cipher["id"]) & 0xFFFF for cipher in self.ssl.get_ciphers()
        }
        self._asks_client = self.ssl.verify_mode is not ssl.CERT_NONE

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
            "server_cert": self._server_cert,
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
