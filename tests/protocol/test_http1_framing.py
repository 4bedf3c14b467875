"""HTTP/1.1 request heads and bodies: RFC 9112 sections 2, 3, 5, 6 and 7."""

import pytest
from playbook import (
    ANY_OUTPUT,
    EOF,
    Call,
    Fault,
    Playbook,
    Request,
    SomeData,
    State,
    contains,
    conversation,
    http1,
    respond,
)

from tricorn.protocol.events import (
    DataReceived,
    PeerHalfClosed,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)

pytestmark = pytest.mark.usefixtures("http1_codec")

# Which of the two a transfer coding deserves is the codec's business.
BAD_OR_UNKNOWN = Fault(400) | Fault(501)
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


def get(line=b"GET / HTTP/1.1", *fields):
    return b"\r\n".join([line, b"host: a", *fields, b"", b""])


def post(*fields, body=b""):
    return get(b"POST / HTTP/1.1", *fields) + body


def refused(data, status, **options):
    """The request is refused with this status before anything reaches the application."""
    play = Playbook(http1(**options)) >> data
    play << Fault(status) << contains(b"HTTP/1.1 %d " % status, b"connection: close\r\n")
    return play << State(closing=True, lingering=True)


class TestRFC9112Section2Message:
    @conversation
    def test_a_get_is_one_event_that_ends_the_stream(self):
        play = Playbook(http1()) >> get(b"GET /x?y HTTP/1.1", b"A:  b  ")
        return play << Request(
            1, method="GET", target=b"/x?y", http_version="1.1", end_stream=True,
            headers=[(b"host", b"a"), (b"a", b"b")], protocol=None, expects_continue=False,
        )  # fmt: skip

    @conversation
    def test_2_2_empty_lines_before_the_request_line_are_ignored(self):
        return Playbook(http1()) >> b"\r\n\r\n" + get() << Request(1)

    @conversation
    def test_2_2_one_empty_line_behind_a_body_is_ignored(self):
        play = Playbook(http1()) >> post(b"content-length: 1", body=b"x\r\n")
        play << Request(1) << DataReceived(1, b"x") << StreamEnded(1)
        return play >> respond(1) << OK >> get() << Request(2)

    def test_2_2_many_empty_lines_are_refused(self):
        refused(b"\r\n" * 9, 400).run()

    @pytest.mark.parametrize(
        "data",
        [
            b"GET / HTTP/1.1\nhost: a\n\n",
            b"GET / HTTP/1.1\r\nhost: a\nb: c\r\n\r\n",
            b"GET / HTTP/1.1\r\nhost: a\r\n\n",
            b"\nGET / HTTP/1.1\r\nhost: a\r\n\r\n",
        ],
    )
    @conversation
    def test_2_2_a_bare_lf_is_no_line_end(self, data):
        return refused(data, 400)

    @pytest.mark.parametrize(
        "data",
        [
            b"GET / HTTP/1.1\r\nhost: a\rb: c\r\n\r\n",
            b"GET / HTTP/1.1\rhost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nhost: a\r\r\n\r\n",
            b"\rGET / HTTP/1.1\r\nhost: a\r\n\r\n",
        ],
    )
    @conversation
    def test_2_2_a_bare_cr_is_refused(self, data):
        return refused(data, 400)

    @conversation
    def test_2_2_white_space_before_the_first_field_is_refused(self):
        return refused(b"GET / HTTP/1.1\r\n host: a\r\n\r\n", 400)

    @pytest.mark.parametrize("version", [b"HTTP/2.0", b"HTTP/0.9", b"HTTP/3.0"])
    @conversation
    def test_2_3_another_major_version_is_505(self, version):
        return refused(get(b"GET / " + version), 505)

    @conversation
    def test_2_3_a_later_minor_version_is_read_as_1_1(self):
        return Playbook(http1()) >> get(b"GET / HTTP/1.2") << Request(1, http_version="1.1")

    @pytest.mark.parametrize("version", [b"HTTP/1.10", b"http/1.1", b"HTTP/1", b"HTTP/ 1.1", b""])
    @conversation
    def test_2_3_a_malformed_version_is_refused(self, version):
        return refused(get(b"GET / " + version), 400)


