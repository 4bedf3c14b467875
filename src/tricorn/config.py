"""The configuration: the options of `tricorn.config_options`, checked and combined."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Mapping

from tricorn.config_binds import Bind, parse_bind
from tricorn.config_certificates import certificate_faults
from tricorn.config_health import health_faults
from tricorn.config_limits import limit_faults
from tricorn.config_mounts import field_fault, parse_field, site_faults
from tricorn.config_options import Options
from tricorn.config_proxies import proxy_faults
from tricorn.config_values import Option, coerce, flags_of, nearest, rows_of
from tricorn.exceptions import ConfigError
from tricorn.records import replace

TYPE_CHECKING = False  # typing itself takes a megabyte
if TYPE_CHECKING:
    import ssl
    from typing import Any, Literal, Self, Unpack

    from tricorn.config_arguments import Arguments

__all__ = ["OPTIONS", "Bind", "CombinationError", "Config", "option_named", "parse_bind"]

FIELD_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # a token (RFC 9110 section 5.6.2)

# What only a supervisor can do.
_SUPERVISED = ("max_requests", "worker_max_memory", "worker_max_lifetime", "use_reloader")


class CombinationError(ConfigError):
    """Values that are right alone and wrong together; ``options`` (names) tells which."""

    def __init__(self, message: str, *options: str) -> None:
        super().__init__(message)
        self.options = options


class Config(Options, kw_only=True):
    """Every option of the server. Raises `ConfigError` for a value or combination it cannot take.

    Lists may be given as a list, a tuple or a single str; durations and sizes also as text
    (``"1m30s"``, ``"64KiB"``). Files are looked at by `check`, not here.
    """

    if TYPE_CHECKING:  # the fields have the stored form alone

        def __init__(self, **options: Unpack[Arguments]) -> None: ...

    def __post_init__(self) -> None:
        for row in OPTIONS.values():
            object.__setattr__(self, row.name, coerce(row, getattr(self, row.name)))
        object.__setattr__(self, "root_path", self.root_path.rstrip("/"))
        self._check_combinations()

    def _check_combinations(self) -> None:
        if (self.certfile is None) != (self.keyfile is None):
            raise CombinationError("certfile and keyfile go together", "certfile", "keyfile")
        if not self.bind and not self.insecure_bind:
            raise CombinationError("bind: no address to serve", "bind", "insecure_bind")
        if not self.alpn_protocols:
            raise CombinationError("alpn_protocols: the list is empty", "alpn_protocols")
        if self.root_path and not self.root_path.startswith("/"):
            raise CombinationError(
                f"root_path: expected a path that begins with /, got {self.root_path!r}",
                "root_path",
            )
        for text in self.headers:
            wanted = field_fault(text)
            if wanted is not None:
                raise CombinationError(f"headers: expected {wanted}, got {text!r}", "headers")
        for message, names in (
            *site_faults(self), *certificate_faults(self), *proxy_faults(self), *limit_faults(self),
            *health_faults(self),
        ):  # fmt: skip
            raise CombinationError(message, *names)
        if not FIELD_NAME.fullmatch(self.request_id_header):
            raise CombinationError(
                f"request_id_header: expected a field name, got {self.request_id_header!r}",
                "request_id_header",
            )
        if self.write_buffer_low > self.write_buffer_high:
            raise CombinationError(
                f"write_buffer_low ({self.write_buffer_low}) is above write_buffer_high "
                f"({self.write_buffer_high})", "write_buffer_low", "write_buffer_high",
            )  # fmt: skip
        seen: set[Bind] = set()
        for text in (*self.bind, *self.insecure_bind):
            address = parse_bind(text)
            address = replace(address, host=address.host.lower())
            if address in seen and (address.kind, address.port) != ("tcp", 0):
                raise CombinationError(f"bind: {text!r} is there twice", "bind", "insecure_bind")
            seen.add(address)

    @property
    def ssl_enabled(self) -> bool:
        """Whether ``bind`` addresses speak TLS."""
        return self.certfile is not None or self.dev_certificate

    @property
    def extra_headers(self) -> list[tuple[bytes, bytes]]:
        """``headers`` as pairs of lower-case name and value."""
        return [parse_field(text) for text in self.headers]

    @property
    def ssl_verify_mode(self) -> ssl.VerifyMode | None:
        """``verify_mode`` as the ssl module takes it."""
        import ssl  # not above: the supervisor has no use for it, and stays small

        return None if self.verify_mode is None else ssl.VerifyMode[self.verify_mode]

    @property
    def ssl_verify_flags(self) -> ssl.VerifyFlags | None:
        """``verify_flags`` as the ssl module takes them."""
        import ssl

        if self.verify_flags is None:
            return None
        flags = ssl.VerifyFlags(0)
        for name in self.verify_flags.split(","):
            flags |= ssl.VerifyFlags[name]
        return flags

    @property
    def event_loop(self) -> Literal["asyncio", "uvloop", "trio"]:
        """``worker_class`` with auto resolved."""
        match self.worker_class:
            case "trio":
                return "trio"
            case "asyncio":
                return "asyncio"
            case "uvloop":
                return "uvloop"
        return "uvloop" if importlib.util.find_spec("uvloop") else "asyncio"

    @property
    def worker_count(self) -> int:
        """``workers`` with auto resolved to the processor cores this process may use."""
        if isinstance(self.workers, int):
            return self.workers
        if hasattr(os, "process_cpu_count"):  # Python 3.13
            count: int | None = os.process_cpu_count()
        elif hasattr(os, "sched_getaffinity"):
            count = len(os.sched_getaffinity(0))
        else:
            count = os.cpu_count()
        return count or 1

    @property
    def speaks_http2(self) -> bool:
        """Whether any address may come to speak HTTP/2."""
        if self.ssl_enabled and self.bind and "h2" in self.alpn_protocols:
            return True
        cleartext = not self.ssl_enabled or bool(self.insecure_bind)
        return cleartext and (self.h2_prior_knowledge or self.h2c_upgrade)

    def warnings(self) -> list[str]:
        """One line for each option that is set and has no effect, or not the one it seems to."""
        lines = [
            f"{row.name} has no effect: {row.inert}"
            for row in OPTIONS.values()
            if row.inert and getattr(self, row.name) != row.default
        ]
        if not self.ssl_enabled and (self.verify_mode or self.ca_certs):
            lines.append("verify_mode and ca_certs have no effect: TLS is off")
        elif self.ca_certs and self.verify_mode is None:
            lines.append("ca_certs without verify_mode: no client is asked for a certificate")
        elif self.verify_mode == "CERT_OPTIONAL" and not self.ca_certs:
            lines.append("verify_mode without ca_certs: who shows a certificate is refused")
        if self.workers == 0:
            lines += [
                f"{name} has no effect: workers = 0, so there is no supervisor"
                for name in _SUPERVISED
                if getattr(self, name)
            ]
        return lines

    def check(self) -> None:
        """Look at what the options name: files, directories, accounts, the event loop.

        Raises `ConfigError` for the first one that cannot be used.
        """
        from tricorn.config_check import check

        check(self)

    def replace(self, **changes: object) -> Self:
        """A copy with `changes`, checked like any other; raises `ConfigError`."""
        known = {option_named(name, "argument").name: value for name, value in changes.items()}
        return replace(self, **known)

    def to_dict(self) -> dict[str, Any]:
        """Field name to value; tuples stay tuples."""
        return {name: getattr(self, name) for name in OPTIONS}

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any] | None = None, **options: Any) -> Config:
        """From a mapping, keyword arguments or both; keywords win."""
        from tricorn.config_sources import merge, read_mapping

        given = read_mapping(mapping or {}, "mapping")
        return merge(given, read_mapping(options, "argument")).config

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str]) -> Config:
        """From a TOML file: its top level, ``[tricorn]``, or pyproject's ``[tool.tricorn]``."""
        from tricorn.config_sources import merge, read_toml

        return merge(read_toml(path)).config

    @classmethod
    def from_pyfile(cls, path: str | os.PathLike[str]) -> Config:
        """From the names a Python file defines."""
        from tricorn.config_sources import merge, read_pyfile

        return merge(read_pyfile(path)).config

    @classmethod
    def from_object(cls, instance: object) -> Config:
        """From the attributes of an object, or of one named ``module``, ``module:attribute``."""
        from tricorn.config_sources import merge, read_object

        return merge(read_object(instance)).config


OPTIONS: dict[str, Option] = rows_of(Config)
# Flags of the command that are no options: what they say is said by bind.
ADDRESS_FLAGS = {"host": "HOST", "port": "HOST:PORT", "uds": "unix:PATH", "fd": "fd://N"}
_ALIASES = {alias: row.name for row in OPTIONS.values() for alias in row.aliases}


def option_named(key: str, origin: str) -> Option:
    """The option that a file's `key` names; raises `ConfigError` with the nearest right name."""
    row = OPTIONS.get(_ALIASES.get(key, key))
    if row is None:
        if form := ADDRESS_FLAGS.get(key):
            raise ConfigError(f"unknown option {key!r} ({origin}); bind = {form!r} says it")
        meant = flagged(key)
        near = nearest(meant.name if meant else key, [*OPTIONS, *_ALIASES])
        raise ConfigError(f"unknown option {key!r} ({origin}){near}")
    return row


def flagged(name: str) -> Option | None:
    """The option that has a flag of this name, whatever its case and with dashes or without."""
    flag = "--" + name.lower().replace("_", "-")
    return next((row for row in OPTIONS.values() if flag in flags_of(row)), None)
