# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The WebSocket slot, compiled: frames, masks and UTF-8 in C, deflate through Python's zlib.

Theory of operation. ``receive_data`` keeps the bytes and gives the codec itself, which is an
iterator: each step parses up to one event. What a step needs and has not got yet is in fields:
up to 13 bytes of a frame header, the payload of one control frame, up to 3 bytes of a
character. The payload of a message is never kept: what has come is unmasked, checked and
handed on. Reads stay between ``_position`` and the length of ``_input``; writes go into
objects made for their size and into the fixed arrays below, with the bound at each place.

Fields move before Python code is called, and the input is held meanwhile: whatever such a
call does to the codec, memory stays sound.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from tricorn.codecs.websocket_base import (
    BytesPiece,
    CloseFrame,
    ParseFailure,
    PingFrame,
    PongFrame,
    TextPiece,
)
from tricorn.codecs.websocket_deflate import COMPRESSED_SLICE, Deflater, Inflater

cdef extern from "Python.h":
    Py_ssize_t PY_SSIZE_T_MAX
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL
    bint PyUnicode_IS_ASCII(object text)
    bytes PyUnicode_AsUTF8String(object text)
    unicode PyUnicode_DecodeUTF8(const char* data, Py_ssize_t size, const char* errors)
    unicode PyUnicode_DecodeUTF8Stateful(
        const char* data, Py_ssize_t size, const char* errors, Py_ssize_t* consumed
    )

include "_websocket_parts.pxi"


