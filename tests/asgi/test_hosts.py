"""Host names: how they are read and compared."""

import pytest

from tricorn.asgi.hosts import HostNames, host_of, parents
from tricorn.host_names import split_authority


@pytest.mark.parametrize(
    ("authority", "found"),
    [
        (b"example.org", ("example.org", None)),
        (b"EXAMPLE.org:80", ("example.org", 80)),
        (b"example.org.", ("example.org", None)),
        (b"example.org.:8443", ("example.org", 8443)),
        (b"example.org:", ("example.org", None)),
        (b"192.0.2.1:65535", ("192.0.2.1", 65535)),
        (b"[::1]", ("[::1]", None)),
        (b"[0:0::0001]:8000", ("[::1]", 8000)),
        (b"[2001:DB8::A]", ("[2001:db8::a]", None)),
    ],
)
def test_authorities(authority, found):
    assert split_authority(authority) == found


@pytest.mark.parametrize(
    "authority",
    [b"", b".", b":80", b"a b", b"a/b", b"a@b", b"a:80:90", b"a:65536", b"a:x", b"[::1", b"::1",
     b"[1.2.3]", b"[g::]", b"a\r\nx: y", b"a\\b", b"a,b", b"a#b", b"a?b", b"\xe9.org", b"a:-1",
     b"[::1]x", b"[v1.x]"],
)  # fmt: skip
def test_no_authorities(authority):
    assert split_authority(authority) is None
    assert not HostNames(["*.org", "a", "::1"]).match(authority)


def test_the_empty_list_is_false():
    assert not HostNames()
    assert HostNames(["a"])
    assert HostNames(["*.a"])


@pytest.mark.parametrize(
    ("name", "takes", "refuses"),
    [
        ("example.org", ["example.org", "Example.ORG.", "example.org:1"], ["www.example.org", "org",
         "example.orgx", "xexample.org", "example.org.evil.test"]),
        ("Example.Org.", ["example.org"], ["example"]),
        ("*.example.org", ["a.example.org", "A.B.example.org:8000"],
         ["example.org", ".example.org", "xexample.org", "example.org.a", "a.example.orgx"]),
        ("example.org:8443", ["example.org:8443"], ["example.org", "example.org:443"]),
        ("*.example.org:8443", ["a.example.org:8443"], ["a.example.org", "a.example.org:443"]),
        ("::1", ["[::1]", "[0::1]:99"], ["[::2]", "1"]),
        ("[::1]:8000", ["[::1]:8000"], ["[::1]", "[::1]:80"]),
        ("b\u00fccher.example", ["xn--bcher-kva.example"], ["bucher.example"]),
    ],
)  # fmt: skip
def test_matching(name, takes, refuses):
    names = HostNames([name, "other.test"])
    for text in takes:
        assert names.match(text.encode()), text
    for text in refuses:
        assert not names.match(text.encode()), text


def test_the_port_left_out_is_that_of_the_scheme():
    assert HostNames(["a:443"]).match(b"a", secure=True)
    assert not HostNames(["a:443"]).match(b"a")
    assert HostNames(["a:80"]).match(b"a")
    assert not HostNames(["a:80"]).match(b"a", secure=True)


def test_host_field_in_any_case():
    assert host_of([(b"x", b"y"), (b"Host", b"a"), (b"host", b"b")]) == b"a"
    assert host_of([(b"x-host", b"a")]) == b""


def test_parents():
    assert parents("a.b.c") == [".b.c", ".c"]
    assert parents("[::1]") == parents("a") == []
