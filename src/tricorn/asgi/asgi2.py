"""ASGI 2 applications: called with the scope, then what that returns with the callables."""

from __future__ import annotations

from tricorn.types import ASGI2Application, Receive, Scope, Send


class ASGI2Adapter:
    """An ASGI 3 application that runs an ASGI 2 one."""

    def __init__(self, app: ASGI2Application) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # ASGI core: the version is that of the interface the application is called by.
        scope["asgi"] = {**scope["asgi"], "version": "2.0"}
        instance = self.app(scope)
        await instance(receive, send)
