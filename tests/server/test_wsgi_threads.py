"""WSGI threads on the wire: back-pressure, peers that leave, close, the pool, the end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any
from wsgiref.validate import validator

import anyio
import pytest
import sniffio

from helpers.clients import open_socket
from helpers.serving import Inbox, Records, eventually, settled
from helpers.site import Serving, Site
from helpers.wsgi import TEXT, App, Open, failing, has
from tricorn import Config
from tricorn.asgi.interface import adapt
from tricorn.exceptions import ClientDisconnected
from tricorn.types import Receive, Scope, Send

MIB = 2**20


@pytest.fixture
def wsgi(serving: Serving) -> Open:
    return Open(serving)


class Content:
    """An iterable with ``close`` that says what becomes of it."""

    def __init__(self, seen: Inbox, pieces: Iterator[bytes]) -> None:
        self._seen = seen
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def close(self) -> None:
        self._seen.put(("closed", threading.current_thread().name))


def closing(seen: Inbox, pieces: Callable[[], Iterator[bytes]]) -> App:
    def app(environ: dict[str, Any], start_response: Any) -> Content:
        start_response("200 OK", TEXT)
        return Content(seen, pieces())

    return app


def test_close_is_called_at_the_end(plain: Site) -> None:
    seen = Inbox()
    client = plain.open(closing(seen, lambda: iter([b"a", b"b"])))
    assert client.get("/").text == "ab"
    assert seen.take()[0] == "closed"
    assert client.get("/").text == "ab"
    name, thread = seen.take()
    assert name == "closed"
    assert thread.startswith("tricorn-wsgi-")
    assert seen.empty()


def test_the_peer_does_not_wait_for_close(serving: Serving) -> None:
    gate = threading.Event()

    class Slow(Content):
        def close(self) -> None:
            gate.wait(10)
            super().close()

    seen = Inbox()

    def app(environ: dict[str, Any], start_response: Any) -> Content:
        start_response("200 OK", TEXT)
        return Slow(seen, iter([b"x"]))

    served = serving(app)
    client = serving.connect(served)
    for _ in range(2):
        assert client.get("/").complete
    assert seen.empty()
    served.stop()  # and draining waits for it
    gate.set()
    served.wait()
    assert [seen.get_nowait()[0] for _ in range(2)] == ["closed", "closed"]


def test_close_is_called_when_the_iteration_raises(wsgi: Open, records: Records) -> None:
    def pieces() -> Iterator[bytes]:
        raise RuntimeError("no database")
        yield b"never"

    seen = Inbox()
    assert failing(wsgi, records, closing(seen, pieces)) == "no database"
    assert seen.take()[0] == "closed"


def test_an_exception_in_close_is_logged(wsgi: Open, records: Records) -> None:
    class Broken(Content):
        def close(self) -> None:
            raise RuntimeError("cannot close")

    def app(environ: dict[str, Any], start_response: Any) -> Content:
        start_response("200 OK", TEXT)
        return Broken(Inbox(), iter([b"x"]))

    records.expect("application failed")
    assert wsgi(app, validate=False).get("/").text == "x"
    eventually(lambda: any("application failed" in line for line in records.messages()))


def test_back_pressure(plain: Site) -> None:
    """A thread waits while its peer does not read."""
    made = [0]
    piece = b"x" * 16384

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        for _ in range(1024):
            made[0] += len(piece)
            yield piece

    plain.serve(validator(app), interface="wsgi")
    options = {"window": 65535, "credit": False} if plain.http2 else {}
    client = plain.connect(receive_buffer=65536, **options)
    stream = client.start()
    client.response(stream, lambda r: r.status > 0)
    count = settled(lambda: made[0])
    if plain.http2:
        # One window on the wire, high water twice behind it: the connection's and the thread's.
        assert 65535 <= count <= 65535 + 2 * 65536 + 3 * len(piece)
        return
    assert count < 8 * MIB
    response = client.response(stream)
    assert response.complete
    assert len(response.body) == made[0] == 16 * MIB


@pytest.mark.parametrize("protocol", ["h2"])
def test_a_peer_that_does_not_read_holds_up_nobody_else(plain: Site) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        for _ in range(64 if environ["PATH_INFO"] == "/large" else 1):
            yield b"x" * 16384

    plain.serve(validator(app), interface="wsgi")
    client = plain.connect(window=20000, credit=False)
    large = client.start("GET", "/large")
    client.response(large, lambda r: len(r.body) == 20000)
    assert client.get("/small").complete


@pytest.mark.parametrize("reads", [True, False])
def test_a_peer_that_leaves_ends_the_iteration(plain: Site, reads: bool) -> None:
    """``close`` is called, whether the thread is at work or waits for the peer to read."""
    seen = Inbox()
    stop = threading.Event()

    def pieces() -> Iterator[bytes]:
        try:
            while not stop.is_set():
                yield b"x" * (100 if reads else 65536)
                if reads:
                    stop.wait(0.001)
        finally:
            seen.put("ended")

    plain.serve(closing(seen, pieces))
    client = plain.connect()
    stream = client.start()
    client.response(stream, lambda r: len(r.body) > 0)
    client.leave(stream)
    try:
        assert seen.take()[0] == "closed"
    finally:
        stop.set()


def test_write_to_a_peer_that_left_is_an_oserror(plain: Site) -> None:
    seen = Inbox()
    gate = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        write = start_response("200 OK", TEXT)
        write(b"x")
        gate.wait(10)
        try:
            for _ in range(10_000):
                write(b"x" * 1000)
        except OSError as exc:
            seen.put(exc)
            raise
        return []

    client = plain.open(app)
    stream = client.start()
    client.response(stream, has(b"x"))
    client.leave(stream)
    gate.set()
    assert isinstance(seen.take(), ClientDisconnected)


def test_an_error_of_its_own_is_told_although_the_peer_left(plain: Site, records: Records) -> None:
    """What comes of the disconnect is no failure; what comes after it is."""
    records.expect("application failed", "close() of a WSGI response failed")
    gate = threading.Event()

    class Broken(Content):
        def close(self) -> None:
            raise RuntimeError("cannot close")

    def pieces() -> Iterator[bytes]:
        yield b"x"
        gate.wait(10)
        while True:
            yield b"x" * 65536

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        write = start_response("200 OK", TEXT)
        if environ["PATH_INFO"] == "/close":
            return Broken(Inbox(), pieces())
        write(b"x")
        gate.wait(10)
        try:
            while True:
                write(b"x" * 65536)
        except OSError:
            pass
        raise RuntimeError("in the clean-up")

    plain.serve(app)
    for path in ("/write", "/close"):
        client = plain.connect()
        stream = client.start("GET", path)
        client.response(stream, has(b"x"))
        client.leave(stream)
    gate.set()
    told: set[str] = set()

    def both() -> bool:
        told.update(str(r.exc_info[1]) for r in records.records if r.exc_info)
        return len(told) == 2

    eventually(both, "both errors in the log")
    assert told == {"in the clean-up", "cannot close"}


def test_a_cancelled_request_frees_its_task(plain: Site, records: Records) -> None:
    """An application that does not look is left behind once its peer is long gone."""
    seen = Inbox()
    gate = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        yield b"x"
        seen.put("computing")
        gate.wait(10)
        try:
            yield b"never"
        finally:
            seen.put("closed")

    plain.serve(app, disconnect_grace=0.05)
    client = plain.connect()
    stream = client.start()
    client.response(stream, has(b"x"))
    assert seen.take() == "computing"
    client.close()
    plain.served.stop()
    plain.served.wait()  # although the thread still runs
    assert seen.empty()
    gate.set()
    assert seen.take() == "closed"


def test_a_thread_left_behind_ends_when_it_next_writes(plain: Site) -> None:
    """Its peer left, then its task was cancelled waiting for it."""
    seen, ended = Inbox(), Inbox()
    first, second = threading.Event(), threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        write = start_response("200 OK", TEXT)
        write(b"x")
        first.wait(10)
        try:
            while True:
                write(b"x" * 65536)
        except OSError:
            second.wait(10)
        try:
            for _ in range(3):
                write(b"x" * 65536)
        except OSError as exc:
            seen.put(exc)
        return []

    adapted = adapt(app, "wsgi", Config())

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await adapted(scope, receive, send)
        finally:
            ended.put(scope["path"])

    plain.serve(outer, disconnect_grace=0.02)
    client = plain.connect()
    stream = client.start()
    client.response(stream, has(b"x"))
    client.leave(stream)
    first.set()
    ended.take()
    second.set()
    assert isinstance(seen.take(), ClientDisconnected)


def test_shutdown_leaves_a_hanging_application_behind(serving: Serving, records: Records) -> None:
    records.expect("still open after graceful_timeout", "1 WSGI requests are still running")
    seen = Inbox()
    gate = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.put("hanging")
        gate.wait(10)
        start_response("200 OK", TEXT)
        seen.put("done")
        return [b"x"]

    served = serving(app, graceful_timeout=0.1, lifespan="auto")
    client = serving.connect(served)
    client.start()
    assert seen.take() == "hanging"
    served.stop()
    served.wait()
    assert any("still running" in line for line in records.messages())
    gate.set()
    assert seen.take() == "done"


def test_a_drain_lets_a_request_end(serving: Serving) -> None:
    seen = Inbox()
    gate = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.put("working")
        gate.wait(10)
        start_response("200 OK", TEXT)
        return [b"done"]

    served = serving(app)
    client = serving.connect(served)
    stream = client.start()
    assert seen.take() == "working"
    served.stop()
    gate.set()
    assert client.response(stream).text == "done"
    client.close()
    served.wait()


def test_pool_size(serving: Serving) -> None:
    """So many requests run at a time; the others wait, and are answered too."""
    running: set[str] = set()
    most = 0
    lock = threading.Lock()
    seen = Inbox()
    gate = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        nonlocal most
        with lock:
            running.add(environ["PATH_INFO"])
            most = max(most, len(running))
        seen.put(environ["PATH_INFO"])
        gate.wait(10)
        with lock:
            running.remove(environ["PATH_INFO"])
        start_response("200 OK", TEXT)
        return [environ["PATH_INFO"].encode()]

    served = serving(app, wsgi_threads=2)
    clients = [serving.connect(served) for _ in range(5)]
    streams = [client.start("GET", f"/{n}") for n, client in enumerate(clients)]
    seen.take()
    seen.take()
    settled(lambda: most)
    assert most == 2
    gate.set()
    for number, (client, stream) in enumerate(zip(clients, streams, strict=True)):
        assert client.response(stream).text == f"/{number}"
    assert most == 2


def test_an_abandoned_request_is_not_run(serving: Serving) -> None:
    """A peer that left while its request waited for a thread costs none."""
    seen = Inbox()
    gate = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.put(environ["PATH_INFO"])
        gate.wait(10)
        start_response("200 OK", TEXT)
        return [b"x"]

    adapted = adapt(app, "wsgi", Config(wsgi_threads=1))
    ended = Inbox()

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await adapted(scope, receive, send)
        finally:
            ended.put(scope["path"])

    served = serving(outer, disconnect_grace=0.02)
    first = serving.connect(served)
    stream = first.start("GET", "/first")
    assert seen.take() == "/first"
    gone = serving.connect(served)
    gone.start("GET", "/gone")
    gone.close()
    assert ended.take() == "/gone"
    gate.set()
    assert first.response(stream).complete
    assert first.get("/after").complete
    assert seen.take() == "/after"


def test_nor_is_it_within_the_grace(plain: Site) -> None:
    """Though its task, which waits for the thread, has not been cancelled."""
    seen = Inbox()
    gate = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.put(environ["PATH_INFO"])
        if environ["PATH_INFO"] == "/first":
            gate.wait(10)
        start_response("200 OK", TEXT)
        return [b"x"]

    adapted = adapt(app, "wsgi", Config(wsgi_threads=1))
    exchanges: dict[str, Any] = {}
    ended = Inbox()

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        exchanges[scope["path"]] = receive.__self__  # type: ignore[attr-defined]
        try:
            await adapted(scope, receive, send)
        except BaseException as exc:
            ended.put(type(exc))
            raise

    plain.serve(outer, disconnect_grace=None)
    first = plain.connect()
    stream = first.start("GET", "/first")
    assert seen.take() == "/first"
    leaving = plain.connect()
    gone = leaving.start("GET", "/gone")
    eventually(lambda: "/gone" in exchanges)
    last = plain.connect()
    behind = last.start("GET", "/behind")
    eventually(lambda: "/behind" in exchanges)
    leaving.leave(gone)
    eventually(lambda: exchanges["/gone"].abandoned)
    gate.set()
    assert first.response(stream).complete
    assert last.response(behind).complete
    assert seen.take() == "/behind"
    assert ended.take() is ClientDisconnected


def test_a_peer_that_has_said_all_it_has_to_say_is_answered(serving: Serving) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", TEXT)
        return [b"answer"]

    served = serving(app)
    with open_socket(served.address) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        sock.shutdown(1)
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert b"answer" in answer


def test_an_application_may_run_an_event_loop(wsgi: Open) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", TEXT)
        return [anyio.run(library).encode()]

    async def library() -> str:
        return sniffio.current_async_library()

    assert wsgi(app).get("/").text == "asyncio"