class TestRFC9112Section3RequestLine:
    @pytest.mark.parametrize(
        "line",
        [
            b"GET  / HTTP/1.1",
            b"GET / HTTP/1.1 ",
            b" GET / HTTP/1.1",
            b"GET\t/ HTTP/1.1",
            b"GET / x HTTP/1.1",
            b"G(T / HTTP/1.1",
            b"GET /",
            b"GET",
            b"GET /\x00 HTTP/1.1",
            b"GET /\x7f HTTP/1.1",
            b"GET /\xff HTTP/1.1",
        ],
    )
    @conversation
    def test_3_a_malformed_request_line_is_refused(self, line):
        return refused(get(line), 400)

    @conversation
    def test_3_1_the_method_is_case_sensitive(self):
        return Playbook(http1()) >> get(b"get / HTTP/1.1") << Request(1, method="get")

    @pytest.mark.parametrize("method", [b"head", b"Head", b"connect"])
    @conversation
    def test_rfc9110_9_1_what_reads_as_a_method_of_other_framing_is_501(self, method):
        return refused(get(method + b" / HTTP/1.1"), 501)

    @conversation
    def test_3_a_target_over_the_limit_is_414(self):
        line = b"GET /" + b"a" * 100 + b" HTTP/1.1"
        return refused(get(line), 414, max_request_target_size=100)

    @conversation
    def test_3_a_target_at_the_limit_is_taken(self):
        line = b"GET /" + b"a" * 99 + b" HTTP/1.1"
        return Playbook(http1(max_request_target_size=100)) >> get(line) << Request(1)

    @conversation
    def test_3_a_long_method_is_no_long_target(self):
        line = b"A" * 101 + b" / HTTP/1.1"
        return Playbook(http1(max_request_target_size=100)) >> get(line) << Request(1, target=b"/")

    def test_3_a_request_line_without_end_or_target_is_refused(self):
        refused(b"A" * 1124, 400, max_request_target_size=100).run()

    @conversation
    def test_3_2_no_host_is_refused(self):
        return refused(b"GET / HTTP/1.1\r\n\r\n", 400)

    @conversation
    def test_3_2_two_hosts_are_refused(self):
        return refused(get(b"GET / HTTP/1.1", b"host: a"), 400)

    @pytest.mark.parametrize("host", [b"a b", b"a/b", b"u@a", b"a:b", b"[::1", b"a,b", b"a\\b"])
    @conversation
    def test_3_2_an_invalid_host_is_refused(self, host):
        # A comma is a sub-delim of reg-name (RFC 3986 3.2.2): taken.
        data = b"GET / HTTP/1.1\r\nhost: %b\r\n\r\n" % host
        if host == b"a,b":
            return Playbook(http1()) >> data << Request(1)
        return refused(data, 400)

    @pytest.mark.parametrize("host", [b"", b"a:80", b"[::1]:8000", b"a%20b", b"A.example"])
    @conversation
    def test_3_2_a_valid_host_is_passed_on_as_it_is(self, host):
        data = b"GET / HTTP/1.1\r\nhost: %b\r\n\r\n" % host
        return Playbook(http1()) >> data << Request(1, headers=[(b"host", host)])

    @conversation
    def test_3_2_http_1_0_needs_no_host(self):
        return Playbook(http1()) >> b"GET / HTTP/1.0\r\n\r\n" << Request(1, http_version="1.0")

    @conversation
    def test_3_2_1_a_fragment_is_refused(self):
        return refused(get(b"GET /#x HTTP/1.1"), 400)

    @pytest.mark.parametrize(
        ("target", "path"),
        [
            (b"http://b:80/p?q", b"/p?q"),
            (b"HTTP://b:80", b"/"),
            (b"https://b:80?q", b"/?q"),
        ],
    )
    @conversation
    def test_3_2_2_the_host_of_an_absolute_target_replaces_host(self, target, path):
        play = Playbook(http1()) >> get(b"GET " + target + b" HTTP/1.1")
        return play << Request(1, target=path, headers=[(b"host", b"b:80")])

    @pytest.mark.parametrize(
        "target", [b"ftp://b/", b"http:///p", b"http://u@b/", b"http://b/#f", b"x", b"?q", b"a/b"]
    )
    @conversation
    def test_3_2_2_a_target_in_no_known_form_is_refused(self, target):
        return refused(get(b"GET " + target + b" HTTP/1.1"), 400)

    @conversation
    def test_3_2_3_connect_is_501(self):
        return refused(get(b"CONNECT a:80 HTTP/1.1"), 501)

    @conversation
    def test_3_2_4_the_asterisk_is_for_options(self):
        return Playbook(http1()) >> get(b"OPTIONS * HTTP/1.1") << Request(1, target=b"*")

    @conversation
    def test_3_2_4_options_of_an_absolute_target_without_path_is_the_asterisk(self):
        return Playbook(http1()) >> get(b"OPTIONS http://a HTTP/1.1") << Request(1, target=b"*")

    @conversation
    def test_3_2_4_the_asterisk_with_another_method_is_refused(self):
        return refused(get(b"GET * HTTP/1.1"), 400)


