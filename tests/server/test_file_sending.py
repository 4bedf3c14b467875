"""``http.response.pathsend`` and ``http.response.zerocopysend`` on every wire."""

from __future__ import annotations

import errno
import os
import random
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import anyio
import pytest

from helpers.apps import body, reply, start
from helpers.clients import Response
from helpers.serving import Inbox, Records, eventually, settled
from helpers.site import Site
from tricorn.exceptions import ClientDisconnected, FileUnavailable, InvalidMessage
from tricorn.types import Receive, Scope, Send

SIZE = 3_000_003
SMALL = 10_000  # below low water


@pytest.fixture(scope="session")
def content() -> bytes:
    return random.Random(1).randbytes(SIZE)


@pytest.fixture(scope="session")
def path(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "data.bin"
    path.write_bytes(content)
    return path


class FileApp:
    """Sends what ``messages`` tells behind a response start; notes what ``send`` raised."""

    def __init__(self, *messages: dict[str, Any], headers: Any = (), trailers: bool = False):
        self.messages = messages
        self.headers = headers
        self.trailers = trailers
        self.raised = Inbox()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send(
                {
                    "type": "http.response.start",
                    "status": 200,
                    "headers": self.headers,
                    "trailers": self.trailers,
                }
            )
            for message in self.messages:
                await send(message)
        except (OSError, FileUnavailable, InvalidMessage) as exc:
            self.raised.put(exc)
            raise
        self.raised.put(None)


def pathsend(path: object) -> dict[str, Any]:
    return {"type": "http.response.pathsend", "path": str(path)}


def zerocopy(file: BinaryIO | int, **keys: Any) -> dict[str, Any]:
    return {"type": "http.response.zerocopysend", "file": file, **keys}


def chunk(data: bytes, more: bool = True) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


@pytest.fixture
def sent_by_sendfile(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes that went by ``os.sendfile``, call by call; the call itself stays what it is."""
    sizes: list[int] = []
    sendfile = os.sendfile

    def counted(*args: Any) -> int:
        sent = sendfile(*args)
        sizes.append(sent)
        return sent

    monkeypatch.setattr(os, "sendfile", counted)
    return sizes


def sends_files(site: Site) -> bool:
    """Whether files go by ``os.sendfile``."""
    return not site.tls and not site.http2


def test_a_whole_file(site: Site, path: Path, content: bytes, sent_by_sendfile: list[int]) -> None:
    client = site.open(FileApp(pathsend(path)))
    for _ in range(2):  # the connection stays usable
        response = client.get("/")
        assert response.complete
        assert bytes(response.body) == content
        assert response.header(b"content-length") == b"%d" % SIZE
    direct = sends_files(site)
    # The last bytes may be here before the call that sent them has returned.
    eventually(lambda: sum(sent_by_sendfile) >= (2 * SIZE if direct else 0), "bytes by sendfile")
    assert sum(sent_by_sendfile) == (2 * SIZE if direct else 0)


def test_length_given_by_the_application(site: Site, path: Path, content: bytes) -> None:
    length = [(b"content-length", b"1000"), (b"content-type", b"x/y")]
    response = site.open(FileApp(pathsend(path), headers=length)).get("/")
    # The file has grown since: what was promised is sent.
    assert bytes(response.body) == content[:1000]
    assert response.header(b"content-type") == b"x/y"


@pytest.mark.parametrize("known", [False, True])
def test_pieces_mixed_with_bytes(site: Site, path: Path, content: bytes, known: bool) -> None:
    expected = b"<" + content[5:105] + b"|" + content[SIZE - 7 :] + content[:9] + b">"
    with path.open("rb") as file:
        file.seek(SIZE - 7)
        app = FileApp(
            chunk(b"<"),
            zerocopy(file, offset=5, count=100, more_body=True),
            chunk(b"|"),
            zerocopy(file, more_body=True),
            zerocopy(file, offset=0, count=9, more_body=True),
            chunk(b">", more=False),
            headers=[(b"content-length", b"%d" % len(expected))] if known else [],
        )
        response = site.open(app).get("/")
        assert app.raised.take() is None
        assert bytes(response.body) == expected
        assert file.tell() == SIZE  # without an offset the file moves on
    assert (response.header(b"content-length") is not None) is known


def test_last_piece_of_unknown_length_and_trailers(plain: Site, path: Path, content: bytes) -> None:
    end = {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]}
    with path.open("rb") as file:
        app = FileApp(chunk(b"a"), zerocopy(file, count=70_000), end, trailers=True)
        response = plain.open(app).get("/", [(b"te", b"trailers")])
    assert bytes(response.body) == b"a" + content[:70_000]
    assert response.trailers == [(b"x-sum", b"1")]


def test_head_and_empty_file(plain: Site, path: Path, tmp_path: Path) -> None:
    client = plain.open(FileApp(pathsend(path)))
    response = client.response(client.start("HEAD", "/"))
    assert (response.header(b"content-length"), response.body) == (b"%d" % SIZE, b"")
    (tmp_path / "empty").touch()
    response = plain.open(FileApp(pathsend(tmp_path / "empty"))).get("/")
    assert (response.complete, response.header(b"content-length")) == (True, b"0")


def test_http_1_0(plain: Site, path: Path, content: bytes) -> None:
    if plain.http2:
        return
    with path.open("rb") as file:
        client = plain.open(FileApp(zerocopy(file, more_body=True), chunk(b"!", more=False)))
        client.sock.sendall(b"GET / HTTP/1.0\r\n\r\n")  # type: ignore[attr-defined]
        answer = b"".join(iter(lambda: client.sock.recv(65536), b""))  # type: ignore[attr-defined]
    assert answer.partition(b"\r\n\r\n")[2] == content + b"!"


UNSENDABLE = ["gone", "directory", "pipe", "short", "empty", "closed", "write-only"]


@pytest.mark.parametrize("what", UNSENDABLE)
def test_files_that_cannot_be_sent(
    plain: Site, records: Records, path: Path, tmp_path: Path, what: str
) -> None:
    records.expect("application failed")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    closed = path.open("rb")
    closed.close()
    descriptor = os.open(path, os.O_WRONLY)
    message, headers = {
        "gone": (pathsend(tmp_path / "gone"), []),
        "directory": (pathsend(tmp_path), []),
        "pipe": (pathsend(fifo), []),
        "short": (pathsend(path), [(b"content-length", b"%d" % (SIZE + 1))]),
        "empty": (pathsend(""), []),
        "closed": (zerocopy(closed), []),
        "write-only": (zerocopy(descriptor), []),
    }[what]
    app = FileApp(message, headers=headers)
    response = plain.open(app).get("/")
    # Nothing had been sent: the peer gets an error page, not half a response.
    assert (response.status, response.complete) == (500, True)
    os.close(descriptor)
    raised = app.raised.take()
    assert isinstance(raised, InvalidMessage if what == "empty" else FileUnavailable)
    # An OSError would be taken for a lost client by frameworks.
    assert not isinstance(raised, OSError)


def test_a_file_that_shrinks_is_cut(plain: Site, records: Records, tmp_path: Path) -> None:
    records.expect("application failed", "shrank")
    target = tmp_path / "shrinking"
    with target.open("wb") as file:
        file.truncate(40_000_000)
    app = FileApp(pathsend(target))
    plain.serve(app)
    client = plain.connect(receive_buffer=262144)
    stream = client.start("GET", "/")
    response = client.response(stream, lambda response: len(response.body) > 0)
    os.truncate(target, 1_000_000)
    response = client.response(stream)
    assert response.cut
    assert not response.complete
    assert len(response.body) < 40_000_000
    assert isinstance(app.raised.take(), FileUnavailable)
    assert plain.connect().get("/").status == 200


@pytest.mark.parametrize("number", [errno.EIO, errno.EINVAL, errno.EBADMSG])
@pytest.mark.parametrize(("size", "good"), [(SIZE, 0), (SIZE, 1), (SMALL, 0)])
def test_a_file_that_cannot_be_read_is_no_client_that_left(
    site: Site,
    records: Records,
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: int,
    good: int,
    number: int,
) -> None:
    """As a broken disk does, a file system without sendfile, or a damaged one.

    Behind ``good`` pieces.
    """
    records.expect("application failed", "cannot read a file being sent")
    if size == SMALL:
        path = tmp_path / "small"
        path.write_bytes(bytes(SMALL))

    def breaking(function: Callable[..., Any]) -> Callable[..., Any]:
        calls = 0

        def call(*args: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls > good:
                raise OSError(number, os.strerror(number))
            return function(*args)

        return call

    for name in ("sendfile", "pread", "preadv"):
        monkeypatch.setattr(os, name, breaking(getattr(os, name)))
    app = FileApp(pathsend(path))
    client = site.open(app)
    response = client.get("/")
    client.close()
    direct = sends_files(site)
    assert response.cut is (good > 0 or direct)
    assert response.status == (200 if response.cut else 500)
    raised = app.raised.take()
    assert isinstance(raised, FileUnavailable)
    assert isinstance(raised.__cause__, OSError)
    assert raised.__cause__.errno == number
    site.served.stop()
    site.served.wait()
    said = records.messages()
    assert any("application failed: GET /" in text for text in said)
    assert any("is cut" in text for text in said) is direct


@pytest.mark.parametrize("before", ["bytes", "more bytes", "a file"])
def test_a_small_file_that_cannot_be_read_behind_what_waits(
    plain: Site,
    records: Records,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    before: str,
) -> None:
    """Its sender waits for the operating system to have it, however little that is."""
    records.expect("application failed", "cannot read a file being sent")
    if not sends_files(plain):
        return
    sendfile = os.sendfile

    def broken(out: int, file: int, *args: Any) -> int:
        if os.fstat(file).st_size == SMALL:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return sendfile(out, file, *args)

    monkeypatch.setattr(os, "sendfile", broken)
    small, large = tmp_path / "small", tmp_path / "large"
    for target, size in ((small, SMALL), (large, 40_000_000)):
        with target.open("wb") as file:
            file.truncate(size)
    waits = Inbox()
    raised = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        if before == "a file":
            with anyio.move_on_after(0.2), large.open("rb") as file:
                await send(zerocopy(file, more_body=True))
        else:
            await body(send, bytes(30_000_000), more=True)
        waits.put("behind")
        try:
            with small.open("rb") as file:
                await send(zerocopy(file))
        except FileUnavailable as exc:
            raised.put(exc)
            raise
        raised.put(None)

    # In the hands of the event loop, or where it takes no more in those of HTTP/1.1.
    high = 2**20 if before == "more bytes" else 2**26
    plain.serve(app, write_buffer_high=high, write_buffer_low=2**19)
    client = plain.connect(receive_buffer=262144)
    stream = client.start("GET", "/")
    if before != "more bytes":
        assert waits.take() == "behind"
    response = client.response(stream)
    assert not response.complete
    assert isinstance(raised.take(), FileUnavailable)


def test_no_descriptor_is_left_to_wait_for_the_reader_with(
    plain: Site, records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records.expect("application failed", "Too many open files")
    dup = os.dup

    def out_of_descriptors(descriptor: int) -> int:
        if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return dup(descriptor)

    monkeypatch.setattr(os, "dup", out_of_descriptors)
    target = tmp_path / "large"
    with target.open("wb") as file:
        file.truncate(40_000_000)
    app = FileApp(pathsend(target))
    plain.serve(app)
    client = plain.connect(receive_buffer=262144)
    response = client.response(client.start("GET", "/"))
    # Others wait with the descriptor that there is.
    cut = sends_files(plain) and plain.serving.backend != "trio"
    assert (response.cut, response.complete) == (cut, not cut)
    assert isinstance(app.raised.take(), FileUnavailable) is cut
    lines = [line for line in records.messages() if "Too many open files; the conn" in line]
    assert len(lines) == int(cut)


def test_a_reader_that_leaves(plain: Site, records: Records, tmp_path: Path) -> None:
    target = tmp_path / "large"
    with target.open("wb") as file:
        file.truncate(200_000_000)
    app = FileApp(pathsend(target))

    def leave() -> None:
        plain.serve(app)
        client = plain.connect(receive_buffer=262144)
        stream = client.start("GET", "/")
        client.response(stream, lambda response: len(response.body) > 100_000)
        client.leave(stream)
        client.close()
        assert isinstance(app.raised.take(), ClientDisconnected)
        plain.served.stop()
        plain.served.wait()

    leave()  # what the first makes for all of them stays open
    before = len(os.listdir("/proc/self/fd"))
    leave()
    eventually(lambda: len(os.listdir("/proc/self/fd")) <= before, "descriptors given back")
    assert not [text for text in records.messages() if "failed" in text]


@pytest.mark.long
@pytest.mark.parametrize("known", [False, True])
def test_a_piece_whose_send_is_cancelled_is_whole_or_cut(
    site: Site, tmp_path: Path, known: bool
) -> None:
    size = 40_000_000  # more than the buffers on the way hold
    target = tmp_path / "large"
    with target.open("wb") as file:
        file.truncate(size)
    gate = site.gate()
    returned = Inbox()

    async def send_piece(send: Send, file: BinaryIO) -> None:
        whole = False
        try:
            await send(zerocopy(file, more_body=True))
            whole = True
        finally:
            returned.put(whole)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/next":
            await reply(send, b"next")
            return
        await start(send, 200, [(b"content-length", b"%d" % size)] if known else [])
        async with anyio.create_task_group() as tasks:
            with target.open("rb") as file:
                tasks.start_soon(send_piece, send, file)
                await gate.wait()
            tasks.cancel_scope.cancel()
        await body(send)

    site.serve(app)
    client = site.connect(receive_buffer=262144)
    stream = client.start("GET", "/")
    client.response(stream, lambda response: len(response.body) > 0)
    gate.open()
    response = client.response(stream)
    # Writes that anyio makes for the sender are not interrupted.
    whole = returned.take() or sends_files(site)
    assert (response.complete, response.cut) == (whole, not whole)
    assert (len(response.body) == size) is whole
    if response.cut and not site.http2:
        client = site.connect()
    assert client.get("/next").text == "next"


@pytest.mark.long
def test_a_piece_ends_with_an_exchange_that_the_server_cuts(site: Site, tmp_path: Path) -> None:
    size = 200_000_000
    target = tmp_path / "large"
    with target.open("wb") as file:
        file.truncate(size)
    raised = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        with target.open("rb") as file:
            for message in (zerocopy(file, more_body=True), chunk(b"more"), chunk(b"", more=False)):
                try:
                    await send(message)
                except ClientDisconnected as exc:
                    raised.put(str(exc))
                else:
                    raised.put(None)

    site.serve(app, max_request_body_size=10)
    client = site.connect(receive_buffer=262144)
    stream = client.start("POST", "/", more=True)
    client.response(stream, lambda response: len(response.body) > 0)
    client.send(stream, b"x" * 11)
    response = client.response(stream)
    assert response.cut
    assert len(response.body) < size or sends_files(site)
    assert {raised.take() for _ in range(3)} == {"the exchange was ended by the server"}


@pytest.mark.long
def test_a_slow_reader_holds_the_sender(plain: Site, tmp_path: Path) -> None:
    target = tmp_path / "large"
    with target.open("wb") as file:
        file.truncate(40_000_000)

    progress = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal progress
        await start(send)
        with target.open("rb") as file:
            for _ in range(40):
                await send(zerocopy(file, count=1_000_000, more_body=True))
                progress += 1
        await body(send)

    plain.serve(app)
    client = plain.connect(receive_buffer=262144)
    stream = client.start("GET", "/")
    client.response(stream, lambda response: response.status == 200)
    assert settled(lambda: progress) < 20  # what kernel buffers hold on loopback
    response: Response = client.response(stream)
    assert len(response.body) == 40_000_000


def test_other_streams_go_on_beside_a_file(plain: Site, path: Path) -> None:
    if not plain.http2:
        return

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/file":
            await start(send)
            await send(pathsend(path))
        else:
            await reply(send, b"small")

    plain.serve(app)
    client = plain.connect(credit=False, window=1000)
    client.start("GET", "/file")
    assert client.get("/small").body == b"small"
