# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: auto_pickle=False
"""The HTTP/2 slot on libnghttp2, compiled.

Theory of operation. libnghttp2 keeps the states of the streams, the windows and the header
compression, and says what is an error. Around it:

- Received frames go to it whole, one by one, so that the order of events is theirs. Before
  that they are counted and measured, all that have come, for the flood budgets above; and a
  few are kept from it: GOAWAY, behind which it would answer no more, and the priority
  signals, which our own scheduler follows.
- What it forgets once a stream has closed is remembered here: whether it was reset, and by
  whom. RFC 9113 5.1 asks for a different answer to a late frame in each case.
- Whatever is submitted to it leaves it at once, into a buffer of ours. So its own queues and
  their order play no part, and no DATA is ever queued in it: a frame is submitted when the
  scheduler has chosen the stream, and copied once, from the application's bytes into ours.
- SETTINGS and GOAWAY are written here. It is not told of the stream limit that we announce,
  since a stream above it is refused by itself, nor of a GOAWAY, since a drain goes on.

Two rules keep the interpreter whole. A call that enters libnghttp2 sets ``_busy``, and any
call that comes meanwhile (from a finaliser, say) is refused. An exception in a callback is
kept, ends the call, and then the session: it is never used again.
"""

cimport cython
from cpython.bytes cimport (
    PyBytes_AS_STRING,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
    _PyBytes_Resize,
)
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_XDECREF, PyObject
from cpython.tuple cimport PyTuple_GET_ITEM
from libc.stdint cimport int32_t, uint8_t, uint32_t
from libc.string cimport memcmp, memcpy

from tricorn.codecs._libnghttp2 cimport *

import base64

from tricorn.codecs.base import (
    CodecFailed,
    GoAwayFrame,
    PingAck,
    PriorityFrame,
    PriorityUpdateFrame,
    ResetFrame,
    SettingsReceived,
    data_frame,
    headers_frame,
)
from tricorn.exceptions import LocalProtocolError, RemoteProtocolError

cdef extern from "Python.h":
    # As in cpython.bytes, for an object that is not finished.
    PyObject* new_bytes "PyBytes_FromStringAndSize"(char* data, Py_ssize_t size) except NULL
    char* raw_bytes "PyBytes_AS_STRING"(PyObject* data)

include "_nghttp2_parts.pxi"
include "_nghttp2_session.pxi"
include "_nghttp2_input.pxi"

#: The library and its version, for ``--version``.
LIBRARY = "libnghttp2 " + nghttp2_version(0).version_str.decode("ascii")


