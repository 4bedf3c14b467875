"""The gateways, played by hand: a request on the wire to an event, an answer to a response.

Each starts from the event recorded in ``events/`` and changes what the request changes,
percent-decoding as that source does (see ``events/README.md``).
"""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

EVENTS = Path(__file__).parent / "events"

# Every gateway under the name of its recorded event.
GATEWAYS = (
    "rest-api",
    "http-api-1.0",
    "http-api-2.0",
    "function-url",
    "load-balancer",
    "load-balancer-multi-value",
)
MULTI_VALUE = [name for name in GATEWAYS if name != "load-balancer"]
Pairs = list[tuple[str, str]]


def recorded(name: str) -> dict[str, Any]:
    """An event as it is recorded."""
    event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text(encoding="utf-8"))
    return event


def last(pairs: Pairs) -> dict[str, str]:
    return dict(pairs)


def grouped(pairs: Pairs) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def joined(pairs: Pairs) -> dict[str, str]:
    return {name: ",".join(values) for name, values in grouped(pairs).items()}


def event_for(
    gateway: str,
    method: str = "GET",
    target: str = "/my/path",
    headers: Pairs | None = None,
    cookies: list[str] | None = None,
    body: bytes = b"",
) -> dict[str, Any]:
    """The event a gateway makes of a request with an encoded ``target``."""
    event = recorded(gateway)
    path, _, query = target.partition("?")
    fields = [("host", "shop.example"), *(headers or [])]
    cookie = [("cookie", "; ".join(cookies))] if cookies else []
    if gateway in ("http-api-2.0", "function-url"):
        encoded = gateway == "function-url"
        event["rawPath"] = path if encoded else unquote(path)
        event["rawQueryString"] = query
        event["queryStringParameters"] = joined(parse_qsl(query, keep_blank_values=True))
        event["headers"] = joined(fields + (cookie if encoded else []))
        event["cookies"] = cookies
        event["requestContext"]["http"] |= {"method": method, "path": unquote(path)}
    else:
        decoded = gateway == "http-api-1.0"
        balancer = gateway.startswith("load-balancer")
        event["path"] = unquote(path) if decoded else path
        event["httpMethod"] = method
        parts = [tuple(part.partition("=")[::2]) for part in query.split("&") if part]
        parameters = parts if balancer else parse_qsl(query, keep_blank_values=True)
        if gateway != "load-balancer-multi-value":
            event["queryStringParameters"] = last(parameters)
            event["headers"] = last(fields + cookie)
        if gateway != "load-balancer":
            event["multiValueQueryStringParameters"] = grouped(parameters)
            event["multiValueHeaders"] = grouped(fields + cookie)
    try:
        event["body"], event["isBase64Encoded"] = body.decode("utf-8"), False
    except UnicodeDecodeError:
        event["body"], event["isBase64Encoded"] = base64.b64encode(body).decode("ascii"), True
    return event


@dataclass
class Answer:
    """What the client of a gateway sees."""

    status: int
    headers: Pairs
    body: bytes

    def values(self, name: str) -> list[str]:
        """All values of a field."""
        return [value for given, value in self.headers if given == name]


def answer_of(gateway: str, answer: dict[str, Any]) -> Answer:
    """What a gateway makes of a handler's answer; fails where the form is not its own."""
    json.dumps(answer)
    allowed = {"statusCode", "body", "isBase64Encoded"}
    fields: Pairs = []
    if gateway in ("http-api-2.0", "function-url"):
        allowed |= {"headers", "cookies"}
        fields += [("set-cookie", cookie) for cookie in answer["cookies"]]
    elif gateway in ("rest-api", "http-api-1.0"):
        allowed |= {"headers", "multiValueHeaders"}
        assert not answer["headers"].keys() & answer["multiValueHeaders"].keys()
    else:
        only = "multiValueHeaders" if gateway.endswith("multi-value") else "headers"
        allowed |= {"statusDescription", only}
        assert answer["statusDescription"].startswith(f"{answer['statusCode']} ")
    assert answer.keys() == allowed
    fields += list(answer.get("headers", {}).items())
    for name, values in answer.get("multiValueHeaders", {}).items():
        fields += [(name, value) for value in values]
    for name, value in fields:
        assert isinstance(name, str)
        assert isinstance(value, str)
    text = answer["body"]
    body = base64.b64decode(text, validate=True) if answer["isBase64Encoded"] else text.encode()
    return Answer(answer["statusCode"], [(name.lower(), value) for name, value in fields], body)


class InvocationContext:
    """The context object of an invocation that has ``seconds`` left."""

    aws_request_id = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"

    def __init__(self, seconds: float = 10.0) -> None:
        self._deadline = time.monotonic() + seconds

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self._deadline - time.monotonic()) * 1000))
