"""Checks on the messages an application sends, said once for every exchange type."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tricorn.exceptions import InvalidMessage, LocalProtocolError
from tricorn.protocol.outbound import FieldList, field_list
from tricorn.types import Headers, Message


def refuse(state: str, message: Message, allowed: Iterable[str]) -> InvalidMessage:
    """The error for a message its state does not allow; tells state, type and alternatives."""
    kind = message.get("type") if hasattr(message, "get") else message
    expected = ", ".join(repr(name) for name in allowed) or "nothing"
    return InvalidMessage(f"message type {kind!r} in state {state}; allowed: {expected}")


def as_dict(message: Message) -> dict[str, Any]:
    """The message; any mapping will do, and the quickest is a dict.

    :raises TypeError: if it is no mapping.
    """
    return message if isinstance(message, dict) else dict(message)


def get_bytes(message: dict[str, Any], key: str) -> bytes:
    """``message[key]`` as bytes, b"" where absent.

    :raises InvalidMessage: for another type.
    """
    value: Any = message.get(key, b"")
    if value.__class__ is bytes:
        return value
    if value is None:
        return b""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise InvalidMessage(f"{message['type']}: {key!r} must be bytes, not {type(value).__name__}")


def get_flag(message: dict[str, Any], key: str) -> bool:
    """``message[key]`` as a bool, False where absent; numbers and None by their truth.

    :raises InvalidMessage: for another type: ``"false"`` would be true.
    """
    value: Any = message.get(key, False)
    if value is True or value is False:
        return value
    if value is None or isinstance(value, int):
        return bool(value)
    raise InvalidMessage(f"{message['type']}: {key!r} must be a bool, not {type(value).__name__}")


def get_headers(message: dict[str, Any]) -> Headers:
    """The checked header list of a message.

    :raises InvalidMessage: naming the message and the field.
    """
    return get_fields(message).pairs


def get_fields(message: dict[str, Any]) -> FieldList:
    """The checked fields of a message.

    :raises InvalidMessage: naming the message and the field.
    """
    try:
        return field_list(message.get("headers") or ())
    except LocalProtocolError as exc:
        raise InvalidMessage(f"{message['type']}: {exc}") from None


def get_status(message: dict[str, Any]) -> int:
    """The status of a response start.

    :raises InvalidMessage: unless an int from 200 to 999; 1xx is the server's business.
    """
    status: Any = message.get("status")
    # http.HTTPStatus is an int; bool is too, and no status.
    if not isinstance(status, int) or isinstance(status, bool) or not 200 <= status <= 999:
        raise InvalidMessage(
            f"{message['type']}: 'status' must be an int from 200 to 999, not {status!r}"
        )
    return int(status)


def binary_received(data: bytes) -> Message:
    """``websocket.receive`` of a binary message.

    Sanic tells the two kinds apart by a missing ``text``. Of an empty message it cannot, as
    Quart, which reads ``get("bytes") or ["text"]``, would fail on it.
    """
    if data:
        return {"type": "websocket.receive", "bytes": data}
    return {"type": "websocket.receive", "bytes": data, "text": None}
