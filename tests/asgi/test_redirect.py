"""Redirects: mounts, cleartext to https, and Strict-Transport-Security."""

import anyio
import pytest

from helpers.asgi_call import call, scope_of
from tricorn.application import compose
from tricorn.asgi.redirect import HTTPSRedirect, Redirect, StrictTransportSecurity, tls_port
from tricorn.config import Config
from tricorn.config_mounts import parse_mounts
from tricorn.exceptions import ClientDisconnected, ConfigError

DENIAL = ["websocket.http.response"]
TLS = {"certfile": "c.pem", "keyfile": "k.pem"}


async def hello(scope, receive, send):
    headers = [(b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})


def mount_app(target, path="/old", **keys):
    return Redirect(parse_mounts([{"path": path, "redirect": target, **keys}])[0])


@pytest.mark.parametrize(
    ("path", "target", "request_target", "location"),
    [
        ("/old", "/new", "/old", "/new"),
        ("/old", "/new", "/old/", "/new/"),
        ("/old", "/new/", "/old", "/new/"),
        ("/old", "/new/", "/old/a", "/new/a"),
        ("/old", "/new", "/old/a%2Fb/%C3%A9?x=%20&y", "/new/a%2Fb/%C3%A9?x=%20&y"),
        ("/old", "https://example.org", "/old/a", "https://example.org/a"),
        ("/old", "https://example.org/x", "/old", "https://example.org/x"),
        ("/", "https://example.org", "/a?b", "https://example.org/a?b"),
        # Never to another host than the one that was written down.
        ("/old", "/", "/old//evil.test/x", "/evil.test/x"),
        ("/old", "/", "/old/%2Fevil.test", "/%2Fevil.test"),
        ("/old", "/", "/old/\\evil.test", "/%5Cevil.test"),
        ("/old", "https://example.org", "/old/.evil.test", "https://example.org/.evil.test"),
        ("/old", "https://example.org", "/old//evil.test", "https://example.org//evil.test"),
        # The prefix written in another way than in the configuration.
        ("/old", "/new", "/%6Fld/a%20b", "/new/a%20b"),
        ("/old", "/new", "/%6Fld/a%2Fb%25;c=d@e", "/new/a%2Fb%25;c=d@e"),
        ("/my docs", "/new", "/my%20docs/a%2Fb/?c", "/new/a%2Fb/?c"),
        ("/caf\u00e9", "https://example.org", "/caf%c3%A9/a%2Fb", "https://example.org/a%2Fb"),
        ("/a/b", "/new", "/a%2Fb/c%2Fd", "/new/c/d"),
        ("/a/b", "/new", "/a/%62/c%2Fd", "/new/c%2Fd"),
    ],
)
def test_mount(path, target, request_target, location):
    answer = call(mount_app(target, path), request_target, root_path=path.rstrip("/"))
    assert answer.status == 308
    assert answer["location"] == location


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize(
    ("path", "root_path", "request_target", "location"),
    [
        ("/docs", "/docs", "/docs%2F@evil.test/x", "https://example.org/%40evil.test/x"),
        ("/docs", "/docs", "/docs%2f.evil.test", "https://example.org/.evil.test"),
        ("/docs", "/docs", "/docs%2F:80@evil.test", "https://example.org/%3A80%40evil.test"),
        ("/", "/shop", "/shop%2F@evil.test/x", "https://example.org/%40evil.test/x"),
        ("/caf\u00e9", "/caf\u00e9", "/caf%C3%A9%2F@evil.test", "https://example.org/%40evil.test"),
        ("/", "", "*", "https://example.org"),
        ("/", "/shop", "*", "https://example.org"),
    ],
)
def test_nothing_that_is_asked_for_becomes_part_of_the_host(
    path, root_path, request_target, location, raw
):
    more = {} if raw else {"raw_path": None}
    app = mount_app("https://example.org", path)
    assert call(app, request_target, root_path=root_path, **more)["location"] == location


def test_mount_below_a_root_path():
    answer = call(mount_app("/new"), "/shop/old/a", root_path="/shop/old")
    assert answer["location"] == "/shop/new/a"
    answer = call(mount_app("/new"), "/old/a", root_path="/shop/old")
    assert answer["location"] == "/shop/new/a"


