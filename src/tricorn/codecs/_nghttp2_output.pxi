"""What libnghttp2 calls to send, and its set-up."""


cdef int point_to(
    list headers, Py_ssize_t count, nghttp2_nv* fields, bint at_once
) except -1:
    """Fill in pointers to ``count`` fields; sent ``at_once``, libnghttp2 need not copy them."""
    cdef uint8_t flags = NGHTTP2_NV_FLAG_NONE
    if at_once:
        flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE
    cdef Py_ssize_t i
    cdef object name, value
    for i in range(count):
        if i >= len(headers) or type(headers[i]) is not tuple:
            raise TypeError("a header field is a tuple")
        name, value = <tuple>headers[i]
        if not isinstance(name, bytes) or not isinstance(value, bytes):
            raise TypeError("a header field is of bytes")
        fields[i].name = <uint8_t*>PyBytes_AS_STRING(name)
        fields[i].namelen = PyBytes_GET_SIZE(name)
        fields[i].value = <uint8_t*>PyBytes_AS_STRING(value)
        fields[i].valuelen = PyBytes_GET_SIZE(value)
        fields[i].flags = flags
    return 0


cdef ssize_t on_read_length(
    nghttp2_session* session, uint8_t kind, int32_t stream_id, int32_t room, int32_t stream_room,
    uint32_t largest, void* codec
) noexcept:
    """How much the frame may hold; libnghttp2 takes no zero for an answer."""
    return max((<Sender>codec)._turn_size, 1)


cdef ssize_t on_read(
    nghttp2_session* session, int32_t stream_id, uint8_t* into, size_t room, uint32_t* flags,
    nghttp2_data_source* source, void* codec
) noexcept:
    """How much the frame holds; its bytes are for `on_send_data`."""
    cdef Sender self = <Sender>codec
    if self._turn is None or self._turn.id != stream_id or <size_t>self._turn_size > room:
        return NGHTTP2_ERR_CALLBACK_FAILURE
    flags[0] = NGHTTP2_DATA_FLAG_NO_COPY | NGHTTP2_DATA_FLAG_EOF
    if not self._turn_last:
        flags[0] |= NGHTTP2_DATA_FLAG_NO_END_STREAM
    return self._turn_size


cdef int on_send_data(
    nghttp2_session* session, nghttp2_frame* frame, const uint8_t* header, size_t size,
    nghttp2_data_source* source, void* codec
) noexcept:
    cdef Sender self = <Sender>codec
    try:
        self._reserve(HEADER + size)
        memcpy(self._end(), header, HEADER)
        if self._turn_data is None:
            self._turn.take(self._end() + HEADER, size)
        else:
            memcpy(self._end() + HEADER, PyBytes_AS_STRING(self._turn_data), size)
        self._out_size += HEADER + size
        self.framed += size
        self._turn = None
    except BaseException as exc:
        self._error = exc
        return NGHTTP2_ERR_CALLBACK_FAILURE
    return 0


cdef int set_up() except -1:
    global OPTION, CALLBACKS
    if nghttp2_option_new(&OPTION) or nghttp2_session_callbacks_new(&CALLBACKS):
        raise MemoryError
    # Windows are given back by the protocol floor, and fields are checked there.
    nghttp2_option_set_no_auto_window_update(OPTION, 1)
    nghttp2_option_set_no_http_messaging(OPTION, 1)
    nghttp2_option_set_no_recv_client_magic(OPTION, 1)
    nghttp2_option_set_no_closed_streams(OPTION, 1)
    # What is a flood is said there as well.
    nghttp2_option_set_max_settings(OPTION, 1 << 22)
    nghttp2_option_set_max_outbound_ack(OPTION, 1 << 30)
    # Nor is there a limit for what an application sends, as over HTTP/1.1.
    nghttp2_option_set_max_send_header_block_length(OPTION, 0x7FFFFFFF)
    tricorn_lift_limits(OPTION)
    nghttp2_session_callbacks_set_on_begin_headers_callback(CALLBACKS, on_begin_headers)
    nghttp2_session_callbacks_set_on_header_callback(CALLBACKS, on_header)
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(CALLBACKS, on_data_chunk)
    nghttp2_session_callbacks_set_on_frame_recv_callback(CALLBACKS, on_frame)
    nghttp2_session_callbacks_set_on_frame_not_send_callback(CALLBACKS, on_not_sent)
    nghttp2_session_callbacks_set_on_stream_close_callback(CALLBACKS, on_close)
    nghttp2_session_callbacks_set_data_source_read_length_callback(CALLBACKS, on_read_length)
    nghttp2_session_callbacks_set_send_data_callback(CALLBACKS, on_send_data)
    return 0


set_up()
