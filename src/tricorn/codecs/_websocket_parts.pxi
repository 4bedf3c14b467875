"""Constants, and what frames are made of."""

cdef enum:
    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA
    FIN = 0x80
    RSV1 = 0x40
    RSV = 0x70
    MASK = 0x80

cdef enum:
    PROTOCOL_ERROR = 1002
    INVALID_PAYLOAD = 1007
    POLICY_VIOLATION = 1008
    TOO_BIG = 1009

cdef enum:
    HEAD_LIMIT = 14
    CONTROL_LIMIT = 125
    SCRATCH = 2048
    # What _judge_head says where it does not say the length of a header.
    STARVED = 0
    BROKEN = -1

cdef Py_ssize_t COMPRESSED_STEP = COMPRESSED_SLICE


cdef void unmask(
    uint8_t* target, const uint8_t* source, Py_ssize_t size, const uint8_t* key
) noexcept nogil:
    """``source`` XOR ``key``, which begins at its first byte (RFC 6455 section 5.3)."""
    cdef uint8_t repeated[8]
    cdef uint64_t wide, word
    cdef Py_ssize_t i = 0
    memcpy(repeated, key, 4)
    memcpy(repeated + 4, key, 4)
    memcpy(&wide, repeated, 8)
    while i + 8 <= size:
        memcpy(&word, source + i, 8)
        word ^= wide
        memcpy(target + i, &word, 8)
        i += 8
    while i < size:
        target[i] = source[i] ^ key[i & 3]
        i += 1


cdef bytes frame(uint8_t first, const char* payload, Py_ssize_t size):
    """An unmasked frame; ``first`` is the byte of FIN, RSV and opcode (RFC 6455 section 5.2)."""
    cdef int head = 2 if size < 126 else 4 if size < 65536 else 10
    cdef bytes result = PyBytes_FromStringAndSize(NULL, head + size)
    cdef uint8_t* target = <uint8_t*>PyBytes_AS_STRING(result)
    cdef uint64_t rest = <uint64_t>size
    cdef int i
    target[0] = first
    if head == 2:
        target[1] = <uint8_t>size
    else:
        target[1] = 126 if head == 4 else 127
        for i in range(head - 1, 1, -1):
            target[i] = <uint8_t>(rest & 0xFF)
            rest >>= 8
    memcpy(target + head, payload, size)
    return result


cdef bint is_close_code(int code) noexcept:
    """Whether a close frame may carry it (RFC 6455 section 7.4 and the IANA registry)."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999
