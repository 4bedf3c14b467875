"""The session of a connection: calls into libnghttp2, its failures, and the output buffer."""

cdef nghttp2_option* OPTION = NULL
cdef nghttp2_session_callbacks* CALLBACKS = NULL


@cython.no_gc_clear
cdef class Session:
    """What both directions share."""

    cdef nghttp2_session* _session  # NULL before the start, after a failure, behind the input
    cdef bint _busy
    cdef bint _failed
    cdef object _error  # the exception of a callback
    cdef object _failure  # a CodecFailed that came up while sending
    cdef object _scheduler
    cdef bint _fair  # the peer has shown no priorities: the scheduler knows no streams yet
    cdef list _queue  # till then: streams that are ready, whose turn is next at the front
    cdef bint _ready  # one may be ready
    cdef bint _held_back  # a window keeps a stream from sending
    cdef dict _streams
    # Those of _streams opened last, by their ids, or NULL: an exchange takes several calls.
    # They are owned: the collector may empty _streams while somebody still asks.
    cdef PyObject* _recent[RECENT]
    cdef int32_t _closed_one  # stream that libnghttp2 closed in this call, or 0
    cdef list _closed  # ids of others
    cdef dict _resets  # stream id: whether it was reset by us
    cdef int32_t _resets_to  # the peer's highest stream that is no longer among them, or 0
    cdef int32_t[MAX_ENDED] _ended  # streams that ended without a reset, in turn
    cdef Py_ssize_t _ended_at
    cdef int32_t _highest  # stream of the peer
    cdef int32_t _last_told  # by GOAWAY, which may not name a higher one again (RFC 9113 6.8)
    cdef Py_ssize_t _passed  # bytes of the DATA frame last received, 0 for another kind
    cdef Py_ssize_t _allowed  # of the connection's receive window, before it
    cdef int32_t _forgotten  # stream whose RST_STREAM nobody is to see, or 0
    cdef bint _not_sent  # libnghttp2 refused to send what was submitted
    cdef PyObject* _out  # a bytes object that is being filled
    cdef Py_ssize_t _out_size, _out_room
    cdef Py_ssize_t _responses  # bytes of _out: heads, and bodies framed with them

    def __cinit__(self, *args, **kwargs):
        self._streams = {}
        self._resets = {}
        self._closed = []
        self._queue = []
        self._last_told = MAX_STREAM_ID
        self._fair = True

    def __dealloc__(self):
        cdef int i
        nghttp2_session_del(self._session)
        Py_XDECREF(self._out)
        for i in range(RECENT):
            Py_XDECREF(self._recent[i])

    cdef int _begin(self) except -1:
        if self._session != NULL or self._failed:
            raise RuntimeError("a codec serves one connection")
        if nghttp2_session_server_new2(&self._session, CALLBACKS, <void*>self, OPTION):
            self._session = NULL
            raise MemoryError
        return 0

    cdef int _enter(self) except -1:
        if self._busy:
            raise RuntimeError("the codec was called from within itself")
        self._busy = True
        return 0

    cdef int _leave(self) except -1:
        """Behind every call that entered."""
        error, self._error = self._error, None
        try:
            if self._closed_one:
                self._forget_closed()
        finally:
            if self._failed and self._session != NULL:
                nghttp2_session_del(self._session)
                self._session = NULL
            self._busy = False
        if error is not None and not isinstance(error, Exception):
            raise error
        return 0

    cdef int _forget_closed(self) except -1:
        """Behind a call into libnghttp2: it has no more to do with these streams."""
        cdef int32_t stream_id
        while self._closed_one:
            stream_id = self._closed_one
            self._closed_one = self._closed.pop() if self._closed else 0
            self._forget_stream(stream_id)
        return 0

    cdef int _forget_stream(self, int32_t stream_id) except -1:
        cdef Stream stream = self._find(stream_id)
        cdef PyObject** place
        if stream is None:
            return 0
        self._streams.pop(stream_id, None)
        place = self._place(stream_id)
        if place[0] == <PyObject*>stream:
            place[0] = NULL
            Py_DECREF(stream)
        if not self._resets or stream_id not in self._resets:
            self._ended[self._ended_at] = stream_id
            self._ended_at = (self._ended_at + 1) % MAX_ENDED
        return self._quiet(stream)

    cdef int _pump(self, list events) except -1:
        """Take the frames that libnghttp2 has made; ``events`` is None but while receiving."""
        cdef const uint8_t* frame
        cdef ssize_t size
        cdef Stream stream
        while True:
            size = nghttp2_session_mem_send(self._session, &frame)
            if size <= 0:
                break
            if frame[3] == NGHTTP2_RST_STREAM and stream_of(frame) == self._forgotten:
                continue
            self._write(frame, size)
            if frame[3] == NGHTTP2_GOAWAY:
                if self._last_told < <int32_t>number(frame + HEADER):
                    put_number(self._end() - size + HEADER, self._last_told)
                return self._ended_by_it(events, frame, size)
            if frame[3] == NGHTTP2_RST_STREAM and events is not None:
                # A stream error that libnghttp2 found.
                stream = self._streams.get(stream_of(frame))
                if stream is not None:
                    self._note_reset(stream, True)
                    # For DATA there is one such error, that it passed the window.
                    limit = "h2_stream_window_size" if self._passed else None
                    events.append(ResetFrame(stream.id, number(frame + HEADER), True, limit))
        if size < 0:
            self._fail(events, INTERNAL_ERROR, described(self._error, size), None)
        return 0

    cdef int _update_window(self, int32_t stream_id, int32_t n) except -1:
        self._enter()
        try:
            nghttp2_submit_window_update(self._session, 0, stream_id, n)
            self._pump(None)
        finally:
            self._leave()
        return 0

    # Failures

    cdef int _ended_by_it(self, list events, const uint8_t* goaway, ssize_t size) except -1:
        """libnghttp2 found a connection error."""
        cdef uint32_t code = number(goaway + HEADER + 4)
        limit = None
        if code == FLOW_CONTROL_ERROR and self._passed:
            whole = self._passed > self._allowed
            limit = "h2_connection_window_size" if whole else "h2_stream_window_size"
        reason = goaway[HEADER + 8 : size].decode("ascii", "replace")
        if not reason:
            reason = nghttp2_http2_strerror(code).decode("ascii", "replace")
        self._failed = True
        return self._report(events, CodecFailed(code, reason, limit))

    cdef int _fail(self, list events, uint32_t code, str reason, limit) except -1:
        """End the connection with an error of ours."""
        if not self._failed:
            self._failed = True
            self._write_goaway(self._highest, code, b"")
            self._report(events, CodecFailed(code, reason, limit))
        return 0

    cdef int _report(self, list events, failure) except -1:
        if events is None:
            self._failure = failure
        else:
            events.append(failure)
        return 0

    # Streams

    cdef Stream _sendable(self, int32_t stream_id):
        cdef Stream stream
        if self._session == NULL:
            return None
        stream = self._find(stream_id)
        return None if stream is None or stream.over else stream

    cdef inline PyObject** _place(self, int32_t stream_id) noexcept:
        return self._recent + (<uint32_t>stream_id >> 1) % RECENT

    cdef inline Stream _find(self, int32_t stream_id):
        cdef PyObject* recent = self._place(stream_id)[0]
        if recent != NULL and (<Stream>recent).id == stream_id:
            return <Stream>recent
        return self._streams.get(stream_id)

    cdef Stream _open(self, int32_t stream_id, bint half_closed):
        cdef Stream stream = Stream.__new__(Stream)
        cdef PyObject** place
        cdef PyObject* before
        stream.id = stream_id
        stream.half_closed = half_closed
        self._streams[stream_id] = stream
        place = self._place(stream_id)
        before = place[0]
        Py_INCREF(stream)
        place[0] = <PyObject*>stream
        Py_XDECREF(before)
        if not self._fair:
            self._schedule(stream)
        return stream

    cdef int _note_reset(self, Stream stream, bint by_us) except -1:
        cdef int32_t old
        if len(self._resets) >= MAX_RESETS:
            for old in list(self._resets)[: MAX_RESETS // 2]:
                del self._resets[old]
                if old & 1:
                    self._resets_to = max(self._resets_to, old)
        self._resets[stream.id] = by_us
        return self._quiet(stream)

    cdef int _quiet(self, Stream stream) except -1:
        """Nothing more is sent on it."""
        stream.drop()
        if stream.queued:
            stream.queued = False
            self._queue.remove(stream)
        if stream.scheduled:
            stream.scheduled = False
            self._scheduler.remove(stream.id)
        return 0

    cdef int _schedule(self, Stream stream) except -1:
        if not stream.scheduled:
            stream.scheduled = True
            self._scheduler.insert(stream.id)
        return 0

    cdef int _reset(self, Stream stream, uint32_t code) except -1:
        self._note_reset(stream, True)
        nghttp2_submit_rst_stream(self._session, 0, stream.id, code)
        return self._pump(None)

    cdef int _unfair(self) except -1:
        """A signal has come: from now on the scheduler knows every stream."""
        if self._fair:
            self._fair = False
            for stream in list(self._streams.values()):
                if not (<Stream>stream).over:
                    self._schedule(stream)
            queue, self._queue = self._queue, []
            for stream in queue:
                (<Stream>stream).queued = False
                self._scheduler.ready((<Stream>stream).id)
        return 0

    cdef int _mark_ready(self, Stream stream) except -1:
        if stream.over or not (stream.size or stream.ended):
            return 0
        self._ready = True
        if not self._fair:
            self._schedule(stream)
            self._scheduler.ready(stream.id)
        elif not stream.queued:
            stream.queued = True
            self._queue.append(stream)
        return 0

    cdef Stream _next(self):
        """The stream whose turn it is, or None."""
        cdef Stream stream
        if self._fair:
            if not self._queue:
                return None
            stream = self._queue.pop(0)
            stream.queued = False
            return stream
        while True:
            stream_id = self._scheduler.next()
            if stream_id is None:
                return None
            stream = self._streams.get(stream_id)
            if stream is not None and not stream.over:
                return stream
            self._scheduler.remove(stream_id)

    cdef int _had_its_turn(self, Stream stream, bint blocked) except -1:
        """It is ready no more if ``blocked``, else has its next turn behind the others."""
        if blocked:
            if stream.scheduled:
                self._scheduler.blocked(stream.id)
        elif self._fair:
            self._mark_ready(stream)
        return 0

    cdef int _mark_all_ready(self) except -1:
        """A window that all share has grown, or each one's has."""
        if self._held_back:
            self._held_back = False
            for stream in list(self._streams.values()):
                self._mark_ready(stream)
        return 0

    # The output buffer

    cdef int _reserve(self, Py_ssize_t size) except -1:
        """Make room for ``size`` more bytes."""
        cdef Py_ssize_t room = self._out_room
        if size <= room - self._out_size:
            return 0
        # Large ones grow by little: twice as much might be mapped anew by malloc.
        room += room if room < LARGE_OUTPUT else room >> 2
        room = max(self._out_size + size, room, 1024)
        if self._out == NULL:
            self._out = new_bytes(NULL, room)
        else:
            self._out_room = 0
            try:
                _PyBytes_Resize(&self._out, room)
            except MemoryError:
                self._out_size = 0  # CPython has freed what there was
                raise
        self._out_room = room
        return 0

    cdef inline uint8_t* _end(self) noexcept:
        return <uint8_t*>raw_bytes(self._out) + self._out_size

    cdef int _write(self, const uint8_t* data, Py_ssize_t size) except -1:
        self._reserve(size)
        memcpy(self._end(), data, size)
        self._out_size += size
        return 0

    cdef int _write_frame(
        self, uint8_t kind, uint8_t flags, int32_t stream_id, const uint8_t* payload,
        Py_ssize_t size
    ) except -1:
        """A frame that libnghttp2 knows nothing of."""
        cdef uint8_t* into
        self._reserve(HEADER + size)
        into = self._end()
        put_number(into, <uint32_t>size << 8)
        into[3], into[4] = kind, flags
        put_number(into + 5, stream_id)
        if size:
            memcpy(into + HEADER, payload, size)
        self._out_size += HEADER + size
        return 0

    cdef int _write_goaway(self, int32_t last, uint32_t code, bytes debug) except -1:
        cdef uint8_t[8] head
        self._last_told = min(self._last_told, last)
        put_number(head, self._last_told)
        put_number(head + 4, code)
        debug = PyBytes_FromStringAndSize(<char*>head, 8) + debug
        return self._write_frame(
            NGHTTP2_GOAWAY, 0, 0, <const uint8_t*>PyBytes_AS_STRING(debug), len(debug)
        )

    cdef list _take_output(self):
        cdef Py_ssize_t size = self._out_size
        if not size:
            return []
        self._out_size = self._responses = 0
        if self._out_room <= SMALL_OUTPUT:
            return [PyBytes_FromStringAndSize(raw_bytes(self._out), size)]
        self._out_room = 0
        _PyBytes_Resize(&self._out, size)
        taken = <object>self._out
        Py_XDECREF(self._out)
        self._out = NULL
        return [taken]
