"""What is used of nghttp2.h."""

from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t

cdef extern from "nghttp2/nghttp2.h":
    """
    /* Newer ones of the library have limits of their own, which would come before those of
       tricorn.protocol. A weak reference is NULL where the library is older than that. */
    extern void nghttp2_option_set_stream_reset_rate_limit(
        nghttp2_option *option, uint64_t burst, uint64_t rate) __attribute__((weak));
    extern void nghttp2_option_set_glitch_rate_limit(
        nghttp2_option *option, uint64_t burst, uint64_t rate) __attribute__((weak));
    extern void nghttp2_option_set_max_continuations(
        nghttp2_option *option, size_t value) __attribute__((weak));

    static void tricorn_lift_limits(nghttp2_option *option) {
        if (nghttp2_option_set_stream_reset_rate_limit)
            nghttp2_option_set_stream_reset_rate_limit(option, UINT32_MAX, UINT32_MAX);
        if (nghttp2_option_set_glitch_rate_limit)
            nghttp2_option_set_glitch_rate_limit(option, UINT32_MAX, UINT32_MAX);
        if (nghttp2_option_set_max_continuations)
            nghttp2_option_set_max_continuations(option, UINT32_MAX);
    }
    """
    void tricorn_lift_limits(nghttp2_option* option)

    enum:
        NGHTTP2_ERR_CALLBACK_FAILURE
        NGHTTP2_FLAG_NONE
        NGHTTP2_FLAG_ACK
        NGHTTP2_FLAG_END_STREAM
        NGHTTP2_FLAG_END_HEADERS
        NGHTTP2_FLAG_PADDED
        NGHTTP2_FLAG_PRIORITY
        NGHTTP2_DATA
        NGHTTP2_HEADERS
        NGHTTP2_PRIORITY
        NGHTTP2_RST_STREAM
        NGHTTP2_SETTINGS
        NGHTTP2_PUSH_PROMISE
        NGHTTP2_PING
        NGHTTP2_GOAWAY
        NGHTTP2_WINDOW_UPDATE
        NGHTTP2_CONTINUATION
        NGHTTP2_HCAT_REQUEST
        NGHTTP2_NV_FLAG_NONE
        NGHTTP2_NV_FLAG_NO_INDEX
        NGHTTP2_NV_FLAG_NO_COPY_NAME
        NGHTTP2_NV_FLAG_NO_COPY_VALUE
        NGHTTP2_DATA_FLAG_EOF
        NGHTTP2_DATA_FLAG_NO_END_STREAM
        NGHTTP2_DATA_FLAG_NO_COPY

    ctypedef enum nghttp2_settings_id:
        NGHTTP2_SETTINGS_ENABLE_PUSH
        NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS
        NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE
        NGHTTP2_SETTINGS_MAX_FRAME_SIZE
        NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL

    ctypedef struct nghttp2_session:
        pass
    ctypedef struct nghttp2_option:
        pass
    ctypedef struct nghttp2_session_callbacks:
        pass
    ctypedef struct nghttp2_info:
        const char* version_str
    ctypedef struct nghttp2_nv:
        uint8_t* name
        uint8_t* value
        size_t namelen
        size_t valuelen
        uint8_t flags
    ctypedef struct nghttp2_settings_entry:
        int32_t settings_id
        uint32_t value
    ctypedef struct nghttp2_frame_hd:
        size_t length
        int32_t stream_id
        uint8_t type
        uint8_t flags
    ctypedef struct nghttp2_priority_spec:
        int32_t stream_id
        int32_t weight
        uint8_t exclusive
    ctypedef struct nghttp2_headers:
        nghttp2_priority_spec pri_spec
        int cat
    ctypedef struct nghttp2_rst_stream:
        uint32_t error_code
    ctypedef struct nghttp2_settings:
        size_t niv
        nghttp2_settings_entry* iv
    ctypedef struct nghttp2_ping:
        uint8_t opaque_data[8]
    ctypedef union nghttp2_frame:
        nghttp2_frame_hd hd
        nghttp2_headers headers
        nghttp2_rst_stream rst_stream
        nghttp2_settings settings
        nghttp2_ping ping
    ctypedef union nghttp2_data_source:
        void* ptr
    ctypedef ssize_t (*nghttp2_data_source_read_callback)(
        nghttp2_session*, int32_t, uint8_t*, size_t, uint32_t*, nghttp2_data_source*, void*
    ) noexcept
    ctypedef struct nghttp2_data_provider:
        nghttp2_data_source source
        nghttp2_data_source_read_callback read_callback

    nghttp2_info* nghttp2_version(int least_version)
    const char* nghttp2_strerror(int code)
    const char* nghttp2_http2_strerror(uint32_t code)

    int nghttp2_option_new(nghttp2_option** option)
    void nghttp2_option_set_no_auto_window_update(nghttp2_option* option, int value)
    void nghttp2_option_set_no_recv_client_magic(nghttp2_option* option, int value)
    void nghttp2_option_set_no_http_messaging(nghttp2_option* option, int value)
    void nghttp2_option_set_no_closed_streams(nghttp2_option* option, int value)
    void nghttp2_option_set_max_settings(nghttp2_option* option, size_t value)
    void nghttp2_option_set_max_outbound_ack(nghttp2_option* option, size_t value)
    void nghttp2_option_set_max_send_header_block_length(nghttp2_option* option, size_t value)

    int nghttp2_session_callbacks_new(nghttp2_session_callbacks** callbacks)
    void nghttp2_session_callbacks_set_on_begin_headers_callback(
        nghttp2_session_callbacks* callbacks,
        int (*callback)(nghttp2_session*, const nghttp2_frame*, void*) noexcept,
    )
    void nghttp2_session_callbacks_set_on_header_callback(
        nghttp2_session_callbacks* callbacks,
        int (*callback)(
            nghttp2_session*, const nghttp2_frame*, const uint8_t*, size_t, const uint8_t*,
            size_t, uint8_t, void*
        ) noexcept,
    )
    void nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
        nghttp2_session_callbacks* callbacks,
        int (*callback)(
            nghttp2_session*, uint8_t, int32_t, const uint8_t*, size_t, void*
        ) noexcept,
    )
    void nghttp2_session_callbacks_set_on_frame_recv_callback(
        nghttp2_session_callbacks* callbacks,
        int (*callback)(nghttp2_session*, const nghttp2_frame*, void*) noexcept,
    )
    void nghttp2_session_callbacks_set_on_frame_not_send_callback(
        nghttp2_session_callbacks* callbacks,
        int (*callback)(nghttp2_session*, const nghttp2_frame*, int, void*) noexcept,
    )
    void nghttp2_session_callbacks_set_on_stream_close_callback(
        nghttp2_session_callbacks* callbacks,
        int (*callback)(nghttp2_session*, int32_t, uint32_t, void*) noexcept,
    )
    void nghttp2_session_callbacks_set_data_source_read_length_callback(
        nghttp2_session_callbacks* callbacks,
        ssize_t (*callback)(
            nghttp2_session*, uint8_t, int32_t, int32_t, int32_t, uint32_t, void*
        ) noexcept,
    )
    void nghttp2_session_callbacks_set_send_data_callback(
        nghttp2_session_callbacks* callbacks,
        int (*callback)(
            nghttp2_session*, nghttp2_frame*, const uint8_t*, size_t, nghttp2_data_source*, void*
        ) noexcept,
    )

    int nghttp2_session_server_new2(
        nghttp2_session** session, const nghttp2_session_callbacks* callbacks, void* user_data,
        const nghttp2_option* option
    )
    void nghttp2_session_del(nghttp2_session* session)
    int nghttp2_session_upgrade2(
        nghttp2_session* session, const uint8_t* settings, size_t length, int head_request,
        void* stream_user_data
    )
    ssize_t nghttp2_session_mem_recv(nghttp2_session* session, const uint8_t* data, size_t length)
    int nghttp2_session_want_write(nghttp2_session* session)
    ssize_t nghttp2_session_mem_send(nghttp2_session* session, const uint8_t** data)

    uint32_t nghttp2_session_get_remote_settings(nghttp2_session* session, nghttp2_settings_id id)
    int32_t nghttp2_session_get_local_window_size(nghttp2_session* session)
    int32_t nghttp2_session_get_remote_window_size(nghttp2_session* session)
    int32_t nghttp2_session_get_stream_remote_window_size(nghttp2_session* session, int32_t id)

    int nghttp2_submit_settings(
        nghttp2_session* session, uint8_t flags, const nghttp2_settings_entry* iv, size_t niv
    )
    int32_t nghttp2_submit_headers(
        nghttp2_session* session, uint8_t flags, int32_t stream_id,
        const nghttp2_priority_spec* priority, const nghttp2_nv* nva, size_t nvlen,
        void* stream_user_data
    )
    int nghttp2_submit_response(
        nghttp2_session* session, int32_t stream_id, const nghttp2_nv* nva, size_t nvlen,
        const nghttp2_data_provider* provider
    )
    int32_t nghttp2_submit_push_promise(
        nghttp2_session* session, uint8_t flags, int32_t stream_id, const nghttp2_nv* nva,
        size_t nvlen, void* stream_user_data
    )
    int nghttp2_submit_data(
        nghttp2_session* session, uint8_t flags, int32_t stream_id,
        const nghttp2_data_provider* provider
    )
    int nghttp2_submit_rst_stream(
        nghttp2_session* session, uint8_t flags, int32_t stream_id, uint32_t code
    )
    int nghttp2_submit_ping(nghttp2_session* session, uint8_t flags, const uint8_t* data)
    int nghttp2_submit_window_update(
        nghttp2_session* session, uint8_t flags, int32_t stream_id, int32_t increment
    )
