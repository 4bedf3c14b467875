"""A helper for applications: push, hint or nothing, whatever the connection can do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal
from urllib.parse import quote

from tricorn.asgi.media_types import content_type
from tricorn.types import Scope, Send

# RFC 3986 and nothing else: a ">" would end the link, and what follows it would be another.
_URL_SAFE: Final = "!$%&'()*+,-./:;=?@_~[]"
# Destinations of the Fetch standard that a preload may have, by the type of the path.
_DESTINATIONS: Final = {"image": "image", "font": "font", "audio": "audio", "video": "video"}


async def push(
    scope: Scope, send: Send, path: str, headers: Iterable[tuple[bytes, bytes]] = ()
) -> Literal["push", "hint", "nothing"]:
    """Get ``path`` under way to the client before it asks: by push, else by early hint.

    Send it between the response start and its last body; before the start too on Tricorn.
    Works on any server: it looks only at the extensions the scope offers.

    :param scope: of the request being answered.
    :param send: the application's ``send``.
    :param path: begins with ``/``, and a query may follow; what a URL cannot hold is
        percent-encoded.
    :param headers: of the pushed request (pairs of bytes); a hint has none.
    :return: what was done.
    """
    extensions = scope.get("extensions") or {}
    if "http.response.push" in extensions:
        await send({"type": "http.response.push", "path": path, "headers": list(headers)})
        return "push"
    if "http.response.early_hint" in extensions:
        target = quote(path, safe=_URL_SAFE)
        link = f"<{target}>; rel=preload{_destination(path)}".encode("ascii")
        await send({"type": "http.response.early_hint", "links": [link]})
        return "hint"
    return "nothing"


def _destination(path: str) -> str:
    """``; as=style`` and its like; browsers pass over a preload without one."""
    kind = content_type(path.partition("?")[0]).decode("ascii").partition(";")[0]
    if kind == "text/css":
        return "; as=style"
    if kind == "text/javascript":
        return "; as=script"
    destination = _DESTINATIONS.get(kind.partition("/")[0], "fetch")
    # Fonts and fetches are requested without credentials (Fetch standard).
    return f"; as={destination}" + ("; crossorigin" if destination in ("font", "fetch") else "")
