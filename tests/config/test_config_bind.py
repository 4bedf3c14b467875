"""Addresses: every form, and every slip."""

from __future__ import annotations

import pytest

from tricorn.config import Bind, parse_bind
from tricorn.exceptions import ConfigError


@pytest.mark.parametrize(
    ("text", "bind", "shown"),
    [
        ("127.0.0.1:8000", Bind("tcp", "127.0.0.1", 8000), "127.0.0.1:8000"),
        ("localhost", Bind("tcp", "localhost", 8000), "localhost:8000"),
        (":80", Bind("tcp", "", 80), ":80"),
        ("0.0.0.0:0", Bind("tcp", "0.0.0.0", 0), "0.0.0.0:0"),
        ("h:65535", Bind("tcp", "h", 65535), "h:65535"),
        ("my-host.example:1", Bind("tcp", "my-host.example", 1), "my-host.example:1"),
        ("[::1]:443", Bind("tcp", "::1", 443), "[::1]:443"),
        ("[::]", Bind("tcp", "::", 8000), "[::]:8000"),
        ("::", Bind("tcp", "::", 8000), "[::]:8000"),
        ("2001:db8::1", Bind("tcp", "2001:db8::1", 8000), "[2001:db8::1]:8000"),
        ("::1", Bind("tcp", "::1", 8000), "[::1]:8000"),
        (":::80", Bind("tcp", "::", 80), "[::]:80"),
        ("[fe80::1%eth0]:1", Bind("tcp", "fe80::1%eth0", 1), "[fe80::1%eth0]:1"),
        ("unix:/run/a b.sock", Bind("unix", path="/run/a b.sock"), "unix:/run/a b.sock"),
        ("unix:x", Bind("unix", path="x"), "unix:x"),
        ("unix:" + "x" * 103, Bind("unix", path="x" * 103), "unix:" + "x" * 103),
        ("0:80", Bind("tcp", "0", 80), "0:80"),  # all interfaces, as inet_aton(3) has it
        ("systemd:web-1", Bind("systemd", name="web-1"), "systemd:web-1"),
        ("systemd:" + "x" * 255, Bind("systemd", name="x" * 255), "systemd:" + "x" * 255),
        ("fd://0", Bind("fd", fd=0), "fd://0"),
        (" fd://12 ", Bind("fd", fd=12), "fd://12"),
    ],
)
def test_forms(text: str, bind: Bind, shown: str) -> None:
    assert parse_bind(text) == bind
    assert str(bind) == shown
    assert parse_bind(shown) == bind


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("h:99999", "port '99999' is not a number from 0 to 65535"),
        ("h:65536", "port '65536'"),
        ("h:-1", "port '-1'"),
        ("h:", "port ''"),
        ("h:http", "port 'http'"),
        ("h:\uff18\uff10", "port '\uff18\uff10'"),
        ("8000", "a port alone is written as :8000"),
        ("a:1:80", "brackets"),
        ("::1:80", "brackets, as in [::1]:80 or [::1:80]"),
        (":::x", "port 'x'"),
        ("[::1", "[address]:port"),
        ("[::1]80", "[address]:port"),
        ("[::1]:", "port ''"),
        ("[localhost]:80", "'localhost' is not an IPv6 address"),
        ("[]:80", "'' is not an IPv6 address"),
        ("http://h:80", "without a scheme"),
        ("h/x:80", "'h/x' is not a host name"),
        ("*:80", "'*' is not a host name"),
        ("unix:", "needs a path"),
        ("unix:a\0b", "needs a path"),
        ("unix:" + "x" * 104, "103 bytes"),
        ("fd://", "descriptor number"),
        ("fd://-1", "descriptor number"),
        ("fd://x", "descriptor number"),
        ("fd://2147483648", "descriptor number"),
        ("fd://\u0663", "descriptor number"),
        ("systemd:", "name of a socket"),
        ("systemd:a:b", "name of a socket"),
        ("systemd:" + "x" * 256, "name of a socket"),
    ],
)
def test_slips(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_bind(text)
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"address {text!r}: ")
