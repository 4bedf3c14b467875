"""Field rules said once: RFC 9110 sections 5, 6.5.1, 7.2 and 10.1.4; RFC 9113 section 8.2."""

import pytest

from tricorn.exceptions import LocalProtocolError, RemoteProtocolError
from tricorn.protocol import fields, outbound

CONTROLS = [*range(9), *range(10, 32), 127]


class TestRFC9110Section5Outbound:
    def test_names_are_lower_case_and_values_lose_outer_white_space(self):
        given = [(b"X-A", b" b\tc\t"), (b"x-a", b""), (b"D", b"\xff")]
        assert outbound.field_list(given).pairs == [
            (b"x-a", b"b\tc"),
            (b"x-a", b""),
            (b"d", b"\xff"),
        ]

    def test_any_iterable_of_pairs_will_do(self):
        assert outbound.field_list(iter([[b"A", b"b"]])).pairs == [(b"a", b"b")]
        assert outbound.field_list({b"A": b"b"}.items()).pairs == [(b"a", b"b")]

    @pytest.mark.parametrize("byte", CONTROLS)
    def test_5_5_a_control_character_is_refused(self, byte):
        with pytest.raises(LocalProtocolError, match="x-a"):
            outbound.field_list([(b"x-a", b"b%cc" % byte)])

    @pytest.mark.parametrize("byte", [*CONTROLS, 9, 32, *b'"(),/:;<=>?@[\\]{}', 128, 255])
    def test_5_6_2_a_name_is_a_token(self, byte):
        for _ in range(2):  # a refused name is not remembered as a known one
            with pytest.raises(LocalProtocolError):
                outbound.field_list([(b"a%cb" % byte, b"")])

    @pytest.mark.parametrize(
        "headers",
        [None, 5, "ab", b"ab", [b"ab"], ["ab"], [None], [(b"a",)], [(b"a", b"b", b"c")],
         [("a", b"b")], [(b"a", "b")], [(b"a", None)], [(bytearray(b"a"), b"b")], [(b"", b"")],
         [(b"a", [b"b"])], [([], b"")]],
    )  # fmt: skip
    def test_anything_else_is_refused_as_such(self, headers):
        with pytest.raises(LocalProtocolError):
            outbound.field_list(headers)

    def test_the_memory_of_names_is_bounded(self, monkeypatch):
        monkeypatch.setattr(outbound, "_known_names", {})
        for number in range(3000):
            outbound.field_list([(b"x-%d" % number, b"")])
        assert len(outbound._known_names) <= 1024


class TestRFC9110Section7_2Host:
    @pytest.mark.parametrize(
        "host",
        [b"a", b"a.example", b"a.example:80", b"a:", b"127.0.0.1", b"[::1]", b"[::1]:8080",
         b"[fe80::1%25eth0]", b"[v1.a:b]", b"a%20b", b"a_b", b"*", b""],
    )  # fmt: skip
    def test_hosts(self, host):
        assert fields.valid_host(host)

    @pytest.mark.parametrize(
        "host",
        [b"a b", b"a/b", b"a?b", b"a#b", b"u@a", b"a:b", b"a:1:2", b"a:123456", b"[::1", b"::1",
         b"[::1]x", b"[]", b"[g]", b"a%2", b"a%zz", b"a\\b", b"a\r\n", b"a\n", b"\xe9", b"a\0"],
    )  # fmt: skip
    def test_no_hosts(self, host):
        assert not fields.valid_host(host)


class TestLists:
    @pytest.mark.parametrize(
        ("value", "members"),
        [
            (b"", []),
            (b" , ,\t,", []),
            (b"A", [b"a"]),
            (b" a ,B\t", [b"a", b"b"]),
            (b"a b", [b"a b"]),
        ],
    )
    def test_rfc9110_5_6_1_empty_members_do_not_count(self, value, members):
        assert fields.split_tokens(value) == members

    @pytest.mark.parametrize(
        ("value", "wanted"),
        [
            (b"trailers", True),
            (b"gzip;q=0.5, Trailers", True),
            (b"trailers;q=1", True),
            (b"xtrailers", False),
            (b"", False),
        ],
    )
    def test_rfc9110_10_1_4_te(self, value, wanted):
        assert fields.wants_trailers(value) is wanted


class TestInbound:
    @pytest.mark.parametrize("name", [*sorted(fields.FORBIDDEN_TRAILERS), b":path", b":status"])
    def test_rfc9110_6_5_1_fields_that_frame_or_route_are_no_trailers(self, name):
        with pytest.raises(RemoteProtocolError, match="not allowed in trailers"):
            fields.check_trailers([(b"a", b"b"), (name, b"x")])

    @pytest.mark.parametrize("byte", CONTROLS)
    def test_rfc9110_5_5_control_characters_are_refused_in_trailers(self, byte):
        with pytest.raises(RemoteProtocolError):
            fields.check_trailers([(b"a", b"b%cc" % byte)])

    def test_rfc9113_8_2_1_every_upper_case_letter_is_refused(self):
        for letter in range(ord("A"), ord("Z") + 1):
            with pytest.raises(RemoteProtocolError):
                fields.check_http2_fields([(b"a%c" % letter, b"")])

    def test_fields_that_say_something_to_the_server_are_told(self):
        special = [(b"te", b"trailers"), (b"cookie", b"a=b"), (b"priority", b"u=1")]
        for _ in range(2):  # seen before or not
            assert fields.check_http2_fields([(b"accept", b"*/*"), *special]) == special

    @pytest.mark.parametrize("name", [b"authorization", b"cookie", b"proxy-authorization"])
    def test_secrets_are_not_remembered(self, name):
        fields.check_http2_fields([(name, b"secret")])
        assert (name, b"secret") not in fields._plain_fields

    def test_what_is_remembered_of_the_peers_is_bounded(self):
        for number in range(3000):
            fields.check_http2_fields([(b"x-id", b"%d" % number), (b"x", b"%d" % number * 50)])
        assert len(fields._plain_fields) <= 1024
        assert max(len(value) for _, value in fields._plain_fields) <= 128

    def test_a_field_in_order_does_not_let_another_pass(self):
        fields.check_http2_fields([(b"x-name", b"value")])
        for header in [(b"X-Name", b"value"), (b"x-name", b"value "), (b"x-name", b"val\0ue")]:
            for _ in range(2):
                with pytest.raises(RemoteProtocolError):
                    fields.check_http2_fields([header])

    @pytest.mark.parametrize(("method", "status", "content"), [
        ("GET", 200, True), ("GET", 204, False), ("GET", 304, False), ("HEAD", 200, False),
        ("GET", 103, False), ("POST", 500, True), ("CONNECT", 200, True),
    ])  # fmt: skip
    def test_rfc9110_6_4_1_which_responses_have_content(self, method, status, content):
        assert fields.has_body(method, status) is content
