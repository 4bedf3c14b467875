"""Which interface an application is written for, told without calling it."""

from __future__ import annotations

import functools
import inspect
import types
from typing import Any, Literal, cast

from tricorn.config import Config
from tricorn.exceptions import ConfigError
from tricorn.records import Record
from tricorn.types import ASGI2Application, ASGIApplication, WSGIApplication

Interface = Literal["asgi3", "asgi2", "wsgi"]

_BY_COUNT: dict[int, Interface] = {1: "asgi2", 2: "wsgi", 3: "asgi3"}
_BY_NAME: dict[str, Interface] = {
    "environ": "wsgi",
    "env": "wsgi",
    "environment": "wsgi",
    "wsgi_environ": "wsgi",
    "start_response": "wsgi",
    "receive": "asgi3",
    "send": "asgi3",
}


def adapt(
    app: object, interface: str, config: Config, *, multiprocess: bool = False
) -> ASGIApplication:
    """``app`` as an ASGI 3 application.

    :param interface: auto, asgi3, asgi2 or wsgi.
    :param multiprocess: whether other processes may run it too.
    :raises ConfigError: if it is auto and nothing tells; or if ``app`` cannot be called.
    """
    if not callable(app):
        raise ConfigError(f"the application cannot be called: {_name(app)}")
    match detect(app) if interface == "auto" else interface:
        case "wsgi":
            from tricorn.asgi.wsgi import WSGIAdapter  # not above: for such applications only

            return WSGIAdapter(
                cast("WSGIApplication", app),
                threads=config.wsgi_threads,
                max_body_size=config.wsgi_max_body_size,
                read_timeout=config.read_timeout,
                multiprocess=multiprocess,
            )
        case "asgi2":
            from tricorn.asgi.asgi2 import ASGI2Adapter

            return ASGI2Adapter(cast("ASGI2Application", app))
    return cast("ASGIApplication", app)


def detect(app: object) -> Interface:
    """The interface of ``app``; it is looked at, never called.

    asgiref's marks decide; else how many positional arguments the application takes, and
    where that leaves a choice, whether it is a coroutine function and how the arguments
    are called.

    :raises ConfigError: if that does not tell.
    """
    # "is True": some objects have an answer for every attribute.
    if getattr(app, "_asgi_single_callable", False) is True:
        return "asgi3"
    if getattr(app, "_asgi_double_callable", False) is True:
        return "asgi2"
    found = _by_signature(app)
    if found is None:
        raise ConfigError(
            f"interface: cannot tell whether {_name(app)} is ASGI 3, ASGI 2 or WSGI; "
            "set interface to asgi3, asgi2 or wsgi"
        )
    return found


def _by_signature(app: object) -> Interface | None:
    call: Any = app
    if not (inspect.isclass(app) or inspect.isroutine(app) or isinstance(app, functools.partial)):
        call = getattr(app, "__call__", None)  # noqa: B004 (not whether, but what)
    taken = _Taken.by(call)
    while taken is not None and taken.any_number:
        # A decorator that hands on whatever it gets: what it decorates tells.
        inner = _decorated(call) or (getattr(app, "__wrapped__", None) if call is not app else None)
        if inner is None:
            break
        app, call, taken = inner, inner, _Taken.by(inner)
    if taken is None:
        return None
    if inspect.iscoroutinefunction(call):
        return "asgi3" if taken.may_be(3) else None
    found = _by_count(taken)
    if inspect.isclass(call) and found == "asgi2":
        # Not the class of a middleware or framework, which is called with its settings.
        own = (vars(cls)["__call__"] for cls in call.__mro__ if "__call__" in vars(cls))
        inner = _Taken.by(next(own, None))
        return "asgi2" if inner is not None and inner.may_be(3) else None
    return found


def _by_count(taken: _Taken) -> Interface | None:
    named = {_BY_NAME[name] for name in taken.names if name in _BY_NAME}
    if named == {"wsgi"} and taken.may_be(2):
        return "wsgi"
    if named == {"asgi3"} and taken.may_be(3):
        return "asgi3"
    if taken.any_number or not taken.required:
        return "asgi3" if taken.may_be(3) else None
    return _BY_COUNT.get(taken.required)


def _decorated(call: Any) -> Any:
    """What a decorated function or method was before."""
    if inspect.ismethod(call):
        inner = getattr(call.__func__, "__wrapped__", None)
        return None if inner is None else types.MethodType(inner, call.__self__)
    return getattr(call, "__wrapped__", None)


class _Taken(Record):
    """The positional arguments of a callable."""

    names: list[str]
    required: int
    any_number: bool

    @classmethod
    def by(cls, call: Any) -> _Taken | None:
        """Those of ``call``; None where they cannot be known, or where a keyword is a must."""
        try:
            signature = inspect.signature(call, follow_wrapped=False)
        except (ValueError, TypeError):
            return None
        names: list[str] = []
        required = 0
        any_number = False
        for parameter in signature.parameters.values():
            must = parameter.default is parameter.empty
            if parameter.kind is parameter.VAR_POSITIONAL:
                any_number = True
            elif parameter.kind is parameter.KEYWORD_ONLY:
                if must:
                    return None
            elif parameter.kind is not parameter.VAR_KEYWORD:
                names.append(parameter.name)
                required += must
        return cls(names, required, any_number)

    def may_be(self, count: int) -> bool:
        """Whether a call with ``count`` arguments would bind."""
        return self.required <= count and (self.any_number or count <= len(self.names))


def _name(app: object) -> str:
    name = getattr(app, "__qualname__", None)
    return repr(name) if isinstance(name, str) else f"an object of type {type(app).__qualname__!r}"
