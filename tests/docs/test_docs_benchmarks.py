"""The documentation of the benchmarks: its commands run, and its figures are those of a run."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from docs_pages import DOCS, ROOT, commands, name, pages

if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.__main__ import RESULTS, parse
from benchmarks.fleet import SERVERS
from benchmarks.page import BEGIN, END, figures
from benchmarks.report import read_json

from benchmarks import picture, tables

PROGRAM = "python -m benchmarks"
PAGES = [*pages(), ROOT / "benchmarks" / "README.md"]


def inline(page: Path) -> Iterator[list[str]]:
    """The argument lists of the page's commands between backticks, which may be broken."""
    text = page.read_text(encoding="utf-8")
    for found in re.findall(rf"`{PROGRAM}\b([^`]*)`", text):
        yield shlex.split(found)


COMMANDS = [
    *((str(block), words) for block, words in commands(PROGRAM, *PAGES)),
    *((name(page), words) for page in PAGES for words in inline(page)),
]


def test_fenced_and_inline_commands_are_found() -> None:
    flags = {word for _, words in COMMANDS for word in words}
    assert {"--redraw", "--baseline", "--servers", "--bars"} <= flags
    assert any(page == "README.md" and "--rounds" in words for page, words in COMMANDS)


@pytest.mark.parametrize(("page", "arguments"), COMMANDS, ids=lambda value: str(value))
def test_the_command_is_taken(
    page: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.__main__.SERVERS", dict(SERVERS))  # a baseline adds its own
    parse([str(ROOT) if word == "../older" else word for word in arguments])


def test_page_and_picture_are_of_a_run_that_is_kept() -> None:
    text = (DOCS / "reference" / "benchmarks.md").read_text(encoding="utf-8")
    told = text[text.index(BEGIN) : text.index(END) + len(END)]
    kept = [read_json(path) for path in RESULTS.glob("*.json") if ".local." not in path.name]
    runs = [run for run in kept if "absent" in run["meta"] and figures(run) == told]
    assert len(runs) == 1, "run: python -m benchmarks --redraw FILE --svg ... --markdown ..."
    drawn = (DOCS / "reference" / "benchmarks.svg").read_text(encoding="utf-8")
    assert drawn == picture.draw(runs[0])


@pytest.mark.parametrize(("page", "kinds"), [
    ("README.md", ["servers"]),
    ("docs/explanation/performance.md", ["workloads", "ratios", "builds", "memory"]),
    ("docs/how-to/wsgi.md", ["wsgi"]),
])  # fmt: skip
def test_tables_are_of_the_runs_that_they_name(page: str, kinds: list[str]) -> None:
    assert ROOT / page in tables.PAGES
    text = (ROOT / page).read_text(encoding="utf-8")
    assert [found[1] for found in tables.MARK.finditer(text)] == kinds
    assert text.count("<!-- table:") == len(kinds)
    for found in tables.MARK.finditer(text):
        assert all(f"`{run}`" in text for run in found[2].split(", ")), "a reader is not told of it"
    assert tables.renew(text) == text, "run: python -m benchmarks.tables"


def test_a_new_run_takes_the_place_of_an_older_one_where_it_has_the_table() -> None:
    old, new = "2026-11-22-full.json", "2026-11-23-full.json"
    marks = [f"servers, {old}", "wsgi, 2026-11-21-wsgi-1.json"]
    text = "".join(f"Words.\n\n<!-- table: {mark} -->\n\n" for mark in marks)
    renewed = tables.renew(text, new)
    assert renewed == tables.renew(text.replace(old, new))
    assert "| Tricorn, uvloop | 71,998 | 53,153 | 136,102 |" in renewed
    assert "71,998" not in tables.renew(text)
    assert "2026-11-21-wsgi-1.json" in renewed  # of which the new one has nothing


def test_runs_that_the_documentation_names_are_kept() -> None:
    for page in PAGES:
        for named in re.findall(r"\d{4}-\d\d-\d\d-[a-z][\w.-]*\.json", page.read_text("utf-8")):
            assert (RESULTS / named).is_file(), f"{name(page)}: {named}"
