"""What is queued for the transport: pieces of bytes and of files, in order and bounded."""

from __future__ import annotations

import os

import pytest

from tricorn.protocol.flow import Buffer, FileRegion, WriteQueue


def region(count: int) -> FileRegion:
    return FileRegion(os.open(os.devnull, os.O_RDONLY), 0, count)


def queue_of(*pieces: bytes | int) -> WriteQueue:
    """Bytes, and for numbers pieces of a file of so many."""
    queue = WriteQueue()
    for piece in pieces:
        if isinstance(piece, bytes):
            queue.put(piece)
        else:
            queue.put_file(region(piece))
    return queue


def told(buffers: list[Buffer]) -> list[bytes | int]:
    return [len(b) if isinstance(b, FileRegion) else bytes(b) for b in buffers]


def test_bytes_that_fit_exactly_leave_nothing_of_themselves() -> None:
    queue = queue_of(b"ab", b"cd")
    assert told(queue.take(2)) == [b"ab"]
    assert told(queue.take(2)) == [b"cd"]
    assert queue.take(2) == []


def test_bytes_are_cut_at_the_limit() -> None:
    queue = queue_of(b"abc", b"de")
    assert told(queue.take(4)) == [b"abc", b"d"]
    assert queue.size == 1
    assert told(queue.take(4)) == [b"e"]


@pytest.mark.parametrize("files", [1, 2, 3])
def test_a_file_comes_alone_and_bytes_behind_it_as_ever(files: int) -> None:
    queue = queue_of(b"head", *[7] * files, b"tail")
    assert queue.size == 8 + 7 * files
    for expected in [[b"head"], *[[7]] * files, [b"tail"], []]:
        buffers = queue.take(100)
        assert told(buffers) == expected
    assert queue.size == 0


def test_bytes_before_a_file_are_cut_too() -> None:
    queue = queue_of(b"abc", 7)
    assert [told(queue.take(2)) for _ in range(3)] == [[b"ab"], [b"c"], [7]]


def test_a_file_sent_in_part_tells_the_rest() -> None:
    piece = region(10)
    piece.advance(4)
    assert (piece.offset, piece.count, len(piece)) == (4, 6, 6)
    descriptor = piece.fd
    piece.close()
    piece.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
