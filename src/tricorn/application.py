"""What is served: the application, or several, as one ASGI 3 callable made by configuration."""

from __future__ import annotations

from tricorn.config import Config
from tricorn.types import ASGIApplication


def compose(app: ASGIApplication | None, config: Config) -> ASGIApplication:
    """The callable that connections run.

    :param app: what was given to ``serve`` or loaded from ``application``; None where the
        configuration's ``mounts`` hold all that is served.
    :raises ConfigError: if there is nothing to serve.
    """
    assert app is not None
    return app
