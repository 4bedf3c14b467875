"""Events become the scope and body of the request that the client made."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from lambda_gateways import (
    GATEWAYS,
    MULTI_VALUE,
    InvocationContext,
    answer_of,
    event_for,
    recorded,
)

from helpers.apps import read_body, reply
from tricorn.exceptions import ConfigError
from tricorn.serverless import EventError, EventSource, LambdaHandler, Request, Response
from tricorn.types import Receive, Scope, Send

HandlerOf = Callable[..., LambdaHandler]


class Probe:
    """Keeps the scope and the body of its last request."""

    def __init__(self) -> None:
        self.scope: Any = None
        self.body = b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.body = await read_body(receive)
        await reply(send, b"ok")

    def fields(self, name: bytes) -> list[bytes]:
        return [value for given, value in self.scope["headers"] if given == name]


@pytest.fixture
def probe() -> Probe:
    return Probe()


@pytest.fixture
def seen(handler_of: HandlerOf, probe: Probe) -> Callable[..., Probe]:
    """Gives an event to a handler of the probe, the same one unless options are given."""
    plain: list[LambdaHandler] = []

    def see(event: dict[str, Any], context: Any = None, **options: Any) -> Probe:
        if options or not plain:
            plain.append(handler_of(probe, **options))
        assert plain[-1](event, context)["statusCode"] == 200
        return probe

    return see


Seen = Callable[..., Probe]


@pytest.mark.parametrize(
    ("gateway", "method", "path", "query", "client", "server", "scheme", "body"),
    [
        ("rest-api", "GET", "/", b"", "52.255.255.12", "70ixmpl4fl.execute-api.ca-central-1"
         ".amazonaws.com", "https", b"Hello world!"),
        ("http-api-1.0", "GET", "/my/path", b"parameter1=value1&parameter1=value2&parameter2=value",
         "192.0.2.1", "id.execute-api.us-east-1.amazonaws.com", "https", b"Hello from Lambda!"),
        ("http-api-2.0", "POST", "/my/path",
         b"parameter1=value1&parameter1=value2&parameter2=value", "192.0.2.1",
         "id.execute-api.us-east-1.amazonaws.com", "https", b"Hello from Lambda"),
        ("function-url", "POST", "/my/path",
         b"parameter1=value1&parameter1=value2&parameter2=value", "123.123.123.123",
         "url-id.lambda-url.us-west-2.on.aws", "https", b"Hello from client!"),
        ("load-balancer", "GET", "/lambda", b"query=1234ABCD", "72.12.164.125",
         "lambda-alb-123578498.us-east-2.elb.amazonaws.com", "http", b""),
        ("load-balancer-multi-value", "GET", "/", b"myKey=val1&myKey=val2", "72.21.198.66",
         "lambda-846800462-us-east-2.elb.amazonaws.com", "https", b"request_body"),
    ],
)  # fmt: skip
def test_recorded_event(
    seen: Seen, gateway: str, method: str, path: str, query: bytes, client: str, server: str,
    scheme: str, body: bytes,
) -> None:  # fmt: skip
    probe = seen(recorded(gateway))
    scope = probe.scope
    assert (scope["type"], scope["method"], scope["scheme"]) == ("http", method, scheme)
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == (path, path.encode(), query)
    assert (scope["client"], scope["root_path"]) == ((client, 0), "")
    assert scope["server"] == (server, 443 if scheme == "https" else 80)
    assert scope["http_version"] == "1.1"
    assert probe.body == body


def test_health_check_without_a_host(seen: Seen) -> None:
    scope = seen(recorded("load-balancer-health-check")).scope
    assert (scope["server"], scope["client"], scope["scheme"]) == (None, None, "http")
    assert (scope["path"], scope["query_string"]) == ("/", b"")


def test_path_is_decoded_once(seen: Seen, gateway: str) -> None:
    for raw_path, path in [
        ("/a%20b", "/a b"),
        ("/caf%C3%A9/%E2%82%AC", "/café/€"),
        ("/50%25", "/50%"),
        ("/a%2525", "/a%25"),
        ("/@id:1;v=2,3", "/@id:1;v=2,3"),
        ("/", "/"),
        ("//host", "//host"),
    ]:
        scope = seen(event_for(gateway, target=raw_path)).scope
        assert (scope["path"], scope["raw_path"]) == (path, raw_path.encode())


def test_encoded_slash_and_delimiters(seen: Seen, gateway: str) -> None:
    """They survive where the gateway leaves them; a decoded one never becomes a delimiter."""
    scope = seen(event_for(gateway, target="/a%2Fb%3Fc%23d?e=1")).scope
    assert scope["path"] == "/a/b?c#d"
    kept = b"/a/b%3Fc%23d" if gateway.startswith("http-api") else b"/a%2Fb%3Fc%23d"
    assert scope["raw_path"] == kept
    assert scope["query_string"] == b"e=1"


QUERIES = (
    "",
    "a=1",
    "a=1&b=2",
    "empty=",
    "q=a%20b",
    "plus=a%2Bb",
    "url=https%3A%2F%2Fx%2F%3Fy%3D1%26z",
    "n%C3%A9=%E2%82%AC",
    "percent=100%25",
)


def test_query(seen: Seen, gateway: str) -> None:
    for query in QUERIES:
        probe = seen(event_for(gateway, target=f"/x?{query}"))
        assert probe.scope["query_string"].decode() == query


@pytest.mark.parametrize("gateway", ["http-api-2.0", "function-url", "load-balancer"])
def test_raw_query_is_left_as_it_is(seen: Seen, gateway: str) -> None:
    probe = seen(event_for(gateway, target="/?q=a+b&flag=&r=%7E%7b"))
    assert probe.scope["query_string"] == b"q=a+b&flag=&r=%7E%7b"


@pytest.mark.parametrize("gateway", MULTI_VALUE)
def test_repeated_parameters(seen: Seen, gateway: str) -> None:
    probe = seen(event_for(gateway, target="/?a=1&a=2&b=3"))
    assert probe.scope["query_string"] == b"a=1&a=2&b=3"


def test_without_parameters(seen: Seen) -> None:
    event = recorded("rest-api")
    assert event["queryStringParameters"] is None
    event["multiValueQueryStringParameters"] = {}
    event["queryStringParameters"] = {"only": "single", "nothing": None}
    assert seen(event).scope["query_string"] == b"only=single&nothing="


@pytest.mark.parametrize("gateway", MULTI_VALUE)
def test_repeated_fields(seen: Seen, gateway: str) -> None:
    probe = seen(event_for(gateway, headers=[("X-Many", "one"), ("X-Many", "two")]))
    joins = gateway in ("http-api-2.0", "function-url")
    assert probe.fields(b"x-many") == ([b"one,two"] if joins else [b"one", b"two"])


def test_fields(seen: Seen, gateway: str) -> None:
    probe = seen(event_for(gateway, headers=[("X-Name", " café "), ("Accept", "*/*")]))
    assert probe.fields(b"x-name") == ["café".encode()]
    assert probe.fields(b"accept") == [b"*/*"]
    assert all(name == name.lower() for name, _ in probe.scope["headers"])


def test_fields_that_stand_in_one_table_only(seen: Seen) -> None:
    event = event_for("rest-api", headers=[("x-a", "1")])
    event["headers"] |= {"X-A": "9", "x-single": "2", "x-null": None}
    probe = seen(event)
    assert (probe.fields(b"x-a"), probe.fields(b"x-single")) == ([b"1"], [b"2"])
    assert probe.fields(b"x-null") == []


def test_cookies(seen: Seen, gateway: str) -> None:
    probe = seen(event_for(gateway, cookies=["a=1", "b=2; c"]))
    assert probe.fields(b"cookie") == [b"a=1; b=2; c"]


def test_recorded_cookie_fields_become_one(seen: Seen) -> None:
    probe = seen(recorded("load-balancer-multi-value"))
    assert probe.fields(b"cookie") == [b"name1=value1; name2=value2"]


def test_body(seen: Seen, gateway: str) -> None:
    for body in (b"", b"text", "λ €".encode(), bytes(range(256))):
        assert seen(event_for(gateway, "POST", body=body)).body == body


def test_base64_text(seen: Seen, gateway: str) -> None:
    event = event_for(gateway, "POST")
    event["body"], event["isBase64Encoded"] = base64.b64encode(b"plain").decode(), True
    assert seen(event).body == b"plain"


def test_event_without_a_body(seen: Seen, gateway: str) -> None:
    event = event_for(gateway)
    event["body"] = None
    del event["isBase64Encoded"]
    assert seen(event).body == b""


@pytest.mark.parametrize(
    ("body", "is_base64"), [("?", True), ("a", True), ({"a": 1}, False), ("\ud800", False)]
)
def test_a_body_that_is_none(handler_of: HandlerOf, body: object, is_base64: bool) -> None:
    event = event_for("http-api-2.0") | {"body": body, "isBase64Encoded": is_base64}
    with pytest.raises(EventError, match="body"):
        handler_of(Probe())(event, None)


# Who asked, and for which server


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("203.0.113.7", ("203.0.113.7", 0)),
        ("10.0.0.1, 203.0.113.7", ("203.0.113.7", 0)),
        ("10.0.0.1, 203.0.113.7:4242", ("203.0.113.7", 4242)),
        ("2001:db8::1", ("2001:db8::1", 0)),
        ("[2001:db8::1]:4242", ("2001:db8::1", 4242)),
        ("", None),
    ],
)
def test_client_of_a_load_balancer(
    seen: Seen, forwarded: str, client: tuple[str, int] | None
) -> None:
    """Only the last entry is the balancer's; those before it are what the client claims."""
    headers = [("x-forwarded-for", forwarded)]
    assert seen(event_for("load-balancer", headers=headers)).scope["client"] == client