@cython.final
cdef class CompiledCodec:
    """``WebSocketCodec`` in C; the arguments are those of ``WebSocketCodecFactory``."""

    cdef Py_ssize_t _max_message_size, _max_frame_size, _max_fragments
    cdef object _inflater, _deflater  # None without permessage-deflate
    # The bytes at hand.
    cdef bytes _input
    cdef Py_ssize_t _position
    cdef bint _ended  # by a close frame or a failure
    cdef object _failure
    # A frame header of which more has to come.
    cdef uint8_t _head[HEAD_LIMIT]
    cdef Py_ssize_t _head_size
    # The frame under way.
    cdef bint _in_frame, _final
    cdef int _opcode
    cdef Py_ssize_t _left  # bytes of its payload to come
    cdef uint8_t _key[4]  # for the next byte on
    cdef uint8_t _control[CONTROL_LIMIT]
    cdef Py_ssize_t _control_size
    # The message under way.
    cdef bint _in_message, _is_text, _compressed
    cdef bint _begun  # a piece of it has been handed on
    cdef Py_ssize_t _size, _fragments
    cdef uint8_t _pending[4]  # of a character of which more has to come
    cdef Py_ssize_t _pending_size

    def __cinit__(self, *, max_message_size, max_frame_size, max_fragments, deflate):
        self._max_message_size = min(max_message_size, PY_SSIZE_T_MAX)
        self._max_frame_size = min(max_frame_size, PY_SSIZE_T_MAX)
        self._max_fragments = min(max_fragments, PY_SSIZE_T_MAX)
        self._input = b""
        if deflate is not None:
            self._inflater = Inflater(deflate, self._max_message_size)
            self._deflater = Deflater(deflate)

    # Input

    def receive_data(self, bytes data not None):
        """Parse ``data`` lazily (RFC 6455 section 5); the result is the codec itself."""
        if self._position < PyBytes_GET_SIZE(self._input):
            data = self._input[self._position :] + data  # the last iteration was left early
        self._input = data
        self._position = 0
        return self

    def __iter__(self):
        return self

    def __next__(self):
        cdef object event = None
        cdef bint more
        while not self._ended:
            more = self._position < PyBytes_GET_SIZE(self._input)
            if not self._in_frame:
                if not more or not self._take_head():
                    break
            elif self._left and not more:
                break
            elif self._opcode >= CLOSE:
                event = self._take_control()
            else:
                event = self._take_payload()
            if event is not None:
                return event
        self._input = b""
        self._position = 0
        if self._failure is not None:
            event, self._failure = self._failure, None
            return event
        raise StopIteration

    cdef bint _fail(self, int code, str reason, str limit) except -1:
        """The peer broke a rule: the last event."""
        self._ended = True
        self._failure = ParseFailure(code, reason, limit)
        return False

    cdef bint _take_head(self) except -1:
        """Whether the header is complete, and the frame under way."""
        cdef Py_ssize_t kept = self._head_size
        cdef Py_ssize_t size = PyBytes_GET_SIZE(self._input) - self._position
        cdef const uint8_t* head = <const uint8_t*>PyBytes_AS_STRING(self._input) + self._position
        cdef Py_ssize_t length
        if kept:
            size = min(size, HEAD_LIMIT - kept)
            memcpy(self._head + kept, head, size)
            head = self._head
            size += kept
        length = self._judge_head(head, size)
        if length == BROKEN:
            return False
        if length == STARVED:
            # No header is longer than HEAD_LIMIT, so this is less, and all there is.
            if not kept:
                memcpy(self._head, head, size)
            self._head_size = size
            return False
        memcpy(self._key, head + length - 4, 4)
        self._head_size = 0
        self._position += length - kept
        self._in_frame = True
        return True

    cdef Py_ssize_t _judge_head(self, const uint8_t* head, Py_ssize_t size) except -2:
        """The length of the header where ``size`` bytes hold it; what is seen is checked."""
        cdef Py_ssize_t length = 2
        cdef uint64_t payload
        cdef int opcode, i
        if size < 2:
            return STARVED
        opcode = head[0] & 0x0F
        payload = head[1] & 0x7F
        if opcode > PONG or BINARY < opcode < CLOSE:
            self._fail(PROTOCOL_ERROR, "reserved opcode", None)
            return BROKEN
        if opcode >= CLOSE:
            if not head[0] & FIN:
                self._fail(PROTOCOL_ERROR, "fragmented control frame", None)
                return BROKEN
            if payload > CONTROL_LIMIT:
                self._fail(PROTOCOL_ERROR, "control frame too long", None)
                return BROKEN
        elif payload >= 126:
            length = 4 if payload == 126 else 10
            if size < length:
                return STARVED
            payload = 0
            for i in range(2, length):
                payload = payload << 8 | head[i]
            if payload < (126 if length == 4 else 65536) or payload >> 63:
                self._fail(PROTOCOL_ERROR, "payload length not in its shortest form", None)
                return BROKEN
        if not self._allows(head[0], opcode, payload):
            return BROKEN
        if not head[1] & MASK:
            self._fail(PROTOCOL_ERROR, "unmasked frame", None)
            return BROKEN
        length += 4
        if size < length:
            return STARVED
        self._begin_frame(head[0], opcode, <Py_ssize_t>payload)
        return length

    cdef bint _allows(self, uint8_t first, int opcode, uint64_t payload) except -1:
        """Whether a frame may come now, and be as long as this."""
        cdef int reserved = first & RSV
        cdef bint compressed = self._compressed
        if opcode < CLOSE:
            if opcode == CONTINUATION:
                if not self._in_message:
                    return self._fail(PROTOCOL_ERROR, "continuation without a message", None)
            elif self._in_message:
                return self._fail(PROTOCOL_ERROR, "message inside a fragmented message", None)
            else:
                compressed = self._inflater is not None and reserved & RSV1 != 0
                if compressed:
                    reserved &= ~RSV1
            if payload > <uint64_t>self._max_frame_size:
                return self._fail(TOO_BIG, "frame too big", "max_frame_size")
            if not compressed and payload > <uint64_t>(self._max_message_size - self._size):
                return self._fail(TOO_BIG, "message too big", "max_message_size")
            if self._fragments >= self._max_fragments:
                return self._fail(POLICY_VIOLATION, "too many fragments", "max_fragments")
        if reserved:
            return self._fail(PROTOCOL_ERROR, "reserved bit set", None)
        return True

    cdef void _begin_frame(self, uint8_t first, int opcode, Py_ssize_t payload) noexcept:
        self._final = first & FIN != 0
        self._opcode = opcode
        self._left = payload
        self._control_size = 0
        if opcode == TEXT or opcode == BINARY:
            self._is_text = opcode == TEXT
            self._compressed = first & RSV1 != 0

    cdef void _advance(self, Py_ssize_t size) noexcept:
        """``size`` bytes of payload are taken."""
        cdef uint8_t key[4]
        cdef int i
        self._position += size
        self._left -= size
        if self._left:
            memcpy(key, self._key, 4)
            for i in range(4):
                self._key[i] = key[(size + i) & 3]

    # Control frames

    cdef object _take_control(self):
        """Payload of a control frame; the event once it is complete."""
        cdef Py_ssize_t size = min(self._left, PyBytes_GET_SIZE(self._input) - self._position)
        cdef bytes payload
        # A header with more than CONTROL_LIMIT has been refused.
        unmask(
            self._control + self._control_size,
            <const uint8_t*>PyBytes_AS_STRING(self._input) + self._position,
            size,
            self._key,
        )
        self._control_size += size
        self._advance(size)
        if self._left:
            return None
        self._in_frame = False
        payload = PyBytes_FromStringAndSize(<char*>self._control, self._control_size)
        if self._opcode == PING:
            return PingFrame(payload)
        if self._opcode == PONG:
            return PongFrame(payload)
        return self._close_frame(payload)

    cdef object _close_frame(self, bytes payload):
        cdef int code
        cdef str reason
        if not payload:
            self._ended = True
            return CloseFrame(None, "")
        if PyBytes_GET_SIZE(payload) == 1:
            self._fail(PROTOCOL_ERROR, "close frame of one byte", None)
            return None
        code = self._control[0] << 8 | self._control[1]
        if not is_close_code(code):
            self._fail(PROTOCOL_ERROR, "invalid close code", None)
            return None
        try:
            reason = PyUnicode_DecodeUTF8(
                PyBytes_AS_STRING(payload) + 2, PyBytes_GET_SIZE(payload) - 2, NULL
            )
        except UnicodeDecodeError:
            self._fail(INVALID_PAYLOAD, "invalid UTF-8", None)
            return None
        self._ended = True
        return CloseFrame(code, reason)

    # Messages

    cdef object _take_payload(self):
        """A message, a piece of one, or None where there is nothing to hand on."""
        cdef bytes source = self._input  # held until it is read
        cdef const uint8_t* start = <const uint8_t*>PyBytes_AS_STRING(source) + self._position
        cdef Py_ssize_t size = min(self._left, PyBytes_GET_SIZE(source) - self._position)
        cdef uint8_t key[4]
        cdef bint last
        cdef object data
        if self._compressed and size > COMPRESSED_STEP:
            size = COMPRESSED_STEP
        memcpy(key, self._key, 4)
        self._advance(size)
        self._size += size
        last = self._final and not self._left
        if not self._left:
            self._end_frame()
        if self._compressed:
            data = self._inflate(start, size, key, last)
        elif self._is_text:
            data = self._decode(start, size, key, last)
        else:
            data = PyBytes_FromStringAndSize(NULL, size)
            unmask(<uint8_t*>PyBytes_AS_STRING(data), start, size, key)
        if data is None or not (last or data):
            return None
        if last:
            self._end_message()
            if not self._begun:
                return data
            self._begun = False
        else:
            self._begun = True
        return TextPiece(data, last) if self._is_text else BytesPiece(data, last)

    cdef void _end_frame(self) noexcept:
        self._in_frame = False
        if not self._final:
            self._in_message = True
            self._fragments += 1

    cdef void _end_message(self) noexcept:
        self._in_message = False
        self._compressed = False
        self._size = 0
        self._fragments = 0

    cdef object _inflate(
        self, const uint8_t* start, Py_ssize_t size, const uint8_t* key, bint last
    ):
        """What compressed payload amounts to; None where the connection has failed."""
        cdef bytes payload = PyBytes_FromStringAndSize(NULL, size)
        cdef object data, rest
        unmask(<uint8_t*>PyBytes_AS_STRING(payload), start, size, key)
        data = self._inflater.inflate(payload)
        if last and type(data) is bytes:
            rest = self._inflater.finish()
            data = data + rest if type(rest) is bytes else rest
        if type(data) is not bytes:
            self._ended = True
            self._failure = data
            return None
        payload = data
        if self._is_text:
            return self._text_of(PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload), last, True)
        return payload

    cdef object _decode(
        self, const uint8_t* start, Py_ssize_t size, const uint8_t* key, bint last
    ):
        """The text of masked payload; None where it is not UTF-8."""
        cdef uint8_t scratch[SCRATCH]
        cdef uint8_t* target = scratch
        cdef Py_ssize_t pending = self._pending_size  # 3 at most
        cdef bytes held
        if size > SCRATCH - pending:
            held = PyBytes_FromStringAndSize(NULL, pending + size)
            target = <uint8_t*>PyBytes_AS_STRING(held)
        memcpy(target, self._pending, pending)
        unmask(target + pending, start, size, key)
        return self._text_of(<const char*>target, pending + size, last, False)

    cdef object _text_of(self, const char* data, Py_ssize_t size, bint last, bint separate):
        """The text of UTF-8; without the end of a character whose rest comes later.

        :param separate: whether what is pending does not stand before ``data`` yet.
        """
        cdef Py_ssize_t consumed = 0
        cdef bytes joined
        if separate and self._pending_size:
            joined = self._pending[: self._pending_size] + data[:size]
            data = PyBytes_AS_STRING(joined)
            size = PyBytes_GET_SIZE(joined)
        self._pending_size = 0
        try:
            if last:
                return PyUnicode_DecodeUTF8(data, size, NULL)
            text = PyUnicode_DecodeUTF8Stateful(data, size, NULL, &consumed)
        except UnicodeDecodeError:
            self._fail(INVALID_PAYLOAD, "invalid UTF-8", None)
            return None
        size -= consumed
        if not 0 <= size <= 3:
            raise SystemError("a character of UTF-8 has four bytes at most")
        memcpy(self._pending, data + consumed, size)
        self._pending_size = size
        return text

    def stop_inflating(self):
        """Compressed messages that begin from here on come empty: nobody wants them."""
        if self._inflater is not None:
            self._inflater.stop()

    # Output

    def text(self, payload, bint compress):
        """One whole text message, of a str or its UTF-8, as a frame.

        Raises UnicodeEncodeError for surrogates.
        """
        cdef Py_ssize_t size = 0
        cdef const char* data
        if compress or type(payload) is not str:
            payload = payload.encode() if isinstance(payload, str) else payload
            return self._message(TEXT, payload, compress)
        if not PyUnicode_IS_ASCII(payload):
            # Not AsUTF8AndSize, which would leave a copy with the application's object.
            return self._message(TEXT, PyUnicode_AsUTF8String(payload), False)
        data = PyUnicode_AsUTF8AndSize(payload, &size)
        return frame(FIN | TEXT, data, size)

    def binary(self, bytes payload not None, bint compress):
        """One whole binary message as a frame. ``compress`` needs an agreed deflate."""
        return self._message(BINARY, payload, compress)

    def ping(self, bytes payload not None):
        """A ping frame; at most 125 bytes of payload."""
        return frame(FIN | PING, PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload))

    def pong(self, bytes payload not None):
        """A pong frame; at most 125 bytes of payload."""
        return frame(FIN | PONG, PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload))

    def close(self, code, reason):
        """A close frame, empty where ``code`` is None; ``reason`` at most 123 bytes of UTF-8."""
        cdef bytes payload = b"" if code is None else code.to_bytes(2, "big") + reason.encode()
        return frame(FIN | CLOSE, PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload))

    cdef bytes _message(self, int opcode, bytes payload, bint compress):
        cdef uint8_t first = <uint8_t>(FIN | opcode)
        if compress and payload and self._deflater is not None:
            payload = self._deflater.deflate(payload)
            first |= RSV1
        return frame(first, PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload))
