"""What is served: the application, or several, as one ASGI 3 callable made by configuration."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from tricorn import collector
from tricorn.app_loader import interface_of, load_app
from tricorn.asgi.interface import adapt, detect
from tricorn.config import Config
from tricorn.config_mounts import Mount, parse_mounts
from tricorn.exceptions import AppImportError, ConfigError
from tricorn.types import Application, ASGIApplication

# By the object's id, while that is there, and what it is written for.
_Adapted: TypeAlias = dict[tuple[int, str], tuple[Application, ASGIApplication]]

# From an application and its interface.
_Adapter: TypeAlias = Callable[[Application, str], ASGIApplication]


def load(config: Config) -> tuple[Application | None, Config]:
    """What ``application`` names, and the configuration with the interface its prefix names.

    The first is None where the mounts hold all that is served.

    :raises AppImportError: if it cannot be imported.
    """
    collector.set_threshold(config.gc_threshold)
    target = config.application
    if target is None:
        return None, config
    interface = interface_of(target, config.interface)
    app = load_app(target, factory=config.factory, app_dir=config.app_dir)
    return app, config.replace(interface=interface)


def compose(
    app: Application | None, config: Config, *, multiprocess: bool = False
) -> ASGIApplication:
    """The callable that connections run.

    Nothing is wrapped around the application for an option that is off.

    :param app: what was given to ``serve`` or loaded from ``application``; None where the
        configuration's ``mounts`` hold all that is served. With mounts it is the one at "/".
    :param multiprocess: whether other processes may serve the same.
    :raises ConfigError: if there is nothing to serve, or if an application's interface
        cannot be told.
    :raises AppImportError: if a mounted application cannot be imported.
    """
    served: ASGIApplication
    adapter = partial(adapt, config=config, multiprocess=multiprocess)
    if config.mounts:
        from tricorn.asgi.mounts import Mounts  # what an option asks for is imported for it

        served = Mounts(_mounted(app, config, adapter), config)
    elif app is not None:
        served = adapter(app, config.interface)
    else:
        raise ConfigError("no application and no mounts: there is nothing to serve")
    if config.hsts_max_age is not None:
        from tricorn.asgi.redirect import StrictTransportSecurity

        served = StrictTransportSecurity(served, config)
    if config.https_redirect:
        from tricorn.asgi.redirect import HTTPSRedirect

        served = HTTPSRedirect(served, config)
    return served


def _mounted(
    app: Application | None, config: Config, adapter: _Adapter
) -> list[tuple[Mount, ASGIApplication]]:
    mounts = parse_mounts(config.mounts)
    mounted: list[tuple[Mount, ASGIApplication]] = []
    adapted: _Adapted = {}
    if app is not None:
        if any(not mount.prefix and not mount.host for mount in mounts):
            raise ConfigError('mounts: the application given is the mount at "/"; there are two')
        name = config.application or "application"
        mounted.append((Mount(application=name), _adapt(app, config.interface, adapter, adapted)))
    for place, mount in enumerate(mounts):
        target: ASGIApplication
        if mount.directory is not None:
            from tricorn.asgi.static import StaticFiles

            target = StaticFiles(mount)
        elif mount.redirect is not None:
            from tricorn.asgi.redirect import Redirect

            target = Redirect(mount)
        else:
            loaded, interface = _load(mount, place, config)
            try:
                target = _adapt(loaded, interface, adapter, adapted)
            except ConfigError as exc:
                raise ConfigError(f"mounts[{place}].{exc}") from None
        mounted.append((mount, target))
    return mounted


def _load(mount: Mount, place: int, config: Config) -> tuple[Application, str]:
    """The application of a mount, and its interface as far as the configuration tells."""
    assert mount.application is not None
    try:
        app = load_app(
            mount.application, factory=mount.factory, app_dir=mount.app_dir or config.app_dir
        )
        return app, interface_of(mount.application, mount.interface)
    except AppImportError as exc:
        raise AppImportError(f"mounts[{place}].application: {exc}") from exc.__cause__
    except ConfigError as exc:
        raise ConfigError(f"mounts[{place}].{exc}") from None


def _adapt(
    app: Application, interface: str, adapter: _Adapter, adapted: _Adapted
) -> ASGIApplication:
    """One object at several places stays one, with one lifespan and one pool of threads."""
    if interface == "auto" and callable(app):
        interface = detect(app)
    key = id(app), interface
    if key not in adapted:
        adapted[key] = app, adapter(app, interface)
    return adapted[key][1]
