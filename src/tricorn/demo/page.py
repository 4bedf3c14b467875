"""The page of the demonstration application, filled in on the server.

Everything the server knows is in the HTML, so the page tells the truth about the very
connection it came over, and tells it without JavaScript too.
"""

from __future__ import annotations

import json
from functools import cache
from html import escape
from importlib.resources import files
from string import Template
from typing import Any, Final

EXTENSIONS: Final = {
    "http.response.push": "server push: assets leave before they are asked for",
    "http.response.early_hint": "103 Early Hints: assets are named before the response",
    "http.response.trailers": "header fields after the body",
    "http.response.pathsend": "a file sent by its path",
    "http.response.zerocopysend": "a file sent without copying it through Python",
    "http.response.debug": "information for test tools",
    "websocket.http.response": "a refused WebSocket gets a proper HTTP response",
    "tls": "TLS version, cipher suite and certificates",
}


def render(facts: dict[str, Any], host: str) -> str:
    """Return the HTML for ``connection_facts()`` of a request to ``host`` (str)."""
    tls = facts["tls"]
    values = {
        "protocol": f"HTTP/{facts['http_version']}",
        "tls": "none" if tls is None else tls["version"] or "version not told",
        "tls_phrase": "without TLS" if tls is None else f"with {tls['version'] or 'TLS'}",
        "tls_class": "good" if tls else "plain",
        "cipher_suite": "none" if tls is None else tls["cipher_suite"] or "not told",
        "client": facts["client"] or "not told",
        "server": facts["server"] or "not told",
        "event_loop": facts["event_loop"],
        "asgi": _asgi_label(facts["asgi"]),
        "delivery": _delivery(facts["extensions"]),
        "origin": f"{facts['scheme']}://{host}",
        "curl": "curl -k" if tls else "curl",
        "facts": json.dumps(facts, indent=2),
    }
    safe = {key: escape(str(value)) for key, value in values.items()}
    return _template().substitute(safe, extensions=_extension_items(facts["extensions"]))


@cache
def _template() -> Template:
    return Template(files("tricorn.demo").joinpath("page.html").read_text("utf-8"))


def _asgi_label(asgi: dict[str, str]) -> str:
    label = asgi.get("version", "not told")
    return f"{label}, HTTP {asgi['spec_version']}" if "spec_version" in asgi else label


def _delivery(extensions: list[str]) -> str:
    if "http.response.push" in extensions:
        return "The style sheet and the script were pushed with this page."
    if "http.response.early_hint" in extensions:
        return "The style sheet and the script were named in a 103 Early Hints response."
    return "The style sheet and the script were requested in the ordinary way."


def _extension_items(extensions: list[str]) -> str:
    if not extensions:
        return "<li>The server offers none on this connection.</li>"
    return "\n".join(
        f"<li><code>{escape(name)}</code> <span>{escape(EXTENSIONS.get(name, ''))}</span></li>"
        for name in extensions
    )
