"""The picture and the page that are made of a run's JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from benchmarks.bars import judge
from benchmarks.figures import Cell, Table
from benchmarks.fleet import SERVERS
from benchmarks.report import as_json

from benchmarks import page, picture

SVG = "{http://www.w3.org/2000/svg}"


def content(**more: Table) -> dict[str, Any]:
    cells = {
        "tricorn-uvloop": Cell([30_000.0, 50_000.0]),
        "tricorn-pure-uvloop": Cell([20_000.0]),
        "granian": Cell([10_000.0]),
        "nginx": Cell([80_000.0]),
        "daphne": Cell([9.0], problem="1 of 9 requests: 1 failed"),
        "hypercorn-trio": Cell(cannot="does not speak it"),
    }
    tables = {"http1-small": Table("http1-small", "requests/s", True, cells=cells), **more}
    meta = {
        "date": "2026-11-21T10:00:00+00:00",
        "python": "3.11.7",
        "rounds": 3,
        "seconds": 2,
        "quick": True,
        "versions": {"tricorn": "1.0", "granian": "2.0"},
        "codecs": {"http1": ["httptools", "h11"], "http2": ["h2"]},
        "absent": {"anycorn-trio": "anycorn is not installed"},
    }
    return as_json(meta, tables, judge(tables, SERVERS))


def drawn(run: dict[str, Any]) -> ElementTree.Element:
    return ElementTree.fromstring(picture.draw(run))


def bars(root: ElementTree.Element) -> list[tuple[str, float]]:
    """The class and the width of each server's bar, from the top."""
    found = root.findall(f"{SVG}rect[@class]")
    return [(bar.get("class", ""), float(bar.get("width", "0"))) for bar in found]


def texts(root: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in root.iter(f"{SVG}text")]


def test_bars_are_as_long_as_the_medians() -> None:
    found = bars(drawn(content()))
    assert [kind for kind, _ in found] == ["ceiling", "own", "slow", "peer"]
    longest = found[0][1]
    assert [width / longest for _, width in found] == pytest.approx([1, 0.5, 0.25, 0.125], abs=0.01)


def test_a_failure_is_written_and_no_bar() -> None:
    words = texts(drawn(content()))
    assert words[words.index("daphne") + 1] == "failed"
    assert "hypercorn-trio" not in words
    assert "40,000" in words


def test_the_picture_says_where_it_is_from() -> None:
    run = content()
    assert "2026-11-21, Python 3.11.7, quick run, 3 x 2 s, one core each" in texts(drawn(run))
    run["meta"]["openssl"] = "OpenSSL 3.5.9 29 Sep 2026"
    line = "2026-11-21, Python 3.11.7, OpenSSL 3.5.9, quick run, 3 x 2 s, one core each"
    assert line in texts(drawn(run))


def test_nothing_lies_outside_of_the_picture_or_on_another_panel() -> None:
    cells = {f"uvicorn-{number}": Cell([float(number)]) for number in range(1, 18)}
    start = Table("start", "ms", False, cells=cells)
    root = drawn(content(start=start, other=Table("no-title", "ms", False, cells=cells)))
    width, height = float(root.get("width", "0")), float(root.get("height", "0"))
    for element in [*root.iter(f"{SVG}rect"), *root.iter(f"{SVG}text")]:
        right = float(element.get("x", "0")) + float(element.get("width", "0"))
        low = float(element.get("y", "0")) + float(element.get("height", "0"))
        assert 0 <= right <= width
        assert 0 <= low <= height
    places = [(text.get("x"), text.get("y")) for text in root.iter(f"{SVG}text")]
    assert len(places) == len(set(places))
    assert "ms, less is better" in texts(root)


def test_names_are_escaped() -> None:
    run = content(start=Table("start", "ms", False, cells={"a<b&c": Cell([1.0])}))
    assert "a<b&c" in texts(drawn(run))


def test_the_page_gets_figures_between_its_marks(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(f"# Before\n\n{page.BEGIN}\nold\n{page.END}\n\nAfter\n")
    page.update(path, content())
    text = path.read_text()
    assert text.startswith("# Before\n\n")
    assert text.endswith("\n\nAfter\n")
    assert "old" not in text
    assert "nginx 80,000, tricorn-uvloop 40,000" in text
    assert "failed: daphne" in text
    assert "anycorn-trio: anycorn is not installed" in text
    assert "| http1-small: tricorn-uvloop >= 0.5 x nginx | 0.50 | met |" in text
    open_bar = "| http1-small: tricorn-uvloop >= 1.4 x granian (best peer) | daphne: failed; 4.00 x"
    assert f"{open_bar} of the others | not judged |" in text
    page.update(path, content())
    assert path.read_text() == text


def test_the_page_says_what_was_measured() -> None:
    run = content()
    assert "Fastest codecs: http1 httptools, http2 h2.\n" in page.figures(run)
    run["meta"] |= {"driver": "interpreted", "commit": None}
    assert "http2 h2, driver interpreted.\n" in page.figures(run)
    run["meta"] |= {"driver": "compiled", "commit": "0123456789ab-dirty"}
    assert "http2 h2, driver compiled. Commit 0123456789ab-dirty.\n" in page.figures(run)


def test_the_page_marks_what_may_be_the_load() -> None:
    cells = {
        "tricorn-uvloop": Cell([50.0], notes={"load busy": [0.5], "server busy": [0.99]}),
        "nginx": Cell([70.0], notes={"load busy": [0.95], "server busy": [0.97]}),
        "granian": Cell([60.0], notes={"load busy": [0.95], "server busy": [0.5]}),
    }
    text = page.figures(content(**{"http2-small": Table("http2-small", "/s", True, cells=cells)}))
    assert r"nginx 70.0\*, granian 60.0\*, tricorn-uvloop 50.0 |" in text
    assert page.LOAD_BUSY in text.splitlines()
    assert page.LOAD_BUSY not in page.figures(content())


def test_the_page_says_that_the_machine_was_busy() -> None:
    run = content()
    assert page.BUSY not in page.figures(run)
    run["meta"]["load_average_before"] = 3.2
    assert page.BUSY in page.figures(run)


def test_a_page_without_marks_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("# Nothing here\n")
    with pytest.raises(ValueError, match="marks"):
        page.update(path, content())