class TestRFC9112Section5Fields:
    @pytest.mark.parametrize(
        "field",
        [b"a : b", b"a b: c", b": b", b"a", b"a\xff: b", b"(a): b", b"a\x00b: c"],
    )
    @conversation
    def test_5_1_a_malformed_field_line_is_refused(self, field):
        return refused(get(b"GET / HTTP/1.1", field), 400)

    @pytest.mark.parametrize("byte", [*range(9), 11, 12, *range(14, 32), 127])
    def test_5_5_control_characters_in_a_value_are_refused(self, byte):
        for cut in ((1 << 30,), (1,)):
            refused(get(b"GET / HTTP/1.1", b"a: b%cc" % byte), 400).run(cut)

    @conversation
    def test_5_5_tabs_and_obs_text_are_values(self):
        play = Playbook(http1()) >> get(b"GET / HTTP/1.1", b"a: b\tc\xff")
        return play << Request(1, headers=[(b"host", b"a"), (b"a", b"b\tc\xff")])

    @pytest.mark.parametrize("fold", [b"\r\n b", b"\r\n\tb"])
    @conversation
    def test_5_2_obsolete_folding_is_refused(self, fold):
        return refused(get(b"GET / HTTP/1.1", b"a: b" + fold), 400)

    @conversation
    def test_5_the_head_has_a_limit(self):
        return refused(get(b"GET / HTTP/1.1", b"a: " + b"b" * 1024), 431,
                       h11_max_incomplete_size=1024)  # fmt: skip

    @conversation
    def test_5_the_number_of_fields_has_a_limit(self):
        return refused(get(b"GET / HTTP/1.1", *[b"a: b"] * 3), 431, max_header_count=3)

    @conversation
    def test_5_names_keep_their_case_where_asked_for(self):
        play = Playbook(http1(h11_pass_raw_headers=True)) >> get(b"GET / HTTP/1.1", b"X-Ab: c")
        return play << Request(1, headers=[(b"host", b"a"), (b"x-ab", b"c")],
                               raw_headers=[(b"host", b"a"), (b"X-Ab", b"c")])  # fmt: skip

    @pytest.mark.parametrize(
        ("head", "fields"),
        [
            (b"GET http://b:80/p HTTP/1.1\r\nX-Ab: c\r\nHost: a\r\n\r\n", [(b"X-Ab", b"c")]),
            (b"GET http://b:80/p HTTP/1.0\r\n\r\n", []),
        ],
    )
    @conversation
    def test_5_nor_then_has_the_client_another_host_than_its_target(self, head, fields):
        play = Playbook(http1(h11_pass_raw_headers=True)) >> head
        version = "1.1" if b"HTTP/1.1" in head else "1.0"
        lower = [(name.lower(), value) for name, value in fields]
        return play << Request(1, target=b"/p", http_version=version,
                               headers=[(b"host", b"b:80"), *lower],
                               raw_headers=[(b"host", b"b:80"), *fields])  # fmt: skip