@pytest.mark.parametrize("gateway", [name for name in GATEWAYS if "balancer" not in name])
def test_client_of_a_gateway_is_not_what_it_claims(seen: Seen, gateway: str) -> None:
    event = event_for(gateway, headers=[("x-forwarded-for", "10.9.9.9")])
    assert seen(event).scope["client"][0] != "10.9.9.9"


@pytest.mark.parametrize(
    ("headers", "server", "scheme"),
    [
        ([], ("shop.example", 80), "http"),
        ([("x-forwarded-proto", "https")], ("shop.example", 443), "https"),
        ([("x-forwarded-proto", "HTTPS"), ("x-forwarded-port", "8443")], ("shop.example", 8443),
         "https"),
        ([("host", "[2001:db8::1]:81")], ("2001:db8::1", 81), "http"),
        ([("host", "other.example:81"), ("x-forwarded-port", "80")], ("other.example", 81), "http"),
        ([("x-forwarded-host", "evil.example")], ("shop.example", 80), "http"),
        ([("x-forwarded-proto", "gopher")], ("shop.example", 80), "http"),
        ([("x-forwarded-port", "²")], ("shop.example", 80), "http"),
        ([("host", "a:b:c")], None, "http"),
    ],
)  # fmt: skip
def test_server_and_scheme(
    seen: Seen, headers: list[tuple[str, str]], server: tuple[str, int] | None, scheme: str
) -> None:
    scope = seen(event_for("load-balancer", headers=headers)).scope
    assert (scope["server"], scope["scheme"]) == (server, scheme)


