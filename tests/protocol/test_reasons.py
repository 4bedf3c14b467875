"""The phrases of status codes are those that Python knows too, in the words of RFC 9110."""

from __future__ import annotations

from http import HTTPStatus

from tricorn.protocol.http1_response import status_line
from tricorn.reasons import REASONS

# What HTTPStatus says in some versions of Python.
FORMER = {
    413: "Request Entity Too Large",
    414: "Request-URI Too Long",
    416: "Requested Range Not Satisfiable",
    418: "I'm a Teapot",
    422: "Unprocessable Entity",
}


def test_every_status_has_its_phrase() -> None:
    for status in HTTPStatus:
        assert status.phrase in (REASONS[status], FORMER.get(status)), status
    assert set(REASONS) == set(map(int, HTTPStatus))


def test_status_lines() -> None:
    assert status_line(413) == b"HTTP/1.1 413 Content Too Large\r\n"
    assert status_line(299) == b"HTTP/1.1 299 \r\n"
