"""Files that are sent piece by piece: what a send leaves behind that does not come to its end."""

import tempfile

import pytest
from asgi_host import (  # fmt: skip
    BLOCKED,
    MemoryWaiter,
    give_up,
    http1_stream,
    http2_stream,
    send,
    step,
)

from tricorn.asgi import files
from tricorn.counters import CUT_ABORTED
from tricorn.exceptions import FileUnavailable, InvalidMessage

SIZE = 3000


@pytest.fixture(params=[http1_stream, http2_stream])
def stream(request):
    return request.param()


@pytest.fixture
def file(monkeypatch):
    monkeypatch.setattr(files, "PIECE", SIZE // 3)
    with tempfile.TemporaryFile() as file:
        file.write(b"F" * SIZE)
        file.flush()
        yield file


@pytest.fixture
def unread(monkeypatch):
    """Every look at a file waits for the disk."""
    waiter = MemoryWaiter()

    async def read_piece(region):
        await waiter
        return b""

    monkeypatch.setattr(files, "read_piece", read_piece)
    return waiter


def begin(stream, length=None):
    fields = [] if length is None else [(b"content-length", b"%d" % length)]
    send(stream, type="http.response.start", status=200, headers=fields)


def copy(stream, file, *, more):
    """A send of the whole file that waits."""
    message = {"type": "http.response.zerocopysend", "file": file, "offset": 0, "more_body": more}
    sending = stream.send(message)
    assert sending.send(None) is BLOCKED
    return sending


def body(stream):
    """What has left of the response's body, and whether it was ended."""
    host = stream.host
    if host.http.http_version == "2":
        frames = [frame for frame in host.taken_frames() if frame[0] == "DATA"]
        return b"".join(frame[2] for frame in frames), bool(frames) and frames[-1][3]
    head, _, content = host.taken().partition(b"\r\n\r\n")
    length = b"content-length: %d" % len(content)
    return content, length in head


def is_cut(stream):
    host = stream.host
    if host.http.http_version == "2":
        return host.taken_frames()[-1] == ("RST_STREAM", 1, 2)
    return host.http.closing


@pytest.mark.parametrize("more", [False, True])
@pytest.mark.parametrize("length", [None, SIZE])
def test_a_copy_that_is_given_up_half_way_cuts_the_response(stream, file, length, more):
    begin(stream, length)
    stream.host.full = MemoryWaiter()
    give_up(copy(stream, file, more=more))
    assert stream.complete
    assert is_cut(stream)
    stream.host.taken()
    send(stream, type="http.response.body")
    assert stream.host.taken() == b""
    assert stream.host.worker.counters.own(CUT_ABORTED) == 1


def test_a_copy_that_is_given_up_behind_its_last_piece_is_whole(stream, file):
    begin(stream)
    stream.host.full = MemoryWaiter()
    file.truncate(5)
    give_up(copy(stream, file, more=False))
    assert body(stream) == (b"FFFFF", True)
    assert not stream.host.http.closing


@pytest.mark.parametrize("more", [False, True])
@pytest.mark.parametrize("length", [None, SIZE])
def test_a_copy_that_is_given_up_before_its_first_piece_never_was(
    stream, file, unread, length, more
):
    begin(stream, length)
    give_up(copy(stream, file, more=more))
    content = b"F" * (5 if length is None else length)
    send(stream, type="http.response.body", body=content)
    assert body(stream) == (content, True)


def test_nothing_comes_between_while_the_first_piece_is_read(stream, file, unread):
    begin(stream)
    sending = copy(stream, file, more=False)
    with pytest.raises(InvalidMessage):
        send(stream, type="http.response.body", body=b"x")
    unread.set()
    with pytest.raises(FileUnavailable, match="shrank"):
        step(sending)
    send(stream, type="http.response.body", body=b"other")
    assert body(stream) == (b"other", True)
