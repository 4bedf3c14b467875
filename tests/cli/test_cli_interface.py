"""What the application is written for, from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tricorn.cli import main

APPS = """
def wsgi(environ, start_response): ...
def hidden(*args): ...
def unclear(a, b, c, d): ...
class Old:
    def __init__(self, scope): ...
    async def __call__(self, receive, send): ...
"""


@pytest.fixture
def shop(work: Path) -> Path:
    (work / "shop.py").write_text(APPS)
    return work


@pytest.mark.parametrize(
    "argv",
    [
        ["shop:wsgi"],
        ["wsgi:shop:wsgi"],
        ["wsgi:shop:hidden"],
        ["shop:hidden", "--interface", "wsgi"],
        ["shop:Old"],
        ["shop:unclear", "--interface", "asgi3"],
    ],
)
def test_every_interface_passes_the_check(
    argv: list[str], shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--check-config", *argv]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["shop:unclear"], "interface: cannot tell whether 'unclear' is ASGI 3, ASGI 2 or WSGI; "
                           "set interface to asgi3, asgi2 or wsgi"),
        (["wsgi:shop:wsgi", "--interface", "asgi3"],
         "interface: asgi3 contradicts the application, 'wsgi:shop:wsgi'"),
        (["shop:wsgi", "--interface", "rsgi"],
         "interface: expected one of auto, asgi3, asgi2, wsgi, got 'rsgi' (flag --interface); "
         "did you mean 'wsgi'?"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("check", [[], ["--check-config"]])
def test_what_cannot_be_served_is_one_line_and_code_2(
    argv: list[str],
    line: str,
    check: list[str],
    shop: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([*argv, "--errorlog", "none", "-b", "127.0.0.1:0", *check]) == 2
    assert capsys.readouterr() == ("", f"tricorn: error: {line}\n")
