"""Heads and bodies that go out."""


@cython.no_gc_clear
cdef class Sender(Receiver):
    """The sending side."""

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

    cdef bint _submit_headers(self, Stream stream, list headers, bint end_stream) except -1:
        """Whether libnghttp2 took them."""
        if self._submit(stream.id, headers, False, end_stream, NULL) < 0 or self._not_sent:
            # Of more than 2 GiB, say.
            self._reset(stream, INTERNAL_ERROR)
            return False
        if end_stream:
            self._quiet(stream)
        return True

    cdef int32_t _submit(
        self, int32_t stream_id, list headers, bint promise, bint end_stream,
        nghttp2_data_provider* content
    ) except? -1:
        """Submit a header block; below zero, what libnghttp2 has against it.

        ``content`` makes DATA that ends the stream, if it is not NULL.
        """
        cdef nghttp2_nv[FIELDS_AT_ONCE] few
        cdef nghttp2_nv* fields = few
        cdef Py_ssize_t count = len(headers)
        cdef Py_ssize_t before = self._out_size
        cdef int32_t result
        if count > FIELDS_AT_ONCE:
            fields = <nghttp2_nv*>PyMem_Malloc(count * sizeof(nghttp2_nv))
            if fields == NULL:
                raise MemoryError
        try:
            # The pointers are into objects of ``headers``: no Python code runs before they
            # are copied. Those of a push are in any case: libnghttp2 would keep the head of one
            # above the peer's limit, which the protocol floor does not send.
            point_to(headers, count, fields, not promise and stream_id & 1)
            if promise:
                result = nghttp2_submit_push_promise(
                    self._session, 0, stream_id, fields, count, NULL
                )
            elif content != NULL:
                result = nghttp2_submit_response(
                    self._session, stream_id, fields, count, content
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
        self._responses += self._out_size - before
        return result

    def push(self, parent_id, list headers):
        cdef Stream parent = self._sendable(parent_id)
        cdef int32_t promised
        if parent is None:
            raise LocalProtocolError(f"stream {parent_id} takes no push")
        self._enter()
        try:
            promised = self._submit(parent.id, headers, True, False, NULL)
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
        body = octets(data)
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

    def respond(self, stream_id, list headers, data):
        cdef Stream stream
        cdef bytes body = octets(data)
        stream = self._sendable(stream_id)
        if stream is None:
            return False
        self._enter()
        try:
            if not stream.size and self._goes_at_once(stream, len(body)):
                self._submit_response(stream, headers, body)
                return False
            if self._submit_headers(stream, headers, False):
                if body:
                    stream.put(body)
                stream.ended = True
                self._mark_ready(stream)
            return not stream.over
        finally:
            self._leave()

    cdef int _submit_response(self, Stream stream, list headers, bytes body) except -1:
        """HEADERS, and the one DATA frame of a short body."""
        cdef nghttp2_data_provider content
        cdef bint failed
        self._turn_data = body
        self._take_turn(stream, PyBytes_GET_SIZE(body), True, &content)
        try:
            failed = self._submit(stream.id, headers, False, False, &content) < 0
            if failed or self._turn is not None:
                return self._reset(stream, INTERNAL_ERROR)
        finally:
            self._turn = None
            self._turn_data = None
        return self._quiet(stream)

    cdef bint _send_at_once(self, Stream stream, bytes data) except -1:
        """Frame a short whole body now, where nobody is waiting before it; whether it was.

        Most responses are of this kind, and need neither the buffer nor the scheduler.
        """
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        if not self._goes_at_once(stream, size):
            return False
        self._turn_data = data
        self._responses += size + HEADER
        return self._submit_data(stream, size, True)

    cdef bint _goes_at_once(self, Stream stream, Py_ssize_t size) except -1:
        """Whether ``size`` bytes may be framed now; there is room for them then."""
        if size > self._at_once or not self._fair:
            return False
        if self._queue or max(size, 1) > self._room(stream):
            return False
        if size > SMALL_OUTPUT:
            # The others of this turn find room as well.
            self._reserve(self._at_once + SMALL_OUTPUT)
        self._at_once -= size + HEADER
        return True

    cdef Py_ssize_t _room(self, Stream stream) noexcept:
        """What a DATA frame of the stream may hold (bytes)."""
        cdef int32_t room = nghttp2_session_get_stream_remote_window_size(
            self._session, stream.id
        )
        cdef uint32_t frame = nghttp2_session_get_remote_settings(
            self._session, NGHTTP2_SETTINGS_MAX_FRAME_SIZE
        )
        room = min(room, nghttp2_session_get_remote_window_size(self._session))
        return max(min(room, <int32_t>frame), 0)

    cdef void _take_turn(
        self, Stream stream, Py_ssize_t size, bint last, nghttp2_data_provider* content
    ) noexcept:
        """Have the stream make the next DATA frame, of ``size`` bytes."""
        content.source.ptr = NULL
        content.read_callback = on_read
        self._turn = stream
        self._turn_size = size
        self._turn_last = last

    cdef bint _submit_data(self, Stream stream, Py_ssize_t size, bint last) except -1:
        """One DATA frame of ``size`` bytes; False if libnghttp2 did not take it."""
        cdef nghttp2_data_provider content
        self._take_turn(stream, size, last, &content)
        if not nghttp2_submit_data(self._session, NGHTTP2_FLAG_END_STREAM, stream.id, &content):
            self._pump(None)
        self._turn_data = None
        if self._turn is not None:
            self._turn = None
            self._reset(stream, INTERNAL_ERROR)
            return False
        if last:
            self._quiet(stream)
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
                    written += self._write_next(stream, limit, limit - written)
            self._at_once = limit or self._at_once
            return self._take_output()
        finally:
            self._leave()

    cdef Py_ssize_t _write_next(
        self, Stream stream, Py_ssize_t limit, Py_ssize_t rest
    ) except -1:
        """One DATA frame (or the trailers) of a stream; its cost in bytes.

        ``rest`` is what is left of the limit: large frames stay within it.
        """
        cdef Py_ssize_t room = min(self._room(stream), max(rest, USUAL_FRAME))
        cdef Py_ssize_t size = min(room, stream.size)
        cdef bint last = stream.ended and size == stream.size and stream.trailers is None
        if not room and (stream.size or not self._ends_without(stream)):
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
        if last:
            self._finished.append(stream.id)
        if stream.over:
            return size + HEADER
        if not stream.size and stream.trailers is not None:
            if self._submit_headers(stream, stream.trailers, True):
                self._finished.append(stream.id)
        else:
            self._had_its_turn(stream, not stream.size)
        return size + HEADER

    cdef int _make_room(self, Stream stream, Py_ssize_t size, Py_ssize_t limit) except -1:
        """For a frame of ``size`` bytes, and at once for those that follow in this write."""
        cdef bint others
        if size + HEADER > self._out_room - self._out_size:
            others = bool(self._queue) or not self._fair
            if stream.size > size or (others and self._out_size + size > SMALL_OUTPUT):
                size = min(limit, FULL_OUTPUT) + USUAL_FRAME
            self._reserve(size + SMALL_OUTPUT)
        return 0

    cdef bint _ends_without(self, Stream stream) except -1:
        """End a stream that has nothing left to send but no window either; whether it did.

        libnghttp2 sends DATA where there is a window only, even if it is empty, which costs
        none. Where the peer has ended the stream as well, it can be made to forget it.
        """
        if not stream.ended:
            return False
        if stream.trailers is not None:
            return True
        if not stream.half_closed:
            return False
        self._write_frame(NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, stream.id, NULL, 0)
        self._forgotten = stream.id
        nghttp2_submit_rst_stream(self._session, 0, stream.id, 0)
        self._pump(None)
        self._forgotten = 0
        self._quiet(stream)
        self._finished.append(stream.id)
        return True
