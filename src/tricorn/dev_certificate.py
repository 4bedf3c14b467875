"""A self-signed certificate for trying TLS and HTTP/2 on the loopback interface.

For development on your own machine only: nobody vouches for this certificate, and the
arithmetic below is not hardened against timing attacks. Never serve the public with it.

Why it is our own code: browsers speak HTTP/2 only over TLS, so a first look needs a
certificate at once. The standard library can use one but not make one, the ``openssl``
program is often missing, and a compiled dependency for this alone would cost every user
their pure-Python install. What is needed is small: one ECDSA P-256 signature and some DER.

Sources: FIPS 186-5 and SEC 1 (ECDSA), SP 800-186 (P-256), X.690 (DER), RFC 5280 (X.509),
RFC 5480 (the EC public key), RFC 5208 and RFC 5915 (the private key), RFC 7468 (PEM).
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import ipaddress
import os
import re
import secrets
import ssl
import stat
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tricorn.exceptions import ConfigError

LIFETIME = timedelta(days=90)  # browsers refuse more than 398 days
RENEW_BEFORE = timedelta(days=7)  # a server started today should still be trusted in a week
CLOCK_SKEW = timedelta(hours=1)  # virtual machines and containers disagree about the time

CERTIFICATE_NAME = "dev-certificate.pem"
KEY_NAME = "dev-key.pem"

DEFAULT_HOSTS = ("localhost", "127.0.0.1", "::1")


def ensure(
    directory: Path | None = None, hosts: Sequence[str] = DEFAULT_HOSTS
) -> tuple[Path, Path]:
    """Return the paths (certificate, key) of a usable development certificate, both PEM.

    It is made on first use and made anew, with a new key, when it is unreadable, has less
    than seven days left, does not name exactly ``hosts`` (DNS names or IP addresses), or
    when its key was readable for others. ``directory`` is ``tricorn`` in the user's data
    directory by default and is created with mode 0700; the key has mode 0600. Processes
    that call this at the same time wait for each other and get the same files.

    Raises ConfigError when a host is no valid name or the directory cannot be used.
    """
    directory = _data_directory() if directory is None else directory
    certificate, key = directory / CERTIFICATE_NAME, directory / KEY_NAME
    names = _subject_alt_name(hosts)
    try:
        _private_directory(directory)
        with _locked(directory):
            now = datetime.now(UTC)
            if not _usable(certificate, key, names, now):
                private_key = generate_key()
                # The key goes first: if we die in between, the pair does not match and
                # the next call starts over.
                _write(key, _pem("PRIVATE KEY", encode_key(private_key)), 0o600)
                der = build(private_key, hosts, now)
                _write(certificate, _pem("CERTIFICATE", der), 0o644)
    except OSError as exc:
        raise ConfigError(f"development certificate in {directory}: {exc}") from exc
    return certificate, key


def _data_directory() -> Path:
    """The XDG base directory rules: an empty or relative XDG_DATA_HOME does not count."""
    base = os.environ.get("XDG_DATA_HOME", "")
    if os.path.isabs(base):
        return Path(base, "tricorn")
    try:
        return Path.home() / ".local" / "share" / "tricorn"
    except RuntimeError as exc:
        raise ConfigError("development certificate: no home directory; set XDG_DATA_HOME") from exc


def _private_directory(directory: Path) -> None:
    directory.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    found = directory.stat()
    # Whoever can write here can put a key of their own in our place.
    if found.st_uid not in (os.geteuid(), 0) or found.st_mode & 0o022:
        raise ConfigError(
            f"development certificate: {directory} must belong to you and be writable for you alone"
        )


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, content: str, mode: int) -> None:
    """Put a file in place with its final mode, never half-written, never too open."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _usable(certificate: Path, key: Path, names: bytes, now: datetime) -> bool:
    try:
        if stat.S_IMODE(key.stat().st_mode) & 0o077:
            return False
        der = ssl.PEM_cert_to_DER_cert(certificate.read_text("ascii"))
        # The password keeps OpenSSL from asking for one on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (OSError, ValueError):  # ssl.SSLError is an OSError
        return False
    # We wrote it, so its encoding is known and no DER parser is needed.
    expiry = re.search(rb"\x30\x1e\x17\x0d\d{12}Z\x17\x0d(\d{12}Z)", der)
    if expiry is None or names not in der:
        return False
    ends = datetime.strptime(expiry[1].decode("ascii"), "%y%m%d%H%M%SZ").replace(tzinfo=UTC)
    return ends - now >= RENEW_BEFORE


