"""What peers sent is quoted in bounds, and does not tell kinds of sentences apart."""

from __future__ import annotations

import pytest

from tricorn.quoting import kind_of, quoted, shortened


def test_short_values_stand_as_they_are() -> None:
    assert quoted(b"a b") == "b'a b'"
    assert quoted(None) == "None"
    assert shortened("Stream 1 may not depend on itself") == "Stream 1 may not depend on itself"


def test_long_ones_are_cut_however_they_are_written() -> None:
    assert quoted(b"x" * 81) == f"b'{'x' * 80}'..."
    assert len(quoted(b"\xff" * 60000)) < 400
    assert len(shortened(f"illegal header line: {b'x' * 60000!r}")) < 400


@pytest.mark.parametrize(
    "value", [b"a", b"it's", b'say "a"', b"""both ' and " """, b"\\'", b"1", b"x" * 100]
)
def test_kinds_do_without_what_is_quoted(value: bytes) -> None:
    assert kind_of(f"field name {quoted(value)} is not a token") == "field name "
    assert (
        kind_of(f"illegal header line: {bytearray(value)!r}") == "illegal header line: bytearray("
    )
    assert kind_of(f"Illegal character {chr(39)!r} in {value!r}") == "Illegal character "


def test_kinds_do_without_numbers() -> None:
    assert kind_of("frame of 99999 bytes") == kind_of("frame of 4 bytes")


def test_other_sentences_are_kinds_of_their_own() -> None:
    sentences = {"bare LF in the request head", "bare CR in the request head", "the peer's fault"}
    assert set(map(kind_of, sentences)) == sentences
