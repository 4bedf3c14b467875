"""Small WSGI applications and how they are served to tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from wsgiref.validate import validator

from helpers.clients import Client, Response
from helpers.serving import Records
from helpers.site import Serving

TEXT = [("Content-Type", "text/plain")]

App = Callable[[dict[str, Any], Any], Any]


def hello(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", TEXT)
    return [b"hello"]


class Open:
    """Serves a WSGI application below wsgiref's validator and connects."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    def __call__(self, app: App, *, validate: bool = True, **options: Any) -> Client:
        served = self._serving(validator(app) if validate else app, interface="wsgi", **options)
        return self._serving.connect(served)


def has(text: bytes) -> Callable[[Response], bool]:
    """Whether that much of the body has come."""
    return lambda response: text in bytes(response.body)


def failing(wsgi: Open, records: Records, app: App, *, validate: bool = False) -> str:
    """The log's words on an application that gets a 500."""
    records.expect("application failed")
    client = wsgi(app, validate=validate)
    response = client.get("/")
    assert (response.status, response.text) == (500, "Internal Server Error")
    (record,) = [record for record in records.records if record.exc_info]
    return str(record.exc_info[1])  # type: ignore[index]
