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
from playbook_http2 import POST, data

from tricorn.asgi import files
from tricorn.counters import CUT_ABORTED
from tricorn.exceptions import ClientDisconnected, FileUnavailable, InvalidMessage

SIZE = 3000


@pytest.fixture(params=[http1_stream, http2_stream])
def stream(request):
    return request.param()


@pytest.fixture(params=["http1", "http2"])
def upload(request):
    """An exchange whose request body may have ten bytes, and what brings eleven."""
    if request.param == "http1":
        stream, excess = http1_stream(b"POST", b"content-length: 20"), bytes(11)
    else:
        stream, excess = http2_stream(POST, end=False), data(1, bytes(11))
    stream.body_limit = 10
    return stream, excess


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


def test_the_last_piece_is_taken_though_the_peer_leaves(stream, file):
    """As a body is; what a framework does behind the response is done."""
    begin(stream)
    stream.host.full = MemoryWaiter()
    file.truncate(5)
    sending = copy(stream, file, more=False)
    stream.host.leave()
    with pytest.raises(StopIteration):
        sending.throw(ClientDisconnected("left"))
    assert not stream.disconnected


def test_a_piece_before_the_last_is_refused_where_the_peer_leaves(stream, file):
    begin(stream)
    stream.host.full = MemoryWaiter()
    file.truncate(5)
    sending = copy(stream, file, more=True)
    stream.host.leave()
    with pytest.raises(ClientDisconnected):
        sending.throw(ClientDisconnected("left"))


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


def ends_the_exchange(sending, stream):
    """The rest of the file is not read, and the application is told."""
    stream.host.full.set()
    stream.host.taken()
    with pytest.raises(ClientDisconnected, match="ended by the server"):
        step(sending)
    for message in ({"body": b"x", "more_body": True}, {"body": b""}):
        with pytest.raises(ClientDisconnected, match="ended by the server"):
            send(stream, type="http.response.body", **message)
    assert stream.complete
    assert stream.abandoned
    stream.finished(None)
    assert stream.host.taken() == b""


@pytest.mark.parametrize("more", [False, True])
def test_a_copy_ends_with_an_exchange_that_the_server_cuts(upload, file, more):
    stream, excess = upload
    begin(stream)
    stream.host.full = MemoryWaiter()
    sending = copy(stream, file, more=more)
    stream.host.receive(excess)
    assert is_cut(stream)
    ends_the_exchange(sending, stream)
    assert stream.host.worker.counters.own(CUT_ABORTED) == 1


@pytest.mark.parametrize("more", [False, True])
def test_a_copy_does_not_begin_behind_an_answer_of_the_server(upload, file, unread, more):
    stream, excess = upload
    begin(stream)
    sending = copy(stream, file, more=more)
    stream.host.full = unread
    stream.host.receive(excess)
    assert stream.status == 413
    ends_the_exchange(sending, stream)


def test_a_copy_ends_with_its_application(stream, file):
    """Whoever sends in a task of its own is told too."""
    begin(stream)
    stream.host.full = MemoryWaiter()
    sending = copy(stream, file, more=True)
    stream.finished(None)
    assert is_cut(stream)
    stream.host.taken()
    stream.host.full.set()
    with pytest.raises(ClientDisconnected):
        step(sending)
    assert stream.complete
    assert stream.host.taken() == b""
    assert stream.host.worker.counters.own(CUT_ABORTED) == 1