@cython.final
@cython.no_gc_clear
cdef class Nghttp2Codec(Receiver):
    """One HTTP/2 connection's wire syntax, server side; `HTTP2Codec` documents its methods."""

    name = "nghttp2"

    cdef uint32_t _max_streams, _window
    cdef Py_ssize_t _connection_window
    cdef list _finished
    cdef bint _progress
    cdef Py_ssize_t _at_once  # bytes that may be framed before data_to_send asks again
    # The DATA frame that is being submitted: the stream's buffer, or _turn_data
    cdef Stream _turn
    cdef bytes _turn_data
    cdef Py_ssize_t _turn_size
    cdef bint _turn_last

    def __cinit__(self, *args, **kwargs):
        self._finished = []

    def __init__(self, settings, scheduler):
        self._max_streams = settings.max_concurrent_streams
        self._window = settings.stream_window
        self._connection_window = settings.connection_window
        self._max_frame = settings.max_frame_size
        self._max_list = settings.max_header_list_size
        self._max_continuations = settings.max_continuation_frames
        self._scheduler = scheduler
        self._begin()

    # Set-up

    def initiate(self):
        self._announce(None)

    def initiate_upgrade(self, settings):
        try:
            payload = base64.urlsafe_b64decode(settings + b"=" * (-len(settings) % 4))
        except ValueError as exc:
            raise RemoteProtocolError(f"malformed HTTP2-Settings: {exc}") from None
        self._announce(payload)

    cdef int _announce(self, bytes upgrade) except -1:
        cdef nghttp2_settings_entry[4] entries
        if self._session == NULL:
            return 0
        entries[0] = [NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, self._window]
        entries[1] = [NGHTTP2_SETTINGS_MAX_FRAME_SIZE, self._max_frame]
        entries[2] = [NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1]
        # It keeps no priorities; the peer is not told, and our scheduler follows its signals.
        entries[3] = [NO_RFC7540_PRIORITIES, 1]
        self._enter()
        try:
            if nghttp2_submit_settings(self._session, 0, entries, 4):
                raise ValueError("settings out of range")
            self._pump(None)
            if upgrade is not None:
                self._upgrade(upgrade)
            self._out_size = 0
            self._write_settings()
        finally:
            self._leave()
        self.open_connection_window(self._connection_window)
        return 0

    cdef int _upgrade(self, bytes payload) except -1:
        cdef int failed = nghttp2_session_upgrade2(
            self._session, <const uint8_t*>PyBytes_AS_STRING(payload), len(payload), 0, NULL
        )
        self._pump(None)
        if failed or self._failed:
            self._failed = True
            self._out_size = 0
            raise RemoteProtocolError("malformed HTTP2-Settings")
        self._highest = 1
        self._open(1, True)
        return 0

    cdef int _write_settings(self) except -1:
        cdef uint32_t[5] values = [
            self._max_streams, self._window, self._max_frame, self._max_list, 1
        ]
        cdef uint8_t[5] names = [0x3, 0x4, 0x5, 0x6, 0x8]
        cdef uint8_t[30] payload
        cdef int i
        for i in range(5):
            payload[6 * i] = 0
            payload[6 * i + 1] = names[i]
            put_number(payload + 6 * i + 2, values[i])
        return self._write_frame(NGHTTP2_SETTINGS, 0, 0, payload, 30)

    # Heads

    def send_headers(self, stream_id, list headers, bint end_stream):
        cdef Stream stream = self._sendable(stream_id)
        if stream is None:
            return
        self._enter()
        try:
            self._submit_headers(stream, headers, end_stream)
        finally:
            self._leave()

    cdef int _submit_headers(self, Stream stream, list headers, bint end_stream) except -1:
        if self._submit(stream.id, headers, False, end_stream) < 0 or self._not_sent:
            # Longer than it sends, say.
            return self._reset(stream, INTERNAL_ERROR)
        if stream.id & 1:
            stream.opened = True
        if end_stream:
            self._finish(stream)
        return 0

    cdef int32_t _submit(
        self, int32_t stream_id, list headers, bint promise, bint end_stream
    ) except? -1:
        """Submit a header block; below zero, what libnghttp2 has against it."""
        cdef nghttp2_nv[FIELDS_AT_ONCE] few
        cdef nghttp2_nv* fields = few
        cdef Py_ssize_t count = len(headers)
        cdef int32_t result
        if count > FIELDS_AT_ONCE:
            fields = <nghttp2_nv*>PyMem_Malloc(count * sizeof(nghttp2_nv))
            if fields == NULL:
                raise MemoryError
        try:
            # The pointers are into objects of ``headers``: no Python code runs before they
            # are copied.
            point_to(headers, count, fields, not promise and stream_id & 1)
            if promise:
                result = nghttp2_submit_push_promise(
                    self._session, 0, stream_id, fields, count, NULL
                )
            else:
                result = nghttp2_submit_headers(
                    self._session, NGHTTP2_FLAG_END_STREAM if end_stream else 0, stream_id, NULL,
                    fields, count, NULL
                )
        finally:
            if fields != few:
                PyMem_Free(fields)
        self._not_sent = False
        self._pump(None)
        return result

    def push(self, parent_id, list headers):
        cdef Stream parent = self._sendable(parent_id)
        cdef int32_t promised
        if parent is None:
            raise LocalProtocolError(f"stream {parent_id} takes no push")
        self._enter()
        try:
            promised = self._submit(parent.id, headers, True, False)
            if promised < 0 or self._not_sent:
                raise LocalProtocolError("the push cannot be promised")
            self._open(promised, True)
        finally:
            self._leave()
        return promised

    # Bodies

    def send_data(self, stream_id, data, bint end_stream):
        cdef Stream stream = self._sendable(stream_id)
        cdef bytes body
        if stream is None:
            return False
        body = data if type(data) is bytes else bytes(data)
        self._enter()
        try:
            if end_stream and not stream.size and self._send_at_once(stream, body):
                return False
            if body:
                stream.put(body)
            stream.ended = stream.ended or end_stream
            self._mark_ready(stream)
            return True
        finally:
            self._leave()

    cdef bint _send_at_once(self, Stream stream, bytes data) except -1:
        """Frame a short whole body now, where nobody is waiting before it; whether it was.

        Most responses are of this kind, and need neither the buffer nor the scheduler.
        """
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        if size > self._at_once or not self._fair or not stream.opened:
            return False
        if self._queue or max(size, 1) > self._room(stream):
            return False
        if size > SMALL_OUTPUT:
            # The others of this turn find room as well.
            self._reserve(self._at_once + SMALL_OUTPUT)
        self._at_once -= size + HEADER
        self._turn_data = data
        return self._submit_data(stream, size, True)

    cdef Py_ssize_t _room(self, Stream stream) noexcept:
        """What a DATA frame of the stream may hold (bytes)."""
        cdef int32_t room = nghttp2_session_get_stream_remote_window_size(
            self._session, stream.id
        )
        room = min(room, nghttp2_session_get_remote_window_size(self._session))
        return max(min(room, LARGEST_FRAME), 0)

    cdef bint _submit_data(self, Stream stream, Py_ssize_t size, bint last) except -1:
        """One DATA frame of ``size`` bytes; False if libnghttp2 did not take it."""
        cdef nghttp2_data_provider provider
        provider.source.ptr = NULL
        provider.read_callback = on_read
        self._turn = stream
        self._turn_size = size
        self._turn_last = last
        if not nghttp2_submit_data(self._session, NGHTTP2_FLAG_END_STREAM, stream.id, &provider):
            self._pump(None)
        self._turn_data = None
        if self._turn is not None:
            self._turn = None
            self._reset(stream, INTERNAL_ERROR)
            return False
        if last:
            self._finish(stream)
        return True

    def send_trailers(self, stream_id, list headers):
        cdef Stream stream = self._sendable(stream_id)
        if stream is None:
            return
        self._enter()
        try:
            stream.trailers = headers
            stream.ended = True
            self._mark_ready(stream)
        finally:
            self._leave()

    cdef int _finish(self, Stream stream) except -1:
        self._quiet(stream)
        self._finished.append(stream.id)
        return 0

    def data_to_send(self, Py_ssize_t limit):
        cdef Py_ssize_t written = self._out_size
        cdef Stream stream
        self._enter()
        try:
            if self._ready and self._session != NULL:
                while written < limit and not self._failed:
                    stream = self._next()
                    if stream is None:
                        self._ready = False
                        break
                    written += self._write_next(stream, limit)
            self._at_once = limit or self._at_once
            return self._take_output()
        finally:
            self._leave()

    cdef Py_ssize_t _write_next(self, Stream stream, Py_ssize_t limit) except -1:
        """One DATA frame (or the trailers) of a stream; its cost in bytes."""
        cdef Py_ssize_t room = self._room(stream)
        cdef Py_ssize_t size = min(room, stream.size)
        cdef bint last = stream.ended and size == stream.size and stream.trailers is None
        if not stream.opened or (not room and (stream.size or not self._ends_without(stream))):
            self._held_back = True
            self._had_its_turn(stream, True)
            return 0
        if stream.over:
            return HEADER
        if size:
            self._make_room(stream, size, limit)
            if room < TINY and size < stream.size:
                self.glitches += 1
            else:
                self._progress = True
        if (size or last) and not self._submit_data(stream, size, last):
            return HEADER
        if stream.over:
            return size + HEADER
        if not stream.size and stream.trailers is not None:
            self._submit_headers(stream, stream.trailers, True)
        else:
            self._had_its_turn(stream, not stream.size)
        return size + HEADER

    cdef int _make_room(self, Stream stream, Py_ssize_t size, Py_ssize_t limit) except -1:
        """For a frame of ``size`` bytes, and at once for those that follow in this write."""
        cdef bint others
        if size + HEADER > self._out_room - self._out_size:
            others = bool(self._queue) or not self._fair
            if stream.size > size or (others and self._out_size + size > SMALL_OUTPUT):
                size = min(limit, FULL_OUTPUT) + LARGEST_FRAME
            self._reserve(size + SMALL_OUTPUT)
        return 0

    cdef bint _ends_without(self, Stream stream) except -1:
        """End a stream that has nothing left to send but no window either; whether it did.

        libnghttp2 sends DATA where there is a window only, even if it is empty, which costs
        none. Where the peer has ended the stream as well, it can be made to forget it.
        """
        cdef Py_ssize_t size
        if not stream.ended:
            return False
        if stream.trailers is not None:
            return True
        if not stream.half_closed:
            return False
        self._write_frame(NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, stream.id, NULL, 0)
        size = self._out_size
        nghttp2_submit_rst_stream(self._session, 0, stream.id, 0)
        self._pump(None)
        self._out_size = size
        self._finish(stream)
        return True

    # Streams

    def reset(self, stream_id, uint32_t code):
        cdef Stream stream
        if self._session == NULL:
            return
        self._enter()
        try:
            stream = self._find(stream_id)
            if stream is not None:
                self._reset(stream, code)
        finally:
            self._leave()

    def forget(self, stream_id):
        cdef Stream stream = self._find(stream_id)
        if stream is not None:
            self._quiet(stream)

    def take_finished(self):
        finished = self._finished
        if finished:
            self._finished = []
        return finished

    def backlog(self, stream_id):
        cdef Stream stream = self._find(stream_id)
        if stream is None or stream.over:
            return 0, 0
        return stream.size, stream.sent

    def buffered(self, stream_id):
        cdef Stream stream = self._find(stream_id)
        return 0 if stream is None else stream.size

    def take_progress(self):
        progress = self._progress
        self._progress = False
        return bool(progress)

    # The connection

    def credit(self, stream_id, int32_t n):
        if self._session != NULL and n > 0 and stream_id in self._streams:
            self._update_window(stream_id, n)

    cpdef open_connection_window(self, Py_ssize_t target):
        cdef Py_ssize_t missing
        if self._session != NULL:
            missing = target - nghttp2_session_get_local_window_size(self._session)
            if missing > 0 and missing * WINDOW_STEP >= target:
                self._update_window(0, missing)

    def ping(self, bytes data):
        if self._session == NULL:
            return
        if len(data) != 8:
            raise ValueError("a PING has 8 bytes")
        self._enter()
        try:
            nghttp2_submit_ping(self._session, 0, <const uint8_t*>PyBytes_AS_STRING(data))
            self._pump(None)
        finally:
            self._leave()

    def goaway(self, int32_t last_stream_id, uint32_t code, bytes debug=b""):
        if self._session != NULL:
            self._enter()
            try:
                self._write_goaway(last_stream_id, code, debug)
            finally:
                self._leave()

    def pending(self):
        return self._out_size

    @property
    def push_enabled(self):
        return self._session != NULL and bool(
            nghttp2_session_get_remote_settings(self._session, NGHTTP2_SETTINGS_ENABLE_PUSH)
        )

    @property
    def peer_max_streams(self):
        if self._session == NULL:
            return 0
        return nghttp2_session_get_remote_settings(
            self._session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS
        )

    @property
    def highest_stream_id(self):
        return self._highest

    # Priorities

    def prioritize(self, stream_id, urgency, incremental, *, initial=False):
        self._unfair()
        self._scheduler.prioritize(stream_id, urgency, incremental, initial=initial)

    def disable_rfc7540(self):
        self._unfair()
        self._scheduler.disable_rfc7540()

    def reprioritize(self, stream_id, depends_on, weight, exclusive):
        self._unfair()
        try:
            self._scheduler.reprioritize(stream_id, depends_on, weight, exclusive)
        except ValueError:
            return False
        return True


include "_nghttp2_output.pxi"
