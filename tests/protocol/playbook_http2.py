"""The client's side of HTTP/2 conversations: frames to send, and frames as they came.

Header blocks are encoded one by one without references to earlier ones, so that frames can
be put together in any order.
"""

from contextvars import ContextVar

import hpack
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from playbook import Playbook, next_output

from tricorn.config import Config
from tricorn.protocol import negotiate

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
GET = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/")]
POST = [(b":method", b"POST"), *GET[1:]]
ACK = ("SETTINGS_ACK",)

#: The HTTP/2 codec of connections made here; set by the fixture ``http2_codec``.
http2_codec_under_test = ContextVar("http2_codec_under_test", default="auto")


def on_h2():
    """Whether it is h2, which ends the connection for some errors of one stream (RFC 9113 5.4.2
    leaves that open), and has no COMPRESSION_ERROR.
    """
    return http2_codec_under_test.get() == "h2"


def window_errors_end_the_connection():
    """Whether a window of one stream that is passed costs the whole connection."""
    from tricorn.codecs import http2_nghttp2

    version = http2_nghttp2.LIBRARY.split()[1].split(".")
    return tuple(map(int, version[:2])) >= (1, 67)


def block(fields):
    return hpack.Encoder().encode(fields)


def headers(stream_id, fields=GET, *, end=True, whole=True, priority=None):
    frame = HeadersFrame(stream_id, block(fields))
    if end:
        frame.flags.add("END_STREAM")
    if whole:
        frame.flags.add("END_HEADERS")
    if priority is not None:
        frame.flags.add("PRIORITY")
        frame.depends_on, frame.stream_weight, frame.exclusive = priority
    return frame.serialize()


def continuation(stream_id, data=b"", *, whole=False):
    frame = ContinuationFrame(stream_id, data)
    if whole:
        frame.flags.add("END_HEADERS")
    return frame.serialize()


def data(stream_id, content=b"", *, end=False, padding=0):
    frame = DataFrame(stream_id, content)
    if end:
        frame.flags.add("END_STREAM")
    if padding:
        frame.flags.add("PADDED")
        frame.pad_length = padding
    return frame.serialize()


def settings(values=None):
    return SettingsFrame(0, settings=values or {}).serialize()


SETTINGS_ACK = SettingsFrame(0, flags=["ACK"]).serialize()


def reset(stream_id, code=8):
    return RstStreamFrame(stream_id, code).serialize()


def ping(opaque=b"12345678", *, ack=False):
    return PingFrame(0, opaque, flags=["ACK"] if ack else []).serialize()


def goaway(last=0, code=0):
    return GoAwayFrame(0, last, code).serialize()


def window(stream_id, increment):
    return WindowUpdateFrame(stream_id, increment).serialize()


def priority(stream_id, depends_on=0, weight=15, exclusive=False):
    return PriorityFrame(
        stream_id, depends_on=depends_on, stream_weight=weight, exclusive=exclusive
    ).serialize()


def priority_update(stream_id, value):
    return raw(0x10, 0, 0, stream_id.to_bytes(4, "big") + value)


def push_promise(stream_id, promised):
    return PushPromiseFrame(stream_id, promised, block(GET), flags=["END_HEADERS"]).serialize()


