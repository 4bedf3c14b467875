"""Every input of the fuzzer's corpus, and whatever it ever found, goes through again."""

import logging

import pytest
from compliance.fuzzing.__main__ import MOST_CORPUS
from compliance.fuzzing.seeds import CORPUS, CRASHES, SEEDS, seeds
from compliance.fuzzing.targets import TARGETS


def inputs(folder):
    """The files of a folder that may be absent."""
    return sorted(folder.iterdir()) if folder.is_dir() else []


@pytest.mark.parametrize("target", TARGETS)
def test_corpus(target):
    paths = inputs(CORPUS / target)
    assert len(paths) >= len(seeds(target)) > 10
    for path in paths:
        try:
            TARGETS[target].check(path.read_bytes())
        except Exception as error:
            error.add_note(f"input: {path}")
            raise


@pytest.mark.parametrize(
    ("target", "path"),
    [(target, path) for target in TARGETS for path in inputs(CRASHES / target)],
    ids=lambda part: getattr(part, "name", part),
)
def test_what_was_once_found(target, path):
    TARGETS[target].check(path.read_bytes())


def test_every_target_has_seeds_and_every_folder_a_target():
    assert SEEDS.keys() == TARGETS.keys()
    for folder in (CORPUS, CRASHES):
        assert {path.name for path in inputs(folder)} <= TARGETS.keys()


def test_the_corpus_stays_small():
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) <= MOST_CORPUS


def test_nothing_is_logged(caplog):
    # What a peer sends is never an error of ours, and the fuzzer's applications log elsewhere.
    with caplog.at_level(logging.DEBUG, "tricorn"):
        for path in inputs(CORPUS / "asgi")[:50]:
            TARGETS["asgi"].check(path.read_bytes())
    assert not caplog.records
