"""What is remembered of HTTP/2 request heads, and that it lets nothing else pass."""

import pytest

from tricorn.config import Config
from tricorn.exceptions import RemoteProtocolError
from tricorn.protocol import http2_request
from tricorn.protocol.http2_limits import Limits
from tricorn.protocol.http2_response import response_fields


def read(path=b"/", host=b"a", limits=None, *more):
    head = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", host), (b":path", path)]
    return http2_request.read_request([*head, *more], 1, True, limits or Limits(Config()))


def test_paths_and_hosts_remembered_are_bounded():
    for number in range(3000):
        event = read(b"/%d" % number, b"h%d.example" % number)
        assert event.target == b"/%d" % number
        assert event.headers == [(b"host", b"h%d.example" % number)]
    assert len(http2_request._targets) <= 1024
    assert len(http2_request._hosts) <= 256


@pytest.mark.parametrize("path", [b"/login?token=secret", b"/" + b"x" * 200])
def test_queries_and_long_paths_are_not_remembered(path):
    assert read(path).target == path
    assert path not in http2_request._targets


def test_a_path_seen_before_is_held_to_the_limit_of_another_connection():
    path = b"/" + b"y" * 100
    read(path)
    with pytest.raises(RemoteProtocolError, match=":path over 64 bytes") as caught:
        read(path, limits=Limits(Config(max_request_target_size=64)))
    assert caught.value.status == 414


def test_each_request_has_a_list_of_its_own():
    first, second = read(b"/same"), read(b"/same")
    first.headers.append((b"x", b"y"))
    assert second.headers == [(b"host", b"a")]


@pytest.mark.parametrize("name", [b":method", b":scheme", b":authority", b":path"])
def test_rfc9113_8_3_a_repeated_pseudo_header_field_is_refused(name):
    head = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"a"), (b":path", b"/")]
    with pytest.raises(RemoteProtocolError, match="repeated pseudo-header field"):
        http2_request.read_request([*head, (name, b"/")], 1, True, Limits(Config()))


@pytest.mark.parametrize(
    "name", [b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"]
)
def test_rfc9113_8_2_2_connection_specific_fields_are_left_out(name):
    headers = [(b"a", b"b"), (name, b"x"), (b"content-length", b"0")]
    assert response_fields(200, headers) == [(b":status", b"200"), headers[0], headers[2]]
    assert response_fields(204, headers) == [(b":status", b"204"), headers[0]]
    assert headers[1] == (name, b"x")


def test_a_status_without_a_name_is_sent_too():
    assert response_fields(799, []) == [(b":status", b"799")]