def raw(kind, flags, stream_id, payload=b""):
    """Any frame, however wrong."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream_id.to_bytes(
        4, "big"
    ) + payload  # fmt: skip


def read_frames(output, decoder):
    """The frames in ``output`` as tuples; its header blocks are decoded in order."""
    frames = []
    while output:
        frame, length = Frame.parse_frame_header(memoryview(output[:9]))
        assert len(output) >= 9 + length, "half a frame was written"
        frame.parse_body(memoryview(output[9 : 9 + length]))
        frames.append(_told(frame, decoder))
        output = output[9 + length :]
    return frames


def _told(frame, decoder):
    ended = "END_STREAM" in frame.flags
    match frame:
        case DataFrame():
            return ("DATA", frame.stream_id, bytes(frame.data), ended)
        case HeadersFrame():
            assert "END_HEADERS" in frame.flags
            fields = [tuple(field) for field in decoder.decode(frame.data, raw=True)]
            return ("HEADERS", frame.stream_id, fields, ended)
        case PushPromiseFrame():
            fields = [tuple(field) for field in decoder.decode(frame.data, raw=True)]
            return ("PUSH_PROMISE", frame.stream_id, frame.promised_stream_id, fields)
        case SettingsFrame():
            return ACK if "ACK" in frame.flags else ("SETTINGS", dict(frame.settings))
        case RstStreamFrame():
            return ("RST_STREAM", frame.stream_id, frame.error_code)
        case PingFrame():
            kind = "PING_ACK" if "ACK" in frame.flags else "PING"
            return (kind, bytes(frame.opaque_data))
        case GoAwayFrame():
            return ("GOAWAY", frame.last_stream_id, frame.error_code)
        case WindowUpdateFrame():
            return ("WINDOW_UPDATE", frame.stream_id, frame.window_increment)
    raise AssertionError(f"a server does not send {frame!r}")


class Frames:
    """The frames out since the last look, in order; WINDOW_UPDATE only where ``windows``.

    How many window updates there are depends on how the bytes came. DATA of one stream in
    several frames counts as one.
    """

    def __init__(self, *expected, windows=False):
        self.expected, self.windows = list(expected), windows

    def __repr__(self):
        return f"Frames{tuple(self.expected)}"

    def check(self, run):
        decoder = run.memory.setdefault("decoder", hpack.Decoder())
        frames = read_frames(run.output, decoder)
        if not self.windows:
            frames = [frame for frame in frames if frame[0] != "WINDOW_UPDATE"]
        joined = []
        for frame in frames:
            if frame[0] == "DATA" and joined and joined[-1][:2] == frame[:2] and not joined[-1][3]:
                frame = ("DATA", frame[1], joined.pop()[2] + frame[2], frame[3])
            joined.append(frame)
        if joined != self.expected:
            run.fail(f"frames {joined}, expected {self.expected}")
        run.output = b""


def connect_http2(secure=False, **options):
    """Makes HTTP/2 connections whose preface is queued."""
    config = Config(**({"http2_codec": http2_codec_under_test.get()} | options))

    def connect():
        connection = negotiate.http2(config, secure=secure)
        connection.initiate()
        return connection

    return connect


class Any:
    """Equal to anything."""

    def __eq__(self, other):
        return True

    __hash__ = None

    def __repr__(self):
        return "ANY"


ANY = Any()


def http2(*, client_settings=None, consume=True, **options):
    """A conversation that begins behind the prefaces of both sides."""
    play = Playbook(connect_http2(**options), consume=consume)
    play >> PREFACE + settings(client_settings) + SETTINGS_ACK
    return play << Frames(("SETTINGS", ANY), ACK)


class Server:
    """A connection that is led step by step where a Playbook would be too long."""

    def __init__(self, *, client_settings=None, secure=False, acknowledges=True, **options):
        self.connection = connect_http2(secure, **options)()
        self.decoder = hpack.Decoder()
        self.receive(PREFACE + settings(client_settings) + (SETTINGS_ACK if acknowledges else b""))
        self.frames()

    def receive(self, *frames):
        """Feed frames; the events, those of pushes too."""
        events = self.connection.receive_data(b"".join(frames))
        return events + (self.connection.take_events() if self.connection.has_events else [])

    def frames(self, *kinds):
        """All frames to be sent now, or those of these kinds."""
        output = b""
        while buffers := next_output(self.connection):
            output += b"".join(map(bytes, buffers))
        told = read_frames(output, self.decoder)
        return [frame for frame in told if not kinds or frame[0] in kinds]
