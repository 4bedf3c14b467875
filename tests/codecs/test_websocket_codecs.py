"""The WebSocket codecs against RFC 6455 section 5 and RFC 7692, whole and in every cut."""

import itertools
import random
import struct
import tracemalloc
import zlib
from contextvars import ContextVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.codecs import present
from tricorn.codecs import choice
from tricorn.codecs.websocket_base import (
    BytesPiece,
    CloseFrame,
    DeflateParameters,
    ParseFailure,
    PingFrame,
    PongFrame,
    TextPiece,
)

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
RSV1, RSV2, RSV3 = 0x40, 0x20, 0x10
DEFLATE = DeflateParameters()

codec_under_test = ContextVar("codec_under_test")


@pytest.fixture(params=present("websocket"), autouse=True, scope="module")
def websocket_codec(request):
    """The codec that ``make_codec`` makes."""
    token = codec_under_test.set(request.param)
    yield request.param
    codec_under_test.reset(token)


def frame(opcode, payload=b"", *, fin=True, rsv=0, mask=b"\x37\xfa\x21\x3d", length=None):
    """A client's frame; ``length`` overrides the announced length."""
    length = len(payload) if length is None else length
    masked = 0x80 if mask else 0
    head = bytes([(0x80 if fin else 0) | rsv | opcode])
    if length < 126:
        head += bytes([masked | length])
    elif length < 65536:
        head += struct.pack("!BH", masked | 126, length)
    else:
        head += struct.pack("!BQ", masked | 127, length)
    if not mask:
        return head + payload
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


def unframe(data):
    """The (first byte, payload) pairs of a server's frames."""
    frames = []
    while data:
        first, length = data[0], data[1]
        assert not length & 0x80, "a server must not mask"
        start = 2
        if length == 126:
            (length,) = struct.unpack_from("!H", data, 2)
            assert length > 125
            start = 4
        elif length == 127:
            (length,) = struct.unpack_from("!Q", data, 2)
            assert length > 65535
            start = 10
        assert len(data) >= start + length
        frames.append((first, data[start : start + length]))
        data = data[start + length :]
    return frames


def close_payload(code, reason=b""):
    return struct.pack("!H", code) + reason


def deflate(data, *, wbits=-15, compressor=None):
    compressor = compressor or zlib.compressobj(wbits=wbits)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def make_codec(deflate_parameters=None, **limits):
    sizes = {"max_message_size": 1 << 20, "max_frame_size": 1 << 20, "max_fragments": 64}
    factory = choice.websocket(codec_under_test.get())
    return factory(**(sizes | limits), deflate=deflate_parameters)


def parse(codec, chunks):
    """Whole messages, control frames and the end, whatever pieces they came in."""
    result, parts = [], []
    for chunk in chunks:
        for event in codec.receive_data(chunk):
            if isinstance(event, str | bytes):
                assert not parts, "a message inside another"
                result.append(event)
                continue
            if isinstance(event, TextPiece | BytesPiece):
                assert parts or not event.finished, "a whole message is no piece"
                parts.append(event.data)
                if event.finished:
                    result.append(type(parts[0])().join(parts))
                    parts = []
                continue
            if isinstance(event, ParseFailure):
                assert event.reason
                result.append(("failure", event.code))
                return result
            result.append(event)
            if isinstance(event, CloseFrame):
                return result
    return result