def test_mount_status_methods_and_websocket():
    app = mount_app("/new", status=302)
    assert call(app, "/old", root_path="/old", method="POST").status == 302
    assert call(app, "/old", root_path="/old", method="HEAD").body == b""
    answer = call(app, "/old", root_path="/old", kind="websocket", extensions=DENIAL)
    assert answer.types == ["websocket.http.response.start", "websocket.http.response.body"]
    assert answer["location"] == "/new"


def redirected(target="/", headers=(("host", "example.org"),), *, kind="http", config=None, **more):
    app = HTTPSRedirect(hello, Config(https_redirect=True, **{**TLS, **(config or {})}))
    options = {"extensions": DENIAL} if kind == "websocket" else {}
    return call(app, target, headers, kind=kind, **options, **more)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_cleartext_goes_to_https_byte_for_byte(method):
    target = "/a%2fb/%c3%a9/;x=1//y?q=%20&r=a+b&&s"
    answer = redirected(target, method=method, config={"bind": ":443"})
    assert answer.status == 308
    assert answer["location"] == "https://example.org" + target


@pytest.mark.parametrize(
    ("bind", "host", "authority"),
    [
        ([":443"], "example.org:80", "example.org"),
        ([":8443", ":9443"], "Example.ORG.:8000", "example.org:8443"),
        (["unix:/x", "[::1]:8443"], "[0::1]:80", "[::1]:8443"),
        (["unix:/x"], "example.org", "example.org"),
    ],
)
def test_port_of_the_first_tls_address(bind, host, authority):
    answer = redirected("/x", [("host", host)], config={"bind": bind})
    assert answer["location"] == f"https://{authority}/x"


def test_without_tls_of_our_own_the_port_is_443():
    assert tls_port(Config(bind=":8000")) == 443


@pytest.mark.parametrize(
    "host", ["", "a b", "evil.test/x", "u@evil.test", "a\r\nset-cookie: x=y", "[x]", "a:b", "a?b"]
)
def test_an_invalid_host_is_refused(host):
    answer = redirected("/", [("host", host)])
    assert answer.status == 400
    assert "location" not in {name.decode() for name in answer.fields}
    assert redirected("/", []).status == 400


def test_only_hosts_of_ours():
    config = {"server_names": ["example.org", "*.example.org"], "bind": ":443"}
    assert redirected(config=config)["location"] == "https://example.org/"
    assert redirected("/", [("host", "a.example.org")], config=config).status == 308
    assert redirected("/", [("host", "evil.test")], config=config).status == 400


def test_given_host_wins():
    config = {"https_redirect_host": "www.example.org:444"}
    for headers in ([("host", "evil.test")], []):
        answer = redirected("/a?b", headers, config=config)
        assert answer["location"] == "https://www.example.org:444/a?b"


@pytest.mark.parametrize("host", ["a b", "https://a", "a/b", "", "a\r\nb", "a:x", "[::1"])
def test_given_host_is_checked(host):
    with pytest.raises(ConfigError, match="https_redirect_host"):
        Config(https_redirect_host=host)


def test_a_port_that_nobody_knows_yet_is_refused():
    with pytest.raises(ConfigError, match=r"https_redirect: .*set https_redirect_host"):
        Config(https_redirect=True, bind="127.0.0.1:0", **TLS)
    Config(https_redirect=True, bind="127.0.0.1:0", https_redirect_host="a:1", **TLS)


def test_double_slash_and_asterisk_stay_with_the_host():
    config = {"bind": ":443"}
    assert redirected("//evil.test/", config=config)["location"] == (
        "https://example.org//evil.test/"
    )
    assert redirected("*", method="OPTIONS", config=config)["location"] == "https://example.org"
    assert redirected("/\\x", config=config)["location"] == "https://example.org/%5Cx"


def test_websocket_goes_to_wss():
    answer = redirected("/chat?a", kind="websocket", config={"bind": ":443"})
    assert answer.types == ["websocket.http.response.start", "websocket.http.response.body"]
    assert answer.status == 308
    assert answer["location"] == "wss://example.org/chat?a"


def test_what_came_over_tls_and_the_lifespan_pass():
    assert redirected(scheme="https").body == b"hello"
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["type"])

    call(HTTPSRedirect(app, Config(https_redirect=True)), kind="lifespan")
    assert seen == ["lifespan"]


