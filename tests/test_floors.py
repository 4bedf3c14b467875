"""The floors of the house: imports go down only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import tricorn.exceptions

PACKAGE = Path(tricorn.exceptions.__file__).parent

FLOORS = {
    "config": 0, "config_arguments": 0, "config_binds": 0, "config_certificates": 0,
    "config_check": 0,
    "config_docs": 6, "config_mounts": 0, "config_options": 0, "config_proxies": 0,
    "config_sources": 0, "config_values": 0, "records": 0, "compilation": 0, "plain": 0,
    "host_names": 0, "percent": 0, "quoting": 0, "reasons": 0, "toml_file": 0,
    "exceptions": 0, "file_fingerprint": 0, "types": 0, "dev_certificate": 0,
    "codecs": 1, "protocol": 2, "asgi": 3, "io": 4, "privileges": 4, "systemd": 4,
    "counters": 0, "health_server": 5, "config_health": 0,
    "config_limits": 0, "pid_file": 0, "last_resort": 5, "loop_watch": 5,
    "server": 5, "logs": 5, "log_config": 5, "log_sink": 5, "access_log": 5, "app_loader": 5,
    "application": 5, "event_loop": 5, "own_process": 5, "reloader": 5, "start_lines": 5,
    "ticking": 5, "server_signals": 5, "stop_signals": 5, "forked_children": 5, "importing": 5,
    "error_report": 5, "first_worker": 5, "collector": 5, "supervisor_environment": 5,
    "control_channel": 5, "supervisor": 5, "supervisor_workers": 5,
    "supervisor_certificates": 5, "supervisor_sockets": 5, "supervisor_reload": 5,
    "supervisor_reloader": 5, "supervisor_orphans": 5, "standard_streams": 5,
    "supervisor_signals": 5, "supervisor_slots": 5, "supervisor_fleet": 5,
    "supervisor_handover": 5, "worker_process": 5, "launch": 5, "launch_named": 5,
    "threaded": 6, "testing": 6, "pytest_plugin": 6, "gunicorn": 6,
    "cli": 6, "cli_command": 6, "cli_output": 6, "cli_parser": 6, "cli_versions": 6,
    "migrate": 6, "__main__": 6, "demo": 6, "__init__": 6,
    "serverless": 6,
}  # fmt: skip

# (module, what it may import although it is above): each for a reason given there.
ALLOWED_UP = {
    # `check` looks at what the options name, and the loader is part of that.
    ("config_check", "app_loader"),
    # Likewise for the names of codecs, none of which it imports.
    ("config_check", "codecs.choice"),
    # Likewise for the file of `logconfig`, and the atoms of `access_log_format`.
    ("config_check", "log_config"),
    ("config_check", "access_log"),
    # The start-up line says the version.
    ("start_lines", "__init__"),
}

# The protocol libraries, and the only files that may know them.
LIBRARIES = {"h11", "httptools", "h2", "hpack", "hyperframe", "wsproto"}
WAITING = {"asyncio", "anyio", "trio", "uvloop", "socket", "select", "selectors", "ssl", "time",
           "threading", "concurrent", "datetime"}  # fmt: skip

MODULES = sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def floor_of(module: str) -> int:
    """The floor of ``codecs.base``, ``server`` or ``codecs``."""
    top = module.partition(".")[0]
    assert top in FLOORS, f"{module} is on no floor: give it one here and in the design"
    return FLOORS[top]


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Absolute names of what a file imports, with lines; imports in functions count too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute here"
            for alias in node.names:
                # `from tricorn import x` and `from tricorn.io import x` may name modules.
                yield f"{node.module}.{alias.name}", node.lineno


def own(name: str) -> str | None:
    """The module of ours behind an imported name, without the package's name."""
    parts = name.split(".")
    if parts[0] != "tricorn":
        return None
    inner = parts[1:]
    while inner:
        path = PACKAGE.joinpath(*inner)
        if path.is_dir() or path.with_suffix(".py").exists():
            return ".".join(inner)
        inner = inner[:-1]
    return "__init__" if parts[1:] != ["__version__"] else None


def breaches(path: Path) -> Iterator[str]:
    module = name_of(path)
    for name, line in imports(path):
        target = own(name)
        if target is None or (module, target) in ALLOWED_UP:
            continue
        if floor_of(target) > floor_of(module):
            yield f"{module}:{line} (floor {floor_of(module)}) imports {target} above it"


def test_every_module_is_found() -> None:
    assert len(MODULES) > 40


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_down_only(path: Path) -> None:
    assert list(breaches(path)) == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_codecs_know_the_protocol_libraries(path: Path) -> None:
    used = {name.partition(".")[0] for name, _ in imports(path)}
    if not name_of(path).startswith("codecs."):
        assert used & LIBRARIES == set()
    if name_of(path) != "protocol.dependency_tree":
        assert "priority" not in used


@pytest.mark.parametrize(
    "path", [p for p in MODULES if p.parent.name in ("protocol", "codecs")], ids=name_of
)
def test_protocol_and_codecs_wait_for_nothing(path: Path) -> None:
    used = {name.partition(".")[0] for name, _ in imports(path)}
    assert used & WAITING == set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        assert not isinstance(
            node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith
        ), f"{name_of(path)}:{node.lineno} waits"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_io_and_server_touch_sockets(path: Path) -> None:
    module = name_of(path)
    if module.startswith(("io.", "server", "supervisor")):
        return
    # The ends of the channel between our own processes, what systemd passes, Lambda's interface.
    if module in ("control_channel", "worker_process", "systemd", "serverless.runtime"):
        return
    used = {name.partition(".")[0] for name, _ in imports(path)}
    assert not used & {"socket", "selectors"} or module in ("config_check", "dev_certificate")


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_size(path: Path) -> None:
    """No file over 500 lines, no function over 60."""
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 500
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < 60, node.name


def test_a_breach_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The walk itself works: a file made wrong is reported."""
    (tmp_path / "codecs").mkdir()
    bad = tmp_path / "codecs" / "bad.py"
    bad.write_text("def f():\n    from tricorn.server import serve\n")
    (tmp_path / "server.py").write_text("")
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    assert list(breaches(bad)) == ["codecs.bad:2 (floor 1) imports server above it"]