def cut(data, positions):
    edges = [0, *sorted(positions), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


VALID = {
    "text": (frame(TEXT, "héllo".encode()), ["héllo"]),
    "empty text": (frame(TEXT), [""]),
    "empty binary": (frame(BINARY), [b""]),
    "length in two bytes": (frame(BINARY, b"x" * 126), [b"x" * 126]),
    "length in eight bytes": (frame(BINARY, b"y" * 65536), [b"y" * 65536]),
    "mask of zeros": (frame(TEXT, b"abc", mask=b"\0\0\0\0"), ["abc"]),
    "fragments cut inside a character": (
        frame(TEXT, b"\xce", fin=False) + frame(CONT, b"\xba", fin=False) + frame(CONT),
        ["κ"],
    ),
    "ping between fragments": (
        frame(BINARY, b"a", fin=False) + frame(PING, b"p") + frame(CONT, b"b"),
        [PingFrame(b"p"), b"ab"],
    ),
    "pong": (frame(PONG, b"x" * 125), [PongFrame(b"x" * 125)]),
    "messages after each other": (frame(TEXT, b"a") + frame(BINARY, b"b"), ["a", b"b"]),
    "close without a code": (frame(CLOSE) + frame(TEXT, b"late"), [CloseFrame(None, "")]),
    "close with a reason": (
        frame(CLOSE, close_payload(4321, "adiós".encode())),
        [CloseFrame(4321, "adiós")],
    ),
}

BROKEN = {
    "RSV1 without deflate": (frame(TEXT, b"a", rsv=RSV1), 1002),
    "RSV2": (frame(TEXT, b"a", rsv=RSV2), 1002),
    "RSV3": (frame(BINARY, b"a", rsv=RSV3), 1002),
    "RSV1 on a ping": (frame(PING, b"a", rsv=RSV1), 1002),
    "opcode 3": (frame(3, b"a"), 1002),
    "opcode 15": (frame(15, b"a"), 1002),
    "unmasked": (frame(TEXT, b"a", mask=None), 1002),
    "fragmented ping": (frame(PING, b"a", fin=False), 1002),
    "ping of 126 bytes": (frame(PING, b"x" * 126), 1002),
    "two bytes for a short length": (b"\x82\xfe\x00\x7d" + bytes(4 + 125), 1002),
    "eight bytes for a short length": (b"\x82\xff" + struct.pack("!Q", 65535) + bytes(4), 1002),
    "length with its highest bit": (b"\x82\xff\x80" + bytes(7) + bytes(4), 1002),
    "continuation first": (frame(CONT, b"a"), 1002),
    "continuation after a message": (frame(TEXT, b"a") + frame(CONT, b"b"), 1002),
    "text inside a fragmented message": (frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"), 1002),
    "close of one byte": (frame(CLOSE, b"\x03"), 1002),
    "close reason not UTF-8": (frame(CLOSE, close_payload(1000, b"\xff")), 1007),
    "close reason not UTF-8, 1014": (frame(CLOSE, close_payload(1014, b"\xff")), 1007),
    "text not UTF-8": (frame(TEXT, b"\xff"), 1007),
    "text with a surrogate": (frame(TEXT, b"\xed\xa0\x80"), 1007),
    "text ends inside a character": (frame(TEXT, b"\xce"), 1007),
    "frame over the limit": (frame(BINARY, b"x" * ((1 << 20) + 1)), 1009),
    "fragments over the limit": (
        frame(BINARY, b"x" * (1 << 19), fin=False) + frame(CONT, b"x" * ((1 << 19) + 1)),
        1009,
    ),
    "too many fragments": (frame(TEXT, fin=False) + 64 * frame(CONT, fin=False), 1008),
}


@pytest.mark.parametrize(("wire", "expected"), VALID.values(), ids=VALID)
def test_valid_frames(wire, expected):
    assert parse(make_codec(), [wire]) == expected
    assert parse(make_codec(), [wire[i : i + 1] for i in range(len(wire))]) == expected


@pytest.mark.parametrize(("wire", "code"), BROKEN.values(), ids=BROKEN)
def test_broken_frames_end_in_one_failure(wire, code):
    assert parse(make_codec(), [wire])[-1] == ("failure", code)
    step = 1 if len(wire) < 5000 else 4093
    chunks = [wire[i : i + step] for i in range(0, len(wire), step)]
    assert parse(make_codec(), chunks)[-1] == ("failure", code)


SMALL = [wire for wire, _ in [*VALID.values(), *BROKEN.values()] if len(wire) < 1000]


@given(st.lists(st.sampled_from(SMALL), min_size=1, max_size=6), st.data())
def test_any_cut_gives_the_same(wires, data):
    wire = b"".join(wires)
    positions = data.draw(st.lists(st.integers(0, len(wire)), max_size=12))
    assert parse(make_codec(), cut(wire, positions)) == parse(make_codec(), [wire])


@given(st.lists(st.sampled_from(SMALL), min_size=1, max_size=4), st.data())
def test_mutations_never_raise_and_any_cut_gives_the_same(wires, data):
    wire = bytearray(b"".join(wires))
    for _ in range(data.draw(st.integers(1, 4))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    wire = bytes(wire)
    positions = data.draw(st.lists(st.integers(0, len(wire)), max_size=12))
    assert parse(make_codec(), cut(wire, positions)) == parse(make_codec(), [wire])


@given(st.binary(max_size=300), st.sampled_from([None, DEFLATE]))
def test_noise_never_raises(noise, parameters):
    parse(make_codec(parameters), [noise])


@pytest.mark.parametrize("code", [*range(1000, 1004), *range(1007, 1015), 3000, 3999, 4000, 4999])
def test_every_close_code_is_understood(code):
    assert parse(make_codec(), [frame(CLOSE, close_payload(code, b"why"))]) == [
        CloseFrame(code, "why")
    ]


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535])
def test_close_codes_that_may_not_be_sent_are_refused(code):
    assert parse(make_codec(), [frame(CLOSE, close_payload(code))]) == [("failure", 1002)]


@pytest.mark.parametrize("parameters", [None, DEFLATE])
def test_announced_length_over_the_frame_limit_fails_without_the_payload(parameters):
    codec = make_codec(parameters, max_frame_size=1000)
    assert parse(codec, [frame(BINARY, length=1001)]) == [("failure", 1009)]
    codec = make_codec(parameters, max_frame_size=1000)
    assert parse(codec, [frame(BINARY, length=1000)]) == []


def test_announced_length_over_what_is_left_of_the_message_fails_without_the_payload():
    begun = frame(BINARY, b"x" * 600, fin=False)
    assert parse(make_codec(max_message_size=1000), [begun + frame(CONT, length=401)]) == [
        ("failure", 1009)
    ]
    assert parse(make_codec(max_message_size=1000), [begun + frame(CONT, length=400)]) == []


def test_limits_are_those_of_one_message_not_of_the_connection():
    codec = make_codec(max_message_size=10, max_fragments=2)
    message = frame(BINARY, b"12345", fin=False) + frame(CONT, b"67890")
    assert parse(codec, [message * 50]) == [b"1234567890"] * 50


def test_a_message_inside_another_fails_at_its_header():
    codec = make_codec()
    assert parse(codec, [frame(TEXT, b"a", fin=False) + frame(TEXT, length=9)]) == [
        ("failure", 1002)
    ]


def test_invalid_text_fails_before_its_frame_is_complete():
    codec = make_codec()
    head = frame(TEXT, b"\xce\xba\xf4\x90", length=100)
    assert parse(codec, [head]) == [("failure", 1007)]


# RFC 7692 sections 7.2.3.1 to 7.2.3.6: each is the payload of "Hello".
RFC_HELLO = {
    "one block": "f248cdc9c90700",
    "a block without compression": "000500faff48656c6c6f00",
    "a block with BFINAL": "f348cdc9c9070000",
    "two blocks": "f248050000 00ffffcac9c90700",
    "BFINAL without the last byte": "f348cdc9c90700",
}


@pytest.mark.parametrize("hello", RFC_HELLO.values(), ids=RFC_HELLO)
def test_deflate_examples_of_the_rfc(hello):
    payload = bytes.fromhex(hello)
    wire = frame(TEXT, payload, rsv=RSV1) * 2 + frame(TEXT, b"plain")
    assert parse(make_codec(DEFLATE), [wire]) == ["Hello", "Hello", "plain"]
    assert parse(make_codec(DEFLATE), [wire[i : i + 1] for i in range(len(wire))]) == [
        "Hello",
        "Hello",
        "plain",
    ]


def test_data_after_a_final_block_belongs_to_the_message():
    final = zlib.compressobj(wbits=-15)
    payload = final.compress(b"Hel") + final.flush() + deflate(b"lo")
    wire = frame(TEXT, payload, rsv=RSV1) + frame(TEXT, deflate(b"more"), rsv=RSV1)
    assert parse(make_codec(DEFLATE), [wire]) == ["Hello", "more"]


@pytest.mark.parametrize("wbits", range(9, 16))
def test_the_whole_window_is_used_and_no_more(wbits):
    # Noise, repeated at the largest distance a window of this size can reach (zlib keeps
    # 262 bytes of it for itself).
    noise = random.Random(wbits).randbytes((1 << wbits) - 262)
    message = noise + noise
    received = make_codec(DeflateParameters(client_max_window_bits=wbits))
    wire = frame(BINARY, deflate(message, wbits=-wbits), rsv=RSV1)
    assert parse(received, [wire]) == [message]
    codec = make_codec(DeflateParameters(server_max_window_bits=wbits))
    ((_, payload),) = unframe(codec.binary(message, True))
    inflater = zlib.decompressobj(wbits=-wbits)
    assert inflater.decompress(payload + b"\x00\x00\xff\xff") == message


@pytest.mark.parametrize("wbits", range(9, 15))
def test_nothing_beyond_the_agreed_window_is_referred_to(wbits):
    noise = random.Random(wbits).randbytes((1 << wbits) + 100)
    codec = make_codec(DeflateParameters(server_max_window_bits=wbits))
    ((_, rest),) = unframe(codec.binary(noise + noise, True))
    rest += b"\x00\x00\xff\xff"
    # In steps, so that zlib has to copy from its window and not from its output.
    inflater, message = zlib.decompressobj(wbits=-wbits), b""
    while piece := inflater.decompress(rest, 64):
        message += piece
        rest = inflater.unconsumed_tail
    assert message == noise + noise


def test_a_window_of_256_bytes_may_really_be_512():
    noise = random.Random(8).randbytes(500)
    wire = frame(BINARY, deflate(noise + noise, wbits=-10), rsv=RSV1)
    codec = make_codec(DeflateParameters(client_max_window_bits=8))
    assert parse(codec, [wire[i : i + 1] for i in range(len(wire))]) == [noise + noise]


def test_large_inflation_comes_in_pieces():
    codec = make_codec(DEFLATE, max_message_size=16 << 20)
    wire = frame(BINARY, deflate(bytes(16 << 20)), rsv=RSV1)
    sizes = [len(piece.data) for piece in codec.receive_data(wire)]
    assert sum(sizes) == 16 << 20
    assert max(sizes) <= 4096 * 1032


def test_deflate_with_the_window_shared_between_messages():
    first, second = bytes.fromhex("f248cdc9c90700"), bytes.fromhex("f200110000")
    wire = frame(TEXT, first, rsv=RSV1) + frame(TEXT, second, rsv=RSV1)
    assert parse(make_codec(DEFLATE), [wire]) == ["Hello", "Hello"]
    resets = DeflateParameters(client_no_context_takeover=True)
    assert parse(make_codec(resets), [wire]) == ["Hello", ("failure", 1007)]


def test_control_frames_between_compressed_fragments():
    payload = bytes.fromhex("f248cdc9c90700")
    wire = (
        frame(TEXT, payload[:3], fin=False, rsv=RSV1)
        + frame(PING, b"1")
        + frame(CONT, payload[3:], fin=False)
        + frame(PONG, b"2")
        + frame(CONT)
    )
    expected = [PingFrame(b"1"), PongFrame(b"2"), "Hello"]
    assert parse(make_codec(DEFLATE), [wire * 3]) == expected * 3


def test_rsv1_is_for_the_first_frame_of_a_message_only():
    wire = frame(TEXT, b"\xf2", fin=False, rsv=RSV1) + frame(CONT, b"\x48", rsv=RSV1)
    assert parse(make_codec(DEFLATE), [wire]) == [("failure", 1002)]
    assert parse(make_codec(DEFLATE), [frame(PING, rsv=RSV1)]) == [("failure", 1002)]


def test_invalid_deflate_data_fails():
    assert parse(make_codec(DEFLATE), [frame(BINARY, b"\xff" * 9, rsv=RSV1)]) == [("failure", 1007)]


def test_text_is_checked_after_inflation():
    wire = frame(TEXT, deflate(b"ok\xff"), rsv=RSV1)
    assert parse(make_codec(DEFLATE), [wire]) == [("failure", 1007)]


@pytest.mark.parametrize("chunk", [1 << 20, 4096, 100, 1])
def test_inflated_size_is_bounded_to_the_byte(chunk):
    for size, expected in ((5000, [b"0" * 5000]), (5001, [("failure", 1009)])):
        wire = frame(BINARY, deflate(b"0" * size), rsv=RSV1)
        codec = make_codec(DEFLATE, max_message_size=5000)
        chunks = [wire[i : i + chunk] for i in range(0, len(wire), chunk)]
        assert parse(codec, chunks) == expected


def test_inflated_size_counts_over_all_fragments():
    payload = deflate(b"0" * 5001)
    wire = b"".join(
        frame(BINARY if i == 0 else CONT, payload[i : i + 1], fin=False, rsv=0 if i else RSV1)
        for i in range(len(payload))
    )
    codec = make_codec(DEFLATE, max_message_size=5000)
    assert parse(codec, [wire + frame(CONT)]) == [("failure", 1009)]


def test_a_bomb_costs_its_limit_not_its_size():
    limit = 1 << 20
    wire = frame(BINARY, deflate(bytes(64 << 20)), rsv=RSV1)
    codec = make_codec(DEFLATE, max_message_size=limit)
    tracemalloc.start()
    try:
        events = parse(codec, [wire])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert events == [("failure", 1009)]
    assert peak < 8 * limit


@pytest.mark.parametrize("takeover", [True, False])
def test_behind_the_stop_compressed_messages_come_empty(takeover):
    parameters = DeflateParameters(client_no_context_takeover=not takeover)
    codec = make_codec(parameters)
    compressed = deflate("\u03ba\u03cc\u03c3\u03bc\u03b5".encode())
    bomb = deflate(bytes(64 << 20))

    def wires():
        # The message under way, cut in a character, goes on to its end.
        yield frame(TEXT, compressed[:2], rsv=RSV1, fin=False)
        codec.stop_inflating()
        yield frame(PING, b"p")
        yield frame(CONT, compressed[2:])
        yield frame(TEXT, b"no deflate data", rsv=RSV1)
        yield frame(BINARY, bomb, rsv=RSV1)
        yield frame(TEXT, b"plain")
        yield frame(CLOSE, close_payload(1000))

    tracemalloc.start()
    try:
        events = parse(codec, wires())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    end = CloseFrame(1000, "")
    assert events == [PingFrame(b"p"), "\u03ba\u03cc\u03c3\u03bc\u03b5", "", b"", "plain", end]
    assert peak < 1 << 20


def test_without_deflate_there_is_nothing_to_stop():
    codec = make_codec()
    codec.stop_inflating()
    assert parse(codec, [frame(TEXT, b"plain")]) == ["plain"]


def test_endless_final_blocks_are_only_as_long_as_the_message():
    wire = frame(BINARY, b"\x03\x00" * 5000 + b"\x00", rsv=RSV1)
    assert parse(make_codec(DEFLATE), [wire]) == [b""]


@given(
    st.lists(st.tuples(st.binary(max_size=400), st.booleans()), min_size=1, max_size=8),
    st.integers(9, 15),
    st.booleans(),
    st.data(),
)
def test_compressed_messages_in_any_fragments_and_cuts(messages, wbits, resets, data):
    codec = make_codec(
        DeflateParameters(client_max_window_bits=wbits, client_no_context_takeover=resets)
    )
    shared = zlib.compressobj(wbits=-wbits)
    wire, expected = b"", []
    for message, compressed in messages:
        compressor = zlib.compressobj(wbits=-wbits) if resets else shared
        payload = deflate(message, compressor=compressor) if compressed else message
        parts = cut(payload, data.draw(st.lists(st.integers(0, len(payload)), max_size=3)))
        for i, part in enumerate(parts):
            rsv = RSV1 if compressed and i == 0 else 0
            last = i == len(parts) - 1
            wire += frame(CONT if i else BINARY, part, fin=last, rsv=rsv)
            if not last:
                wire += frame(PING, b"between")
                expected.append(PingFrame(b"between"))
        expected.append(message)
    positions = data.draw(st.lists(st.integers(0, len(wire)), max_size=12))
    assert parse(codec, cut(wire, positions)) == expected


@given(
    st.lists(st.tuples(st.binary(max_size=400), st.booleans()), min_size=1, max_size=8),
    st.integers(9, 15),
    st.booleans(),
)
def test_sent_messages_inflate_in_the_agreed_window(messages, wbits, resets):
    codec = make_codec(
        DeflateParameters(server_max_window_bits=wbits, server_no_context_takeover=resets)
    )
    shared = zlib.decompressobj(wbits=-wbits)
    for message, compress in messages:
        ((first, payload),) = unframe(codec.binary(message, compress))
        assert first & ~RSV1 == 0x80 | BINARY
        assert bool(first & RSV1) == (compress and message != b"")
        if first & RSV1:
            inflater = zlib.decompressobj(wbits=-wbits) if resets else shared
            payload = inflater.decompress(payload + b"\x00\x00\xff\xff")
        assert payload == message


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 100_000])
def test_sent_frames(size):
    codec = make_codec()
    assert unframe(codec.text(b"t" * size, False)) == [(0x81, b"t" * size)]
    assert unframe(codec.binary(b"b" * size, True)) == [(0x82, b"b" * size)]


