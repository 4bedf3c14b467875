"""Edits that `--reload` sees, with ``watchfiles`` and with our own looks."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tricorn import reloader
from tricorn.config import Config
from tricorn.exceptions import ConfigError
from tricorn.reloader import FileWatch

PATIENCE = 10.0


@pytest.fixture(params=["watchfiles", "polling"])
def method(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    name: str = request.param
    if name == "watchfiles":
        pytest.importorskip("watchfiles")
    else:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        monkeypatch.setattr(reloader, "INTERVAL", 0.05)
    return name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "app.py").write_text("x = 1\n")
    (tmp_path / "notes.txt").write_text("n\n")
    return tmp_path


@pytest.fixture
def watches() -> Iterator[list[FileWatch]]:
    made: list[FileWatch] = []
    yield made
    for watch in made:
        watch.close()
        watch.wait()


def watch_of(folder: Path, watches: list[FileWatch], **options: object) -> FileWatch:
    watch = FileWatch(Config.from_mapping({"reload_dirs": [str(folder)], **options}))
    watches.append(watch)
    return watch


def names(found: set[Path], folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in found}


def test_two_edits_in_one_second_without_word_from_the_system(
    folder: Path, monkeypatch: pytest.MonkeyPatch, watches: list[FileWatch]
) -> None:
    """Containers whose files come from another system; a formatter behind the first edit."""
    monkeypatch.setenv("WATCHFILES_FORCE_POLLING", "true")
    app = folder / "shop" / "app.py"
    second = 1_700_000_000 * 10**9
    os.utime(app, ns=(second, second))
    watch = watch_of(folder / "shop", watches)
    for place in (1, 2):
        waiting = Waiting(watch)
        fresh = folder / "fresh.py"  # where nobody looks
        fresh.write_text("x = 5\n")
        os.utime(fresh, ns=(second, second + place * 10**8))
        fresh.replace(app)
        assert names(waiting.result(), folder) == {"shop/app.py"}


def test_edits_are_told_once(folder: Path, method: str, watches: list[FileWatch]) -> None:
    watch = watch_of(folder, watches)
    assert watch.method.startswith("watchfiles" if method == "watchfiles" else "a look every")
    app = folder / "shop" / "app.py"
    # One that lies before the first wait.
    app.write_text("x = 22\n")
    assert names(watch.wait(PATIENCE), folder) == {"shop/app.py"}
    # One while it waits: a new file, and what many editors do, a rename over the old one.
    waiting = Waiting(watch)
    fresh = folder / "shop" / "app.py~new"
    fresh.write_text("x = 3\n")
    fresh.replace(app)
    (folder / "shop" / "models.py").write_text("")
    found = names(waiting.result(), folder)
    assert found
    assert found <= {"shop/app.py", "shop/models.py"}
    while watch.wait(0.3):
        pass
    (folder / "shop" / "models.py").unlink()
    assert names(watch.wait(PATIENCE), folder) == {"shop/models.py"}
    assert watch.wait(0.3) == set()


class Waiting(threading.Thread):
    """A thread that waits for an edit."""

    def __init__(self, watch: FileWatch, timeout: float | None = PATIENCE) -> None:
        super().__init__()
        self._watch, self._timeout = watch, timeout
        self.found: set[Path] = set()
        self.start()

    def run(self) -> None:
        self.found = self._watch.wait(self._timeout)

    def result(self) -> set[Path]:
        self.join(PATIENCE)
        assert not self.is_alive()
        return self.found


def test_what_does_not_count(folder: Path, method: str, watches: list[FileWatch]) -> None:
    (folder / ".venv" / "lib").mkdir(parents=True)
    (folder / "env").mkdir()
    (folder / "env" / "pyvenv.cfg").touch()
    (folder / "build").mkdir()
    watch = watch_of(folder, watches, reload_exclude=["test_*", "build", "shop/generated*"])
    watch.wait(0.01)
    for name in ("notes.txt", ".venv/lib/a.py", "env/a.py", "build/a.py", "shop/test_app.py",
                 "shop/generated_1.py", "shop/app.pyc"):  # fmt: skip
        (folder / name).write_text("changed")
    assert watch.wait(0.5) == set()
    (folder / "shop" / "app.py").write_text("x = 333\n")
    assert names(watch.wait(PATIENCE), folder) == {"shop/app.py"}


def test_what_the_server_writes_does_not_count(
    folder: Path, method: str, watches: list[FileWatch]
) -> None:
    link = folder / "logs"
    link.symlink_to(folder / "shop")
    own = {"errorlog": "error.log", "accesslog": "logs/access.log", "pid_path": "shop/pid"}
    options = {key: str(folder / name) for key, name in own.items()}
    watch = watch_of(folder, watches, reload_include=["*"], **options)
    watch.wait(0.01)
    for name in own.values():
        (folder / name).write_text("changed")
    assert watch.wait(0.5) == set()
    (folder / "shop" / "other.log").write_text("changed")
    assert names(watch.wait(PATIENCE), folder) == {"shop/other.log"}
    config = Config.from_mapping({"reload_dirs": [str(folder)], "reload_include": ["*"]}, **options)
    assert watch.suits(config)
    assert not watch.suits(config.replace(errorlog=str(folder / "other.log")))


def test_include_and_single_files(folder: Path, method: str, watches: list[FileWatch]) -> None:
    (folder / "shop" / "page.html").write_text("<p>")
    config = Config(
        reload_dirs=[str(folder / "shop"), str(folder / "notes.txt"), str(folder / "shop")],
        reload_include=["*.html"],
    )
    watch = FileWatch(config)
    watches.append(watch)
    assert len(watch.roots) == 2
    (folder / "shop" / "app.py").write_text("x = 4444\n")
    (folder / "shop" / "page.html").write_text("<p>more")
    assert names(watch.wait(PATIENCE), folder) == {"shop/page.html"}
    (folder / "notes.txt").write_text("named itself\n")
    assert names(watch.wait(PATIENCE), folder) == {"notes.txt"}


def test_named_files_below_a_directory(folder: Path, method: str, watches: list[FileWatch]) -> None:
    """They count whatever the patterns say, and where a directory is not looked at either."""
    (folder / ".secret").mkdir()
    named = [folder / "notes.txt", folder / ".secret" / "keys.toml"]
    named[1].write_text("a = 1\n")
    (folder / "other.txt").write_text("o\n")
    watch = FileWatch(Config(reload_dirs=[str(folder), *map(str, named)], reload_exclude=["*.txt"]))
    watches.append(watch)
    (folder / "other.txt").write_text("not named\n")
    for path in named:
        waiting = Waiting(watch)
        path.write_text("named itself\n")
        assert names(waiting.result(), folder) == {str(path.relative_to(folder))}
        assert watch._may_count(str(path))  # else the library's word of it would be dropped
    (folder / "shop" / "app.py").write_text("x = 4444\n")
    assert names(watch.wait(PATIENCE), folder) == {"shop/app.py"}


def test_one_edit_of_many_files(folder: Path, method: str, watches: list[FileWatch]) -> None:
    """A checkout of another branch is one edit."""
    watch = watch_of(folder, watches)
    for number in range(50):
        (folder / "shop" / f"m{number}.py").write_text("")
    assert len(watch.wait(PATIENCE)) == 50


def test_close_ends_the_wait(folder: Path, method: str, watches: list[FileWatch]) -> None:
    watch = watch_of(folder, watches)
    waiting = Waiting(watch, None)
    watch.close()
    assert waiting.result() == set()
    (folder / "shop" / "app.py").write_text("x = 55555\n")
    assert watch.wait() == set()


def test_timeout(folder: Path, method: str, watches: list[FileWatch]) -> None:
    watch = watch_of(folder, watches)
    begin = time.monotonic()
    assert watch.wait(0.05) == set()
    assert time.monotonic() - begin < 5


def test_directory_that_goes_and_comes(folder: Path, method: str, watches: list[FileWatch]) -> None:
    watch = watch_of(folder / "shop", watches)
    watch.wait(0.01)
    os.rename(folder / "shop", folder / "away")
    assert names(watch.wait(PATIENCE), folder) == {"shop/app.py"}
    os.rename(folder / "away", folder / "shop")
    assert names(watch.wait(PATIENCE), folder) == {"shop/app.py"}
    (folder / "shop" / "app.py").write_text("x = 666666\n")
    assert names(watch.wait(PATIENCE), folder) == {"shop/app.py"}


def save(path: Path, text: str) -> None:
    """As many editors do: another file takes the place of the old one."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text)
    fresh.replace(path)


