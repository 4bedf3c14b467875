"""Every exception Tricorn raises on purpose, and the process exit code of each.

Exit codes of the daemon: 0 asked to stop; 1 unexpected failure; 2 configuration or
usage; 3 the application failed in its lifespan startup; 4 the application could not be
imported; 5 an address could not be bound.
"""

from __future__ import annotations


class TricornError(Exception):
    """Base of all Tricorn errors.

    ``application_traceback`` (str) is set where the application failed in a worker process,
    whose exceptions cannot come over.
    """

    exit_code = 1
    application_traceback = ""


class ConfigError(TricornError):
    """The operator's mistake: a wrong option, value, file, certificate or combination."""

    exit_code = 2


class LifespanError(TricornError):
    """The application failed, or said it failed, in its lifespan startup.

    ``__cause__`` carries the application's own exception where there is one.
    """

    exit_code = 3


class AppImportError(TricornError):
    """The application could not be found, imported or called as a factory.

    ``__cause__`` carries the application's own exception where there is one; its
    traceback and a `LifespanError`'s are the only ones the command line ever prints.
    """

    exit_code = 4


class BindError(TricornError):
    """An address could not be bound or a descriptor could not be used."""

    exit_code = 5


class ProtocolError(TricornError):
    """A protocol rule was broken."""


class LocalProtocolError(ProtocolError):
    """Our side (or the application) tried something the protocol forbids."""


class RemoteProtocolError(ProtocolError):
    """The peer broke a rule.

    ``status`` is the HTTP status (int) that tells the peer so, where one can be sent.
    ``headers`` (list of name, value byte pairs) belong to that answer. ``limit`` (str) is the
    option whose bound was passed, None where it was another rule. ``in_value`` (bool): only what
    a client has put into a request is wrong, which a proxy in between may pass on as it came.
    """

    def __init__(
        self,
        reason: str,
        status: int = 400,
        headers: list[tuple[bytes, bytes]] | None = None,
        *,
        limit: str | None = None,
        in_value: bool = False,
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.in_value = in_value
        self.headers = headers or []
        self.limit = limit


class InvalidMessage(LocalProtocolError):
    """The application sent an ASGI message that its state does not allow, or a malformed one."""


class FileUnavailable(TricornError):
    """A file the application sends cannot be opened or read, or ends too soon.

    No OSError: frameworks take one that comes out of ``send()`` for a lost client.
    ``__cause__`` is the system's error where there is one.
    """


class ClientDisconnected(OSError):
    """Raised by ``send()`` once the peer is gone (ASGI HTTP and WebSocket specification 2.4)."""


def only_error(group: BaseExceptionGroup[BaseException]) -> BaseException | None:
    """The one error out of the groups that task groups wrapped it in; None where there are more."""
    inner: BaseException = group
    while isinstance(inner, BaseExceptionGroup) and len(inner.exceptions) == 1:
        inner = inner.exceptions[0]
    return None if isinstance(inner, BaseExceptionGroup) else inner
