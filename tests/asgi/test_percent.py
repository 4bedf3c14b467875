"""Percent-encoding against the standard library's."""

from __future__ import annotations

import urllib.parse

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tricorn.asgi.replies import TARGET_SAFE
from tricorn.percent import quote, quote_from_bytes, unquote

LATIN = st.text(st.characters(max_codepoint=255))
ESCAPED = st.text(st.sampled_from("%%%aF09g+/ é€ÿ~\0"))


@given(LATIN | ESCAPED)
@example("%")
@example("%%")
@example("a%4")
@example("%E2%82%AC%E2%82")
@example("%C3é%A9")
def test_unquote(text: str) -> None:
    assert unquote(text) == urllib.parse.unquote(text)


@given(st.text(), st.sampled_from(["", "/", TARGET_SAFE, TARGET_SAFE + "%"]))
def test_quote(text: str, safe: str) -> None:
    assert quote(text, safe) == urllib.parse.quote(text, safe=safe)
    assert quote(text) == urllib.parse.quote(text)


@given(st.binary(), st.sampled_from(["", "/", TARGET_SAFE]))
def test_quote_from_bytes(raw: bytes, safe: str) -> None:
    assert quote_from_bytes(raw, safe) == urllib.parse.quote_from_bytes(raw, safe=safe)


def test_what_is_no_text_is_not_quoted() -> None:
    with pytest.raises(UnicodeEncodeError):
        quote("\ud800")
