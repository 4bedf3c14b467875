"""How much is read from a connection at a time, and when again."""

from __future__ import annotations

import select
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from helpers.clients import HTTP1Client
from helpers.site import Serving
from tricorn.io import pacing
from tricorn.io.pacing import SlowLane, next_size
from tricorn.types import Message, Receive, Scope, Send

CHEAP, DEAR = 0.0001, 0.01


class TestSize:
    def test_what_is_cheap_is_read_in_larger_pieces(self) -> None:
        size, sizes = pacing.FIRST_READ, []
        while size < pacing.LARGEST_READ:
            size = next_size(size, True, CHEAP)
            sizes.append(size)
        assert sizes == [8192, 16384, 32768, 65536, 131072, 262144]
        assert next_size(size, True, CHEAP) == pacing.LARGEST_READ

    def test_a_read_that_was_not_full_says_nothing(self) -> None:
        assert next_size(8192, False, CHEAP) == 8192

    def test_what_is_dear_is_read_in_smaller_pieces(self) -> None:
        assert next_size(16384, True, DEAR) == 8192
        assert next_size(16384, False, DEAR) == 8192
        assert next_size(2048, True, DEAR) == 2048


class TestSlowLane:
    def test_one_goes_on_in_a_turn(self) -> None:
        turns: deque[Callable[[], object]] = deque()

        def soon(function: Callable[..., object], *args: Any) -> None:
            turns.append(lambda: function(*args))

        lane, gone = SlowLane(), []
        for name in "abc":
            lane.queue(lambda name=name: gone.append(name), soon)  # type: ignore[misc]
        seen = []
        while turns:
            turns.popleft()()
            seen.append("".join(gone))
            if seen == ["a"]:
                lane.queue(lambda: gone.append("a"), soon)
        assert seen == ["a", "ab", "abc", "abca"]

    def test_one_that_fails_does_not_stop_the_others(self) -> None:
        turns: deque[Callable[[], object]] = deque()
        lane, gone = SlowLane(), []

        def soon(function: Callable[..., object], *args: Any) -> None:
            turns.append(lambda: function(*args))

        def fail() -> None:
            raise OSError("no")

        lane.queue(fail, soon)
        lane.queue(lambda: gone.append("b"), soon)
        with pytest.raises(OSError, match=r"^no$"):
            turns.popleft()()
        turns.popleft()()
        assert gone == ["b"]
        assert not turns

    @pytest.mark.parametrize("backend", ["asyncio", "trio"])
    def test_tasks_go_on_in_order(self, backend: str) -> None:
        gone: list[int] = []

        async def main() -> None:
            lane = SlowLane()

            async def one(number: int) -> None:
                await lane.turn()
                gone.append(number)

            async with anyio.create_task_group() as tasks:
                for number in range(5):
                    tasks.start_soon(one, number)

        anyio.run(main, backend=backend)
        assert sorted(gone) == [0, 1, 2, 3, 4]


async def read(scope: Scope, receive: Receive, send: Send) -> None:
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    length = b"%d" % len(b"%d" % size)
    start = {"type": "http.response.start", "status": 200}
    await send(start | {"headers": [(b"content-length", length)]})
    await send({"type": "http.response.body", "body": b"%d" % size})


@pytest.mark.parametrize("tls", [False, True])
def test_a_large_upload_arrives_whole(serving: Serving, tls: bool) -> None:
    client = serving.connect(serving(read, tls=tls))
    size = 3_000_001
    length = [(b"content-length", b"%d" % size)]
    stream = client.start("POST", "/", length, more=True)
    client.send(stream, bytes(size), more=False)
    assert client.response(stream).text == str(size)


def test_one_byte_chunks_leave_the_others_their_turn(serving: Serving) -> None:
    """100,000 of them take long to take apart, in one go if they were let."""
    turns: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def counted() -> Message:
            message = await receive()
            turns.append(scope["path"])
            return message

        await read(scope, counted, send)

    served = serving(app)
    flooder, other = serving.connect(served), serving.connect(served)
    assert isinstance(flooder, HTTP1Client)
    assert other.get("/other").text == "0"
    stream = flooder.start("POST", "/flood", more=True)
    flood = b"1\r\nx\r\n" * 100_000 + b"0\r\n\r\n"
    sender = threading.Thread(target=flooder.sock.sendall, args=(flood,))
    sender.start()
    poll = select.poll()
    poll.register(flooder.sock, select.POLLIN)
    while not poll.poll(0):
        assert other.get("/other").text == "0"
    sender.join()
    assert flooder.response(stream).text == "100000"
    # Between any two pieces the loop has turned, and others could have been served.
    assert turns.count("/flood") >= 30
