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
    SettingsAcknowledged,
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
include "_nghttp2_sending.pxi"

#: The library and its version, for ``--version``.
LIBRARY = "libnghttp2 " + nghttp2_version(0).version_str.decode("ascii")


@cython.final
@cython.no_gc_clear
cdef class Nghttp2Codec(Sender):
    """One HTTP/2 connection's wire syntax, server side; `HTTP2Codec` documents its methods."""

    name = "nghttp2"

    cdef uint32_t _max_streams, _window
    cdef Py_ssize_t _connection_window

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
        # The end of a response may wait for a window as well.
        return stream.size if stream.size or not stream.ended else 1, stream.sent

    def windows(self, stream_id):
        cdef Stream stream = self._find(stream_id)
        if stream is None or stream.over or self._session == NULL:
            return 0, 0
        own = nghttp2_session_get_stream_remote_window_size(self._session, stream.id)
        return own, nghttp2_session_get_remote_window_size(self._session)

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
        self._data_came = False
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
        cdef Py_ssize_t responses = min(self._responses, self._out_size)
        return self._out_size - responses, responses

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
