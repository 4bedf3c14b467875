"""Input: frames are measured and counted as they come, then dealt with one by one."""


@cython.no_gc_clear
cdef class Receiver(Session):
    """The receiving side."""

    cdef public Py_ssize_t glitches
    cdef readonly Py_ssize_t framed
    cdef uint32_t _max_frame, _max_list
    cdef Py_ssize_t _max_continuations
    cdef bytes _input  # whole frames lie from _position to _scanned
    cdef Py_ssize_t _position, _scanned
    cdef list _rest  # of the frame behind _scanned: joined once, as it may come in many reads
    cdef Py_ssize_t _rest_size, _missing  # bytes of it, and those behind _input, if known
    cdef Py_ssize_t _preface  # bytes of it that came
    cdef bint _greeted  # the peer's first SETTINGS is here
    cdef Py_ssize_t _scanned_block  # frames of the header block that the scan is in
    cdef bint _block  # the header block of the frame last dealt with goes on
    cdef bint _settled  # the peer's first SETTINGS holds
    cdef uint32_t _no_priorities  # SETTINGS_NO_RFC7540_PRIORITIES of it
    cdef tuple _stop  # the failure that lies behind _scanned
    cdef list _events
    cdef list _fields  # of the header block
    cdef Py_ssize_t _list_size
    cdef bint _oversized
    cdef const uint8_t* _chunk  # of the DATA frame
    cdef Py_ssize_t _chunk_size
    cdef bint _data_came  # since the connection's window was looked at

    def __cinit__(self, *args, **kwargs):
        self._input = b""
        self._rest = []
        self._fields = []

    @property
    def mid_frame(self):
        return bool(
            self._scanned < len(self._input) or self._scanned_block or not self._greeted
        )

    def partial_data(self):
        cdef Py_ssize_t size = len(self._input) - self._scanned - HEADER + self._rest_size
        cdef const uint8_t* frame = (
            <const uint8_t*>PyBytes_AS_STRING(self._input) + self._scanned
        )
        if size <= 0 or frame[3] != NGHTTP2_DATA:
            return 0, 0
        return stream_of(frame), size

    @property
    def has_more(self):
        return self._position < self._scanned and self._session != NULL

    def quiet(self):
        return not (
            self._out_size or self._ready or self._data_came or self.glitches
            or self._position < self._scanned or self._session == NULL
        )

    def receive_data(self, data):
        cdef list events = []
        if self._session == NULL:
            if self._failure is not None:
                events.append(self._failure)
                self._failure = None
            return events
        self._enter()
        try:
            if data:
                self._scan(octets(data))
            self._run(events)
        except Exception as exc:
            self._fail(events, INTERNAL_ERROR, described(exc, 0), None)
        finally:
            self._events = None
            self._leave()
        return events

    def end_input(self):
        self._enter()
        self._input = b""
        self._rest = []
        self._position = self._scanned = self._rest_size = self._missing = 0
        nghttp2_session_del(self._session)
        self._session = NULL
        self._leave()

    # Measuring

    cdef int _scan(self, bytes data) except -1:
        """Measure and count the frames that ``data`` completes."""
        cdef Py_ssize_t taken
        if self._stop is not None:
            return 0
        if self._preface < PREFACE_SIZE:
            taken = min(len(data), PREFACE_SIZE - self._preface)
            if memcmp(PyBytes_AS_STRING(data), PREFACE + self._preface, taken):
                self._stop = (PROTOCOL_ERROR, "invalid preface", None)
                return 0
            self._preface += taken
            data = data[taken:]
        if self._missing:
            self._rest.append(data)
            self._rest_size += len(data)
            if self._rest_size < self._missing:
                return 0
            data = b"".join(self._rest)
            self._rest = []
            self._rest_size = self._missing = 0
        if self._position < len(self._input):
            data = self._input[self._position :] + data
        self._scanned -= self._position
        self._position = 0
        self._input = data
        while self._stop is None and self._scan_frame():
            pass
        return 0

    cdef bint _scan_frame(self) except -1:
        """Measure and count one more frame, if it is whole."""
        cdef Py_ssize_t left = len(self._input) - self._scanned
        cdef const uint8_t* frame = (
            <const uint8_t*>PyBytes_AS_STRING(self._input) + self._scanned
        )
        cdef Py_ssize_t length
        if left < HEADER:
            return False
        if not self._greeted:
            self._greeted = True
            if frame[3] != NGHTTP2_SETTINGS or frame[4] & NGHTTP2_FLAG_ACK:
                # RFC 9113 3.4: SETTINGS is the second half of the preface.
                self._stop = (PROTOCOL_ERROR, "invalid preface: no SETTINGS", None)
                return False
        length = frame[0] << 16 | frame[1] << 8 | frame[2]
        if length > self._max_frame:
            # Refused on its header, not after it was kept.
            reason = f"frame of {length} bytes"
            self._stop = (FRAME_SIZE_ERROR, reason, "h2_max_inbound_frame_size")
            return False
        if left < HEADER + length:
            self._missing = HEADER + length - left
            return False
        self._count(frame[3], frame[4], length, frame + HEADER)
        if self._scanned_block > self._max_continuations:
            self._stop = (ENHANCE_YOUR_CALM, "CONTINUATION flood", "h2_max_continuation_frames")
            return False
        self._scanned += HEADER + length
        return True

    cdef void _count(
        self, int kind, int flags, Py_ssize_t length, const uint8_t* payload
    ) noexcept:
        if kind == NGHTTP2_HEADERS:
            self._scanned_block = not flags & NGHTTP2_FLAG_END_HEADERS
        elif kind == NGHTTP2_CONTINUATION:
            self._scanned_block += 1
            if flags & NGHTTP2_FLAG_END_HEADERS:
                self._scanned_block = 0
        elif kind == NGHTTP2_DATA:
            # Nothing, or nothing but padding.
            if not length or (flags & NGHTTP2_FLAG_PADDED and payload[0] == length - 1):
                self.glitches += not flags & NGHTTP2_FLAG_END_STREAM
        else:
            self.glitches += 1
            if kind == NGHTTP2_SETTINGS and length > 6 * MAX_SETTINGS_ENTRIES:
                self.glitches += length // 6

    # Dealing with them

    cdef int _run(self, list events) except -1:
        """Deal with a few whole frames."""
        cdef const uint8_t* frame
        cdef Py_ssize_t size
        cdef int count = RUN
        self._events = events
        while count and self._position < self._scanned and not self._failed:
            count -= 1
            frame = <const uint8_t*>PyBytes_AS_STRING(self._input) + self._position
            size = HEADER + (frame[0] << 16 | frame[1] << 8 | frame[2])
            self._position += size
            if self._is_for_nghttp2(frame, size, events):
                self._feed(frame, size, events)
                self._forget_closed()
        if self._position < self._scanned or self._failed:
            return 0
        if self._stop is not None:
            self._fail(events, self._stop[0], self._stop[1], self._stop[2])
        elif self._position == len(self._input):
            self._input = b""
            self._position = self._scanned = 0
        return 0

    cdef int _feed(self, const uint8_t* frame, Py_ssize_t size, list events) except -1:
        cdef ssize_t read
        self._passed = self._chunk_size = 0
        if frame[3] == NGHTTP2_HEADERS or frame[3] == NGHTTP2_CONTINUATION:
            self._block = not frame[4] & NGHTTP2_FLAG_END_HEADERS
        elif frame[3] == NGHTTP2_DATA:
            self._passed = size - HEADER
            self._data_came = True
            self._allowed = nghttp2_session_get_local_window_size(self._session)
        read = nghttp2_session_mem_recv(self._session, frame, size)
        if read >= 0:
            if self._failed or not nghttp2_session_want_write(self._session):
                return 0
            return self._pump(events)
        if self._oversized:
            limit = "h2_max_header_list_size"
            return self._fail(events, ENHANCE_YOUR_CALM, "header list too large", limit)
        return self._fail(events, INTERNAL_ERROR, described(self._error, read), None)

    cdef bint _is_for_nghttp2(
        self, const uint8_t* frame, Py_ssize_t size, list events
    ) except -1:
        """Look at a frame before libnghttp2 does; some end here."""
        cdef int kind = frame[3]
        cdef int32_t stream_id = stream_of(frame)
        if self._block:
            return True  # which fails, unless it is CONTINUATION
        if kind == NGHTTP2_HEADERS or kind == NGHTTP2_DATA:
            return self._is_in_time(kind, stream_id, events)
        if kind == NGHTTP2_PRIORITY:
            # libnghttp2 does not look at them, as it was told that there are none.
            self._priority(frame, size, events)
            return False
        if kind == NGHTTP2_GOAWAY or kind == PRIORITY_UPDATE:
            if stream_id:
                self._fail(events, PROTOCOL_ERROR, "frame out of place", None)
            elif kind == PRIORITY_UPDATE:
                events.append(PriorityUpdateFrame(frame[HEADER:size]))
            elif size < HEADER + 8:
                self._fail(events, FRAME_SIZE_ERROR, "short GOAWAY", None)
            else:
                last = number(frame + HEADER) & MAX_STREAM_ID
                events.append(GoAwayFrame(last, number(frame + HEADER + 4)))
            return False
        # RFC 7838 4: a server ignores it.
        return kind != ALTSVC

    cdef int _priority(self, const uint8_t* frame, Py_ssize_t size, list events) except -1:
        cdef int32_t stream_id = stream_of(frame)
        cdef int32_t depends_on
        if not stream_id or size != HEADER + 5:
            code = FRAME_SIZE_ERROR if stream_id else PROTOCOL_ERROR
            return self._fail(events, code, "malformed PRIORITY", None)
        depends_on = number(frame + HEADER) & MAX_STREAM_ID
        if depends_on == stream_id and stream_id > self._highest:
            # A stream error (RFC 7540 5.3.1), but an idle stream cannot be reset.
            reason = f"stream {stream_id} depends on itself"
            return self._fail(events, PROTOCOL_ERROR, reason, None)
        exclusive = frame[HEADER] >> 7 == 1
        events.append(PriorityFrame(stream_id, depends_on, frame[HEADER + 4] + 1, exclusive))
        return 0

    cdef bint _is_in_time(self, int kind, int32_t stream_id, list events) except -1:
        """Whether a stream still takes HEADERS or DATA (RFC 9113 section 5.1).

        A frame that comes too late goes to libnghttp2 even so, which keeps its compression
        table and its windows with it, and drops it.
        """
        cdef Stream stream
        cdef uint8_t[4] code
        cdef Py_ssize_t i
        if stream_id & 1 and stream_id > self._highest:
            return True
        stream = self._find(stream_id)
        if stream is not None:
            if stream.half_closed:
                self._note_reset(stream, True)
                nghttp2_submit_rst_stream(self._session, 0, stream_id, AFTER_THE_END)
                self._pump(None)
                self._forget_closed()
                events.append(ResetFrame(stream_id, AFTER_THE_END, True))
            return True
        if not stream_id & 1:
            return True
        by_us = self._resets.get(stream_id)
        if by_us is not None:
            self.glitches += 1
            if not by_us:
                put_number(code, AFTER_THE_END)
                self._write_frame(NGHTTP2_RST_STREAM, 0, stream_id, code, 4)
            return True
        for i in range(MAX_ENDED):
            if self._ended[i] == stream_id:
                self._fail(events, AFTER_THE_END, f"frame on closed stream {stream_id}", None)
                return False
        if stream_id <= self._resets_to:
            # It may be one of those we reset, to which frames were on their way.
            self.glitches += 1
            return True
        self._fail(events, PROTOCOL_ERROR, f"stream {stream_id} was passed over", None)
        return False

    # What libnghttp2 calls

    cdef int _field(
        self, const uint8_t* name, size_t name_size, const uint8_t* value, size_t value_size,
        uint8_t flags
    ) except -1:
        self._list_size += name_size + value_size + FIELD_OVERHEAD
        if self._list_size > self._max_list:
            self._oversized = True
            return NGHTTP2_ERR_CALLBACK_FAILURE
        self._fields.append(field(name, name_size, value, value_size, flags))
        return 0

    cdef int _frame(self, const nghttp2_frame* frame) except -1:
        """A whole frame that is in order."""
        cdef int kind = frame.hd.type
        cdef bint ended = frame.hd.flags & NGHTTP2_FLAG_END_STREAM
        cdef Stream stream
        if kind == NGHTTP2_HEADERS:
            self._header_block(frame, ended)
        elif kind == NGHTTP2_SETTINGS:
            if frame.hd.flags & NGHTTP2_FLAG_ACK:
                self._events.append(SettingsAcknowledged())
            else:
                self._settings(&frame.settings)
        elif kind == NGHTTP2_PING:
            if frame.hd.flags & NGHTTP2_FLAG_ACK:
                self._events.append(PingAck(frame.ping.opaque_data[:8]))
        elif kind == NGHTTP2_WINDOW_UPDATE and not frame.hd.stream_id:
            self._mark_all_ready()
        else:
            stream = self._find(frame.hd.stream_id)
            if stream is None:
                return 0
            if kind == NGHTTP2_DATA:
                if ended:
                    self._peer_ended(stream)
                data = PyBytes_FromStringAndSize(<char*>self._chunk, self._chunk_size)
                self._events.append(data_frame(stream.id, data, frame.hd.length, ended))
            elif kind == NGHTTP2_RST_STREAM:
                self._note_reset(stream, False)
                self._events.append(ResetFrame(stream.id, frame.rst_stream.error_code))
            elif kind == NGHTTP2_WINDOW_UPDATE:
                self._mark_ready(stream)
        return 0

    cdef int _peer_ended(self, Stream stream) except -1:
        """Its own end, if it waits for a window, needs none from now on."""
        stream.half_closed = True
        return self._mark_ready(stream)

    cdef int _header_block(self, const nghttp2_frame* frame, bint ended) except -1:
        cdef int32_t stream_id = frame.hd.stream_id
        cdef Stream stream
        cdef bint trailers = frame.headers.cat != NGHTTP2_HCAT_REQUEST
        fields, self._fields = self._fields, []
        if trailers:
            stream = self._find(stream_id)
            if stream is None:
                return 0
            if ended:
                self._peer_ended(stream)
        else:
            self._highest = stream_id
            self._open(stream_id, ended)
        self._events.append(headers_frame(stream_id, fields, ended, trailers))
        if frame.hd.flags & NGHTTP2_FLAG_PRIORITY:
            self._events.append(
                PriorityFrame(
                    stream_id,
                    frame.headers.pri_spec.stream_id,
                    frame.headers.pri_spec.weight,
                    bool(frame.headers.pri_spec.exclusive),
                )
            )
        return 0

    cdef int _settings(self, const nghttp2_settings* settings) except -1:
        cdef size_t i
        cdef uint32_t no_priorities = self._no_priorities
        for i in range(settings.niv):
            if settings.iv[i].settings_id == NO_RFC7540_PRIORITIES:
                no_priorities = settings.iv[i].value
        # RFC 9218 2.1: 0 or 1, and what it was in the first SETTINGS frame. libnghttp2 knows
        # it since 1.48.
        if no_priorities > 1 or (self._settled and no_priorities != self._no_priorities):
            reason = f"SETTINGS_NO_RFC7540_PRIORITIES of {no_priorities}"
            return self._fail(self._events, PROTOCOL_ERROR, reason, None)
        self._settled = True
        self._no_priorities = no_priorities
        self._mark_all_ready()
        if self._events is not None:  # else they came with the upgrade from HTTP/1.1
            self._events.append(SettingsReceived(no_priorities == 1))
        return 0


