"""An exchange in memory: a real sans-IO connection, and the driver's part played by hand.

There is no event loop. The application's calls are stepped: they return, raise, or block.
"""

import weakref

import hpack
from playbook_http2 import PREFACE, SETTINGS_ACK, headers, read_frames, settings

from tricorn.asgi.host import WebSocketHost, Worker
from tricorn.asgi.http import HTTPStream
from tricorn.asgi.websocket import WebSocketStream
from tricorn.config import Config
from tricorn.protocol import negotiate
from tricorn.protocol.events import LimitReached, PeerFault, RequestReceived, StreamReset
from tricorn.protocol.http2_errors import CANCEL

BLOCKED = "blocked"


class MemoryWaiter:
    def __init__(self):
        self.is_set = False

    def set(self):
        self.is_set = True

    def wait(self):
        return self

    def __await__(self):
        while not self.is_set:
            yield BLOCKED


def step(coroutine):
    """Run until it returns or blocks."""
    try:
        return coroutine.send(None)
    except StopIteration as stop:
        return stop.value


class MemoryHost(WebSocketHost):
    """The connection driver as exchanges see it."""

    can_send_file = False

    def __init__(self, http, config, **worker):
        self.worker = Worker(None, config, **worker)
        self.http = http
        self.client = ("192.0.2.1", 1234)
        self.server = ("192.0.2.2", 80)
        self.secure = False
        self.tls = None
        self.via = None
        self.output = b""
        self.streams = {}
        self.faults = []
        self.ended = []
        self.cuts = []
        self.in_flight = 0  # bytes that the peer has not taken
        self.logged = []
        self.waiters = weakref.WeakSet()
        self.full = None  # a waiter, where applications that send have to wait
        self.worker.access_log = self.logged.append

    def receive(self, data):
        """Bytes from the peer, to the streams they belong to."""
        self.dispatch(self.http.receive_data(data))
        self.flush()

    def leave(self):
        """The peer closes the connection."""
        self.dispatch(self.http.receive_eof())
        for stream_id, stream in self.streams.items():
            stream.feed(StreamReset(stream_id))

    def dispatch(self, events):
        for event in events:
            if type(event) is RequestReceived:
                kind = HTTPStream if event.protocol is None else WebSocketStream
                self.streams[event.stream_id] = kind(self, event)
            elif type(event) is PeerFault:
                self.report(event)
            elif type(event) is LimitReached:
                self.worker.counters.limit(event.limit)
            elif event.stream_id in self.streams:
                self.streams[event.stream_id].feed(event)

    def report(self, fault):
        self.faults.append(fault)

    def flush(self, stream_id=0):
        while True:
            while buffers := self.http.data_to_send():
                self.output += b"".join(map(bytes, buffers))
            if not self.http.has_events:
                return self.full if stream_id else None
            self.dispatch(self.http.take_events())

    def consumed(self, stream_id, n):
        self.http.consumed(stream_id, n)
        self.flush()

    def open_tunnel(self, take):
        """Bytes go on through the connection below, as they do on HTTP/2."""

    def write(self, stream_id, data, more):
        self.http.send_data(stream_id, data)
        return self.flush(stream_id)

    def cut(self, stream_id):
        self.cuts.append(stream_id)
        self.http.reset(stream_id, CANCEL)

    def untaken(self, stream_id):
        return self.http.buffered(stream_id) + self.in_flight

    def taken(self):
        """The output since the last look."""
        self.flush()
        output, self.output = self.output, b""
        return output

    async def turn(self):
        pass

    def released(self, stream_id):
        """No task runs here."""

    def end_application(self, stream_id):
        self.ended.append(stream_id)

    def waiter(self):
        waiter = MemoryWaiter()
        self.waiters.add(waiter)
        return waiter


QUIET = {"include_date_header": False, "include_server_header": False}


def http1_host(data, **options):
    """An HTTP/1.1 connection that has received ``data``."""
    config = Config(**{**QUIET, **options})
    host = MemoryHost(negotiate.http1(config), config)
    host.receive(data)
    return host


def request(method=b"GET", *fields, version=b"1.1", body=b""):
    lines = [method + b" / HTTP/" + version, b"host: a", *fields, b"", b""]
    return b"\r\n".join(lines) + body


def http1_stream(*args, options=None, **kwargs):
    """The first exchange of an HTTP/1.1 connection."""
    return http1_host(request(*args, **kwargs), **(options or {})).streams[1]


class HTTP2Host(MemoryHost):
    def __init__(self, **options):
        config = Config(**{**QUIET, **options})
        super().__init__(negotiate.http2(config, secure=False), config)
        self.http.initiate()
        self.decoder = hpack.Decoder()
        self.receive(PREFACE + settings() + SETTINGS_ACK)
        self.taken_frames()

    def taken_frames(self):
        frames = read_frames(self.taken(), self.decoder)
        return [frame for frame in frames if frame[0] != "WINDOW_UPDATE"]


def http2_stream(*args, options=None, **kwargs):
    """Stream 1 of an HTTP/2 connection."""
    host = HTTP2Host(**(options or {}))
    host.receive(headers(1, *args, **kwargs))
    return host.streams[1]


def send(stream, **message):
    """One message of the application; its keys with dots stand in ``type``."""
    return step(stream.send(message))


def receive(stream):
    return step(stream.receive())


class Cancelled(BaseException):
    """As the event loops' own."""


def give_up(waiting):
    """Cancel a ``receive`` that waits."""
    try:
        waiting.throw(Cancelled())
    except Cancelled:
        return
    raise AssertionError("the cancellation was swallowed")