def _pem(label: str, der: bytes) -> str:
    text = base64.b64encode(der).decode("ascii")
    lines = [text[i : i + 64] for i in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


# The curve P-256: y^2 = x^3 - 3x + b over the integers modulo P; G generates N points.

_P = 2**256 - 2**224 + 2**192 + 2**96 - 1
_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
_Point = tuple[int, int] | None  # None is the point at infinity


def _add(a: _Point, b: _Point) -> _Point:
    """The group law in affine coordinates: a few milliseconds per key is fast enough."""
    if a is None or b is None:
        return a or b
    (x1, y1), (x2, y2) = a, b
    if x1 != x2:
        slope = (y2 - y1) * pow(x2 - x1, -1, _P)
    elif y1 == y2:  # never zero here: the group has odd order, so no point is its own inverse
        slope = (3 * x1 * x1 - 3) * pow(2 * y1, -1, _P)
    else:
        return None
    x3 = (slope * slope - x1 - x2) % _P
    return x3, (slope * (x1 - x3) - y1) % _P


def _multiply(scalar: int, point: _Point = _G) -> tuple[int, int]:
    """``scalar`` (1 to N - 1) times ``point``, by doubling and adding."""
    result: _Point = None
    while scalar:
        if scalar & 1:
            result = _add(result, point)
        point = _add(point, point)
        scalar >>= 1
    assert result is not None  # the order N is prime
    return result


def generate_key() -> int:
    """Return a random P-256 private key, a number from 1 to N - 1."""
    return secrets.randbelow(_N - 1) + 1


def sign(private_key: int, message: bytes) -> bytes:
    """Return the ECDSA signature with SHA-256 (FIPS 186-5, 6.4.1) as DER (RFC 3279, 2.2.3)."""
    digest = int.from_bytes(hashlib.sha256(message).digest())
    while True:
        nonce = generate_key()  # secret and never used twice: either slip reveals the key
        r = _multiply(nonce)[0] % _N
        s = pow(nonce, -1, _N) * (digest + r * private_key) % _N
        if r and s:
            return _sequence(_integer(r), _integer(s))


# DER: tag, length, content (X.690, 8.1 and 10)


def _der(tag: int, *contents: bytes) -> bytes:
    content = b"".join(contents)
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(length)]) + length + content


def _sequence(*contents: bytes) -> bytes:
    return _der(0x30, *contents)


def _integer(value: int) -> bytes:
    return _der(0x02, value.to_bytes(value.bit_length() // 8 + 1))  # room for the sign bit


def _bits(content: bytes, unused: int = 0) -> bytes:
    return _der(0x03, bytes([unused]), content)


def _oid(encoded: str) -> bytes:
    return _der(0x06, bytes.fromhex(encoded))


def _time(when: datetime) -> bytes:
    return _der(0x17, when.strftime("%y%m%d%H%M%SZ").encode("ascii"))  # UTCTime: until 2049


_EC_P256 = _sequence(_oid("2a8648ce3d0201"), _oid("2a8648ce3d030107"))  # 1.2.840.10045...
_ECDSA_SHA256 = _sequence(_oid("2a8648ce3d040302"))
_COMMON_NAME, _SERVER_AUTH = _oid("550403"), _oid("2b06010505070301")
_SUBJECT_KEY_ID, _KEY_USAGE, _ALT_NAME = _oid("551d0e"), _oid("551d0f"), _oid("551d11")
_BASIC_CONSTRAINTS, _EXTENDED_KEY_USAGE = _oid("551d13"), _oid("551d25")


def _public_bytes(private_key: int) -> bytes:
    """The uncompressed point (SEC 1, 2.3.3)."""
    x, y = _multiply(private_key)
    return b"\x04" + x.to_bytes(32) + y.to_bytes(32)


def encode_key(private_key: int) -> bytes:
    """Return the private key as PKCS #8 DER (RFC 5208, 5; the inside is RFC 5915, 3)."""
    public = _der(0xA1, _bits(_public_bytes(private_key)))
    inside = _sequence(_integer(1), _der(0x04, private_key.to_bytes(32)), public)
    return _sequence(_integer(0), _EC_P256, _der(0x04, inside))


def _extension(oid: bytes, value: bytes, critical: bool = False) -> bytes:
    return _sequence(oid, b"\x01\x01\xff" if critical else b"", _der(0x04, value))


def _subject_alt_name(hosts: Sequence[str]) -> bytes:
    """The extension that names the hosts (RFC 5280, 4.2.1.6)."""
    names = []
    for host in hosts:
        with contextlib.suppress(ValueError):
            names.append(_der(0x87, ipaddress.ip_address(host).packed))
            continue
        with contextlib.suppress(UnicodeError):
            name = host.encode("idna")
            if re.fullmatch(rb"[\w*.-]+", name):
                names.append(_der(0x82, name))
                continue
        raise ConfigError(f"development certificate: not a host name or IP address: {host!r}")
    return _extension(_ALT_NAME, _sequence(*names))


def build(private_key: int, hosts: Sequence[str], now: datetime) -> bytes:
    """Return a self-signed X.509 v3 server certificate as DER (RFC 5280, 4.1).

    It is valid from an hour before ``now`` (UTC) for 90 days and names ``hosts``.
    Raises ConfigError for a host that is no valid name.
    """
    public = _public_bytes(private_key)
    common_name = _sequence(_COMMON_NAME, _der(0x0C, b"Tricorn development certificate"))
    name = _sequence(_der(0x31, common_name))
    extensions = _sequence(
        _extension(_BASIC_CONSTRAINTS, _sequence(), critical=True),  # empty: CA false
        _extension(_KEY_USAGE, _bits(b"\x80", unused=7), critical=True),  # digitalSignature
        _extension(_EXTENDED_KEY_USAGE, _sequence(_SERVER_AUTH)),
        # RFC 7093, 2 (1): no SHA-1, which strict platforms refuse to compute
        _extension(_SUBJECT_KEY_ID, _der(0x04, hashlib.sha256(public).digest()[:20])),
        _subject_alt_name(hosts),
    )
    to_be_signed = _sequence(
        _der(0xA0, _integer(2)),  # version 3
        _integer(secrets.randbits(126) + 1),
        _ECDSA_SHA256,
        name,
        _sequence(_time(now - CLOCK_SKEW), _time(now + LIFETIME)),
        name,
        _sequence(_EC_P256, _bits(public)),
        _der(0xA3, extensions),
    )
    return _sequence(to_be_signed, _ECDSA_SHA256, _bits(sign(private_key, to_be_signed)))
