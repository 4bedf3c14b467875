"""Clients of other people's making read what we wrote: h11, and h2 with all of its rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h11

from compliance.fuzzing import frames
from compliance.fuzzing.inputs import Choices
from compliance.fuzzing.websocket_wire import check_server_frames
from tricorn.protocol.events import RequestReceived

_UPGRADE = [("connection", "upgrade"), ("upgrade", "websocket")]


def check_http1_output(requests: Sequence[RequestReceived], output: bytes) -> None:
    """A client reads one response for each request, in order, and nothing else.

    The last one may be cut off by the end of the connection, and behind them there may be one
    refusal of bytes that are no request.
    """
    asked: list[RequestReceived | None] = [*requests, None]
    while output:
        assert asked, f"more responses than requests: {output[:80]!r}"
        request = asked.pop(0)
        method = request.method if request is not None else "GET"
        if not asked:
            assert output.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5")), f"unasked: {output[:80]!r}"
        rest = _one_response(method, request is not None and request.protocol is not None, output)
        if rest is None:
            return
        output = rest


def _one_response(method: str, upgrade: bool, output: bytes) -> bytes | None:
    """What follows one response; None where that was the last one."""
    client = h11.Connection(h11.CLIENT)
    headers = [("host", "a"), *(_UPGRADE if upgrade else [])]
    client.send(h11.Request(method=method, target="/", headers=headers))
    client.send(h11.EndOfMessage())
    client.receive_data(output)
    finals = 0
    closes = False
    while True:
        event = client.next_event()
        if isinstance(event, h11.Response):
            finals += 1
            closes = (b"connection", b"close") in event.headers
        if event is h11.NEED_DATA:
            return None  # cut off
        if client.their_state is h11.SWITCHED_PROTOCOL:
            return None
        if isinstance(event, h11.EndOfMessage):
            break
    assert finals == 1
    rest = bytes(client.trailing_data[0])
    assert not (closes and rest), f"bytes behind the last response: {rest[:80]!r}"
    return rest


class HTTP2Client:
    """A client that keeps every rule, and does anything else.

    :param wire: what it sends as content.
    :param window: of its streams (bytes).
    """

    def __init__(self, wire: bytes, window: int) -> None:
        config = h2.config.H2Configuration(client_side=True, header_encoding=None)
        self._h2 = h2.connection.H2Connection(config)
        # Set before anything else: h2 forgets to count what it changes later.
        self._h2.local_settings.initial_window_size = window
        self._h2.local_settings.acknowledge()
        self._h2.initiate_connection()
        self._wire = wire
        self._open: list[int] = []  # streams whose request goes on
        self._tunnels: dict[int, bytes] = {}
        self._deflated: dict[int, bool] = {}
        self.over = False

    def to_send(self) -> bytes:
        """Bytes for the server."""
        return bytes(self._h2.data_to_send())

    def read(self, output: bytes) -> None:
        """Take what the server wrote.

        :raises AssertionError: where a client cannot.
        """
        if self.over or not output:
            return
        for frame in frames.split_frames(output):
            try:
                events = self._h2.receive_data(frame)
            except h2.exceptions.ProtocolError as error:
                raise AssertionError(f"a client cannot read this: {error!r}") from error
            for event in events:
                self._note(event)
            if self.over:
                break  # h2 takes no frames behind GOAWAY

    def _note(self, event: Any) -> None:
        match event:
            case h2.events.ConnectionTerminated():
                self.over = True
            case h2.events.DataReceived():
                if event.stream_id in self._tunnels:
                    self._tunnels[event.stream_id] += event.data
                if event.flow_controlled_length:
                    self._h2.acknowledge_received_data(
                        event.flow_controlled_length, event.stream_id
                    )
            case h2.events.ResponseReceived():
                fields = dict(event.headers)
                if fields[b":status"] == b"200" and event.stream_id in self._deflated:
                    self._tunnels[event.stream_id] = b""
                    extension = fields.get(b"sec-websocket-extensions", b"")
                    self._deflated[event.stream_id] = b"permessage-deflate" in extension
            case h2.events.StreamReset():
                self._forget(event.stream_id)

    def _forget(self, stream_id: int) -> None:
        if stream_id in self._open:
            self._open.remove(stream_id)

    def check_tunnels(self) -> None:
        """What came through WebSockets is whole frames."""
        for stream_id, output in self._tunnels.items():
            check_server_frames(output, self._deflated[stream_id])

    def act(self, choices: Choices) -> bool:
        """Do something; whether anything was left to do."""
        if not choices and not self._wire:
            return False
        if not choices:
            if not self._open:
                self._begin(choices)
            self._send(self._open[-1], 1 << 30) if self._open else None
            self._wire = b""
            return True
        choices.pick(_ACTS)(self, choices)
        return True

    def _begin(self, choices: Choices) -> None:
        if self._h2.open_outbound_streams >= self._h2.remote_settings.max_concurrent_streams:
            return
        stream_id = self._h2.get_next_available_stream_id()
        kind = choices.byte()
        fields = {0: frames.POST, 1: frames.GET, 2: frames.CONNECT}.get(kind % 4, frames.POST)
        if fields is frames.CONNECT:
            self._deflated[stream_id] = False
            fields = [*fields, (b"sec-websocket-version", b"13")]
            if kind & 4:
                fields.append((b"sec-websocket-extensions", b"permessage-deflate"))
        elif kind & 8:
            fields = [*fields, (b"te", b"trailers"), (b"priority", b"u=1, i")]
        fields = [(name, b"https" if name == b":scheme" else value) for name, value in fields]
        ends = fields[0][1] == b"GET"
        self._h2.send_headers(stream_id, fields, end_stream=ends)
        if not ends:
            self._open.append(stream_id)

    def _send(self, stream_id: int, size: int, *, end: bool = False) -> None:
        window = self._h2.local_flow_control_window(stream_id)
        size = min(size, window, self._h2.max_outbound_frame_size)
        piece, self._wire = self._wire[:size], self._wire[size:]
        self._h2.send_data(stream_id, piece, end_stream=end)
        if end:
            self._forget(stream_id)

    def _send_some(self, choices: Choices) -> None:
        if self._open:
            self._send(choices.pick(self._open), choices.byte(), end=choices.byte() % 4 == 3)

    def _reset(self, choices: Choices) -> None:
        if self._open:
            stream_id = choices.pick(self._open)
            self._h2.reset_stream(stream_id, choices.pick(list(h2.errors.ErrorCodes)))
            self._forget(stream_id)

    def _trailers(self, choices: Choices) -> None:
        if self._open:
            stream_id = self._open.pop()
            if stream_id not in self._deflated:
                self._h2.send_headers(stream_id, [(b"x", b"y")], end_stream=True)

    def _settings(self, choices: Choices) -> None:
        values = ({2: choices.byte() % 2}, {5: 16384 + choices.byte()},
                  {1: choices.byte() * 16}, {3: choices.byte()})  # fmt: skip
        self._h2.update_settings(choices.pick(values))

    def _window(self, choices: Choices) -> None:
        stream_id = choices.pick([None, *self._open])
        self._h2.increment_flow_control_window(choices.byte() + 1, stream_id)

    def _ping(self, choices: Choices) -> None:
        self._h2.ping(bytes(8))


_ACTS: tuple[Callable[[HTTP2Client, Choices], None], ...] = (
    HTTP2Client._begin,
    HTTP2Client._send_some,
    HTTP2Client._reset,
    HTTP2Client._settings,
    HTTP2Client._window,
    HTTP2Client._trailers,
    HTTP2Client._ping,
    HTTP2Client._begin,
)