@pytest.mark.parametrize(
    ("protocol", "version"),
    [("HTTP/1.0", "1.0"), ("HTTP/1.1", "1.1"), ("HTTP/2.0", "2"), (None, "1.1"), ("x", "1.1")],
)
@pytest.mark.parametrize("gateway", ["rest-api", "http-api-2.0"])
def test_http_version(seen: Seen, gateway: str, protocol: str | None, version: str) -> None:
    event = event_for(gateway)
    context = event["requestContext"]
    context.get("http", context)["protocol"] = protocol
    assert seen(event).scope["http_version"] == version


def test_event_and_context_in_scope(seen: Seen, gateway: str) -> None:
    event, context = event_for(gateway), InvocationContext()
    scope = seen(event, context).scope
    assert scope["extensions"]["tricorn.aws"] == {"event": event, "context": context}
    assert scope["aws.event"] is event
    assert scope["aws.context"] is context
    for name in ("http.response.push", "http.response.trailers", "http.response.early_hint"):
        assert name not in scope["extensions"]


# Paths in front of the application


@pytest.mark.parametrize("target", ["/shop/cart", "/cart"])
@pytest.mark.parametrize("base_path", ["/shop", "/shop/"])
def test_base_path(seen: Seen, gateway: str, target: str, base_path: str) -> None:
    """It is part of the path whether the gateway takes it off or not (ASGI HTTP 2.4)."""
    scope = seen(event_for(gateway, target=target), base_path=base_path).scope
    assert (scope["root_path"], scope["path"]) == ("/shop", "/shop/cart")
    assert scope["raw_path"] == b"/shop/cart"


@pytest.mark.parametrize(
    ("target", "path", "raw_path"),
    [
        ("/shop", "/shop", b"/shop"),
        ("/shopping", "/shop/shopping", b"/shop/shopping"),
        ("/", "/shop/", b"/shop/"),
        ("/a%20b", "/shop/a b", b"/shop/a%20b"),
    ],
)
def test_base_path_ends_at_a_segment(seen: Seen, target: str, path: str, raw_path: bytes) -> None:
    scope = seen(event_for("rest-api", target=target), base_path="/shop").scope
    assert (scope["root_path"], scope["path"], scope["raw_path"]) == ("/shop", path, raw_path)


def test_base_path_with_other_characters(seen: Seen) -> None:
    scope = seen(event_for("function-url", target="/caf%C3%A9/x"), base_path="/café").scope
    assert (scope["root_path"], scope["path"]) == ("/café", "/café/x")
    assert scope["raw_path"] == b"/caf%C3%A9/x"


