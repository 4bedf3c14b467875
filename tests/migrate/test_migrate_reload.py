"""Patterns of watched files: Uvicorn's as its own filter reads them, and ours made of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from migrate_peers import config_of, moved

from helpers.peers import peer_module
from tricorn.config import Config
from tricorn.reloader import FileWatch

FILES = (
    "main.py", "main.html", "app/main.py", "app/main.html", "app/gen/x.py", "app/gen/x.html",
    "app/gen/deep/x.py", "gen/x.py", "lib/main.py", "lib/gen/x.py", "lib/page.html",
)  # fmt: skip


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # A name of its own: relative patterns fit from the right.
    place = tmp_path / "site"
    for name in FILES:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text("")
    monkeypatch.chdir(place)
    return place


def flags(dirs: str, includes: str, excludes: str) -> list[str]:
    words = []
    for flag, texts in ("dir", dirs), ("include", includes), ("exclude", excludes):
        for text in texts.split():
            words += [f"--reload-{flag}", text.replace("PLACE", str(Path.cwd()))]
    return words


def watched_by_uvicorn(dirs: str, includes: str, excludes: str) -> set[str]:
    config = peer_module("uvicorn.config")
    watching = peer_module("uvicorn.supervisors.watchfilesreload")
    found = config.Config(
        "a:b", reload=True, reload_dirs=dirs.split(), log_config=None,
        reload_includes=includes.replace("PLACE", str(Path.cwd())).split(),
        reload_excludes=excludes.replace("PLACE", str(Path.cwd())).split(),
    )  # fmt: skip
    counts = watching.FileFilter(found)
    paths = [Path.cwd() / name for name in FILES]
    return {
        str(path.relative_to(Path.cwd()))
        for path in paths
        if any(root in path.parents for root in found.reload_dirs) and counts(path)
    }


def watched(config: Config) -> set[str]:
    return {str(Path(path).relative_to(Path.cwd())) for path in FileWatch(config)._seen}


@pytest.mark.parametrize(
    ("dirs", "includes", "excludes"),
    [
        ("", "*.html", ""), ("app lib", "*.html", "x.*"), ("", "./app/*.html", ""),
        ("", "app/main.html", "main.py"), ("", "", "app/gen/x.py"), ("app", "", "app/gen/x.py"),
        ("app", "", "gen/x.py"), ("", "", "gen/x.p[xy]"),
        ("app", "", "**/gen/x.py"), ("app", "", "*/x.py"), ("", "PLACE/app/*.html", ""),
        ("", "", "PLACE/app/gen"), ("app", "", "PLACE/app/gen"), ("app/gen", "", "PLACE/lib"),
        ("", "lib", ""), ("app", "PLACE/lib *.html", ""), ("", "*.html", "*.py"),
        ("app", "site/app/main.html", ""), ("", "", "site/main.py"),
    ],
)  # fmt: skip
def test_the_same_files_are_watched(dirs: str, includes: str, excludes: str) -> None:
    if "PLACE/app/*" in includes:
        theirs = watched_by_uvicorn(dirs, "app/*.html", excludes)  # it fails for such a pattern
    else:
        theirs = watched_by_uvicorn(dirs, includes, excludes)
    found = moved("uvicorn", ["a:b", "--reload", *flags(dirs, includes, excludes)])
    ours = watched(config_of(found))
    if "app/*.html" in includes:
        assert "* goes across slashes here" in found.entries["reload_include"].note
        ours.remove("app/gen/x.html")
    assert ours == theirs


@pytest.mark.parametrize(
    ("dirs", "exclude"), [("", "app/gen"), ("", "./app/gen/"), ("app", "app/gen")]
)
def test_a_directory_is_one_from_the_working_directory(dirs: str, exclude: str) -> None:
    """With Uvicorn it keeps its files, for it compares with absolute paths; nobody means that."""
    found = moved("uvicorn", ["a:b", "--reload", *flags(dirs, "", exclude)])
    gone = {"app/gen/x.py", "app/gen/deep/x.py"}
    every = {name for name in FILES if name.endswith(".py") and (not dirs or "app/" in name)}
    assert watched(config_of(found)) == every - gone


@pytest.mark.parametrize(
    ("words", "origin", "reason"),
    [
        ("--reload-dir app --reload-exclude app/*.py", "--reload-exclude", "goes across slashes"),
        (
            "--reload-dir app --reload-dir lib --reload-exclude app/main.py",
            "--reload-exclude",
            "would fit in others",
        ),
        (
            "--reload-dir app --reload-dir lib --reload-exclude app/gen",
            "--reload-exclude",
            "would fit in others",
        ),
        ("--reload-exclude /elsewhere", "--reload-exclude", "below no directory"),
        ("--reload-dir app --reload-exclude app", "--reload-exclude", "below no directory"),
        ("--reload-exclude /else/*.py", "--reload-exclude", "no file that is watched"),
        ("--reload-dir $D --reload-exclude app", "--reload-exclude, --reload-dir", "$D"),
        ("--app-dir $D --reload-include *.x", "--reload-include, --app-dir", "$D"),
    ],
)
def test_what_cannot_be_said(words: str, origin: str, reason: str) -> None:
    found = moved("uvicorn", [f"uvicorn a:b {words}"])
    assert any(place == origin and reason in text for place, text in found.left_out), found.left_out
    assert not {"reload_exclude", "reload_include"} & found.entries.keys()
