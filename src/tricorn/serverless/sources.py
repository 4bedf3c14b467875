"""The event sources: API Gateway, function URLs, Application Load Balancers.

Who decodes what is not in Amazon's reference; it is so in the events themselves:

===============================  ==================  =======================
source                           path                query parameters
===============================  ==================  =======================
REST API                         percent-encoded     decoded, no raw query
HTTP API, formats 1.0 and 2.0    decoded             decoded; 2.0: raw query
function URL                     percent-encoded     raw query
load balancer                    percent-encoded     percent-encoded
===============================  ==================  =======================
"""

from __future__ import annotations

from typing import Any

from tricorn.serverless.events import (
    AUTO,
    Event,
    EventSource,
    Request,
    Response,
    body_of,
    context_of,
    encoded_path,
    encoded_query,
    headers_of,
    parameters_of,
    required,
    scheme_of,
    server_of,
    target,
    under,
    version_of,
)
from tricorn.serverless.response import (
    combined_headers,
    status_description,
    take_cookies,
    text_pairs,
    varied_headers,
)
from tricorn.types import Headers

# Bytes; the documentation says 1 MB.
LOAD_BALANCER_LIMIT = 1_048_576
_DEFAULT_STAGE = "$default"


class RestApi(EventSource):
    """API Gateway REST API, Lambda proxy integration."""

    name = "API Gateway REST API"
    can_stream = True
    _path_is_encoded = True

    def matches(self, event: Event) -> bool:
        return "httpMethod" in event and isinstance(event.get("requestContext"), dict)

    def request(self, event: Event, base_path: str) -> Request:
        context = context_of(event)
        headers = headers_of(event)
        scheme = scheme_of(headers, "https")
        path = encoded_path(required(event, "path"), is_encoded=self._path_is_encoded)
        path, root_path = self._under(event, base_path, path)
        return Request(
            method=required(event, "httpMethod"),
            target=target(path, encoded_query(parameters_of(event))),
            headers=headers,
            body=body_of(event),
            client=_address((context.get("identity") or {}).get("sourceIp")),
            server=server_of(headers, context.get("domainName"), scheme),
            scheme=scheme,
            http_version=version_of(context.get("protocol")),
            root_path=root_path,
        )

    def _under(self, event: Event, base_path: str, path: str) -> tuple[str, str]:
        """As ``under``, the base path the stage where that is to be found in the event."""
        if base_path != AUTO:
            return under(base_path, path)
        stage = self._stage(event)
        # It was taken off: a path that begins with the same word has it twice.
        return encoded_path(stage, is_encoded=False) + path if stage else path, stage

    def _stage(self, event: Event) -> str:
        """What the gateway has taken off the path: the stage, on its own domain name."""
        path = required(event, "path")
        whole = str(context_of(event).get("path") or "")
        return whole[: -len(path)] if path and whole.endswith(path) else ""

    def response(self, event: Event, response: Response) -> dict[str, Any]:
        return {
            "statusCode": response.status,
            **_single_and_multiple(response.headers),
            "body": response.body,
            "isBase64Encoded": response.is_base64,
        }

    def prelude(self, response: Response) -> dict[str, Any]:
        cookies, headers = take_cookies(response.headers)
        return {
            "statusCode": response.status,
            **_single_and_multiple(headers),
            "cookies": cookies,
        }


class HttpApiV1(RestApi):
    """API Gateway HTTP API with payload format 1.0."""

    name = "API Gateway HTTP API, payload format 1.0"
    can_stream = False
    _path_is_encoded = False

    def matches(self, event: Event) -> bool:
        return event.get("version") == "1.0" and super().matches(event)

    def _under(self, event: Event, base_path: str, path: str) -> tuple[str, str]:
        if base_path == AUTO:
            base_path = _leading_stage(event, required(event, "path"))
        return under(base_path, path)


