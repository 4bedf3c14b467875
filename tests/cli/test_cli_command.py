"""The plain reading of a command line: as the parser reads it, or not at all."""

from __future__ import annotations

import shlex

import pytest

from tricorn import cli_parser
from tricorn.cli_command import plain
from tricorn.exceptions import ConfigError

PLAIN = """
shop:app
shop:app --bind 127.0.0.1:80 -b unix:x.sock --bind=[::1]:80
-w 2 -k uvloop shop:app --reload --no-reload
--workers=2 --workers 3 --log-level=debug shop:app
-c site.toml shop:app
--config=site.toml --config other.toml
--host 0.0.0.0 --port 80 shop:app --uds x.sock --fd 3
'shop:create(1, name="x y")' --bind 'a b'
--bind= shop:app
--header 'x-a: b=c' --header='x-a:=b' shop:app
"""
NOT_PLAIN = """
--help
--version
--version=json
--check-config
--print-config json
-w2
-b=127.0.0.1:80
--backlog -1
--bind
--reload=yes
--bnd x
a:b c:d
-- shop:app
'' shop:app
"""


@pytest.mark.parametrize("line", PLAIN.strip().splitlines())
def test_a_plain_line_is_read_as_the_parser_reads_it(line: str) -> None:
    argv = shlex.split(line)
    quick = plain(argv)
    slow = cli_parser.parse(argv)
    assert quick is not None
    assert slow is not None
    assert vars(quick) == vars(slow)
    assert list(quick.given) == list(slow.given)


@pytest.mark.parametrize("line", NOT_PLAIN.strip().splitlines())
def test_all_else_is_left_to_the_parser(line: str) -> None:
    assert plain(shlex.split(line)) is None


def test_the_parser_takes_what_looks_like_a_flag() -> None:
    argv = ["--backlog", "-1", "shop:app"]
    assert plain(argv) is None
    command = cli_parser.parse(argv)
    assert command is not None
    assert command.given["backlog"] == ("--backlog", "-1")


def test_addresses_come_beside_bind() -> None:
    command = plain(["--bind", "a:1", "--host", "::1", "--port", "2", "--uds", "x", "--fd", "3"])
    assert command is not None
    command.take_addresses()
    assert command.given["bind"][1] == ["a:1", "[::1]:2", "unix:x", "fd://3"]


def test_an_unknown_flag_is_an_error() -> None:
    with pytest.raises(ConfigError, match="unknown flag"):
        cli_parser.parse(["--bnd", "x"])