class TestRFC9112Section6Body:
    @conversation
    def test_6_2_content_length_frames_the_body(self):
        play = Playbook(http1()) >> post(b"content-length: 5", body=b"hello")
        return play << Request(1, end_stream=False) << DataReceived(1, b"hello") << StreamEnded(1)

    @conversation
    def test_6_2_a_length_of_zero_is_no_body(self):
        return Playbook(http1()) >> post(b"content-length: 00") << Request(1, end_stream=True)

    @pytest.mark.parametrize(
        "value", [b"+5", b"-5", b"5 5", b"0x5", b"5_0", b"", b"5,6", b"5;", b"1" * 20, b"\xb2"]
    )
    @conversation
    def test_6_2_a_malformed_content_length_is_refused(self, value):
        return refused(post(b"content-length: " + value, body=b"hello"), 400)

    @conversation
    def test_6_2_different_lengths_are_refused(self):
        return refused(post(b"content-length: 5", b"content-length: 6", body=b"hello!"), 400)

    @conversation
    def test_6_1_transfer_encoding_with_content_length_is_refused(self):
        fields = b"transfer-encoding: chunked", b"content-length: 5"
        return refused(post(*fields, body=b"0\r\n\r\n"), 400)

    @conversation
    def test_6_1_transfer_encoding_in_http_1_0_is_refused(self):
        return refused(get(b"POST / HTTP/1.0", b"transfer-encoding: chunked"), 400)

    @pytest.mark.parametrize(
        "value",
        [b"gzip", b"gzip, chunked", b"chunked, gzip", b"chunked, chunked", b"chunked;q=1",
         b"\x0bchunked", b'"chunked"', b""],
    )  # fmt: skip
    @conversation
    def test_6_1_codings_other_than_chunked_are_refused(self, value):
        data = post(b"transfer-encoding: " + value, body=b"0\r\n\r\n")
        play = Playbook(http1()) >> data << BAD_OR_UNKNOWN << ANY_OUTPUT
        return play << State(closing=True)

    @conversation
    def test_6_1_repeated_transfer_encoding_is_refused(self):
        play = Playbook(http1())
        play >> post(*[b"transfer-encoding: chunked"] * 2, body=b"0\r\n\r\n")
        play << BAD_OR_UNKNOWN << ANY_OUTPUT
        return play << State(closing=True)

    @conversation
    def test_6_3_a_body_cut_short_resets_the_stream(self):
        play = Playbook(http1()) >> post(b"content-length: 5", body=b"hel")
        play << Request(1) << DataReceived(1, b"hel")
        return play >> EOF << Fault(None) << StreamReset(1) << State(closing=True)

    @conversation
    def test_8_a_head_cut_short_is_dropped(self):
        play = Playbook(http1()) >> b"GET / HT"
        return play >> EOF << Fault(None) << State(closing=True)

    @conversation
    def test_9_6_an_eof_behind_a_request_still_gets_its_answer(self):
        play = Playbook(http1()) >> get() << Request(1) >> EOF << PeerHalfClosed(1)
        play >> respond(1) << contains(b"HTTP/1.1 200 OK\r\n")
        return play << State(closing=True)

    @conversation
    def test_9_6_an_eof_behind_pipelined_requests_still_gets_their_answers(self):
        play = Playbook(http1()) >> get() + get() << Request(1) >> EOF << PeerHalfClosed(1)
        play >> respond(1) << OK << Request(2) << PeerHalfClosed(2)
        return play >> respond(2) << contains(b"HTTP/1.1 200 OK\r\n") << State(closing=True)


CHUNKED = b"transfer-encoding: Chunked"


