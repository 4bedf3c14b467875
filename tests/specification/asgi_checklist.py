"""docs/reference/asgi-checklist.md, made from the docstrings of the tests beside this file.

The docstring of a test names what it checks, in one paragraph for each obligation::

    must, HTTP "Response Start": status is the status of the response.

that is a level of `LEVELS`, a document of `DOCUMENTS`, a section of it in quotes, and a sentence.
`test_asgi_checklist.py` fails where the page is not what the docstrings say. This writes it::

    PYTHONPATH=tests/specification python -c "import asgi_checklist; asgi_checklist.write()"
"""

from __future__ import annotations

import ast
import functools
import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
PAGE = FOLDER.parents[1] / "docs" / "reference" / "asgi-checklist.md"

LEVELS = ("must", "should", "optional")

_ASGI = "https://asgi.readthedocs.io/en/latest/"

#: By the name in docstrings: title, address, and the sections that oblige a server.
DOCUMENTS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "core": (
        "ASGI 3.0",
        f"{_ASGI}specs/main.html",
        ("Connection Scope", "Events", "Applications", "Legacy Applications",
         "Protocol Specifications", "Error Handling", "Extensions", "Strings and Unicode"),
    ),
    "HTTP": (
        "HTTP 2.5",
        f"{_ASGI}specs/www.html#http",
        ("HTTP", "Connection Scope", "Request", "Response Start", "Response Body",
         "Disconnected Client", "Disconnect"),
    ),
    "WebSocket": (
        "WebSocket 2.5",
        f"{_ASGI}specs/www.html#websocket",
        ("WebSocket", "Connection Scope", "Connect", "Accept", "Receive", "Send", "Disconnect",
         "Disconnected Client", "Close"),
    ),
    "lifespan": (
        "Lifespan 2.0",
        f"{_ASGI}specs/lifespan.html",
        ("Scope", "Lifespan State", "Startup", "Startup Complete", "Startup Failed", "Shutdown",
         "Shutdown Complete", "Shutdown Failed"),
    ),
    "extensions": (
        "Extensions",
        f"{_ASGI}extensions.html",
        ("Websocket Denial Response", "HTTP/2 Server Push", "Zero Copy Send", "Path Send",
         "Early Hints", "HTTP Trailers", "Debug"),
    ),
    "TLS": ("TLS 0.2", f"{_ASGI}specs/tls.html", ("TLS Connection Scope",)),
    "WSGI": (
        "WSGI in ASGI",
        f"{_ASGI}specs/www.html#wsgi-compatibility",
        ("WSGI Compatibility",),
    ),
    "PEP 3333": ("WSGI 1.0.1", "https://peps.python.org/pep-3333/", ()),
}  # fmt: skip

_HEAD = """\
# ASGI checklist

What the specifications ask of a server, and the test that asks it of Tricorn. The tests speak to
a running server over sockets, on every event loop, over HTTP/1.1 and HTTP/2 where it may matter:

```sh
python -m pytest tests/specification
```

The page is made from the docstrings of the tests, and a test checks that it is what they say.
How Tricorn uses the freedom that is left: [ASGI support](asgi.md).
"""

_ROW = re.compile(
    rf'({"|".join(LEVELS)}), ({"|".join(map(re.escape, DOCUMENTS))}) "([^"]+)": (\S.*)'
)


@dataclass(frozen=True, order=True)
class Obligation:
    """What a section of a document asks of a server."""

    document: str
    section: str
    level: str
    text: str


@functools.cache
def tests() -> list[tuple[str, str]]:
    """Every test of the folder: its id without parameters, and its docstring."""
    return [
        (f"{path.name}::{node.name}", ast.get_docstring(node) or "")
        for path in sorted(FOLDER.glob("test_*.py"))
        if path.stem != "test_asgi_checklist"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]


def obligations(docstring: str) -> list[Obligation]:
    """What a docstring names; ValueError for a paragraph that is no obligation."""
    found = []
    for paragraph in docstring.split("\n\n"):
        text = " ".join(paragraph.split())
        match = _ROW.fullmatch(text)
        if match is None:
            raise ValueError(f"not of the form 'must, core \"Events\": text': {text!r}")
        level, document, section, sentence = match.groups()
        found.append(Obligation(document, section, level, sentence))
    return found


@functools.cache
def table() -> dict[Obligation, list[str]]:
    """Every obligation with its tests."""
    found: dict[Obligation, list[str]] = {}
    for name, docstring in tests():
        for obligation in obligations(docstring):
            found.setdefault(obligation, []).append(name)
    return found


def page() -> str:
    """The page, in Markdown."""
    rows = table()
    parts = [_HEAD]
    for document, (title, address, sections) in DOCUMENTS.items():
        mine = [row for row in rows if row.document == document]
        if not mine:
            continue
        known = [*sections, *dict.fromkeys(row.section for row in mine)]
        mine.sort(key=lambda row: (known.index(row.section), LEVELS.index(row.level)))
        lines = [f"## {title}", "", f"[The document]({address})", ""]
        lines += ["| Section | | Obligation | Test |", "|---|---|---|---|"]
        for row in mine:
            text = row.text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
            names = ", ".join(f"`{name}`" for name in rows[row])
            lines.append(f"| {row.section} | {row.level} | {text} | {names} |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def write() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
