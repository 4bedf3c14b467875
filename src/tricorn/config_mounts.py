"""One ``[[mounts]]`` table: an application, files or a redirect below a path of some hosts.

The keys are `Option` rows, as the options themselves are, so that values are taken, refused
and documented in the same way. Where an error names ``mounts[2]``, counting begins at 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from tricorn.config_binds import parse_bind
from tricorn.config_values import Kind, Option, coerce, nearest, option, refuse, rows_of
from tricorn.exceptions import ConfigError
from tricorn.host_names import normal_name
from tricorn.records import Record, replace

TYPE_CHECKING = False  # typing itself takes a megabyte
if TYPE_CHECKING:
    from typing import Any

    from tricorn.config import Config
    from tricorn.types import Header

EVERY = "Every mount"
APPLICATION = "An application"
DIRECTORY = "Static files"
REDIRECT = "A redirect"

ENCODINGS = ("br", "zstd", "gzip")
# RFC 9111 section 5.2.2.1 needs no more; browsers cap immutable files at about a year.
_YEAR = 31_536_000.0

_HOST = re.compile(
    r"(\*\.)?[\w-]+(\.[\w-]+)*\.?|\[[0-9a-fA-F:.]+\]|([0-9a-fA-F.]*:){2}[0-9a-fA-F:.]*"
)
_AUTHORITY = re.compile(r"([\w-]+(\.[\w-]+)*\.?|\[[0-9a-fA-F:.]+\])(:\d{1,5})?", re.ASCII)
# RFC 9110 sections 7.6.1, 8.6 and 14.4: of the connection, or of one response.
_SERVERS = frozenset(
    {
        b"connection",
        b"content-length",
        b"content-range",
        b"keep-alive",
        b"proxy-connection",
        b"transfer-encoding",
        b"upgrade",
    }
)
_FIELD = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e\xa0-\xff\t]*)")
# RFC 3986: what may stand in a reference, percent-encoded already.
_REFERENCE = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")


class Mount(Record, kw_only=True):
    """One mount; exactly one of ``application``, ``directory`` and ``redirect`` is set."""

    # fmt: off
    path: str = option(Kind.TEXT, EVERY, "/",
        "Path below which it answers, whole segments: /api takes /api and /api/x, not /apix.")
    host: Sequence[str] = option(Kind.LIST, EVERY, (),
        "Hosts it answers for, without a port; *.example.org for all below it; empty: all.")

    application: str | None = option(Kind.TEXT, APPLICATION, None,
        "The application, as the option application names it.")
    factory: bool = option(Kind.BOOL, APPLICATION, False,
        "The application's attribute is a function without arguments that returns it.")
    interface: str = option(Kind.TEXT, APPLICATION, "auto",
        "What the application is written for.", choices=("auto", "asgi3", "asgi2", "wsgi"))
    app_dir: str | None = option(Kind.PATH, APPLICATION, None,
        "Directory from which the application is imported; not set: the option app_dir.")

    directory: str | None = option(Kind.PATH, DIRECTORY, None,
        "Directory whose files are served.")
    index: str | None = option(Kind.TEXT, DIRECTORY, "index.html",
        "File served for a directory.", "the usual name")
    fallback: str | None = option(Kind.TEXT, DIRECTORY, None,
        "File of the directory served for paths that name none, as single-page applications "
        "want it.")
    max_age: float | None = option(Kind.SECONDS, DIRECTORY, None,
        "How long caches may keep a file without asking again (Cache-Control: max-age).", low=0)
    immutable: bool = option(Kind.BOOL, DIRECTORY, False,
        "Files never change under their names: caches keep them for max_age, else a year.")
    precompressed: Sequence[str] = option(Kind.LIST, DIRECTORY, ENCODINGS,
        "Codings looked for beside a file (file.br, file.zst, file.gz), the best one first.",
        choices=ENCODINGS)
    follow_symlinks: bool = option(Kind.BOOL, DIRECTORY, False,
        "Follow symbolic links that lead out of the directory.")
    hidden: bool = option(Kind.BOOL, DIRECTORY, False,
        "Serve files and directories whose names begin with a dot; .well-known always is.")
    headers: Sequence[str] = option(Kind.LIST, DIRECTORY, (),
        "Fields of the responses, each \"Name: value\".")

    redirect: str | None = option(Kind.TEXT, REDIRECT, None,
        "Where to, a URL or a path; what follows the mount's path, and the query, is kept.")
    status: int = option(Kind.COUNT, REDIRECT, 308,
        "Status of the redirect: 301, 302, 307 or 308.", "keeps the method; may be cached")
    # fmt: on

    @property
    def prefix(self) -> str:
        """``path`` without its last slash: empty for the root."""
        return self.path.rstrip("/")

    def fields(self) -> list[Header]:
        """``headers`` as field name (lower case) and value."""
        return [parse_field(text) for text in self.headers]


KEYS: dict[str, Option] = rows_of(Mount)
_TARGETS = {APPLICATION: "application", DIRECTORY: "directory", REDIRECT: "redirect"}


def parse_field(text: str) -> Header:
    """Name (lower case) and value of ``"Name: value"``; raises ValueError."""
    match = _FIELD.fullmatch(text.strip())
    if match is None:
        raise ValueError("not a field")
    return match[1].lower().encode("ascii"), match[2].strip().encode("latin-1")


def field_fault(text: str) -> str | None:
    """What was expected where ``text`` is no field for every response; None if it is one."""
    try:
        name, _ = parse_field(text)
    except ValueError:
        return 'fields, each "Name: value"'
    if name in _SERVERS:
        return f"fields without {name.decode()}, which only the server can tell"
    return None


def parse_mounts(tables: Sequence[Mapping[str, Any]]) -> tuple[Mount, ...]:
    """The mounts of the tables of option ``mounts``.

    Raises `ConfigError` of one line that names the key, such as ``mounts[2].directory``,
    and its value.
    """
    mounts = tuple(_parse(table, f"mounts[{place}]") for place, table in enumerate(tables))
    seen: dict[tuple[str, str], int] = {}
    for place, mount in enumerate(mounts):
        for host in mount.host or ("",):
            first = seen.setdefault((mount.prefix, normal_name(host)), place)
            if first != place:
                where = f" for host {host!r}" if host else ""
                raise ConfigError(
                    f"mounts[{place}].path: {mount.path!r}{where} is that of mounts[{first}] too"
                )
    return mounts


def _parse(table: Mapping[str, Any], name: str) -> Mount:
    path = table.get("path", KEYS["path"].default)
    origin = f"mount at {path!r}"
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in KEYS:
            raise ConfigError(f"{name}: unknown key {key!r} ({origin}){nearest(key, KEYS)}")
        row = replace(KEYS[key], name=f"{name}.{key}")
        values[key] = coerce(row, value, origin=origin)
    targets = [key for key in _TARGETS.values() if values.get(key) is not None]
    if len(targets) != 1:
        found = "they stand together" if targets else "there is none"
        raise ConfigError(
            f"{name}: exactly one of application, directory and redirect is needed; {found} "
            f"({origin})"
        )
    for key in values:
        group = KEYS[key].section
        if group != EVERY and _TARGETS[group] != targets[0]:
            raise ConfigError(f"{name}.{key}: it goes with {_TARGETS[group]} ({origin})")
    mount = Mount(**values)
    for key, wanted in _faults(mount):
        row = replace(KEYS[key], name=f"{name}.{key}")
        raise refuse(row, table[key], origin, wanted)
    return replace(mount, host=tuple(host.lower() for host in mount.host))


def _faults(mount: Mount) -> Iterator[tuple[str, str]]:
    """Keys whose values have the right type and are wrong, with what was expected."""
    segments = mount.prefix.split("/")
    rooted = mount.path.startswith("/") and "//" not in mount.path
    if not rooted or any(part in (".", "..") for part in segments):
        yield "path", "a path that begins with / and has no empty, . or .. segments"
    elif any(char in mount.path for char in "?#%\\\r\n"):
        yield "path", "a path without ?, #, % and \\, its characters as they are"
    if not all(_HOST.fullmatch(host) for host in mount.host):
        yield "host", "host names without a port, such as example.org or *.example.org"
    if mount.index is not None and not _is_name(mount.index):
        yield "index", 'the name of a file, or "none"'
    if mount.fallback is not None and not all(map(_is_name, mount.fallback.split("/"))):
        yield "fallback", "the path of a file below the directory, without a / before it"
    for wanted in filter(None, map(field_fault, mount.headers)):
        yield "headers", wanted
    if mount.status not in (301, 302, 307, 308):
        yield "status", "301, 302, 307 or 308"
    if mount.redirect is not None and not _is_reference(mount.redirect):
        yield "redirect", "http://..., https://... or a path that begins with one /"


def _is_name(text: str) -> bool:
    return text not in ("", ".", "..") and not any(char in text for char in "/\\\r\n")


def _is_reference(text: str) -> bool:
    if not _REFERENCE.fullmatch(text) or "?" in text or "#" in text:
        return False
    if text.startswith("/"):
        return not text.startswith("//")
    from urllib.parse import urlsplit  # not above: for redirects only

    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def site_faults(config: Config) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What is wrong with ``mounts`` and ``https_redirect``: each a line and its options."""
    try:
        mounts = parse_mounts(config.mounts)
    except ConfigError as exc:
        yield str(exc), ("mounts",)
        return
    if config.application is not None and any(not m.prefix and not m.host for m in mounts):
        yield 'application is the mount at "/", and mounts has another', ("application", "mounts")
    host = config.https_redirect_host
    if host is not None:
        if not _AUTHORITY.fullmatch(host):
            line = f"https_redirect_host: expected host or host:port, got {host!r}"
            yield line, ("https_redirect_host",)
    elif config.https_redirect and config.ssl_enabled:
        first = next((text for text in config.bind if parse_bind(text).kind == "tcp"), "")
        if first and parse_bind(first).port == 0:
            line = f"https_redirect: {first!r} has no port to redirect to; set https_redirect_host"
            yield line, ("https_redirect", "bind")


def cache_control(mount: Mount) -> str | None:
    """The value of Cache-Control (RFC 9111 section 5.2, RFC 8246), where there is one."""
    age = _YEAR if mount.max_age is None and mount.immutable else mount.max_age
    if age is None:
        return None
    return f"max-age={int(age)}" + (", immutable" if mount.immutable else "")
