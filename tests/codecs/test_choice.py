"""Which codec serves: the fastest that is there, or the one that is named."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tricorn.exceptions
from helpers import codecs
from tricorn.codecs import choice
from tricorn.config import OPTIONS, Config
from tricorn.exceptions import ConfigError
from tricorn.protocol import negotiate

SOURCE = Path(tricorn.exceptions.__file__).parents[1]
ABSENT = Path(codecs.__file__).parent / "absent"
APP = "async def app(scope, receive, send): ...\n"


@pytest.fixture(params=list(choice.CODECS))
def slot(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def run(folder: Path, *argv: str, paths: tuple[Path, ...] = ()) -> subprocess.CompletedProcess[str]:
    (folder / "shop.py").write_text(APP)
    env = {name: value for name, value in os.environ.items() if "TRICORN" not in name}
    env["PYTHONPATH"] = codecs.python_path(*paths, SOURCE)
    return subprocess.run(
        [sys.executable, *argv], cwd=folder, env=env, capture_output=True, text=True, timeout=30
    )


def test_the_options_name_what_there_is(slot: str) -> None:
    names = tuple(row.name for row in choice.CODECS[slot])
    assert OPTIONS[f"{slot}_codec"].choices == (choice.AUTO, *names)
    assert names[-1] == codecs.PURE[slot]


def test_auto_is_the_fastest_that_is_there(slot: str) -> None:
    assert choice.choose(slot).name == choice.available()[slot][0]


def test_each_one_that_is_there_can_be_had(slot: str) -> None:
    for name in choice.available()[slot]:
        row = choice.choose(slot, name)
        assert row.name == name
        assert row.describe().startswith(name)
        assert callable(row.load())


def test_one_that_cannot_be_imported_is_passed_over(
    slot: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "broken_codec.py").write_text("raise ImportError('libfast.so: no such file')")
    monkeypatch.syspath_prepend(str(tmp_path))
    rows = choice.CODECS[slot]
    broken = dataclasses.replace(
        rows[0], name="fast", module="broken_codec", needs="broken_codec", distribution="fast"
    )
    monkeypatch.setitem(choice.CODECS, slot, (broken, rows[-1]))
    choice.choose.cache_clear()
    try:
        assert choice.available()[slot] == ["fast", rows[-1].name]
        assert choice.choose(slot) is rows[-1]
        with pytest.raises(ConfigError, match=r"_codec: fast cannot be used: libfast\.so"):
            choice.choose(slot, "fast")
    finally:
        choice.choose.cache_clear()


def test_one_that_is_not_installed_is_refused(slot: str, monkeypatch: pytest.MonkeyPatch) -> None:
    row = dataclasses.replace(choice.CODECS[slot][0], needs="tricorn_has_no_such.module")
    monkeypatch.setitem(choice.CODECS, slot, (row, *choice.CODECS[slot][1:]))
    with pytest.raises(ConfigError) as caught:
        Config(**{f"{slot}_codec": row.name}).check()
    assert str(caught.value).startswith(f"{slot}_codec: {row.name} is not installed; ")


def test_only_what_can_be_spoken_is_loaded() -> None:
    assert set(negotiate.codecs(Config())) == {"http1", "http2", "websocket"}
    assert set(negotiate.codecs(Config(h2_prior_knowledge=False))) == {"http1", "websocket"}
    assert "http2" in negotiate.codecs(Config(h2_prior_knowledge=False, h2c_upgrade=True))
    tls = Config(dev_certificate=True, alpn_protocols=["http/1.1"])
    assert "http2" not in negotiate.codecs(tls)
    assert "http2" in negotiate.codecs(tls.replace(insecure_bind=["127.0.0.1:0"]))
    assert "http2" in negotiate.codecs(tls.replace(alpn_protocols=["h2"]))


def test_what_is_not_chosen_is_not_imported(tmp_path: Path) -> None:
    code = """if True:
        import sys
        from tricorn.config import Config
        from tricorn.protocol import negotiate
        config = Config(http1_codec="h11", http2_codec="h2", websocket_codec="wsproto")
        config.check()
        names = {"h11", "h2", "wsproto", "httptools", "hpack", "websockets"}
        assert not names & set(sys.modules), names & set(sys.modules)
        import tricorn.server
        assert not names & set(sys.modules), names & set(sys.modules)
        negotiate.codecs(config)
        assert names & set(sys.modules) <= {"h11", "h2", "wsproto", "hpack"}
        assert "tricorn.codecs.http1_h11" in sys.modules
        compiled = ("httptools", "nghttp2", "compiled")
        assert not [name for name in sys.modules if name.endswith(compiled)]
    """
    done = run(tmp_path, "-c", code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("check", [(), ("--check-config",)])
def test_the_command_says_what_is_missing(tmp_path: Path, check: tuple[str, ...]) -> None:
    argv = ("-m", "tricorn", *check, "-b", "127.0.0.1:0", "--http1-codec", "httptools", "shop:app")
    done = run(tmp_path, *argv, paths=(ABSENT,))
    assert done.returncode == 2
    assert done.stderr == (
        "tricorn: error: http1_codec: httptools is not installed; pip install 'tricorn[speed]'\n"
    )


def test_the_version_without_anything_compiled(tmp_path: Path) -> None:
    done = run(tmp_path, "-m", "tricorn", "--version", paths=(ABSENT,))
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if " codec: " in line]
    assert [line.partition(":")[0] for line in lines] == [f"{slot} codec" for slot in choice.CODECS]
    for line, (slot, name) in zip(lines, codecs.PURE.items(), strict=True):
        assert line.startswith(f"{slot} codec: {name} ")
        assert line.endswith(f"; available: {name}")
