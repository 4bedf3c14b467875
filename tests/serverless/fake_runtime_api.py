"""A Runtime API on loopback, as the Lambda guide describes it: the peer of a runtime."""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from helpers.serving import PATIENCE
from tricorn.serverless import LambdaHandler, runtime

PREFIX = "/2018-06-01/runtime/"
DELIMITER = bytes(8)


@dataclass
class Post:
    """A request of the runtime, without the prefix of its path."""

    path: str
    headers: dict[str, str]
    body: bytes = b""
    chunks: list[bytes] = field(default_factory=list)
    trailers: dict[str, str] = field(default_factory=dict)
    #: The connection was closed behind it.
    closed: bool = False

    def json(self) -> Any:
        """The body, which is JSON."""
        return json.loads(self.body)


class FakeRuntimeAPI:
    """Gives the invocations that a test ``invoke``s and keeps what is posted.

    :param status: status of the answers to posts, by the last part of their path.
    """

    def __init__(self, **status: int) -> None:
        self.posts: queue.Queue[Post] = queue.Queue()
        self.chunks: queue.Queue[bytes] = queue.Queue()
        self.asked = queue.Queue[None]()  # one for each request for an event
        self.cut = threading.Event()  # streams are cut at their first chunk
        self.takes = threading.Event()  # streams are read
        self.takes.set()
        self.broken: queue.Queue[int] = queue.Queue()  # bytes of the chunk that streams ended in
        self._status = status
        self._events: queue.Queue[tuple[bytes, dict[str, str]] | None] = queue.Queue()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self._closed = False
        self._spawn(self._accept)

    @property
    def address(self) -> str:
        """``AWS_LAMBDA_RUNTIME_API``."""
        host, port = self._listener.getsockname()
        return f"{host}:{port}"

    def invoke(self, event: object, seconds: float = 10.0, **headers: str) -> None:
        """Have the runtime handle an event (text is sent as it is)."""
        payload = event if isinstance(event, str) else json.dumps(event)
        fields = {
            "Lambda-Runtime-Aws-Request-Id": "id-1",
            "Lambda-Runtime-Deadline-Ms": str(int((time.time() + seconds) * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-2:123456789012:"
            "function:custom-runtime",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        self._events.put((payload.encode(), fields))

    def post(self) -> Post:
        """The next request of the runtime but those for events."""
        return self.posts.get(timeout=PATIENCE)

    def close(self) -> None:
        """End: requests for events fail. A second time does nothing."""
        if self._closed:
            return
        self._closed = True
        self._events.put(None)
        # Closing alone does not wake a thread that waits in accept or recv.
        self._listener.shutdown(socket.SHUT_RDWR)
        for connection in self._sockets:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # closed already
        for thread in self._threads:
            thread.join(PATIENCE)
        self._listener.close()

    def _spawn(self, target: Any, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(connection)
            self._spawn(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(ConnectionError, BrokenPipeError):
            # A runtime that was ended, or a test that was.
            self._serve_requests(connection)

    def _serve_requests(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines:
            while request := lines.readline():
                method, path, version = request.decode("ascii").split()
                assert version == "HTTP/1.1"
                assert path.startswith(PREFIX)
                headers = _fields(lines)
                if method == "GET":
                    assert path == f"{PREFIX}invocation/next"
                    if not self._give_event(connection):
                        return
                    continue
                post = Post(path.removeprefix(PREFIX), headers)
                if headers.get("transfer-encoding") == "chunked":
                    if not self._read_chunks(post, lines):
                        return
                else:
                    post.body = lines.read(int(headers["content-length"]))
                status = self._status.get(path.rpartition("/")[2], 202)
                connection.sendall(f"HTTP/1.1 {status} x\r\ncontent-length: 2\r\n\r\n{{}}".encode())
                if post.chunks:
                    post.closed = lines.read(1) == b""
                self.posts.put(post)

    def _give_event(self, connection: socket.socket) -> bool:
        self.asked.put(None)
        given = self._events.get()
        if given is None:
            return False
        payload, fields = given
        lines = [f"{name}: {value}" for name, value in fields.items()]
        head = "\r\n".join(["HTTP/1.1 200 OK", f"content-length: {len(payload)}", *lines, "", ""])
        connection.sendall(head.encode("latin-1") + payload)
        return True

    def _read_chunks(self, post: Post, lines: BinaryIO) -> bool:
        self.takes.wait(PATIENCE)
        while size := int(lines.readline(), 16):
            data = lines.read(size)
            if len(data) < size:
                self.broken.put(len(data))
                return False
            assert lines.read(2) == b"\r\n"
            post.chunks.append(data)
            self.chunks.put(data)
            if self.cut.is_set():
                return False
        post.trailers = _fields(lines)
        post.body = b"".join(post.chunks)
        return True


def _fields(lines: BinaryIO) -> dict[str, str]:
    found = {}
    while line := lines.readline().strip():
        name, _, value = line.decode("latin-1").partition(":")
        found[name.lower()] = value.strip()
    return found


def prelude_and_body(data: bytes) -> tuple[dict[str, Any], bytes]:
    prelude, delimiter, rest = data.partition(DELIMITER)
    assert delimiter == DELIMITER
    return json.loads(prelude), rest


class Running:
    """A runtime in a thread."""

    def __init__(self, handler: LambdaHandler, api: FakeRuntimeAPI, **options: Any) -> None:
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(handler, api.address, options))
        self._thread.start()

    def _run(self, handler: LambdaHandler, address: str, options: dict[str, Any]) -> None:
        try:
            runtime.run(handler, address, **options)
        except BaseException as exc:
            self.error = exc

    def ended(self) -> BaseException | None:
        """Wait for its end: what it raised."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        return self.error