class TestRFC9112Section7Chunked:
    @conversation
    def test_7_1_chunks_are_joined_and_extensions_ignored(self):
        play = Playbook(http1()) >> post(CHUNKED, body=b"5;a=b\r\nhello\r\n01\r\n!\r\n0\r\n\r\n")
        return play << Request(1) << DataReceived(1, b"hello!") << StreamEnded(1)

    @conversation
    def test_7_1_2_trailers_come_behind_the_body(self):
        play = Playbook(http1()) >> post(CHUNKED, body=b"1\r\nx\r\n0\r\nA: b\r\n\r\n")
        play << Request(1) << DataReceived(1, b"x")
        return play << TrailersReceived(1, [(b"a", b"b")]) << StreamEnded(1)

    @pytest.mark.parametrize("name", [b"host", b"content-length", b"trailer", b"te"])
    @conversation
    def test_7_1_2_trailers_that_frame_or_route_are_refused(self, name):
        play = Playbook(http1()) >> post(CHUNKED, body=b"1\r\nx\r\n0\r\n%b: 1\r\n\r\n" % name)
        play << Request(1) << SomeData(1) << Fault(400) << StreamReset(1)
        return play << contains(b"HTTP/1.1 400 ") << State(closing=True, lingering=True)

    @pytest.mark.parametrize(
        "body",
        [
            b"5\nhello\r\n0\r\n\r\n",
            b"5\r\nhello0\r\n\r\n\r\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"-5\r\nhello\r\n0\r\n\r\n",
            b"0x5\r\nhello\r\n0\r\n\r\n",
            b"5 \nhello\r\n0\r\n\r\n",
            b"\r\n5\r\nhello\r\n0\r\n\r\n",
            b"g\r\n",
            b"5;a\nb\r\nhello\r\n0\r\n\r\n",
            b"1" * 30 + b"\r\n",
            b"1\r\nx\r\n0\r\n a: b\r\n\r\n",
            b"1\r\nx\r\n0\r\na : b\r\n\r\n",
            b"1\r\nx\r\n0\r\na: b\x0bc\r\n\r\n",
        ],
    )
    @conversation
    def test_7_1_malformed_chunks_are_refused(self, body):
        play = Playbook(http1()) >> post(CHUNKED, body=body)
        play << Request(1) << SomeData(1) << Fault(400) << StreamReset(1)
        return play << contains(b"HTTP/1.1 400 ") << State(closing=True, lingering=True)

    @conversation
    def test_7_1_1_extensions_have_a_budget(self):
        body = (b"1;" + b"a" * 200 + b"\r\nx\r\n") * 6
        play = Playbook(http1(max_chunk_overhead=1024)) >> post(CHUNKED, body=body)
        play << Request(1) << SomeData(1) << Fault(431) << StreamReset(1)
        return play << contains(b"HTTP/1.1 431 ") << State(closing=True)

    @conversation
    def test_7_1_1_white_space_around_the_parts_of_an_extension_is_nothing(self):
        body = b"5 ;a=b\r\nhello\r\n1\t; a = b\r\n!\r\n0 ;\tc ;d\r\n\r\n"
        play = Playbook(http1()) >> post(CHUNKED, body=body)
        return play << Request(1) << DataReceived(1, b"hello!") << StreamEnded(1)

    @conversation
    def test_7_1_one_byte_chunks_cost_no_budget(self):
        play = Playbook(http1(max_chunk_overhead=64))
        play >> post(CHUNKED, body=b"1\r\nx\r\n" * 200 + b"0\r\n\r\n")
        return play << Request(1) << DataReceived(1, b"x" * 200) << StreamEnded(1)

    @conversation
    def test_7_1_2_the_number_of_trailers_has_a_limit(self):
        body = b"0\r\n" + b"a: b\r\n" * 3 + b"\r\n"
        play = Playbook(http1(max_header_count=2)) >> post(CHUNKED, body=body)
        play << Request(1) << Fault(431) << StreamReset(1)
        return play << contains(b"HTTP/1.1 431 ")

    @conversation
    def test_7_1_a_broken_chunk_behind_a_started_response_just_closes(self):
        play = Playbook(http1()) >> post(CHUNKED) << Request(1)
        play >> Call("send_headers", 1, 200, []) << ANY_OUTPUT
        play >> b"zz\r\n" << Fault(400) << StreamReset(1)
        return play << State(closing=True)