def test_root_path_option_is_the_base_path(seen: Seen) -> None:
    scope = seen(event_for("rest-api", target="/x"), config={"root_path": "/shop"}).scope
    assert (scope["root_path"], scope["path"]) == ("/shop", "/shop/x")


def test_stage_of_a_rest_api(seen: Seen) -> None:
    """The recorded event: the stage is in the URL, and not in ``path``."""
    scope = seen(recorded("rest-api"), base_path="auto").scope
    assert (scope["root_path"], scope["path"], scope["raw_path"]) == ("/Prod", "/Prod/", b"/Prod/")


def test_path_of_a_rest_api_that_begins_with_the_name_of_its_stage(seen: Seen) -> None:
    event = event_for("rest-api", target="/api/cart")
    event["requestContext"] |= {"stage": "api", "path": "/api/api/cart"}
    scope = seen(event, base_path="auto").scope
    assert (scope["root_path"], scope["path"]) == ("/api", "/api/api/cart")
    assert scope["raw_path"] == b"/api/api/cart"


def test_rest_api_on_a_domain_of_its_own(seen: Seen) -> None:
    event = event_for("rest-api", target="/cart")
    event["requestContext"]["path"] = "/cart"
    scope = seen(event, base_path="auto").scope
    assert (scope["root_path"], scope["path"]) == ("", "/cart")


@pytest.mark.parametrize("gateway", ["http-api-1.0", "http-api-2.0"])
@pytest.mark.parametrize(
    ("stage", "root_path"), [("dev", "/dev"), ("$default", ""), ("de", ""), ("prod", "")]
)
def test_stage_of_an_http_api(seen: Seen, gateway: str, stage: str, root_path: str) -> None:
    event = event_for(gateway, target="/dev/cart")
    event["requestContext"]["stage"] = stage
    scope = seen(event, base_path="auto").scope
    assert (scope["root_path"], scope["path"]) == (root_path, "/dev/cart")


@pytest.mark.parametrize("gateway", ["function-url", "load-balancer"])
def test_no_stages(seen: Seen, gateway: str) -> None:
    assert seen(event_for(gateway), base_path="auto").scope["root_path"] == ""


def test_base_path_must_begin_with_a_slash(handler_of: HandlerOf) -> None:
    with pytest.raises(ConfigError, match="base_path"):
        handler_of(Probe(), base_path="shop")


# Other events


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (recorded("sqs"), r"no HTTP source .*Records"),
        (recorded("websocket-api"), "WebSocket"),
        ({}, "none"),
        ([], "list"),
        (None, "NoneType"),
        ({"version": "2.0", "requestContext": {"http": {"method": "GET"}}}, "rawPath"),
        ({"httpMethod": "GET", "requestContext": {}}, "path"),
    ],
)
def test_events_of_no_known_source(handler_of: HandlerOf, event: object, message: str) -> None:
    with pytest.raises(EventError, match=message):
        handler_of(Probe())(event, None)


class Edge(EventSource):
    """CloudFront's Lambda@Edge, as an application could add it."""

    name = "Lambda@Edge"

    def matches(self, event: Any) -> bool:
        return "cf" in (event.get("Records") or [{}])[0]

    def request(self, event: Any, base_path: str) -> Request:
        request = event["Records"][0]["cf"]["request"]
        fields = [
            (name.encode(), item["value"].encode())
            for name, items in request["headers"].items()
            for item in items
        ]
        return Request(
            request["method"], request["uri"].encode(), fields, client=(request["clientIp"], 0)
        )

    def response(self, event: Any, response: Response) -> dict[str, Any]:
        headers: dict[str, list[dict[str, str]]] = {}
        for name, value in response.headers:
            headers.setdefault(name.decode(), []).append({"value": value.decode()})
        return {"status": str(response.status), "headers": headers, "body": response.body}


def test_source_of_ones_own(handler_of: HandlerOf, probe: Probe) -> None:
    handler = handler_of(probe, sources=[Edge()])
    request = {
        "method": "GET",
        "uri": "/pic",
        "clientIp": "203.0.113.178",
        "headers": {"host": [{"key": "Host", "value": "d111.cloudfront.net"}]},
    }
    answer = handler({"Records": [{"cf": {"request": request}}]}, None)
    assert answer == {
        "status": "200", "headers": {"content-length": [{"value": "2"}]}, "body": "ok"
    }  # fmt: skip
    assert probe.scope["client"] == ("203.0.113.178", 0)
    # The built-in ones are still there.
    assert answer_of("rest-api", handler(event_for("rest-api"), None)).status == 200
