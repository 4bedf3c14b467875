"""The tables are whole: every option of the installed servers, with its flags and default."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from migrate_peers import known_options

from tricorn.config import OPTIONS, Config
from tricorn.config_mounts import KEYS
from tricorn.config_sources import Setting, merge
from tricorn.migrate import PEERS
from tricorn.migrate.__main__ import main
from tricorn.migrate.assemble import assemble, settings
from tricorn.migrate.markdown import END, START, table
from tricorn.migrate.table import Peer, Row, Shape

DOCS = Path(__file__).parents[2] / "docs" / "how-to"
EVERY_PEER = pytest.mark.parametrize("peer", PEERS.values(), ids=lambda peer: peer.name)
EVERY_ROW = pytest.mark.parametrize(
    ("peer", "row"), [(peer, row) for peer in PEERS.values() for row in peer.rows],
    ids=lambda value: value.name,
)  # fmt: skip


def plain(value: Any) -> Any:
    """Lists, tuples, enums and click's names for nothing, made alike."""
    if isinstance(value, list | tuple):
        return tuple(value)
    return value


@EVERY_PEER
def test_every_option_of_the_server_is_there(peer: Peer) -> None:
    known = known_options(peer.name)
    rows = {row.name: row for row in peer.rows}
    assert len(rows) == len(peer.rows)
    assert rows.keys() == known.keys()
    flags = {name: frozenset((*row.flags, *row.off)) for name, row in rows.items()}
    assert flags == {name: option.flags for name, option in known.items()}


# Defaults that depend on the machine, or that stand in code.
ELSEWHERE = {
    ("gunicorn", "chdir"), ("gunicorn", "user"), ("gunicorn", "group"),
    ("gunicorn", "control_socket"), ("gunicorn", "logger_class"),
    ("hypercorn", "cert_reqs"), ("hypercorn", "application_path"), ("gunicorn", "config"),
}  # fmt: skip


@EVERY_PEER
def test_defaults_are_the_servers(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    for row in peer.rows:
        known = known_options(peer.name)[row.name]
        if (peer.name, row.name) in ELSEWHERE or callable(known.default):
            continue
        default = () if row.shape is Shape.LIST and known.default is None else known.default
        assert plain(row.default) == plain(default), row.name
        if known.choices is not None:
            assert row.choices == tuple(str(choice) for choice in known.choices), row.name


@EVERY_PEER
def test_lists_in_variables_are_split_where_the_server_does(peer: Peer) -> None:
    known = known_options(peer.name)
    separators = {row.name: row.separator for row in peer.rows}
    assert separators == {row.name: known[row.name].separator for row in peer.rows}


@EVERY_ROW
def test_a_row_leads_somewhere_or_says_why_not(peer: Peer, row: Row) -> None:
    assert set(row.to) <= OPTIONS.keys()
    assert set(row.unset or ()) <= OPTIONS.keys()
    assert row.to or row.note or row.convert
    assert row.convert is not None or row.joint or len(row.to) <= 1
    assert not row.note.endswith(".")
    for word in re.findall(r"\b[a-z0-9]+(?:_[a-z0-9]+)+\b", row.note):
        assert word in OPTIONS or word in NOT_OPTIONS, f"{word} is no option"


NOT_OPTIONS = {"env_file", "fail_after", "close_notify", *KEYS}


@EVERY_PEER
def test_habits_and_changes_name_options(peer: Peer) -> None:
    assert peer.habits.keys() <= OPTIONS.keys()
    for line in peer.changes:
        for word in re.findall(r"\b[a-z0-9]+(?:_[a-z0-9]+)+\b", line):
            assert word in OPTIONS, line


@EVERY_PEER
def test_the_defaults_make_a_configuration(peer: Peer) -> None:
    draft = assemble(peer, {})
    entries = settings(draft, keep_defaults=True)
    assert entries
    for entry in entries.values():
        assert entry.origin == f"{peer.title}'s default" or peer.name == "gunicorn"
    config = merge({key: Setting(entry.value, "") for key, entry in entries.items()}).config
    assert config != Config()


@EVERY_PEER
def test_the_page_has_the_table(peer: Peer) -> None:
    text = (DOCS / f"from-{peer.name}.md").read_text(encoding="utf-8")
    assert text.count(START) == text.count(END) == 1
    shown = text.partition(START)[2].partition(END)[0]
    assert shown.strip() == table(peer).strip(), (
        f"run: python -m tricorn.migrate table {peer.name}, and put it into the page"
    )


def test_the_module_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", "uvicorn"]) == 0
    assert capsys.readouterr().out == table(PEERS["uvicorn"])
    assert main(["table", "nobody"]) == 2
    assert "usage" in capsys.readouterr().err
