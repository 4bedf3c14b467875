"""The HTTP/1.1 slot on h11: heads and chunked bodies, in the terms of codecs.base."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tricorn.codecs.http1_h11 import H11Codec
from tricorn.exceptions import RemoteProtocolError

HEAD = b"POST /a?b HTTP/1.1\r\nHost: x\r\nX-Ab:  c \r\ntransfer-encoding: chunked\r\n\r\n"


def decoder():
    codec = H11Codec()
    codec.parse_head(HEAD)
    return codec.chunked_decoder()


def test_a_head_in_its_parts():
    head = H11Codec().parse_head(HEAD)
    assert (head.method, head.target, head.http_version) == (b"POST", b"/a?b", b"1.1")
    assert head.headers[:2] == [(b"host", b"x"), (b"x-ab", b"c")]
    assert head.raw_headers[:2] == [(b"Host", b"x"), (b"X-Ab", b"c")]


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nhost : x\r\n\r\n",
        b"GET  / HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\0\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: +1\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\n",
        b"\r\n\r\n",
    ],
)
def test_a_malformed_or_incomplete_head_is_refused(head):
    with pytest.raises(RemoteProtocolError) as caught:
        H11Codec().parse_head(head)
    assert caught.value.status == 400


def test_each_head_has_a_parser_of_its_own():
    codec = H11Codec()
    with pytest.raises(RemoteProtocolError):
        codec.parse_head(b"nonsense\r\n\r\n")
    assert codec.parse_head(HEAD).method == b"POST"
    assert codec.parse_head(HEAD).method == b"POST"


def test_a_decoder_needs_a_head():
    with pytest.raises(RuntimeError):
        H11Codec().chunked_decoder()


def test_a_body_with_trailers_and_what_lies_behind():
    chunks = decoder()
    body = chunks.feed(b"5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nA: b\r\n\r\nGET /")
    assert b"".join(body) == b"hello!"
    assert (chunks.complete, chunks.chunks) == (True, 2)
    assert chunks.trailers == [(b"a", b"b")]
    assert chunks.unused() == b"GET /"


@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(
    st.lists(st.binary(min_size=1, max_size=30), max_size=6),
    st.lists(st.integers(1, 20), min_size=1, max_size=5),
)
def test_chunks_are_counted_the_same_in_any_cut(pieces, sizes):
    wire = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    chunks, body, start, turn = decoder(), b"", 0, 0
    while start < len(wire):
        size = sizes[turn % len(sizes)]
        body += b"".join(chunks.feed(wire[start : start + size]))
        start, turn = start + size, turn + 1
    assert body == b"".join(pieces)
    assert (chunks.complete, chunks.chunks) == (True, len(pieces))


@pytest.mark.parametrize("wire", [b"x\r\n", b"5\r\nhello!", b"1\r\nx\n", b"1;\n\r\nx", b"-1\r\n"])
def test_malformed_chunks_are_refused(wire):
    with pytest.raises(RemoteProtocolError):
        decoder().feed(wire)
