"""The connection scope of an exchange (ASGI HTTP 2.5)."""

import pytest
from asgi_host import http1_host, http1_stream, http2_stream
from playbook_http2 import GET


def test_all_keys_of_http():
    stream = http1_stream(b"GET", b"X-A: b")
    host = stream.host
    assert stream.scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"a"), (b"x-a", b"b")],
        "client": ("192.0.2.1", 1234),
        "server": ("192.0.2.2", 80),
        "extensions": {
            "http.response.early_hint": {},
            "http.response.pathsend": {},
            "http.response.zerocopysend": {},
            "tricorn.stopping": {"signal": host.worker.stopping},
        },
    }


@pytest.mark.parametrize(
    ("target", "path", "raw", "query"),
    [
        (b"/a%20b?c%20d", "/a b", b"/a%20b", b"c%20d"),
        (b"/%C3%A9", "/\u00e9", b"/%C3%A9", b""),
        (b"/a%2Fb", "/a/b", b"/a%2Fb", b""),
        (b"/a?b?c", "/a", b"/a", b"b?c"),
        (b"/%ff", "/\ufffd", b"/%ff", b""),
        (b"/%", "/%", b"/%", b""),
        (b"//a/../b", "//a/../b", b"//a/../b", b""),
    ],
)
def test_the_path_is_decoded_once_and_kept_raw(target, path, raw, query):
    fields = [*GET[:3], (b":path", target)]
    scope = http2_stream(fields).scope
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == (path, raw, query)


@pytest.mark.parametrize("target", [b"*", b"http://a"])
def test_the_server_as_a_whole_is_below_no_path(target):
    options = {"root_path": "/shop", "root_path_stripped": True}
    head = b"OPTIONS " + target + b" HTTP/1.1\r\nhost: a\r\n\r\n"
    scope = http1_host(head, **options).streams[1].scope
    assert (scope["path"], scope["raw_path"], scope["root_path"]) == ("*", b"*", "/shop")


def test_each_exchange_has_a_copy_of_the_state():
    stream = http1_stream()
    assert "state" not in stream.scope
    stream.host.worker.state = {"a": 1}
    stream.host.http.send_headers(1, 204, [], True)
    stream.host.receive(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
    state = stream.host.streams[2].scope["state"]
    assert state == {"a": 1}
    state["b"] = 2
    assert stream.host.worker.state == {"a": 1}


def test_the_scheme_is_the_transports():
    assert http2_stream([GET[0], (b":scheme", b"https"), *GET[2:]]).scope["scheme"] == "http"


def test_authority_is_host_in_front():
    headers = http2_stream([*GET, (b"a", b"b")]).scope["headers"]
    assert headers == [(b"host", b"a"), (b"a", b"b")]
