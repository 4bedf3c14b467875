"""Constants, helpers, and what is kept of one stream."""

cdef enum:
    ALTSVC = 0xA
    PRIORITY_UPDATE = 0x10
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    AFTER_THE_END = 0x5  # STREAM_CLOSED, a name that nghttp2.h has for something else
    FRAME_SIZE_ERROR = 0x6
    ENHANCE_YOUR_CALM = 0xB
    NO_RFC7540_PRIORITIES = 0x9
    HEADER = 9  # bytes before a frame's payload (RFC 9113 section 4.1)
    USUAL_FRAME = 16384  # any peer takes frames of this size (RFC 9113 section 4.2)
    # Frames dealt with before the peer's budgets are looked at.
    RUN = 32
    MAX_SETTINGS_ENTRIES = 32
    # A window of fewer bytes than this with more to send makes work, not progress
    # (CVE-2019-9511).
    TINY = 256
    # The connection window is topped up in steps of at least this share of its target.
    WINDOW_STEP = 4
    # What is kept of a connection's past: streams that were reset, and that ended.
    MAX_RESETS = 1024
    MAX_ENDED = 64
    FIELD_OVERHEAD = 32  # what a field counts for besides its bytes (RFC 9113 6.5.2)
    # Output up to this size (bytes) is copied out, and its buffer used again.
    SMALL_OUTPUT = 4096
    LARGE_OUTPUT = 32768
    FULL_OUTPUT = 65536
    FIELDS_AT_ONCE = 48
    MAX_STREAM_ID = 0x7FFFFFFF
    NAMES_KEPT = 128
    LONGEST_NAME_KEPT = 40
    FIELDS_KEPT = 256
    RECENT = 64
    LONGEST_VALUE_KEPT = 64

cdef const char* PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
cdef Py_ssize_t PREFACE_SIZE = 24

# Field names as last seen, so that most need not be made anew for each request.
cdef list NAMES = [b""] * NAMES_KEPT
# Whole fields likewise, but for secrets.
cdef list FIELDS = [(b"", b"")] * FIELDS_KEPT


cdef inline uint32_t number(const uint8_t* data) noexcept:
    return <uint32_t>data[0] << 24 | data[1] << 16 | data[2] << 8 | data[3]


cdef inline void put_number(uint8_t* into, uint32_t value) noexcept:
    into[0] = value >> 24
    into[1] = value >> 16 & 0xFF
    into[2] = value >> 8 & 0xFF
    into[3] = value & 0xFF


cdef inline int32_t stream_of(const uint8_t* frame) noexcept:
    return number(frame + 5) & MAX_STREAM_ID


cdef inline bytes octets(object data):
    """Bytes, of what holds bytes only: of a number ``bytes`` makes that many zeros."""
    return data if type(data) is bytes else bytes(memoryview(data))


cdef inline bytes field_name(const uint8_t* name, size_t size):
    """The name as bytes, if possible the object it was last time."""
    cdef size_t place
    cdef bytes kept
    if not 0 < size <= LONGEST_NAME_KEPT:
        return PyBytes_FromStringAndSize(<char*>name, size)
    place = (size * 31 + name[0] * 7 + name[size - 1] * 3 + name[size >> 1]) % NAMES_KEPT
    kept = <bytes>NAMES[place]
    if <size_t>PyBytes_GET_SIZE(kept) != size or memcmp(PyBytes_AS_STRING(kept), name, size):
        kept = PyBytes_FromStringAndSize(<char*>name, size)
        NAMES[place] = kept
    return kept


cdef inline bint is_secret(const uint8_t* name, size_t size, uint8_t flags) noexcept:
    """Whether the value is nobody's but its peer's."""
    if flags & NGHTTP2_NV_FLAG_NO_INDEX:
        return True
    if size == 6:
        return not memcmp(name, b"cookie", 6)
    if size == 13:
        return not memcmp(name, b"authorization", 13)
    return size == 19 and not memcmp(name, b"proxy-authorization", 19)


cdef inline bint holds(object kept, const uint8_t* data, size_t size) noexcept:
    return <size_t>PyBytes_GET_SIZE(kept) == size and not memcmp(
        PyBytes_AS_STRING(kept), data, size
    )


cdef inline tuple field(
    const uint8_t* name, size_t name_size, const uint8_t* value, size_t value_size, uint8_t flags
):
    """Name and value as bytes, if possible the objects they were last time."""
    cdef size_t place
    cdef tuple kept
    if not (0 < name_size <= LONGEST_NAME_KEPT and 0 < value_size <= LONGEST_VALUE_KEPT):
        return field_name(name, name_size), PyBytes_FromStringAndSize(<char*>value, value_size)
    place = (
        name_size * 31 + name[0] * 7 + name[name_size - 1] * 3 + name[name_size >> 1]
        + value_size * 37 + value[0] * 11 + value[value_size - 1] * 5 + value[value_size >> 1] * 13
    ) % FIELDS_KEPT
    kept = <tuple>FIELDS[place]
    if holds(<object>PyTuple_GET_ITEM(kept, 1), value, value_size) and holds(
        <object>PyTuple_GET_ITEM(kept, 0), name, name_size
    ):
        return kept
    kept = field_name(name, name_size), PyBytes_FromStringAndSize(<char*>value, value_size)
    if not is_secret(name, name_size, flags):
        FIELDS[place] = kept
    return kept


cdef str described(error, ssize_t code):
    """What went wrong: an exception of ours, or a code of libnghttp2."""
    if error is not None:
        return f"{type(error).__name__}: {error}"
    return nghttp2_strerror(<int>code).decode("ascii", "replace")


@cython.final
@cython.no_gc_clear
@cython.freelist(64)
cdef class Stream:
    """What is kept of a stream until libnghttp2 closes it."""

    cdef int32_t id
    cdef bint half_closed  # nothing more is to come from the peer
    cdef bint over  # nothing more is sent
    cdef bint scheduled  # the scheduler knows it
    cdef bint queued  # in the queue of those that are ready
    cdef bint ended  # the end of what is buffered is the end of the stream
    cdef Py_ssize_t size  # bytes buffered
    cdef Py_ssize_t sent  # bytes framed
    cdef list pieces  # of bytes
    cdef Py_ssize_t offset  # into the first piece
    cdef list trailers

    cdef int put(self, bytes data) except -1:
        """Buffer ``data``."""
        if self.pieces is None:
            self.pieces = []
        self.pieces.append(data)
        self.size += PyBytes_GET_SIZE(data)
        return 0

    cdef int take(self, uint8_t* into, Py_ssize_t n) except -1:
        """Move the next ``n`` bytes, of at least as many buffered, to ``into``."""
        cdef Py_ssize_t part, done = 0
        cdef bytes piece
        self.size -= n
        self.sent += n
        while n:
            piece = <bytes>self.pieces[done]
            part = min(PyBytes_GET_SIZE(piece) - self.offset, n)
            memcpy(into, PyBytes_AS_STRING(piece) + self.offset, part)
            into += part
            n -= part
            self.offset += part
            if self.offset == PyBytes_GET_SIZE(piece):
                done += 1
                self.offset = 0
        if done:
            del self.pieces[:done]
        return 0

    cdef void drop(self) noexcept:
        """Nothing more is sent."""
        self.over = True
        self.size = self.offset = 0
        self.pieces = None
        self.trailers = None
