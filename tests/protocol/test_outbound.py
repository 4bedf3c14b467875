"""Response fields as they are prepared: RFC 9110 sections 7.6.1 and 8.6, RFC 9112 section 6.3."""

import itertools

import pytest
from playbook import http1
from playbook_http2 import Server, headers

from tricorn.protocol import outbound

GIVEN = [
    [],
    [(b"x-a", b"b")],
    [(b"content-length", b"5")],
    [(b"x-a", b"b"), (b"content-length", b"5"), (b"content-length", b"5"), (b"x-c", b"d")],
    [(b"connection", b"close"), (b"x-a", b"b")],
    [(b"upgrade", b"foo"), (b"content-length", b"5")],
    [(b"transfer-encoding", b"gzip")],
]


def respond(method, version, persistent, send):
    """What a fresh connection gives for one response head, and whether it goes on."""
    connection = http1()()
    field = b"connection: %b\r\n" % (b"keep-alive" if persistent else b"close")
    head = b"%b / HTTP/%b\r\nhost: a\r\n%b\r\n" % (method, version, field)
    connection.receive_data(head)
    send(connection)
    return b"".join(connection.data_to_send()), connection.closing


class TestPreparedFields:
    @pytest.mark.parametrize("version", [b"1.0", b"1.1"])
    @pytest.mark.parametrize("method", [b"GET", b"HEAD"])
    @pytest.mark.parametrize("status", [200, 204, 304, 404, 799])
    def test_a_response_is_what_its_fields_one_by_one_would_be(self, version, method, status):
        added = [(b"server", b"tricorn"), (b"date", b"today")]
        for given, length, persistent in itertools.product(GIVEN, (-1, 0, 5), (True, False)):
            if length >= 0 and any(name == b"content-length" for name, _ in given):
                continue
            prepared = outbound.field_list(given)
            size = [(b"content-length", b"%d" % length)] if length >= 0 else []

            def in_one(http, prepared=prepared, length=length):
                http.send_response(1, status, prepared, outbound.checked(added), length)

            def one_by_one(http, fields=prepared.pairs + size + added):
                http.send_headers(1, status, fields)

            sent, closing = respond(method, version, persistent, in_one)
            expected, expected_closing = respond(method, version, persistent, one_by_one)
            # The order of fields of different names says nothing (RFC 9110 section 5.3).
            assert sorted(sent.split(b"\r\n")) == sorted(expected.split(b"\r\n"))
            assert sent.startswith(b"HTTP/1.1 %d" % status)
            assert sent.endswith(b"\r\n\r\n")
            assert closing is expected_closing

    def test_a_second_response_is_none(self):
        connection = http1()()
        connection.receive_data(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        nothing = outbound.NOTHING
        connection.send_response(1, 200, nothing, nothing, 0, True)
        connection.data_to_send()
        connection.send_response(1, 200, nothing, nothing, 0, True)
        connection.send_response(2, 200, nothing, nothing, 0, True)
        assert not connection.data_to_send()

    @pytest.mark.parametrize("status", [200, 204, 304, 404, 799])
    @pytest.mark.parametrize("content", [b"", b"hello", bytes(100_000)])
    def test_an_http2_response_is_what_its_parts_one_by_one_would_be(self, status, content):
        added = [(b"server", b"tricorn"), (b"date", b"today")]
        length = len(content)
        size = [(b"content-length", b"%d" % length)]
        for given in GIVEN:
            if any(name == b"content-length" for name, _ in given):
                continue
            prepared = outbound.field_list(given)
            one, other = Server(), Server()
            for server in (one, other):
                server.receive(headers(1))
            fields = outbound.checked(added)
            one.connection.send_response(1, status, prepared, fields, length, True, content)
            other.connection.send_headers(1, status, prepared.pairs + size + added, not content)
            if content:
                other.connection.send_data(1, content, True)
            sent, expected = one.frames(), other.frames()
            assert sorted(sent[0][2]) == sorted(expected[0][2])
            assert sent[0][:2] + sent[0][3:] == expected[0][:2] + expected[0][3:]
            assert sent[1:] == expected[1:]
            assert one.connection.busy_streams == other.connection.busy_streams

    def test_8_6_an_equal_content_length_stands_once(self):
        prepared = outbound.field_list(
            [(b"Content-Length", b"3"), (b"a", b"b"), (b"content-length", b"3")]
        )
        assert prepared.pairs == [(b"content-length", b"3"), (b"a", b"b")]
        assert prepared.block == b"content-length: 3\r\na: b\r\n"
        assert prepared.length == 3

    @pytest.mark.parametrize(
        "values", [(b"3", b"4"), (b"x",), (b"",), (b"-1",), (b"1" * 20,), (b"3", b"x"), (b"+1",)]
    )
    def test_8_6_lengths_that_differ_or_are_none_are_told(self, values):
        prepared = outbound.field_list([(b"content-length", value) for value in values])
        assert prepared.length == outbound.INVALID_LENGTH

    @pytest.mark.parametrize(
        ("field", "kind"),
        [
            ((b"Content-Length", b"0"), outbound.LENGTH),
            ((b"Content-Type", b"text/event-stream; charset=utf-8"), outbound.EVENT_STREAM),
            ((b"content-type", b"text/plain"), 0),
            ((b"LINK", b"</a>; rel=preload"), outbound.LINK),
            ((b"connection", b"close"), outbound.CONNECTION),
            ((b"Transfer-Encoding", b"chunked"), outbound.CONNECTION),
            ((b"upgrade", b"h2c"), outbound.CONNECTION),
            ((b"x-link", b"upgrade"), 0),
        ],
    )
    def test_what_a_field_says_is_told(self, field, kind):
        for _ in range(2):  # the second time it is remembered
            assert outbound.field_list([(b"x", b"y"), field]).kinds == kind

    def test_names_are_watched_from_the_moment_they_are_named(self):
        field = (b"x-watched-name", b"1")
        assert outbound.field_list([field]).kinds == 0
        outbound.watch(frozenset({b"x-watched-name"}))
        assert outbound.field_list([field]).kinds == outbound.WATCHED

    def test_cookies_and_long_values_are_not_remembered(self):
        secret = (b"set-cookie", b"a=b")
        first, second = (outbound.field_list([secret]).pairs[0] for _ in range(2))
        assert first == second
        assert first is not second
        plain = (b"x-plain", b"a=b")
        first, second = (outbound.field_list([plain]).pairs[0] for _ in range(2))
        assert first is second
