"""Certificates as files: which ones, what is wrong with them, when they change, who gets them.

A rotation replaces two files, and not at once: certbot swaps one symbolic link after the
other, Kubernetes swaps a directory. So a change is acted on once the files hold still, and a
pair that cannot be used is told once and leaves the former one in use.
"""

from __future__ import annotations

import logging
import re
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import anyio
import anyio.to_thread

from tricorn import dev_certificate
from tricorn.config import Config
from tricorn.config_certificates import parse_certificates
from tricorn.exceptions import ConfigError
from tricorn.file_fingerprint import Fingerprint, fingerprint

_log = logging.getLogger("tricorn.error")

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n?", re.S)
# The two forms of an encrypted key (RFC 5958; RFC 1421 section 4.6.1.1, as OpenSSL has it).
_ENCRYPTED = re.compile(r"-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED", re.M)
# What OpenSSL says of another key than the certificate's: of the same kind, or of another.
_MISMATCH = re.compile(r"KEY_(VALUES|TYPE)_MISMATCH|NO_CERTIFICATE_ASSIGNED")
_TOO_WEAK = re.compile(r"(EE|CA)_KEY_TOO_SMALL|CA_MD_TOO_WEAK")
# Seconds between two looks at files that are changing, and looks before they are taken as
# they are.
_SETTLE = 0.2
_SETTLE_LOOKS = 10


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key; without ``names`` the one for clients that name no other."""

    names: tuple[str, ...]
    certfile: str
    keyfile: str | None
    password: str | None
    prefix: str = ""  # of the options' names in errors, such as "certificates[0]."


def pairs(config: Config) -> list[Pair]:
    """Those of a configuration, the one for all first; the development pair is made on first use.

    :raises ConfigError: if the development pair cannot be written.
    """
    if config.certfile is not None:
        found = [Pair((), config.certfile, config.keyfile, config.keyfile_password)]
    else:
        certificate, key = dev_certificate.ensure()
        found = [Pair((), str(certificate), str(key), config.keyfile_password)]
    for place, given in enumerate(parse_certificates(config.certificates)):
        assert given.certfile is not None
        found.append(
            Pair(
                tuple(given.names),
                given.certfile,
                given.keyfile,
                given.keyfile_password,
                f"certificates[{place}].",
            )
        )
    return found


def load(context: ssl.SSLContext, pair: Pair) -> str | None:
    """Put a pair into a context; the server's certificate, PEM.

    :raises ConfigError: naming the file at fault.
    """
    try:
        # Without a password OpenSSL would prompt on the terminal for an encrypted key.
        context.load_cert_chain(pair.certfile, pair.keyfile, password=pair.password or "")
        match = _PEM.search(Path(pair.certfile).read_text("ascii", "replace"))
    except (ssl.SSLError, OSError, ValueError) as exc:
        raise ConfigError(_trouble(pair, exc)) from None
    return match.group() if match else None


def _trouble(pair: Pair, exc: Exception) -> str:
    text, prefix = str(exc), pair.prefix
    if _MISMATCH.search(text):
        return f"{prefix}keyfile: {pair.keyfile!r} is not the key of certfile {pair.certfile!r}"
    reason = getattr(exc, "reason", None) or text
    if _TOO_WEAK.search(text):
        return f"{prefix}certfile: {pair.certfile!r} is too weak for OpenSSL: {reason}"
    content = ""
    for name, path in (("certfile", pair.certfile), ("keyfile", pair.keyfile)):
        if path is None:
            continue
        try:
            content = Path(path).read_text("ascii", "replace")
        except OSError as unreadable:
            return f"{prefix}{name}: cannot read {path!r}: {unreadable.strerror}"
        if name == "certfile" and not _is_chain(content):
            return f"{prefix}certfile: expected a PEM certificate chain, got {path!r}: {reason}"
    at_fault = "keyfile" if pair.keyfile is not None else "certfile"
    path = pair.keyfile or pair.certfile
    if _ENCRYPTED.search(content):
        # Of a wrong password OpenSSL says here only that something is wrong.
        given = "the given one is wrong" if pair.password else "none was given"
        return f"{prefix}keyfile_password: {path!r} is encrypted, and {given}"
    return f"{prefix}{at_fault}: expected a PEM private key, got {path!r}: {reason}"


def _is_chain(text: str) -> bool:
    blocks = _PEM.findall(text)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata="".join(blocks))
    except (ssl.SSLError, ValueError, TypeError):  # TypeError: of what is not ASCII
        return False
    return True


class Names:
    """Server names and what is found under them.

    RFC 9525 section 6.3: a wildcard stands for one label, the leftmost.
    """

    def __init__(self, contexts: Iterable[tuple[Sequence[str], ssl.SSLContext]]) -> None:
        self._found = {name: context for names, context in contexts for name in names}

    def __bool__(self) -> bool:
        return bool(self._found)

    def find(self, name: str) -> ssl.SSLContext | None:
        """The context for a name as the client sent it (RFC 6066 section 3)."""
        name = name.lower()
        exact = self._found.get(name)
        if exact is not None:
            return exact
        return self._found.get("*." + name.partition(".")[2])


# Changes


class Reloadable(Protocol):
    """What holds the certificates."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The files it is made of."""
        ...

    @property
    def loaded(self) -> Fingerprint:
        """Their fingerprint just before they were loaded."""
        ...

    def reload(self) -> None:
        """Load them again; raises ConfigError."""
        ...


class CertificateWatch:
    """Loads certificates again when their files change."""

    def __init__(self, tls: Reloadable) -> None:
        self._tls = tls
        self._doubted: Fingerprint | None = None  # could not be used, in one look so far
        self._refused: Fingerprint | None = None  # nor in the next one
        self._told = ""  # why, in the log

    async def run(self, interval: float) -> None:
        """Look every ``interval`` seconds, in a thread, until cancelled."""
        warned = False
        while True:
            await anyio.sleep(interval)
            try:
                await anyio.to_thread.run_sync(self.look, abandon_on_cancel=True)
            except PermissionError as exc:
                _log.warning(
                    "certificate_watch: cannot look at %r: %s; its changes go unnoticed",
                    exc.filename,
                    exc.strerror,
                )
                return
            except RuntimeError as exc:  # the system gives no thread, for now
                if not warned:
                    warned = True
                    _log.warning("certificate_watch: cannot look: %s; it goes on trying", exc)
            else:
                warned = False

    def look(self, sleep: Callable[[float], object] = time.sleep) -> bool:
        """Load what has changed and holds still; whether new certificates are in use.

        What cannot be used is tried again each time: it may be the system that has no descriptor
        or memory for it.

        :raises PermissionError: if a file may not be looked at, as behind a change of user.
        """
        tls = self._tls
        now = fingerprint(tls.paths)
        if now == tls.loaded:
            return False
        for _ in range(_SETTLE_LOOKS if now != self._refused else 0):
            sleep(_SETTLE)
            before, now = now, fingerprint(tls.paths)
            if now == before:
                break
        changed = ", ".join(
            path for path, old, new in zip(tls.paths, tls.loaded, now, strict=False) if old != new
        )
        try:
            tls.reload()
        except ConfigError as exc:
            if now != self._doubted:
                # Half of a slow rotation perhaps.
                self._doubted = now
                return False
            if (now, str(exc)) != (self._refused, self._told):
                self._refused, self._told = now, str(exc)
                _log.error("the former certificates stay in use: %s", exc)
            return False
        self._refused = None
        _log.info("certificates loaded anew: %s", changed)
        return True
