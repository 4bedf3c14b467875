# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The HTTP/1.1 slot, compiled: the lines of a request head taken apart in one pass.

Theory of operation. Bytes objects end in a NUL that is not counted, and none of the tables
holds NUL, "\\r" or "\\n": a scan by table stops inside the head, at its end at the latest.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcmp

from tricorn.exceptions import RemoteProtocolError
from tricorn.quoting import quoted

cdef unsigned char TOKEN[256]
cdef unsigned char VISIBLE[256]
cdef unsigned char CONTENT[256]


cdef int fill_tables() except -1:
    cdef int byte
    for byte in range(256):
        TOKEN[byte] = 48 <= byte <= 57 or 65 <= byte <= 90 or 97 <= byte <= 122
        VISIBLE[byte] = 0x21 <= byte <= 0x7E
        # RFC 9110 section 5.5: obs-text, and no control characters but HTAB.
        CONTENT[byte] = byte == 9 or (byte >= 0x20 and byte != 0x7F)
    for byte in b"!#$%&'*+-.^_`|~":
        TOKEN[byte] = 1
    return 0


fill_tables()

cdef bytes GET = b"GET"
cdef bytes POST = b"POST"
cdef bytes HTTP_1_0 = b"1.0"
cdef bytes HTTP_1_1 = b"1.1"


cdef inline bytes piece(const unsigned char* start, const unsigned char* end):
    return PyBytes_FromStringAndSize(<const char*>start, end - start)


@cython.final
cdef class CompiledHTTP1Codec:
    """Request heads; bare CR and LF, folded lines and control characters are refused here."""

    name = "compiled"
    strict = True

    def parse_head(self, bytes head not None):
        """Parse one request head, its final empty line included.

        :raises RemoteProtocolError: 400.
        """
        cdef Py_ssize_t size
        parsed = self.parse(head, &size)
        if size != PyBytes_GET_SIZE(head):
            raise refused_field(head[size - 2 :])
        return parsed

    def parse_first(self, bytes received not None):
        """Parse the request head that ``received`` begins with.

        :return: the head and its size (bytes); None where there is none that is whole and in order.
        """
        cdef Py_ssize_t size
        try:
            parsed = self.parse(received, &size)
        except RemoteProtocolError:
            return None
        return parsed, size

    cdef tuple parse(self, bytes head, Py_ssize_t* size):
        cdef const unsigned char* start = <const unsigned char*>PyBytes_AS_STRING(head)
        cdef const unsigned char* end = start + PyBytes_GET_SIZE(head)
        cdef const unsigned char* at = start
        cdef const unsigned char* name
        cdef bytes method, target, version
        while TOKEN[at[0]]:
            at += 1
        if at == start or at[0] != 0x20:
            raise refused_line(head)
        if at - start == 3 and memcmp(start, b"GET", 3) == 0:
            method = GET
        elif at - start == 4 and memcmp(start, b"POST", 4) == 0:
            method = POST
        else:
            method = piece(start, at)
        at += 1
        start = at
        while VISIBLE[at[0]]:
            at += 1
        if at == start or at[0] != 0x20:
            raise refused_line(head)
        target = piece(start, at)
        at += 1
        # What is compared stands before the end, or the comparison ends at its NUL.
        if end - at < 10 or memcmp(at, b"HTTP/", 5) != 0 or at[6] != 0x2E:
            raise refused_line(head)
        if not (48 <= at[5] <= 57 and 48 <= at[7] <= 57 and at[8] == 13 and at[9] == 10):
            raise refused_line(head)
        if at[5] == 49 and at[7] == 49:
            version = HTTP_1_1
        elif at[5] == 49 and at[7] == 48:
            version = HTTP_1_0
        else:
            version = piece(at + 5, at + 8)
        at += 10
        cdef list fields = []
        while at[0] != 13:
            name = at
            while TOKEN[at[0]]:
                at += 1
            if at == name or at[0] != 0x3A:
                raise refused_field(piece(name, end))
            start = at
            at += 1
            while at[0] == 0x20 or at[0] == 9:
                at += 1
            fields.append((piece(name, start), self.value(&at, name, end)))
        if at[1] != 10:
            raise refused_field(piece(at, end))
        size[0] = at + 2 - <const unsigned char*>PyBytes_AS_STRING(head)
        return method, target, version, fields

    cdef bytes value(
        self, const unsigned char** place, const unsigned char* name, const unsigned char* end
    ):
        """The value from ``place`` on, which is moved behind its line."""
        cdef const unsigned char* start = place[0]
        cdef const unsigned char* at = start
        while CONTENT[at[0]]:
            at += 1
        if at[0] != 13 or at[1] != 10:
            raise refused_field(piece(name, end))
        place[0] = at + 2
        while at > start and ((at - 1)[0] == 0x20 or (at - 1)[0] == 9):
            at -= 1
        return piece(start, at)


cdef refused_line(bytes head):
    line = head.partition(b"\r\n")[0]
    return RemoteProtocolError(f"malformed request line {quoted(line)}")


cdef refused_field(bytes rest):
    if not rest.endswith(b"\r\n\r\n") and b"\r\n" not in rest:
        return RemoteProtocolError("incomplete request head")
    line = rest.partition(b"\r\n")[0]
    if line[:1] in (b" ", b"\t"):
        return RemoteProtocolError("obsolete line folding in the request head")
    return RemoteProtocolError(f"malformed field line {quoted(line)}")
