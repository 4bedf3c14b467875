"""One ``[[certificates]]`` table: a certificate for the server names (SNI) it is shown for.

The keys are `Option` rows, as the options themselves are, so that values are taken, refused
and documented in the same way. Where an error names ``certificates[2]``, counting begins
at 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from tricorn.config_values import Kind, Option, coerce, nearest, option, refuse, rows_of
from tricorn.exceptions import ConfigError
from tricorn.records import Record, replace

TYPE_CHECKING = False  # typing itself takes a megabyte
if TYPE_CHECKING:
    from typing import Any

    from tricorn.config import Config

_SECTION = "A certificate"
_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*")


class Certificate(Record, kw_only=True):
    """One certificate and the server names it is for, lower case and without a last dot."""

    # fmt: off
    names: Sequence[str] = option(Kind.LIST, _SECTION, (),
        "Server names it is shown for; *.example.org for those one label below.")
    certfile: str | None = option(Kind.PATH, _SECTION, None, "Certificate chain, a PEM file.")
    keyfile: str | None = option(Kind.PATH, _SECTION, None, "Its private key, a PEM file.")
    keyfile_password: str | None = option(Kind.TEXT, _SECTION, None,
        "Password of the private key.", secret=True)
    # fmt: on


KEYS: dict[str, Option] = rows_of(Certificate, optional=("keyfile_password",))


def server_name(text: str) -> str:
    """A host name as clients send it (RFC 6066 section 3): lower case, A-labels, no last dot.

    :raises ValueError: if it is no host name; a ``*.`` before it is taken.
    """
    name = text.strip().lower().removesuffix(".")
    if not name.isascii():
        star = "*." if name.startswith("*.") else ""
        name = star + name.removeprefix("*.").encode("idna").decode("ascii")
    if not _NAME.fullmatch(name) or len(name) > 253:
        raise ValueError(f"{text!r} is no host name")
    return name


def parse_certificates(tables: Sequence[Mapping[str, Any]]) -> tuple[Certificate, ...]:
    """The certificates of the tables of option ``certificates``.

    Raises `ConfigError` of one line that names the key, such as ``certificates[2].certfile``,
    and its value.
    """
    found = tuple(_parse(table, f"certificates[{place}]") for place, table in enumerate(tables))
    seen: dict[str, int] = {}
    for place, certificate in enumerate(found):
        for name in certificate.names:
            first = seen.setdefault(name, place)
            if first != place:
                raise ConfigError(
                    f"certificates[{place}].names: {name!r} is one of certificates[{first}] too"
                )
    return found


def _parse(table: Mapping[str, Any], name: str) -> Certificate:
    origin = f"certificate for {table.get('names')!r}"
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in KEYS:
            raise ConfigError(f"{name}: unknown key {key!r} ({origin}){nearest(key, KEYS)}")
        row = replace(KEYS[key], name=f"{name}.{key}")
        values[key] = coerce(row, value, origin=origin)
    for key in ("names", "certfile", "keyfile"):
        if not values.get(key):
            raise ConfigError(f"{name}.{key}: it is needed ({origin})")
    try:
        values["names"] = tuple(server_name(text) for text in values["names"])
    except ValueError:
        row = replace(KEYS["names"], name=f"{name}.names")
        wanted = "host names such as example.org or *.example.org"
        raise refuse(row, table["names"], origin, wanted) from None
    return Certificate(**values)


def certificate_files(config: Config) -> tuple[str, ...]:
    """The files that the options of TLS name; none where TLS is off, or the certificate ours."""
    if config.certfile is None:
        return ()
    paths = [config.certfile, config.keyfile, config.ca_certs]
    for certificate in parse_certificates(config.certificates):
        paths += [certificate.certfile, certificate.keyfile]
    return tuple(dict.fromkeys(path for path in paths if path is not None))


def certificate_faults(config: Config) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What is wrong with ``certificates``: a line and its options."""
    if not config.certificates:
        return
    try:
        parse_certificates(config.certificates)
    except ConfigError as exc:
        yield str(exc), ("certificates",)
        return
    if not config.ssl_enabled:
        yield (
            "certificates needs certfile and keyfile, for clients that send no server name",
            ("certificates", "certfile", "keyfile"),
        )
