"""Forwarded (RFC 7239) and X-Forwarded-*: which words count, and what becomes of them."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tricorn.asgi.forwarded import (
    Proxies,
    Reader,
    elements_from_the_right,
    parse_element,
    parse_node,
)
from tricorn.config import Config
from tricorn.config_proxies import TrustedProxies
from tricorn.protocol.proxy_protocol import ProxyHeader

PEER = ("10.0.0.9", 5)
X = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port",
     "x-forwarded-prefix")  # fmt: skip


class Seen:
    """A scope with what was said about it applied, and the complaints."""

    def __init__(
        self,
        fields: list[tuple[str, str]],
        *,
        trusted: tuple[str, ...] = ("10.0.0.0/8", "unix"),
        read: tuple[str, ...] = X,
        stripped: str = "",
        **scope: Any,
    ) -> None:
        self.faults: list[str] = []
        reader = Reader(TrustedProxies(trusted), read, self._fault)
        headers = [(b"host", b"inside:8000"), (b"accept", b"*/*")]
        headers += [(name.encode(), value.encode("latin-1")) for name, value in fields]
        self.scope: dict[str, Any] = {
            "scheme": "http", "path": "/a/b", "raw_path": b"/a/b", "root_path": "",
            "headers": headers, "client": PEER, "server": ("10.0.0.1", 8000), **scope,
        }  # fmt: skip
        self.before = {**self.scope}
        reader.apply(self.scope, headers, PEER, stripped)

    def _fault(self, reason: str, peer: Any) -> None:
        assert peer == PEER
        self.faults.append(reason)

    @property
    def changed(self) -> dict[str, Any]:
        """The entries that are others now."""
        return {key: value for key, value in self.scope.items() if value != self.before[key]}


def x_for(*lines: str, **options: Any) -> Any:
    """The client that X-Forwarded-For lines make, or the complaint."""
    seen = Seen([("x-forwarded-for", line) for line in lines], **options)
    if seen.faults:
        assert seen.changed == {}
        return seen.faults
    return seen.scope["client"]


MALFORMED = ["a malformed X-Forwarded-For field"]


@pytest.mark.parametrize(
    ("lines", "client"),
    [
        (["192.0.2.7"], ("192.0.2.7", 0)),
        (["192.0.2.7:4711"], ("192.0.2.7", 4711)),
        (["2001:DB8::7"], ("2001:db8::7", 0)),
        (["[2001:db8::7]"], ("2001:db8::7", 0)),
        (["[2001:db8::7]:4711"], ("2001:db8::7", 4711)),
        (["::ffff:192.0.2.7"], ("192.0.2.7", 0)),
        (["203.0.113.1, 192.0.2.7"], ("192.0.2.7", 0)),
        (["203.0.113.1", "192.0.2.7"], ("192.0.2.7", 0)),
        (["203.0.113.1, 192.0.2.7, 10.1.1.1"], ("192.0.2.7", 0)),
        (["203.0.113.1, 192.0.2.7:99,10.1.1.1:80", "10.2.2.2"], ("192.0.2.7", 99)),
        ([" \t, 192.0.2.7 ,, ,\t10.1.1.1,"], ("192.0.2.7", 0)),
        (["192.0.2.7, unix:"], ("192.0.2.7", 0)),
        (["10.3.3.3, 10.1.1.1"], ("10.3.3.3", 0)),  # all trusted: the first is the client
        (["unix:"], None),
        (["unknown"], None),
        (["203.0.113.1, unknown, 10.1.1.1"], None),
        (["_hidden"], None),
        # Before an address that is not trusted anybody may write what he likes.
        (['garbage " \xe9, 192.0.2.7'], ("192.0.2.7", 0)),
        (['for="', "192.0.2.7, 10.1.1.1"], ("192.0.2.7", 0)),
        ([""], PEER),
        ([" , "], PEER),
        (["garbage"], MALFORMED),
        (["192.0.2.7, garbage, 10.1.1.1"], MALFORMED),
        (["192.0.2.300"], MALFORMED),
        (["192.0.2.07"], MALFORMED),
        (["192.0.2.7:65536"], MALFORMED),
        (["192.0.2.7:"], MALFORMED),
        (["192.0.2.7 80"], MALFORMED),
        (["[192.0.2.7]"], MALFORMED),
        (["[::1"], MALFORMED),
        (["::1]:5"], MALFORMED),
        (["\u00b2.0.0.1".encode().decode("latin-1")], MALFORMED),
        (["example.org"], MALFORMED),
        ([", ".join(["10.0.0.1"] * 65)], MALFORMED),
        (["192.0.2.7" + "," * 63], ("192.0.2.7", 0)),
        (["192.0.2.7" + "," * 64], MALFORMED),
        (["," * 10_000 + "192.0.2.7"], ("192.0.2.7", 0)),
    ],
)
def test_x_forwarded_for(lines: list[str], client: Any) -> None:
    assert x_for(*lines) == client


def test_everybody_is_trusted() -> None:
    assert x_for("203.0.113.1, unknown, 10.1.1.1", trusted=("*",)) == ("203.0.113.1", 0)
    assert x_for("unknown, 10.1.1.1", trusted=("*",)) is None
    assert x_for("192.0.2.7, unix:", trusted=("10.0.0.0/8",)) is None


def single(name: str, *values: str, **options: Any) -> dict[str, Any]:
    seen = Seen([(f"x-forwarded-{name}", value) for value in values], **options)
    assert bool(seen.faults) <= (seen.changed == {})
    return {"fault": seen.faults[0]} if seen.faults else seen.changed


@pytest.mark.parametrize(
    ("name", "value", "changed"),
    [
        ("proto", "https", {"scheme": "https"}),
        ("proto", "HTTPS", {"scheme": "https"}),
        ("proto", "wss", {"scheme": "https"}),
        ("proto", "http", {}),
        ("proto", "https, http", {}),
        ("proto", "http, https", {"scheme": "https"}),
        ("proto", "", {}),
        ("proto", "gopher", {"fault": "a malformed X-Forwarded-Proto field"}),
        ("proto", "gopher, https", {"scheme": "https"}),
        ("port", "8443", {"server": ("10.0.0.1", 8443)}),
        ("port", "0", {"fault": "a malformed X-Forwarded-Port field"}),
        ("port", "65536", {"fault": "a malformed X-Forwarded-Port field"}),
        ("port", "+1", {"fault": "a malformed X-Forwarded-Port field"}),
        ("port", "\xb2", {"fault": "a malformed X-Forwarded-Port field"}),
        ("host", "a b", {"fault": "a malformed X-Forwarded-Host field"}),
        ("host", "example.org/x", {"fault": "a malformed X-Forwarded-Host field"}),
        ("host", "user@example.org", {"fault": "a malformed X-Forwarded-Host field"}),
        ("prefix", "shop", {"fault": "a malformed X-Forwarded-Prefix field"}),
        ("prefix", "//evil.example", {"fault": "a malformed X-Forwarded-Prefix field"}),
        ("prefix", "/a//b", {"fault": "a malformed X-Forwarded-Prefix field"}),
        ("prefix", "/%2fevil.example", {"fault": "a malformed X-Forwarded-Prefix field"}),
        ("prefix", "/a/../b", {"fault": "a malformed X-Forwarded-Prefix field"}),
        ("prefix", "/a/%2e%2E", {"fault": "a malformed X-Forwarded-Prefix field"}),
        ("prefix", "/a?b", {"fault": "a malformed X-Forwarded-Prefix field"}),
        ("prefix", "/%zz", {"fault": "a malformed X-Forwarded-Prefix field"}),
        ("prefix", "/shop" + "," * 64, {"fault": "a malformed X-Forwarded-Prefix field"}),
        ("proto", "https" + "," * 64, {"fault": "a malformed X-Forwarded-Proto field"}),
        ("prefix", "/", {}),
        ("prefix", "/shop/",
         {"root_path": "/shop", "path": "/shop/a/b", "raw_path": b"/shop/a/b"}),
        ("prefix", "/a%20b",
         {"root_path": "/a b", "path": "/a b/a/b", "raw_path": b"/a%20b/a/b"}),
    ],
)  # fmt: skip
def test_single_fields(name: str, value: str, changed: dict[str, Any]) -> None:
    assert single(name, value) == changed


@pytest.mark.parametrize(
    ("value", "server"),
    [("shop.example", ("shop.example", 80)), ("SHOP.example:8443", ("shop.example", 8443)),
     ("[2001:db8::1]", ("2001:db8::1", 80)), ("[2001:db8::1]:1", ("2001:db8::1", 1))],
)  # fmt: skip
def test_host(value: str, server: tuple[str, int]) -> None:
    seen = Seen([("x-forwarded-host", value)])
    assert seen.scope["server"] == server
    hosts = [content for name, content in seen.scope["headers"] if name == b"host"]
    assert hosts == [value.encode()]
    assert (b"x-forwarded-host", value.encode()) in seen.scope["headers"]
    # The request's own list, which others may hold, is as it was.
    assert (b"host", b"inside:8000") in seen.before["headers"]


def test_host_port_and_scheme_make_the_server() -> None:
    fields = [("x-forwarded-port", "8443"), ("x-forwarded-host", "a.example"),
              ("x-forwarded-proto", "https")]  # fmt: skip
    assert Seen(fields).scope["server"] == ("a.example", 8443)
    assert Seen(fields[1:]).scope["server"] == ("a.example", 443)
    # In front of a unix socket the Host field names the server.
    assert Seen(fields[:1], server=("/run/x", None)).scope["server"] == ("inside", 8443)


def test_a_word_of_each_proxy() -> None:
    """Of lists to which every proxy appends, the word of the one that met the client counts."""
    chain = [("x-forwarded-for", "203.0.113.1, 192.0.2.7, 10.1.1.1")]
    both = Seen([*chain, ("x-forwarded-proto", "http, https, http")])
    assert both.scope["scheme"] == "https"
    one = Seen([*chain, ("x-forwarded-proto", "https")])
    assert one.scope["scheme"] == "https"
    prefixes = Seen([*chain, ("x-forwarded-prefix", "/evil, /outer"),
                     ("x-forwarded-prefix", "/inner")])  # fmt: skip
    assert prefixes.scope["root_path"] == "/outer/inner"
    assert prefixes.scope["path"] == "/outer/inner/a/b"


def test_a_prefix_and_the_option() -> None:
    kept = Seen([("x-forwarded-prefix", "/outer")], root_path="/app", path="/app/x",
                raw_path=b"/app/x")  # fmt: skip
    assert (kept.scope["root_path"], kept.scope["path"]) == ("/outer/app", "/outer/app/x")
    # With root_path_stripped both name the same part of the path, and the proxy knows it.
    stripped = Seen([("x-forwarded-prefix", "/shop")], root_path="/a b", path="/a b/x",
                    raw_path=b"/a%20b/x", stripped="/a b")  # fmt: skip
    assert (stripped.scope["root_path"], stripped.scope["path"]) == ("/shop", "/shop/x")
    assert stripped.scope["raw_path"] == b"/shop/x"
    server = Seen([("x-forwarded-prefix", "/shop")], path="*", raw_path=b"*")
    assert (server.scope["root_path"], server.scope["path"]) == ("/shop", "*")


def test_only_the_fields_of_the_option_are_read() -> None:
    fields = [(name, "https" if name == "x-forwarded-proto" else "192.0.2.7") for name in X]
    fields.append(("forwarded", "for=192.0.2.8;proto=https;host=a.example"))
    assert Seen(fields, read=()).changed == {}
    assert Seen(fields, read=X[:1]).changed == {"client": ("192.0.2.7", 0)}
    assert Seen(fields, read=X[1:2]).changed == {"scheme": "https"}
    changed = Seen(fields, read=("forwarded",)).changed
    assert changed["client"] == ("192.0.2.8", 0)
    assert changed["server"] == ("a.example", 443)


# RFC 7239


def forwarded(*lines: str, **options: Any) -> Any:
    """Client, scheme and Host that Forwarded lines make, or the complaint."""
    fields = [("forwarded", line) for line in lines]
    seen = Seen(fields, read=("forwarded",), **options)
    if seen.faults:
        assert seen.changed == {}
        return seen.faults
    return seen.scope["client"], seen.scope["scheme"], seen.scope["headers"][0][1].decode()


BAD = ["a malformed Forwarded field"]


@pytest.mark.parametrize(
    ("lines", "result"),
    [
        (["for=192.0.2.7"], (("192.0.2.7", 0), "http", "inside:8000")),
        (["For=192.0.2.7;PROTO=https;Host=a.example"],
         (("192.0.2.7", 0), "https", "a.example")),
        (['for="192.0.2.7:4711";proto="https";host="a.example:8443"'],
         (("192.0.2.7", 4711), "https", "a.example:8443")),
        (['for="[2001:db8::7]:4711"'], (("2001:db8::7", 4711), "http", "inside:8000")),
        (['for="[2001:db8::7]"; by=_me ;ext="a,\\"b;=\\\\"'],
         (("2001:db8::7", 0), "http", "inside:8000")),
        (["for=192.0.2.7:4711"], (("192.0.2.7", 4711), "http", "inside:8000")),
        (['for="_gazonk"'], (None, "http", "inside:8000")),
        (['for="_gazonk:_p0rt"'], (None, "http", "inside:8000")),
        (["for=unknown;proto=https"], (None, "https", "inside:8000")),
        (['for="192.0.2.7:_obf"'], (("192.0.2.7", 0), "http", "inside:8000")),
        (["for=203.0.113.1;proto=http, for=192.0.2.7;proto=https, for=10.1.1.1;proto=http"],
         (("192.0.2.7", 0), "https", "inside:8000")),
        (["for=203.0.113.1", "for=192.0.2.7;proto=https;host=a.example", "for=10.1.1.1"],
         (("192.0.2.7", 0), "https", "a.example")),
        (["for=192.0.2.7, for=10.1.1.1;proto=https"],
         (("192.0.2.7", 0), "https", "inside:8000")),
        (["for=10.3.3.3;host=a.example, for=10.1.1.1;host=b.example"],
         (("10.3.3.3", 0), "http", "a.example")),
        (["proto=https"], (PEER, "https", "inside:8000")),
        (["for=192.0.2.7, proto=https"], (PEER, "https", "inside:8000")),
        ([";;for=192.0.2.7;;proto=https;"], (("192.0.2.7", 0), "https", "inside:8000")),
        ([", ,for=192.0.2.7,,"], (("192.0.2.7", 0), "http", "inside:8000")),
        ([""], (PEER, "http", "inside:8000")),
        # What a client sent in front cannot make the proxy's word unreadable.
        (['for="', "for=192.0.2.7;proto=https"], (("192.0.2.7", 0), "https", "inside:8000")),
        (['for="x, for=192.0.2.7;proto=https'], (("192.0.2.7", 0), "https", "inside:8000")),
        (['\\", for="[2001:db8::7]"'], (("2001:db8::7", 0), "http", "inside:8000")),
        (["=;=, for=192.0.2.7"], (("192.0.2.7", 0), "http", "inside:8000")),
        (["for=2001:db8::7"], BAD),
        (["for=[::1"], BAD),
        (['for=""'], BAD),
        (["for=192.0.2.7;for=192.0.2.8"], BAD),
        (["for=192.0.2.7;FOR=192.0.2.7"], BAD),
        (["for = 192.0.2.7"], BAD),
        (["for=192.0.2.7 proto=https"], BAD),
        (["for=192.0.2.7;proto"], BAD),
        (["192.0.2.7"], BAD),
        (['for="192.0.2.7'], BAD),
        (['for=192.0.2.7"'], BAD),
        (['for="192.0.2.7"x'], BAD),
        (['"for"=192.0.2.7'], BAD),
        (["for='192.0.2.7'"], BAD),
        (["for=_"], BAD),
        (["for=192.0.2.7;proto=gopher"], BAD),
        (['for=192.0.2.7;host="a b"'], BAD),
        (['for="192.0.2.7:99999"'], BAD),
        (["garbage, for=10.1.1.1;proto=https"], BAD),
        ([", ".join(["for=10.1.1.1"] * 65)], BAD),
        (["for=192.0.2.7" + "," * 64], BAD),
    ],
)  # fmt: skip
def test_forwarded(lines: list[str], result: Any) -> None:
    assert forwarded(*lines) == result


def test_forwarded_of_everybody() -> None:
    lines = "for=192.0.2.7;proto=https, proto=http, for=_x"
    assert forwarded(lines, trusted=("*",))[:2] == (("192.0.2.7", 0), "https")


OBFUSCATED = st.from_regex(r"_[A-Za-z0-9._-]{1,8}", fullmatch=True)
NODE_PORTS = st.one_of(st.just(""), st.integers(0, 65535).map(":{}".format),
                       OBFUSCATED.map(":{}".format))  # fmt: skip
NODES = st.tuples(
    st.one_of(
        st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map("[{}]".format),
        st.just("unknown"), OBFUSCATED,
    ),
    NODE_PORTS,
).map("".join)  # fmt: skip
TOKENS = st.from_regex(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,8}", fullmatch=True)
QUOTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"),
                   max_size=12)  # fmt: skip


@st.composite
def elements(draw: st.DrawFn) -> tuple[str, dict[str, str]]:
    """The text of a forwarded-element and what it says."""
    names = draw(st.lists(TOKENS, max_size=4, unique_by=str.lower))
    parameters = {name: draw(st.one_of(TOKENS, QUOTABLE, NODES)) for name in names}
    pairs = []
    for name, value in parameters.items():
        if draw(st.booleans()) and value and not set(value) - _TCHAR:
            pairs.append(f"{name}={value}")
        else:
            quoted = "".join(
                "\\" + char if char in '"\\' or draw(st.integers(0, 9)) == 0 else char
                for char in value
            )
            pairs.append(f'{name}="{quoted}"')
    separator = draw(st.sampled_from([";", "; ", " ;", ";;"]))
    return separator.join(pairs), {name.lower(): value for name, value in parameters.items()}


_TCHAR = (
    set("!#$%&'*+-.^_`|~0123456789") | set(map(chr, range(65, 91))) | set(map(chr, range(97, 123)))
)


@settings(max_examples=100)
@given(
    lines=st.lists(st.lists(elements(), max_size=4), max_size=3),
    comma=st.sampled_from([",", ", ", " ,", ",,"]),
    prefix=st.sampled_from(["", 'for="', '"', "x=y\\", 'a="b, c', "\\\\", "garbage", '"="']),
)
def test_forwarded_round_trip(
    lines: list[list[tuple[str, dict[str, str]]]], comma: str, prefix: str
) -> None:
    """Whatever a client has written in front, what proxies append reads back."""
    values = [comma.join(text for text, _ in line).encode("latin-1") for line in lines]
    if values and values[0]:
        values[0] = prefix.encode() + b"," + values[0]
    wanted = [said for line in lines for _, said in line if said]
    reader = elements_from_the_right(values)
    assert [next(reader) for _ in wanted] == wanted[::-1]


@settings(max_examples=200)
@given(NODES)
def test_node_round_trip(text: str) -> None:
    node = parse_node(text)
    name, _, port = text.rpartition(":") if text[-1] != "]" else (text, "", "")
    known = name or text
    if known[0] == "_" or known.lower() == "unknown":
        assert node.address is None
    else:
        assert node.client is not None
        assert node.port == (int(port) if port.isdecimal() and name else 0)


@settings(max_examples=500)
@given(
    st.lists(st.text(st.characters(max_codepoint=255), max_size=60), max_size=3),
    st.sampled_from(["x-forwarded-for", "forwarded", *X[1:]]),
)
def test_any_value_is_applied_or_told(values: list[str], name: str) -> None:
    seen = Seen([(name, value) for value in values], read=(name,))
    assert not seen.faults or seen.changed == {}


@settings(max_examples=300)
@given(st.text(st.sampled_from('for=;,"\\ a1_[]:'), max_size=24))
def test_an_element_is_read_or_refused(text: str) -> None:
    try:
        parse_element(text)
    except ValueError:
        pass


def test_long_fields_cost_little() -> None:
    """A field as long as a head may be is not read more often than it has to be."""
    for name, value in [
        ("x-forwarded-for", "10.1.1.1," * 7000 + "192.0.2.7"),
        ("x-forwarded-for", "10.1.1.1," * 7000),
        ("forwarded", 'for="\\' * 10000 + '",for=192.0.2.7'),
        ("forwarded", '"' * 60000),
        ("forwarded", 'a="' + "\\" * 60000 + '"'),
        ("forwarded", "a=" + ";" * 60000),
        ("forwarded", " " * 60000 + ";" + " " * 60000 + "x"),
        ("x-forwarded-prefix", "/a" * 30000 + "?"),
    ]:
        began = time.process_time()
        Seen([(name, value)], read=(name,))
        assert time.process_time() - began < 0.2, name


# Whose word is taken


def via(peer: Any, header: ProxyHeader | None = None, **options: Any) -> Any:
    proxies = Proxies.create(Config(**options), None)
    return proxies and proxies.via(peer, header)


def test_nobody_is_believed_unless_named() -> None:
    assert via(("127.0.0.1", 1)) is None
    assert via(None) is None
    assert via(("127.0.0.1", 1), trusted_proxies="10.0.0.1") is None
    assert via(None, trusted_proxies="10.0.0.1") is None
    assert via(("10.0.0.1", 1), trusted_proxies="10.0.0.1") is not None
    assert via(None, trusted_proxies="unix") is not None
    assert via(("10.0.0.1", 1), trusted_proxies="10.0.0.1", forwarded_fields=[]) is None


@pytest.mark.parametrize(
    ("header", "trusted", "believed"),
    [
        (ProxyHeader(1), ["10.0.0.1"], False),
        (ProxyHeader(1), ["*"], True),
        (ProxyHeader(2), ["10.0.0.1"], False),
        (ProxyHeader(2, local=True), ["10.0.0.1"], True),
        (ProxyHeader(2, False, "inet", ("192.0.2.7", 1), ("10.0.0.1", 2)), ["10.0.0.1"], False),
        (ProxyHeader(2, False, "inet", ("10.0.0.1", 1), ("10.0.0.1", 2)), ["10.0.0.1"], True),
        (ProxyHeader(2, False, "inet", ("192.0.2.7", 1), ("10.0.0.1", 2)), ["*"], True),
        (ProxyHeader(2, False, "unix", None, ("/x", None)), ["10.0.0.1", "unix"], False),
        (ProxyHeader(2, False, "unix", None, ("/x", None)), ["*"], True),
    ],
)
def test_behind_a_proxy_header_its_client_must_be_trusted(
    header: ProxyHeader, trusted: list[str], believed: bool
) -> None:
    """A proxy that speaks the PROXY protocol may pass bytes on as they came."""
    found = via(("10.0.0.1", 1), header, trusted_proxies=trusted)
    headers = [(b"x-forwarded-proto", b"https")]
    scope = {"scheme": "http", "extensions": {}, "headers": headers}
    found.apply(scope, headers, "")
    assert scope["scheme"] == ("https" if believed else "http")
    assert scope["extensions"]["tricorn.proxy_protocol"]["proxy"] == ("10.0.0.1", 1)
