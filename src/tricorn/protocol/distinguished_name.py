"""The subject of a client's certificate as text (RFC 4514).

It is read from the certificate itself: the ssl module decodes all of it, and fails where anything
in it, an alternative name perhaps, is not the text it ought to be.

Sources: RFC 5280 section 4.1 (Certificate, Name), X.690 (DER), RFC 4514 (the text).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_OID = 0x06
_VERSION = 0xA0
# Types of strings, and how Python names what they hold.
_TEXTS = {
    0x0C: "utf-8",
    0x12: "latin-1",  # NumericString
    0x13: "latin-1",  # PrintableString
    0x14: "latin-1",  # TeletexString, as everybody uses it
    0x16: "latin-1",  # IA5String
    0x1A: "latin-1",  # VisibleString
    0x1C: "utf-32-be",  # UniversalString
    0x1E: "utf-16-be",  # BMPString
}
# RFC 4514 section 3, then what OpenSSL calls the others that are in use.
_NAMES = {
    "2.5.4.3": "CN",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.6": "C",
    "2.5.4.9": "STREET",
    "0.9.2342.19200300.100.1.25": "DC",
    "0.9.2342.19200300.100.1.1": "UID",
    "2.5.4.4": "surname",
    "2.5.4.5": "serialNumber",
    "2.5.4.12": "title",
    "2.5.4.13": "description",
    "2.5.4.15": "businessCategory",
    "2.5.4.16": "postalAddress",
    "2.5.4.17": "postalCode",
    "2.5.4.18": "postOfficeBox",
    "2.5.4.20": "telephoneNumber",
    "2.5.4.41": "name",
    "2.5.4.42": "givenName",
    "2.5.4.43": "initials",
    "2.5.4.44": "generationQualifier",
    "2.5.4.45": "x500UniqueIdentifier",
    "2.5.4.46": "dnQualifier",
    "2.5.4.65": "pseudonym",
    "2.5.4.97": "organizationIdentifier",
    "1.2.840.113549.1.9.1": "emailAddress",
    "1.2.840.113549.1.9.2": "unstructuredName",
    "1.3.6.1.4.1.311.60.2.1.1": "jurisdictionLocalityName",
    "1.3.6.1.4.1.311.60.2.1.2": "jurisdictionStateOrProvinceName",
    "1.3.6.1.4.1.311.60.2.1.3": "jurisdictionCountryName",
}
_ESCAPED = re.compile(r'[,+"\\<>;=\0]|^[ #]| \Z')


def subject(certificate: bytes) -> str | None:
    """The subject of a certificate, its most specific part first; None where that is no DER."""
    try:
        [(_, whole, _)] = _elements(certificate)
        (_, to_be_signed, _), *_ = _elements(whole)
        fields = [content for tag, content, _ in _elements(to_be_signed) if tag != _VERSION]
        relative = [_relative(content) for _, content, _ in _elements(fields[4])]
    except (IndexError, ValueError):
        return None
    return ",".join(reversed(relative))


def _elements(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Tag, content and all of each (X.690 section 8.1; tags and lengths as DER has them)."""
    place = 0
    while place < len(data):
        size, begin = data[place + 1], place + 2
        if size & 0x80:
            begin += size & 0x7F
            size = int.from_bytes(data[place + 2 : begin], "big")
        end = begin + size
        if end > len(data):
            raise ValueError("an element is cut")
        yield data[place], data[begin:end], data[place:end]
        place = end


def _relative(content: bytes) -> str:
    """A relative distinguished name: mostly one type and its value."""
    pairs = []
    for _, pair, _ in _elements(content):
        (kind, name, _), (tag, value, whole) = _elements(pair)
        if kind != _OID:
            raise ValueError("no type")
        pairs.append(_pair(_dotted(name), tag, value, whole))
    return "+".join(pairs)


def _pair(oid: str, tag: int, value: bytes, whole: bytes) -> str:
    """RFC 4514 sections 2.3 and 2.4: what has no name, or is no text, is in hexadecimal."""
    name = _NAMES.get(oid)
    if name is not None and tag in _TEXTS:
        try:
            return f"{name}={_ESCAPED.sub(_escape, value.decode(_TEXTS[tag]))}"
        except UnicodeDecodeError:
            pass
    return f"{name or oid}=#{whole.hex()}"


def _escape(match: re.Match[str]) -> str:
    return "\\00" if match.group() == "\0" else "\\" + match.group()


def _dotted(data: bytes) -> str:
    """An object identifier (X.690 section 8.19)."""
    numbers: list[int] = []
    number = 0
    for byte in data:
        number = number << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(number)
            number = 0
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))