cdef int on_begin_headers(
    nghttp2_session* session, const nghttp2_frame* frame, void* codec
) noexcept:
    cdef Receiver self = <Receiver>codec
    self._list_size = 0
    try:
        if self._fields:
            self._fields = []
    except BaseException as exc:
        self._error = exc
        return NGHTTP2_ERR_CALLBACK_FAILURE
    return 0


cdef int on_header(
    nghttp2_session* session, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
    const uint8_t* value, size_t value_size, uint8_t flags, void* codec
) noexcept:
    cdef Receiver self = <Receiver>codec
    try:
        return self._field(name, name_size, value, value_size, flags)
    except BaseException as exc:
        self._error = exc
        return NGHTTP2_ERR_CALLBACK_FAILURE


cdef int on_data_chunk(
    nghttp2_session* session, uint8_t flags, int32_t stream_id, const uint8_t* data, size_t size,
    void* codec
) noexcept:
    cdef Receiver self = <Receiver>codec
    # Whole frames go in, so the content of one comes out whole.
    self._chunk = data
    self._chunk_size = size
    return 0


cdef int on_frame(nghttp2_session* session, const nghttp2_frame* frame, void* codec) noexcept:
    cdef Receiver self = <Receiver>codec
    try:
        return self._frame(frame)
    except BaseException as exc:
        self._error = exc
        return NGHTTP2_ERR_CALLBACK_FAILURE


cdef int on_close(
    nghttp2_session* session, int32_t stream_id, uint32_t code, void* codec
) noexcept:
    cdef Session self = <Session>codec
    try:
        if self._closed_one:
            self._closed.append(stream_id)
        else:
            self._closed_one = stream_id
    except BaseException as exc:
        self._error = exc
        return NGHTTP2_ERR_CALLBACK_FAILURE
    return 0


cdef int on_not_sent(
    nghttp2_session* session, const nghttp2_frame* frame, int code, void* codec
) noexcept:
    cdef Session self = <Session>codec
    self._not_sent = True
    return 0
