"""What an application is written for, told by looking at it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from tricorn.asgi.asgi2 import ASGI2Adapter
from tricorn.asgi.interface import adapt, detect
from tricorn.asgi.wsgi import WSGIAdapter
from tricorn.config import Config
from tricorn.exceptions import ConfigError


def called(*args: Any, **kwargs: Any) -> Any:
    raise AssertionError("detection called the application")


# ASGI 3


async def function3(scope, receive, send):
    called()


def plain_function3(scope, receive, send):
    return called()


async def other_names(a, b, c):
    called()


async def with_defaults(scope, receive=None, send=None):
    called()


async def anything(*args, **kwargs):
    called()


def anything_at_all(*args, **kwargs):
    called()


class Callable3:
    async def __call__(self, scope, receive, send):
        called()

    async def method(self, scope, receive, send):
        called()

    @staticmethod
    async def static(scope, receive, send):
        called()

    @classmethod
    async def of_class(cls, scope, receive, send):
        called()


class Endpoint:
    """As Starlette's endpoints: made with all three, then awaited."""

    def __init__(self, scope, receive, send):
        called()

    def __await__(self):
        called()


class Dynamic:
    """Has an answer for every attribute."""

    def __getattr__(self, name):
        return "yes"

    async def __call__(self, scope, receive, send):
        called()


def bare(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that hides what it decorates."""

    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


def wrapping(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that says what it decorates."""

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


# ASGI 2


class Class2:
    def __init__(self, scope):
        called()

    async def __call__(self, receive, send):
        called()


class Class2WithSettings:
    def __init__(self, scope, debug=False):
        called()

    async def __call__(self, receive, send):
        called()


class Subclass2(Class2):
    pass


def function2(scope):
    called()


class Callable2:
    """As Channels 2's routers."""

    def __call__(self, scope):
        called()


# WSGI


def function_wsgi(environ, start_response):
    called()


def generator_wsgi(environ, start_response):
    called()
    yield b""


def other_names_wsgi(a, b):
    called()


def wsgi_with_default(environ, start_response, exc_info=None):
    called()


def wsgi_with_rest(environ, start_response, *args):
    called()


class ClassWSGI:
    """PEP 3333's AppClass."""

    def __init__(self, environ, start_response):
        called()

    def __iter__(self):
        called()


class Flasklike:
    """As Flask, Bottle, Django's WSGIHandler and Pyramid's Router."""

    def wsgi_app(self, environ, start_response):
        called()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        called()


class Falconlike:
    def __call__(self, env, start_response):
        called()


class DecoratedMethod:
    @wrapping
    def __call__(self, environ, start_response):
        called()


class StandsFor:
    """As wrapt's proxies."""

    def __init__(self, wrapped):
        self.__wrapped__ = wrapped

    def __call__(self, *args, **kwargs):
        called()


@functools.wraps(function_wsgi)
async def wsgi_made_asgi(scope, receive, send):
    called()


def takes_settings(settings, scope, receive, send):
    called()


def takes_settings_wsgi(settings, environ, start_response):
    called()


marked_single = bare(function3)
marked_single._asgi_single_callable = True  # type: ignore[attr-defined]
marked_double = bare(function2)
marked_double._asgi_double_callable = True  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("app", "interface"),
    [
        (function3, "asgi3"),
        (plain_function3, "asgi3"),
        (other_names, "asgi3"),
        (with_defaults, "asgi3"),
        (anything, "asgi3"),
        (anything_at_all, "asgi3"),
        (Callable3(), "asgi3"),
        (Callable3().method, "asgi3"),
        (Callable3.static, "asgi3"),
        (Callable3.of_class, "asgi3"),
        (Endpoint, "asgi3"),
        (Dynamic(), "asgi3"),
        (functools.partial(takes_settings, {}), "asgi3"),
        (functools.partial(function3), "asgi3"),
        (bare(function3), "asgi3"),
        (wrapping(function3), "asgi3"),
        (wrapping(wrapping(function3)), "asgi3"),
        (wsgi_made_asgi, "asgi3"),
        (StandsFor(function3), "asgi3"),
        (marked_single, "asgi3"),
        (Class2, "asgi2"),
        (Class2WithSettings, "asgi2"),
        (Subclass2, "asgi2"),
        (function2, "asgi2"),
        (Callable2(), "asgi2"),
        (functools.partial(Class2WithSettings, debug=True), "asgi2"),
        (wrapping(function2), "asgi2"),
        (marked_double, "asgi2"),
        (function_wsgi, "wsgi"),
        (generator_wsgi, "wsgi"),
        (other_names_wsgi, "wsgi"),
        (wsgi_with_default, "wsgi"),
        (wsgi_with_rest, "wsgi"),
        (ClassWSGI, "wsgi"),
        (Flasklike(), "wsgi"),
        (Flasklike().wsgi_app, "wsgi"),
        (Falconlike(), "wsgi"),
        (DecoratedMethod(), "wsgi"),
        (functools.partial(takes_settings_wsgi, {}), "wsgi"),
        (wrapping(function_wsgi), "wsgi"),
        (StandsFor(Flasklike()), "wsgi"),
    ],
)
def test_detected(app: object, interface: str) -> None:
    assert detect(app) == interface


async def two_coroutine(receive, send):
    called()


class Framework:
    """Given without its brackets."""

    def __init__(self, settings):
        called()

    async def __call__(self, scope, receive, send):
        called()


class NoArguments:
    async def __call__(self, scope, receive, send):
        called()


def needs_keyword(scope, receive, send, *, settings):
    called()


@pytest.mark.parametrize(
    "app",
    [
        two_coroutine,
        Framework,
        NoArguments,
        dict,
        needs_keyword,
        takes_settings,
        lambda: None,
        print.__class__,
    ],
)
def test_what_cannot_be_told_is_one_line_that_names_the_option(app: object) -> None:
    with pytest.raises(ConfigError, match=r"^interface: cannot tell whether .* set interface to"):
        detect(app)


def test_adapt() -> None:
    config = Config()
    app = Callable3()
    assert adapt(app, "auto", config) is app
    assert adapt(function_wsgi, "asgi3", config) is function_wsgi
    assert isinstance(adapt(Class2, "auto", config), ASGI2Adapter)
    assert isinstance(adapt(anything_at_all, "asgi2", config), ASGI2Adapter)
    assert isinstance(adapt(function_wsgi, "auto", config), WSGIAdapter)
    assert isinstance(adapt(anything_at_all, "wsgi", config), WSGIAdapter)


def test_adapt_refuses_what_cannot_be_called() -> None:
    for interface in ("auto", "asgi3", "wsgi"):
        with pytest.raises(ConfigError, match="cannot be called: an object of type 'int'"):
            adapt(5, interface, Config())