def test_sent_control_frames():
    codec = make_codec(DEFLATE)
    sent = codec.ping(b"1") + codec.pong(b"2") + codec.close(None, "") + codec.close(4000, "é")
    assert unframe(sent) == [
        (0x89, b"1"),
        (0x8A, b"2"),
        (0x88, b""),
        (0x88, close_payload(4000, "é".encode())),
    ]


def test_parsing_is_lazy():
    codec = make_codec()
    events = codec.receive_data(frame(TEXT, b"a") + frame(TEXT, b"b"))
    assert next(events) == "a"
    del events
    assert parse(codec, [b""]) == ["b"]


def test_bytes_of_an_iteration_that_was_left_are_not_lost():
    codec = make_codec()
    data = frame(TEXT, b"a") + frame(TEXT, b"b") + frame(PING, b"c")
    next(iter(codec.receive_data(data[:-2])))
    assert parse(codec, [data[-2:]]) == ["b", PingFrame(b"c")]


@pytest.mark.parametrize("text", ["", "ascii", "é", "\U0001f600", "x" * 200, "é" * 40_000])
def test_text_is_taken_as_str_and_as_utf_8(text):
    codec = make_codec()
    assert codec.text(text, False) == codec.text(text.encode(), False)
    assert unframe(codec.text(text, False)) == [(0x81, text.encode())]
    ((_, payload),) = unframe(make_codec(DEFLATE).text(text + "x", True))
    inflated = zlib.decompressobj(wbits=-15).decompress(payload + b"\x00\x00\xff\xff")
    assert inflated == (text + "x").encode()