def test_acme_passes_only_to_a_mount_of_its_own(tmp_path):
    path = "/.well-known/acme-challenge/token"
    assert redirected(path).status == 308
    (tmp_path / "token").write_text("proof")
    mount = {"path": "/.well-known/acme-challenge", "directory": str(tmp_path)}
    config = Config(https_redirect=True, mounts=[mount])
    app = compose(hello, config)
    host = [("host", "example.org")]
    assert call(app, path, host).body == b"proof"
    assert call(app, "/.well-known/acme-challenge/other", host).status == 404
    assert call(app, "/.well-known/acme-challengex", host).status == 308
    assert call(app, "/", host).status == 308


def hsts(scheme="https", app=hello, **options):
    config = Config(**{"hsts_max_age": 60.0, **options})
    return call(StrictTransportSecurity(app, config), scheme=scheme)


@pytest.mark.parametrize(
    ("options", "value"),
    [
        ({}, "max-age=60"),
        ({"hsts_max_age": "365d"}, "max-age=31536000"),
        ({"hsts_max_age": 0}, "max-age=0"),
        ({"hsts_include_subdomains": True}, "max-age=60; includeSubDomains"),
        (
            {"hsts_include_subdomains": True, "hsts_preload": True},
            "max-age=60; includeSubDomains; preload",
        ),
    ],
)
def test_hsts_value(options, value):
    answer = hsts(**options)
    assert answer["strict-transport-security"] == value
    assert answer["content-type"] == "text/plain"


def test_no_hsts_in_cleartext():
    assert hsts("http")["strict-transport-security"] is None


def test_an_application_may_say_it_itself():
    async def app(scope, receive, send):
        headers = [(b"Strict-Transport-Security", b"max-age=1")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    answer = hsts(app=app)
    assert answer.messages[0]["headers"] == [(b"Strict-Transport-Security", b"max-age=1")]


def test_hsts_on_a_denied_websocket():
    app = StrictTransportSecurity(mount_app("/new"), Config(hsts_max_age=60))
    answer = call(app, "/old", kind="websocket", scheme="wss", extensions=DENIAL)
    assert answer["strict-transport-security"] == "max-age=60"


def test_hsts_on_the_500_of_a_broken_application():
    async def app(scope, receive, send):
        raise RuntimeError("broken")

    config = Config(hsts_max_age=60)
    sent = []

    async def send(message):
        sent.append(message)

    async def main():
        with pytest.raises(RuntimeError, match="broken"):
            await StrictTransportSecurity(app, config)(scope_of(scheme="https"), None, send)

    anyio.run(main)
    assert sent[0]["status"] == 500
    assert (b"strict-transport-security", b"max-age=60") in sent[0]["headers"]


def test_a_broken_websocket_is_the_servers_to_answer():
    """The messages of HTTP are none of its."""

    async def app(scope, receive, send):
        raise RuntimeError("broken")

    sent = []

    async def send(message):
        sent.append(message)

    async def main():
        wrapped = StrictTransportSecurity(app, Config(hsts_max_age=60))
        with pytest.raises(RuntimeError, match="broken"):
            await wrapped(scope_of(kind="websocket", scheme="wss"), None, send)

    anyio.run(main)
    assert sent == []


def test_the_failure_of_an_application_whose_client_has_left_stays_its_own():
    async def app(scope, receive, send):
        raise RuntimeError("broken")

    async def send(message):
        raise ClientDisconnected("the client has disconnected")

    async def main():
        wrapped = StrictTransportSecurity(app, Config(hsts_max_age=60))
        with pytest.raises(RuntimeError, match="broken") as raised:
            await wrapped(scope_of(scheme="https"), None, send)
        assert raised.value.__context__ is None

    anyio.run(main)


@pytest.mark.parametrize(
    "message",
    [
        {},
        None,
        {"type": "http.response.start", "headers": 5},
        {"type": "http.response.start", "headers": [(5, b"x")]},
    ],
)
def test_malformed_messages_reach_the_server(message):
    async def app(scope, receive, send):
        await send(message)

    seen = []

    async def main():
        async def send(given):
            seen.append(given)

        wrapped = StrictTransportSecurity(app, Config(hsts_max_age=60))
        await wrapped(scope_of(scheme="https"), None, send)

    anyio.run(main)
    assert seen == [message]


def test_nothing_is_wrapped_where_all_is_off():
    assert compose(hello, Config()) is hello
