"""Whether the files, directories, accounts and libraries that a `Config` names can be used."""

from __future__ import annotations

import importlib.util
import os

from tricorn.config import Config, parse_bind
from tricorn.config_certificates import parse_certificates
from tricorn.config_mounts import parse_mounts
from tricorn.exceptions import ConfigError
from tricorn.pid_file import refuse_other


def check(config: Config) -> None:
    """Raise `ConfigError` for the first thing that cannot be used. Nothing is changed."""
    for name in ("certfile", "keyfile", "ca_certs"):
        _check_readable(name, getattr(config, name))
    for place, certificate in enumerate(parse_certificates(config.certificates)):
        for name in ("certfile", "keyfile"):
            _check_readable(f"certificates[{place}].{name}", getattr(certificate, name))
    _check_logging(config)
    if config.app_dir is not None and not os.path.isdir(config.app_dir):
        raise ConfigError(f"app_dir: {config.app_dir!r} is not a directory")
    for name in ("accesslog", "errorlog"):
        path = getattr(config, name)
        if path is not None and path != "-":
            _check_writable(name, path, os.path.exists(path))
    if config.pid_path is not None:
        _check_writable("pid_path", config.pid_path, False)  # written anew, whatever it holds
        refuse_other(config.pid_path)
    for name in ("bind", "insecure_bind", "health_bind"):
        for address in map(parse_bind, getattr(config, name)):
            if address.kind == "unix":
                _check_directory(name, address.path)
    for path in config.reload_dirs if config.use_reloader else ():
        if not os.path.exists(path):
            raise ConfigError(f"reload_dirs: there is no directory {path!r}")
    _check_mounts(config)
    _check_accounts(config)
    check_event_loop(config)
    _check_codecs(config)


def _check_readable(name: str, path: str | None) -> None:
    if path is None:
        return
    try:
        with open(path, "rb"):
            pass
    except OSError as exc:
        raise ConfigError(f"{name}: cannot read {path!r}: {exc.strerror}") from None


def _check_logging(config: Config) -> None:
    if config.logconfig is not None:
        _check_readable("logconfig", config.logconfig.removeprefix("json:").removeprefix("toml:"))
    if config.logconfig is not None or config.logconfig_dict is not None:
        from tricorn import log_config  # not above: large, and few use it

        log_config.check(config)
    # A logging configuration may ask for an access log too; whether it does is seen once it is
    # applied, and a wrong format that nobody needs yet is still wrong.
    if config.accesslog or config.logconfig is not None or config.logconfig_dict is not None:
        from tricorn.access_log import compile_format  # not above: off by default

        compile_format(config.access_log_format)


def _check_directory(name: str, path: str) -> None:
    directory = os.path.dirname(path) or os.curdir
    if not os.path.isdir(directory):
        raise ConfigError(f"{name}: there is no directory {directory!r} for {path!r}")


def _check_writable(name: str, path: str, goes_on: bool) -> None:
    _check_directory(name, path)
    # A file that is written on decides itself; for a new one its directory does.
    place = path if goes_on else os.path.dirname(path) or os.curdir
    if os.path.isdir(path) or not os.access(place, os.W_OK):
        raise ConfigError(f"{name}: cannot write {path!r}")


def _check_mounts(config: Config) -> None:
    for place, mount in enumerate(parse_mounts(config.mounts)):
        for key in ("directory", "app_dir"):
            path = getattr(mount, key)
            if path is None:
                continue
            name = f"mounts[{place}].{key}"
            if not os.path.isdir(path):
                raise ConfigError(f"{name}: {path!r} is not a directory")
            if not os.access(path, os.R_OK | os.X_OK):
                raise ConfigError(f"{name}: {path!r} cannot be read")
        if mount.directory is not None and mount.fallback is not None:
            _check_readable(
                f"mounts[{place}].fallback", os.path.join(mount.directory, mount.fallback)
            )


def _check_accounts(config: Config) -> None:
    if not isinstance(config.user, str) and not isinstance(config.group, str):
        return
    try:
        import grp
        import pwd
    except ImportError:
        raise ConfigError("user and group: this system knows no account names") from None
    try:
        if isinstance(config.user, str):
            pwd.getpwnam(config.user)
    except KeyError:
        raise ConfigError(f"user: there is no user {config.user!r}") from None
    try:
        if isinstance(config.group, str):
            grp.getgrnam(config.group)
    except KeyError:
        raise ConfigError(f"group: there is no group {config.group!r}") from None


def _check_codecs(config: Config) -> None:
    for slot in ("http1", "http2", "websocket"):
        wanted = getattr(config, f"{slot}_codec")
        if wanted != "auto":
            from tricorn.codecs import choice  # not above: few need it

            choice.check(slot, wanted)


def check_event_loop(config: Config) -> None:
    """Raise `ConfigError` if the event loop that is asked for is not installed."""
    library = config.event_loop
    if library != "asyncio" and importlib.util.find_spec(library) is None:
        raise ConfigError(
            f"worker_class: {library} is not installed; pip install 'tricorn[{library}]'"
        )