@pytest.mark.parametrize("compress", [False, True])
def test_a_surrogate_raises(compress):
    codec = make_codec(DEFLATE)
    with pytest.raises(UnicodeEncodeError):
        codec.text("a\ud800", compress)


@pytest.mark.parametrize(
    ("limits", "wire", "limit"),
    [
        ({"max_frame_size": 5}, frame(BINARY, length=6), "max_frame_size"),
        ({"max_message_size": 5}, frame(BINARY, length=6), "max_message_size"),
        ({"max_fragments": 1}, frame(TEXT, fin=False) + frame(CONT), "max_fragments"),
        ({}, frame(3), None),
    ],
)
def test_a_failure_names_the_limit(limits, wire, limit):
    *_, failure = make_codec(**limits).receive_data(wire)
    assert failure.limit == limit


def test_a_compressed_message_over_its_limit_names_it():
    wire = frame(BINARY, deflate(bytes(5001)), rsv=RSV1)
    *_, failure = make_codec(DEFLATE, max_message_size=5000).receive_data(wire)
    assert (failure.code, failure.limit) == (1009, "max_message_size")


def test_limits_beyond_a_machine_word_are_none():
    huge = 1 << 80
    codec = make_codec(max_message_size=huge, max_frame_size=huge, max_fragments=huge)
    assert parse(codec, [frame(BINARY, b"a", fin=False) + frame(CONT, b"b")]) == [b"ab"]
    assert parse(codec, [frame(BINARY, length=(1 << 63) - 1)]) == []


def test_a_character_in_four_fragments_with_a_ping_in_each_gap():
    smile = "\U0001f600".encode()
    wire = frame(TEXT, smile[:1], fin=False)
    for i in range(1, 4):
        wire += frame(PING) + frame(CONT, smile[i : i + 1], fin=i == 3)
    assert parse(make_codec(), [wire]) == [*[PingFrame(b"")] * 3, "\U0001f600"]


@pytest.mark.parametrize("size", [2044, 2045, 2046, 2047, 2048, 2049, 5000])
@pytest.mark.parametrize("start", [0, 1, 2, 3])
def test_text_of_any_length_behind_a_cut_character(size, start):
    """The compiled codec decodes short text and long text in different places."""
    text = "\U0001f600" + "y" * size
    data = text.encode()
    wire = frame(TEXT, data[:start], fin=False) + frame(CONT, data[start:])
    assert parse(make_codec(), [wire]) == [text]
