"""Request ids and W3C Trace Context: made or taken over, told to the application and back."""

from __future__ import annotations

import os
import re
from typing import Any

from tricorn.config import Config
from tricorn.types import Headers, Scope

#: ``scope["extensions"]["tricorn.request_id"]["id"]`` (str).
REQUEST_ID = "tricorn.request_id"
#: ``scope["extensions"]["tricorn.trace_context"]``: see `TraceContext`.
TRACE_CONTEXT = "tricorn.trace_context"

# What is taken over goes into logs and fields, so it must be short and plain.
_PLAIN_ID = re.compile(rb"[\w.:+/=@~-]{1,128}", re.ASCII)
# Trace Context 3.2: version-traceid-parentid-flags; later versions may append.
_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_NEVER = (b"0" * 32, b"0" * 16)
_MAX_TRACESTATE = 32  # members (Trace Context 3.3.1.1)


class Identity:
    """Gives each exchange its ids, by the options ``request_id`` and ``trace_context``."""

    def __init__(self, config: Config) -> None:
        self._id_mode = config.request_id
        self._id_field = config.request_id_header.lower().encode("latin-1")
        self._trace = config.trace_context

    @classmethod
    def create(cls, config: Config) -> Identity | None:
        """None where both options are off."""
        if config.request_id == "off" and not config.trace_context:
            return None
        return cls(config)

    def apply(self, scope: Scope) -> Headers:
        """Put the ids into the scope, its request fields included; the response's fields.

        The request fields say the same as the extensions, since frameworks and tracing
        middleware read those: what the peer sent is replaced where it is not taken over.
        """
        fields: Headers = []
        headers: Headers = scope["headers"]
        if self._id_mode != "off":
            given = _only(headers, self._id_field) if self._id_mode == "accept" else None
            known = given is not None and _PLAIN_ID.fullmatch(given) is not None
            identifier = given if known and given is not None else _new_id()
            scope["extensions"][REQUEST_ID] = {"id": identifier.decode("ascii")}
            if not known:
                headers = _replaced(headers, self._id_field, identifier)
            fields.append((self._id_field, identifier))
        if self._trace:
            context = read_trace_context(headers)
            scope["extensions"][TRACE_CONTEXT] = context
            parent = context["traceparent"].encode("ascii")
            headers = _replaced(headers, b"traceparent", parent)
            # Trace Context level 2: the server's span, in the same form.
            fields.append((b"traceresponse", parent))
        scope["headers"] = headers
        return fields


def _new_id() -> bytes:
    return os.urandom(16).hex().encode("ascii")


def read_trace_context(headers: Headers) -> dict[str, Any]:
    """The trace a request belongs to, continued where ``traceparent`` is valid, else begun.

    :return: ``trace_id`` (32 hex digits), ``span_id`` (16, made for this exchange),
        ``parent_id`` (16, of the caller, or None), ``sampled`` (bool), ``tracestate`` (str),
        ``traceparent`` (str: what calls made for this request should carry).
    """
    parent = _only(headers, b"traceparent")
    found = _TRACEPARENT.fullmatch(parent) if parent is not None else None
    if found is not None:
        version, trace, span, flags, rest = found.groups()
        invalid = version == b"ff" or (version == b"00" and rest is not None)
        if invalid or trace in _NEVER or span in _NEVER:
            found = None
    if found is None:
        trace_id, parent_id, sampled, state = os.urandom(16).hex(), None, False, ""
    else:
        trace_id, parent_id = trace.decode("ascii"), span.decode("ascii")
        sampled = bool(int(flags, 16) & 1)
        members = b",".join(value for name, value in headers if name.lower() == b"tracestate")
        listed = [part.strip() for part in members.split(b",") if part.strip()]
        state = b",".join(listed).decode("latin-1") if len(listed) <= _MAX_TRACESTATE else ""
    span_id = os.urandom(8).hex()
    return {
        "trace_id": trace_id,
        "span_id": span_id,
        "parent_id": parent_id,
        "sampled": sampled,
        "tracestate": state,
        "traceparent": f"00-{trace_id}-{span_id}-{int(sampled):02x}",
    }


def _only(headers: Headers, name: bytes) -> bytes | None:
    """The value of a field that stands there once."""
    values = [value for given, value in headers if given.lower() == name]
    return values[0] if len(values) == 1 else None


def _replaced(headers: Headers, name: bytes, value: bytes) -> Headers:
    kept = [header for header in headers if header[0].lower() != name]
    kept.append((name, value))
    return kept
