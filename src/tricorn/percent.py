"""Percent-encoding (RFC 3986 section 2.1), as `urllib.parse` has it.

That module takes a fifth of a megabyte in each worker, and few applications need it.
"""

from __future__ import annotations

import re
from binascii import unhexlify
from typing import Final

_UNRESERVED: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~"
_ASCII: Final = re.compile("([\x00-\x7f]+)")


def unquote(text: str) -> str:
    """The text without its escapes, which are UTF-8; what is none stands for itself.

    Bytes that are no UTF-8 become U+FFFD.
    """
    if "%" not in text:
        return text
    if text.isascii():
        return _decoded(text)
    return "".join([_decoded(part) if part.isascii() else part for part in _ASCII.split(text)])


def _decoded(text: str) -> str:
    first, *rest = text.encode("ascii").split(b"%")
    parts = [first]
    for part in rest:
        try:
            parts.append(unhexlify(part[:2]) or b"%")  # of nothing, nothing
            parts.append(part[2:])
        except ValueError:
            parts.append(b"%")
            parts.append(part)
    return b"".join(parts).decode("utf-8", "replace")


def quote(text: str, safe: str = "/") -> str:
    """The text as UTF-8 with escapes for all but letters, digits, ``_.-~`` and ``safe``.

    :raises UnicodeEncodeError: for what is no text, such as half of a surrogate pair.
    """
    return quote_from_bytes(text.encode("utf-8"), safe)


def quote_from_bytes(raw: bytes, safe: str = "/") -> str:
    """Bytes in the same way."""
    plain = _UNRESERVED + safe.encode("ascii")
    if not raw.rstrip(plain):
        return raw.decode("ascii")
    kept = frozenset(plain)
    return "".join([chr(byte) if byte in kept else f"%{byte:02X}" for byte in raw])