def test_named_file_that_is_saved_by_renames(
    folder: Path, method: str, watches: list[FileWatch]
) -> None:
    """Each time it is another file that has the name."""
    notes = folder / "notes.txt"
    watch = FileWatch(Config(reload_dirs=[str(folder / "shop"), str(notes)]))
    watches.append(watch)
    for turn in range(3):
        waiting = Waiting(watch, None)
        save(notes, "n" * (turn + 7))
        assert names(waiting.result(), folder) == {"notes.txt"}


def test_directory_that_is_made_again(folder: Path, method: str, watches: list[FileWatch]) -> None:
    """As a build or a checkout does it; the new one may have the former one's number."""
    shop = folder / "shop"
    watch = watch_of(shop, watches)
    watch.wait(0.01)
    for turn in range(2):
        waiting = Waiting(watch, None)
        shutil.rmtree(shop)
        assert names(waiting.result(), folder) == {"shop/app.py"}
        waiting = Waiting(watch, None)
        shop.mkdir()
        (shop / "app.py").write_text("x = 1\n")
        assert names(waiting.result(), folder) == {"shop/app.py"}
        shutil.rmtree(shop)
        shop.mkdir()
        (shop / "app.py").write_text("x = 22\n" + "\n" * turn)
        assert names(Waiting(watch, None).result(), folder) == {"shop/app.py"}
        waiting = Waiting(watch, None)
        (shop / "app.py").write_text("x = 333\n" + "\n" * turn)
        assert names(waiting.result(), folder) == {"shop/app.py"}


