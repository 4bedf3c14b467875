"""The application of the WSGI servers: the first three routes of ``app.py``, likewise bare.

==============  ==========================
route           answer
==============  ==========================
``/``           13 bytes of plain text
``/10k``        10,240 bytes
``/echo``       the request body, in one piece
==============  ==========================
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .app import SMALL, TEN_K

StartResponse = Callable[[str, list[tuple[str, str]]], object]


def answer(start_response: StartResponse, body: bytes, status: str = "200 OK") -> list[bytes]:
    """One complete plain text response with its Content-Length."""
    fields = [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
    start_response(status, fields)
    return [body]


def app(environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
    """The WSGI application."""
    path = environ["PATH_INFO"]
    if path == "/":
        return answer(start_response, SMALL)
    if path == "/10k":
        return answer(start_response, TEN_K)
    if path == "/echo":
        size = int(environ.get("CONTENT_LENGTH") or 0)
        return answer(start_response, environ["wsgi.input"].read(size))
    return answer(start_response, b"not found", "404 Not Found")
