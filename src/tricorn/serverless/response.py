"""Bodies and fields of responses in the forms that JSON and the event sources want."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

from tricorn.reasons import REASONS
from tricorn.types import Headers

#: Content types whose bodies are text: names, or what they begin or end with.
TEXT_MIME_TYPES = (
    "text/",
    "application/json",
    "application/javascript",
    "application/xml",
    "application/yaml",
    "application/x-ndjson",
    "application/x-www-form-urlencoded",
    "application/graphql",
    "+json",
    "+xml",
    "+yaml",
)


def encode_body(body: bytes, headers: Headers, text_mime_types: Sequence[str]) -> tuple[str, bool]:
    """A body as JSON can hold it, and whether that is Base64.

    Text is what a text content type (or none at all) tells, is not compressed, and is UTF-8
    in fact, whatever its charset: the gateway sends it on as UTF-8, which gives the same bytes.
    """
    if not body:
        return "", False
    if _may_be_text(dict(headers), text_mime_types):
        try:
            return body.decode("utf-8"), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(body).decode("ascii"), True


def _may_be_text(fields: dict[bytes, bytes], text_mime_types: Sequence[str]) -> bool:
    if fields.get(b"content-encoding", b"identity").strip().lower() not in (b"identity", b""):
        return False
    value = fields.get(b"content-type", b"").decode("latin-1").lower()
    mime_type = value.partition(";")[0].strip()
    return not mime_type or any(_is_of(mime_type, known) for known in text_mime_types)


def _is_of(mime_type: str, known: str) -> bool:
    if known.startswith("+"):
        return mime_type.endswith(known)
    return mime_type.startswith(known) if known.endswith("/") else mime_type == known


def text_pairs(headers: Headers) -> Iterator[tuple[str, str]]:
    """Names and values as text."""
    for name, value in headers:
        try:
            yield name.decode("ascii"), value.decode("utf-8")
        except UnicodeDecodeError:
            yield name.decode("latin-1"), value.decode("latin-1")


def combined_headers(headers: Headers) -> dict[str, str]:
    """Fields of one name joined by commas (RFC 9110 section 5.3)."""
    found: dict[str, str] = {}
    for name, value in text_pairs(headers):
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def take_cookies(headers: Headers) -> tuple[list[str], Headers]:
    """The values of Set-Cookie, which must not be joined, and the other fields."""
    rest = [header for header in headers if header[0] != b"set-cookie"]
    cookies = [value for name, value in text_pairs(headers) if name == "set-cookie"]
    return cookies, rest


def varied_headers(headers: Headers) -> dict[str, str]:
    """Fields as a table of single values: several cookies go under names that differ in
    case, since a joined Set-Cookie means nothing."""
    cookies, rest = take_cookies(headers)
    return {**combined_headers(rest), **dict(zip(_spellings("set-cookie"), cookies, strict=False))}


def _spellings(name: str) -> Iterator[str]:
    """All spellings of a name by case, the plain one first."""
    letters = [(char, char.upper()) if char.isalpha() else (char,) for char in reversed(name)]
    for chars in itertools.product(*letters):
        yield "".join(reversed(chars))


def status_description(status: int) -> str:
    """``200 OK``."""
    return f"{status} {REASONS.get(status, 'Unknown')}"


def json_size(answer: dict[str, Any], *, only_ascii: bool) -> int:
    """Bytes of an answer as JSON.

    :param only_ascii: other characters become escapes, as ``json.dumps`` does by default.
    """
    text = json.dumps(answer, ensure_ascii=only_ascii)
    return len(text) if only_ascii else len(text.encode("utf-8", "replace"))
