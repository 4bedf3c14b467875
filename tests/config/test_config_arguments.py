"""What type checkers are told of `Config` is what it takes."""

from __future__ import annotations

from pathlib import Path

import pytest
from option_samples import SAMPLES

import tricorn.config_arguments
from tricorn import Config
from tricorn.config_docs import arguments_module

SOURCE = Path(tricorn.config_arguments.__file__)
# Forms that the documentation promises beside those of the samples.
OTHERS = {
    "keep_alive_timeout": "2m", "graceful_timeout": 1, "disconnect_grace": None,
    "max_request_body_size": "64KiB", "h2_stream_window_size": "1MiB", "bind": "x:1",
    "workers": "auto", "umask": "022", "verify_mode": 2, "user": 0,
}  # fmt: skip


def test_the_module_is_current() -> None:
    assert SOURCE.read_text(encoding="utf-8") == arguments_module(), (
        "run: python -m tricorn.config_docs arguments > src/tricorn/config_arguments.py"
    )


@pytest.mark.parametrize("name", OTHERS)
def test_other_forms_are_taken(name: str) -> None:
    Config(**{name: OTHERS[name]})  # type: ignore[misc]


@pytest.mark.long
def test_mypy_takes_what_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    api = pytest.importorskip("mypy.api")
    monkeypatch.setenv("MYPYPATH", str(SOURCE.parents[1]))
    lines = ["from pathlib import Path", "from tricorn import Config"]
    lines += [f"Config({name}={sample.value!r})" for name, sample in SAMPLES.items()]
    lines += [f"Config({name}={value!r})" for name, value in OTHERS.items()]
    lines += ["Config(certfile=Path('a'), keyfile=Path('b')).replace(workers=2)"]
    lines += ["Config(backlg=1)", "Config(backlog='x')"]
    program = tmp_path / "program.py"
    program.write_text("\n".join(lines) + "\n")
    out, err, _ = api.run(["--strict", "--cache-dir", str(tmp_path / "cache"), str(program)])
    assert err == ""
    found = [line for line in out.splitlines() if ": error: " in line]
    assert len(found) == 2, out
    assert 'Unexpected keyword argument "backlg"' in found[0]
    assert 'Argument "backlog" to "Config" has incompatible type "str"' in found[1]
