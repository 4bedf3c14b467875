"""The documentation as data: pages, fenced blocks, links, headings."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
TOP = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]

_FENCE = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{name(self.page)}:{self.line}"


def pages() -> list[Path]:
    """All pages, those at the top of the repository included."""
    return [*TOP, *sorted(DOCS.rglob("*.md"))]


def name(page: Path) -> str:
    """The page's path in the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks(language: str, *only: Path) -> list[Block]:
    """The fenced blocks of a language, in all pages or in those given."""
    found = []
    for page in only or pages():
        text = page.read_text(encoding="utf-8")
        for match in _FENCE.finditer(text):
            if match[2] == language:
                line = text.count("\n", 0, match.start()) + 1
                found.append(Block(page, line, language, textwrap.dedent(match[3])))
    return found


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def links(page: Path) -> list[str]:
    """Targets of the page's inline links."""
    return _LINK.findall(prose(page))


def anchors(page: Path) -> set[str]:
    """Anchors of the page's headings, as Python-Markdown's toc makes them."""
    found = set()
    for heading in _HEADING.findall(prose(page)):
        plain = re.sub(r"[^\w\s-]", "", heading.replace("`", "")).strip().lower()
        found.add(re.sub(r"[-\s]+", "-", plain))
    return found


def commands(program: str, *only: Path) -> Iterator[tuple[Block, list[str]]]:
    """The argument lists with which shell blocks call ``program`` (words, such as python -m x).

    In all pages or in those given.
    """
    wanted = program.split()
    for block in blocks("sh", *only):
        for line in block.text.splitlines():
            for command in line.split("&&"):
                words = shlex.split(command, comments=True)
                if words:
                    words[0] = words[0].rpartition("/")[2]
                if words[: len(wanted)] == wanted:
                    yield block, words[len(wanted) :]