class HttpApi(EventSource):
    """API Gateway HTTP API with payload format 2.0."""

    name = "API Gateway HTTP API"
    _path_is_encoded = False

    def matches(self, event: Event) -> bool:
        http = context_of(event).get("http")
        return event.get("version") == "2.0" and isinstance(http, dict)

    def request(self, event: Event, base_path: str) -> Request:
        context = context_of(event)
        http = context["http"]
        headers = self._headers(event)
        scheme = scheme_of(headers, "https")
        raw_path = required(event, "rawPath")
        path = encoded_path(raw_path, is_encoded=self._path_is_encoded)
        base = _leading_stage(event, raw_path) if base_path == AUTO else base_path
        path, root_path = under(base, path)
        return Request(
            method=required(http, "method"),
            target=target(path, str(event.get("rawQueryString") or "")),
            headers=headers,
            body=body_of(event),
            client=_address(http.get("sourceIp")),
            server=server_of(headers, context.get("domainName"), scheme),
            scheme=scheme,
            http_version=version_of(http.get("protocol")),
            root_path=root_path,
        )

    def _headers(self, event: Event) -> Headers:
        headers = headers_of(event)
        cookies = event.get("cookies")
        if cookies:
            # Function URLs give the field as well.
            headers = [header for header in headers if header[0] != b"cookie"]
            headers.append((b"cookie", "; ".join(cookies).encode("utf-8", "replace")))
        return headers

    def response(self, event: Event, response: Response) -> dict[str, Any]:
        return {
            **self.prelude(response),
            "body": response.body,
            "isBase64Encoded": response.is_base64,
        }

    def prelude(self, response: Response) -> dict[str, Any]:
        cookies, headers = take_cookies(response.headers)
        return {
            "statusCode": response.status,
            "headers": combined_headers(headers),
            "cookies": cookies,
        }


class FunctionUrl(HttpApi):
    """Lambda function URL."""

    name = "Lambda function URL"
    can_stream = True
    _path_is_encoded = True

    def matches(self, event: Event) -> bool:
        domain = str(context_of(event).get("domainName") or "")
        return ".lambda-url." in domain and super().matches(event)


class LoadBalancer(EventSource):
    """Application Load Balancer, with and without multi-value headers."""

    name = "Application Load Balancer"
    max_response_size = LOAD_BALANCER_LIMIT

    def matches(self, event: Event) -> bool:
        return "elb" in context_of(event)

    def request(self, event: Event, base_path: str) -> Request:
        headers = headers_of(event)
        scheme = scheme_of(headers, "http")
        path = encoded_path(required(event, "path"), is_encoded=True)
        path, root_path = under("" if base_path == AUTO else base_path, path)
        query = "&".join(f"{name}={value}" for name, value in parameters_of(event))
        return Request(
            method=required(event, "httpMethod"),
            target=target(path, query),
            headers=headers,
            body=body_of(event),
            client=_forwarded_client(headers),
            server=server_of(headers, None, scheme),
            scheme=scheme,
            root_path=root_path,
        )

    def response(self, event: Event, response: Response) -> dict[str, Any]:
        # The target group's setting holds for both directions.
        if "multiValueHeaders" in event and event["multiValueHeaders"] is not None:
            headers: dict[str, Any] = {"multiValueHeaders": _multiple(response.headers)}
        else:
            headers = {"headers": varied_headers(response.headers)}
        return {
            "statusCode": response.status,
            "statusDescription": status_description(response.status),
            **headers,
            "body": response.body,
            "isBase64Encoded": response.is_base64,
        }


def _leading_stage(event: Event, path: str) -> str:
    """The stage where the path begins with it: on every HTTP API stage but ``$default``."""
    stage = str(context_of(event).get("stage") or _DEFAULT_STAGE)
    prefix = f"/{stage}"
    return prefix if path == prefix or path.startswith(f"{prefix}/") else ""


def _address(value: object) -> tuple[str, int] | None:
    return (value, 0) if isinstance(value, str) and value else None


def _forwarded_client(headers: Headers) -> tuple[str, int] | None:
    """The last entry of ``x-forwarded-for``: the one the load balancer wrote.

    It may bring the port: ``192.0.2.1:4242``, ``[2001:db8::1]:4242``.
    """
    entry = dict(headers).get(b"x-forwarded-for", b"").rpartition(b",")[2].strip()
    text = entry.decode("latin-1")
    host, port = text, ""
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    port = port.removeprefix(":")
    return (host, int(port) if port.isdigit() and len(port) <= 5 else 0) if host else None


def _multiple(headers: Headers) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in text_pairs(headers):
        found.setdefault(name, []).append(value)
    return found


def _single_and_multiple(headers: Headers) -> dict[str, Any]:
    """Fields that come once, and those that come more often, in two tables."""
    everything = _multiple(headers)
    return {
        "headers": {name: values[0] for name, values in everything.items() if len(values) == 1},
        "multiValueHeaders": {
            name: values for name, values in everything.items() if len(values) > 1
        },
    }


#: In the order in which they are asked.
SOURCES: tuple[EventSource, ...] = (
    LoadBalancer(),
    FunctionUrl(),
    HttpApi(),
    HttpApiV1(),
    RestApi(),
)
