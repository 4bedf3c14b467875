"""The checklist in the documentation is what the tests of this folder check."""

from __future__ import annotations

import re

import asgi_checklist
import pytest
from asgi_checklist import DOCUMENTS, PAGE


def test_every_test_names_its_obligation() -> None:
    names = [name for name, _ in asgi_checklist.tests()]
    assert len(names) == len(set(names))
    for name, docstring in asgi_checklist.tests():
        try:
            assert asgi_checklist.obligations(docstring)
        except ValueError as exc:
            pytest.fail(f"{name}: {exc}")


def test_the_page_has_every_test_and_no_other() -> None:
    text = PAGE.read_text(encoding="utf-8")
    listed = set(re.findall(r"`(test_\w+\.py::test_\w+)`", text))
    assert listed == {name for name, _ in asgi_checklist.tests()}


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == asgi_checklist.page(), (
        "run: PYTHONPATH=tests/specification "
        'python -c "import asgi_checklist; asgi_checklist.write()"'
    )


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_section_that_obliges_a_server_is_there(document: str) -> None:
    rows = asgi_checklist.table()
    have = {row.section for row in rows if row.document == document}
    assert have
    assert not set(DOCUMENTS[document][2]) - have


@pytest.mark.parametrize(
    "docstring",
    [
        "",
        "A test.",
        'must, core "Events" something.',
        'must, nothing "Events": something.',
        'will, core "Events": something.',
        'must, core "Events": one.\n\nAnd more.',
    ],
)
def test_other_docstrings_are_refused(docstring: str) -> None:
    with pytest.raises(ValueError, match="not of the form"):
        asgi_checklist.obligations(docstring)