def test_library_that_cannot_be_imported(
    folder: Path, watches: list[FileWatch], monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """Built for another Python, for one."""
    monkeypatch.delitem(sys.modules, "watchfiles", raising=False)
    monkeypatch.syspath_prepend(folder)
    (folder / "watchfiles.py").write_text("raise ImportError('built for another Python')\n")
    monkeypatch.setattr(reloader, "INTERVAL", 0.05)
    monkeypatch.setattr(reloader._log, "disabled", False)
    watch = watch_of(folder, watches)
    assert watch.method == "watchfiles"
    assert watch.wait(0.1) == set()
    (folder / "shop" / "app.py").write_text("x = 1234567\n")
    assert names(watch.wait(PATIENCE), folder) == {"shop/app.py"}
    assert [r.getMessage() for r in caplog.records] == [
        "watchfiles cannot watch: built for another Python; now a look every 0.05 s"
    ]


def test_library_that_fails(
    folder: Path, watches: list[FileWatch], monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """The system's limit on watches is no reason not to reload."""
    watchfiles = pytest.importorskip("watchfiles")

    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("OS file watch limit reached.")

    monkeypatch.setattr(watchfiles, "watch", refuse)
    monkeypatch.setattr(reloader, "INTERVAL", 0.05)
    monkeypatch.setattr(reloader._log, "disabled", False)
    watch = watch_of(folder, watches)
    assert watch.wait(0.1) == set()
    (folder / "shop" / "app.py").write_text("x = 1234567\n")
    assert names(watch.wait(PATIENCE), folder) == {"shop/app.py"}
    assert [r.getMessage() for r in caplog.records] == [
        "watchfiles cannot watch: OS file watch limit reached.; now a look every 0.05 s"
    ]


def test_no_such_directory(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="reload_dirs: there is no directory"):
        FileWatch(Config(reload_dirs=str(tmp_path / "none")))
