"""Chunked bodies (RFC 9112 section 7.1), in any cut."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tricorn.codecs.chunked import ChunkedDecoder
from tricorn.exceptions import RemoteProtocolError

END = b"0\r\n\r\n"


def fed(wire, sizes=(1 << 30,)):
    """The decoder and the body, after the wire in pieces of these sizes, used in turn."""
    decoder, body, start, turn = ChunkedDecoder(), b"", 0, 0
    while start < len(wire) and not decoder.complete:
        size = sizes[turn % len(sizes)]
        body += decoder.feed(wire[start : start + size])
        start, turn = start + size, turn + 1
    decoder.unused += wire[start:]
    return decoder, body


def test_a_body_with_trailers_and_what_lies_behind():
    decoder, body = fed(b"5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nA: b \r\nC:\r\nA:\td\r\n\r\nGET /")
    assert body == b"hello!"
    assert (decoder.complete, decoder.chunks) == (True, 2)
    assert decoder.trailers == [(b"a", b"b"), (b"c", b""), (b"a", b"d")]
    assert decoder.unused == b"GET /"


@settings(max_examples=60, derandomize=True, database=None)
@given(
    st.lists(st.binary(min_size=1, max_size=30), max_size=6),
    st.sampled_from([b"", b"T: x\r\n", b"T: x\r\nU: y\r\n"]),
    st.lists(st.integers(1, 20), min_size=1, max_size=5),
)
def test_any_cut_gives_the_same(pieces, trailers, sizes):
    wire = b"".join(b"%x;e=f\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    decoder, body = fed(wire + b"0\r\n" + trailers + b"\r\nrest", sizes)
    assert body == b"".join(pieces)
    assert (decoder.complete, decoder.chunks) == (True, len(pieces))
    assert len(decoder.trailers) == trailers.count(b":")
    assert decoder.unused == b"rest"


def test_large_pieces_come_whole():
    data = bytes(range(256)) * 1024
    wire = b"%x\r\n%b\r\n" % (len(data), data)
    for sizes in ((1 << 30,), (65536,), (5000, 3)):
        _, body = fed(wire * 2 + END, sizes)
        assert body == data * 2


@pytest.mark.parametrize(
    "line",
    [b"5", b"0005", b"5;a", b'5;a="b;c"', b"5;\xff", b"5 ", b"5\t", b"0000000000000005", b"5 ;a=b",
     b"5\t ; a", b"5; a = b ;c"],
)  # fmt: skip
def test_a_size_line(line):
    decoder, body = fed(line + b"\r\nhello\r\n" + END)
    assert (body, decoder.complete) == (b"hello", True)


@pytest.mark.parametrize(
    "line",
    [b"", b"x", b"-5", b"+5", b"0x5", b"5_0", b" 5", b"5 x", b"5 x;a", b"5 5", b"5.0",
     b"5\x00", b"5;\x00", b"5;a\rb", b"5;a\nb", b";a", b"\xd9\xa5", b"5,5", b"00000000000000005",
     b"f" * 5000],
)  # fmt: skip
@pytest.mark.parametrize("sizes", [(1 << 30,), (1,)])
def test_a_malformed_size_line_is_refused(line, sizes):
    with pytest.raises(RemoteProtocolError) as caught:
        fed(line + b"\r\nhello\r\n" + END, sizes)
    assert caught.value.status == 400


@pytest.mark.parametrize("byte", [byte for byte in range(256) if byte not in b"\r\n"])
def test_every_byte_of_an_extension(byte):
    wire = b"1;" + bytes([byte]) + b"\r\nx\r\n" + END
    if byte == 0x7F or (byte < 0x20 and byte != 0x09):
        with pytest.raises(RemoteProtocolError):
            fed(wire)
    else:
        assert fed(wire)[1] == b"x"


@pytest.mark.parametrize(
    "wire",
    [b"5\r\nhello!", b"5\r\nhello\n", b"5\r\nhello\rx", b"1\r\nx\n", b"5\nhello", b"5;a\n",
     b"0\n\n", b"0\r\n\n", b"0\r\nX\r\n\r\n", b"0\r\nX : y\r\n\r\n", b"0\r\nX: y\r\n z\r\n\r\n",
     b"0\r\nX: \x00\r\n\r\n", b"0\r\n: y\r\n\r\n", b"0\r\nX: y\nZ: a\r\n\r\n",
     b"0\r\nX: a\rb\r\n\r\n"],
)  # fmt: skip
@pytest.mark.parametrize("sizes", [(1 << 30,), (1,)])
def test_malformed_framing_is_refused(wire, sizes):
    with pytest.raises(RemoteProtocolError) as caught:
        fed(wire, sizes)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "wire", [b"", b"5", b"5\r", b"5\r\nhel", b"5\r\nhello\r", b"0\r\nA: b\r\n"]
)
def test_more_is_awaited(wire):
    assert not fed(wire)[0].complete
