"""trusted_proxies, forwarded_fields and proxy_protocol: what is taken and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tricorn import Config
from tricorn.config_proxies import TrustedProxies
from tricorn.exceptions import ConfigError


@pytest.mark.parametrize(
    ("texts", "trusted", "others"),
    [
        ([], [], ["127.0.0.1", "::1", None]),
        (["127.0.0.1"], ["127.0.0.1", "::ffff:127.0.0.1"], ["127.0.0.2", "::1", None, "x"]),
        (["10.0.0.0/8"], ["10.255.0.1", "::ffff:10.1.2.3"], ["11.0.0.1", "::a00:1"]),
        (["2001:db8::/32", "fe80::1"], ["2001:DB8:1::", "fe80::1%eth0"], ["2001:db9::", "fe80::2"]),
        (["::FFFF:192.0.2.1"], ["192.0.2.1"], ["192.0.2.2"]),
        (["unix"], [None], ["127.0.0.1"]),
        (["*"], ["192.0.2.1", "::", None, "not an address"], []),
    ],
)
def test_who_is_trusted(texts: list[str], trusted: list[str | None], others: list[str]) -> None:
    proxies = TrustedProxies(texts)
    assert bool(proxies) is bool(texts)
    for host in trusted:
        assert proxies.trusts_peer((host, 1) if host is not None else None), host
    for host in others:
        assert not proxies.trusts_peer((host, 1) if host is not None else None), host


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"trusted_proxies": ["localhost"]}, "trusted_proxies.*'localhost'.*127.0.0.1 and ::1"),
        ({"trusted_proxies": ["10.0.0.1/8"]}, "trusted_proxies.*did you mean 10.0.0.0/8"),
        ({"trusted_proxies": ["10.0.0.0/99"]}, "trusted_proxies.*network.*'10.0.0.0/99'"),
        ({"trusted_proxies": ["10.0.0.1,10.0.0.2"]}, "trusted_proxies.*one item each"),
        ({"trusted_proxies": ["10.0.0.1:80"]}, "trusted_proxies.*address"),
        ({"trusted_proxies": [""]}, "trusted_proxies.*strings"),
        ({"forwarded_fields": ["x-forwarded"]}, "forwarded_fields.*x-forwarded-for"),
        ({"forwarded_fields": ["x-forwarded-host", "forwarded"]}, "forwarded_fields.*host and"),
        ({"proxy_protocol": ["all"]}, "needs trusted_proxies"),
        ({"proxy_protocol": ["10.0.0.1:1"], "trusted_proxies": ["::1"]}, "proxy_protocol.*'10.0.0"),
        ({"proxy_protocol": ["a b"], "trusted_proxies": ["::1"]}, "proxy_protocol.*'a b'"),
        (
            {"bind": ["unix:/x", ":1"], "proxy_protocol": "all", "trusted_proxies": "::1"},
            "nobody at unix:/x is trusted: add unix",
        ),
        (
            {"bind": ["unix:/x", ":1"], "proxy_protocol": "all", "trusted_proxies": "unix"},
            "nobody at :1 is trusted",
        ),
    ],
)
def test_refused_with_the_option(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Config(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"forwarded_fields": ["forwarded", "x-forwarded-prefix", "x-forwarded-port"]},
        {"forwarded_fields": []},
        {"bind": "Example.org:1", "proxy_protocol": "example.org:1", "trusted_proxies": "::1"},
        {"bind": ["unix:/x", ":1"], "proxy_protocol": "unix:/x", "trusted_proxies": "unix"},
        {"bind": "fd://3", "proxy_protocol": "all", "trusted_proxies": "unix"},
        {"bind": ["unix:/x", ":1"], "proxy_protocol": "all", "trusted_proxies": "*"},
        {"insecure_bind": ":1", "proxy_protocol": ":1", "trusted_proxies": "10.0.0.0/8"},
    ],
)
def test_taken(options: dict[str, Any]) -> None:
    Config(**options)
