"""The command that fuzzes, with the fuzzing itself left out."""

import subprocess

import pytest
from compliance.fuzzing import __main__ as command
from compliance.fuzzing.seeds import SEEDS

FOUND = b"\xff found\x00"


class Engine:
    """libFuzzer as the command sees it: what it is called with, what it leaves and says."""

    def __init__(self, *, edges=10_000, crashes_in=()):
        self.calls = []
        self.edges = edges
        self.crashes_in = crashes_in

    def __call__(self, arguments):
        self.calls.append(arguments)
        kind = "merge" if "-merge=1" in arguments else "run"
        if kind in self.crashes_in:
            (prefix,) = [a.partition("=")[2] for a in arguments if a.startswith("-artifact_prefix")]
            with open(f"{prefix}crash-of-the-{kind}", "wb") as file:
                file.write(kind.encode() + FOUND)
        told = f"#9 cov: {self.edges} ft: 1\nstat::number_of_executed_units: 999\n"
        return subprocess.CompletedProcess(arguments, 0, told.encode())


@pytest.fixture
def start(monkeypatch, tmp_path):
    """Run the command with an engine; its exit code."""
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(command, "CORPUS", tmp_path / "corpus")
    monkeypatch.setattr(command, "CRASHES", tmp_path / "crashes")

    def start(engine, *arguments):
        monkeypatch.setattr(command, "_engine", engine)
        for target in SEEDS:
            (tmp_path / "corpus" / target).mkdir(parents=True)
        return command.main([*arguments, "--check"])

    return start


def test_nothing_found(start, tmp_path):
    engine = Engine()
    assert start(engine) == 0
    assert [call[3] for call in engine.calls] == list(SEEDS)
    assert not (tmp_path / "crashes").exists()


@pytest.mark.parametrize("phase", ["run", "merge"])
def test_what_is_found_is_filed_by_its_target(start, tmp_path, phase):
    """A merge crashes too, on inputs of the corpus: what it leaves is a finding as well."""
    assert start(Engine(crashes_in=[phase]), "--target", "http1", "--keep") == 1
    (found,) = (tmp_path / "crashes" / "http1").iterdir()
    assert found.name.startswith("crash-")
    assert found.read_bytes() == phase.encode() + FOUND


def test_blind_target_fails(start, capsys):
    """What the compiled driver gives: so many edges, and thousands of runs."""
    assert start(Engine(edges=850), "--target", "http2") == 1
    assert "is the driver compiled?" in capsys.readouterr().out
