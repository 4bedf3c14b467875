"""The keys of ``[[mounts]]``: what they take, and the one line for what they do not."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from tricorn.cli import main
from tricorn.config import Config
from tricorn.config_docs import MOUNT_EXAMPLE, example_toml, options_markdown
from tricorn.config_mounts import (
    KEYS,
    Mount,
    cache_control,
    parse_field,
    parse_mounts,
)
from tricorn.config_values import expected
from tricorn.exceptions import ConfigError

FILES = {"directory": "/srv/files"}


def error(*tables: dict[str, Any], **options: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        Config(mounts=list(tables), **options)
    text = str(caught.value)
    assert "\n" not in text
    return text


def parse(**keys: Any) -> Mount:
    return parse_mounts([keys])[0]


def test_defaults() -> None:
    assert parse(**FILES) == Mount(directory="/srv/files")
    assert parse(**FILES).path == "/"
    assert parse(application="a:b", path="/x/").prefix == "/x"
    assert parse(redirect="/x").status == 308


def test_every_key_is_taken() -> None:
    mount = parse(
        path="/s", host=["Example.org", "*.example.org", "[::1]"], directory="/d", index="none",
        fallback="app/index.html", max_age="1d", immutable=True, precompressed="gzip",
        follow_symlinks=True, hidden=True, headers=["X-A: b", "x-c:d"],
    )  # fmt: skip
    assert mount.host == ("example.org", "*.example.org", "[::1]")
    assert (mount.index, mount.max_age, mount.precompressed) == (None, 86400.0, ("gzip",))
    assert mount.fields() == [(b"x-a", b"b"), (b"x-c", b"d")]
    assert cache_control(mount) == "max-age=86400, immutable"
    mount = parse(application="shop:make", factory=True, interface="WSGI", app_dir="/a")
    assert (mount.factory, mount.interface, mount.app_dir) == (True, "wsgi", "/a")
    for status in (301, 302, 307, 308):
        assert parse(redirect="https://example.org/x", status=status).status == status


def test_what_granian_says_can_be_said() -> None:
    mount = parse(path="/static", directory="/d", max_age=86400, index="index.html")
    assert cache_control(mount) == "max-age=86400"


@pytest.mark.parametrize(
    ("table", "line"),
    [
        (FILES | {"dir": "/x"}, "mounts[0]: unknown key 'dir' (mount at '/')"),
        (FILES | {"max_agee": 5}, "mounts[0]: unknown key 'max_agee' (mount at '/'); did you mean "
         "'max_age'?"),
        ({"path": "/x", "directory": 5}, 'mounts[0].directory: expected a path, or "none", got 5 '
         "(mount at '/x')"),
        (FILES | {"max_age": -1}, "mounts[0].max_age: expected seconds"),
        (FILES | {"immutable": "yes"}, "mounts[0].immutable: expected true or false, got 'yes'"),
        (FILES | {"precompressed": ["gz"]}, "mounts[0].precompressed: expected a list of br"),
        (FILES | {"path": "x"}, "mounts[0].path: expected a path that begins with /"),
        (FILES | {"path": "/a//b"}, "mounts[0].path: expected a path that begins with /"),
        (FILES | {"path": "/a/../b"}, "mounts[0].path: expected a path that begins with /"),
        (FILES | {"path": "/a?b"}, "mounts[0].path: expected a path without ?"),
        (FILES | {"path": "/a%20b"}, "mounts[0].path: expected a path without ?"),
        (FILES | {"path": ""}, "mounts[0].path: expected a path that begins with /"),
        (FILES | {"host": "a:80"}, "mounts[0].host: expected host names without a port"),
        (FILES | {"host": "a b"}, "mounts[0].host: expected host names without a port"),
        (FILES | {"host": "a.*.b"}, "mounts[0].host: expected host names without a port"),
        (FILES | {"index": "a/b"}, "mounts[0].index: expected the name of a file"),
        (FILES | {"fallback": "/x"}, "mounts[0].fallback: expected the path of a file below"),
        (FILES | {"fallback": "../x"}, "mounts[0].fallback: expected the path of a file below"),
        (FILES | {"headers": ["x"]}, "mounts[0].headers: expected fields, each \"Name: value\""),
        (FILES | {"headers": ["a b: c"]}, "mounts[0].headers: expected fields"),
        (FILES | {"headers": ["a: b\r\nc: d"]}, "mounts[0].headers: expected a list"),
        (FILES | {"headers": ["a: \u2603"]}, "mounts[0].headers: expected fields"),
        (FILES | {"headers": ["x: y", "Content-Length: 5"]}, "mounts[0].headers: expected fields "
         "without content-length, which only the server can tell"),
        (FILES | {"headers": ["content-range: bytes */5"]}, "mounts[0].headers: expected fields "
         "without content-range"),
        (FILES | {"headers": ["Transfer-Encoding: chunked"]}, "mounts[0].headers: expected fields "
         "without transfer-encoding"),
        (FILES | {"headers": ["connection: close"]}, "mounts[0].headers: expected fields "
         "without connection"),
        ({"redirect": "/x", "status": 300}, "mounts[0].status: expected 301, 302, 307 or 308"),
        ({"redirect": "/x", "status": 303}, "mounts[0].status: expected 301, 302, 307 or 308"),
        ({"redirect": "/x", "status": 306}, "mounts[0].status: expected 301, 302, 307 or 308"),
        ({"redirect": "//evil.test"}, "mounts[0].redirect: expected http://"),
        ({"redirect": "ftp://a"}, "mounts[0].redirect: expected http://"),
        ({"redirect": "example.org"}, "mounts[0].redirect: expected http://"),
        ({"redirect": "/a b"}, "mounts[0].redirect: expected http://"),
        ({"redirect": "https://"}, "mounts[0].redirect: expected http://"),
        ({"redirect": "https://[x"}, "mounts[0].redirect: expected http://"),
        ({"redirect": "/a?b"}, "mounts[0].redirect: expected http://"),
        ({"redirect": "/a#b"}, "mounts[0].redirect: expected http://"),
        ({}, "mounts[0]: exactly one of application, directory and redirect is needed; there is "
         "none (mount at '/')"),
        (FILES | {"redirect": "/x"}, "mounts[0]: exactly one of application, directory and "
         "redirect is needed; they stand together"),
        (FILES | {"factory": True}, "mounts[0].factory: it goes with application (mount at '/')"),
        (FILES | {"status": 301}, "mounts[0].status: it goes with redirect (mount at '/')"),
        ({"application": "a:b", "max_age": 5}, "mounts[0].max_age: it goes with directory"),
        ({"application": "a:b", "interface": "asgi"}, "mounts[0].interface: expected one of auto"),
    ],
)  # fmt: skip
def test_errors_are_one_line(table: dict[str, Any], line: str) -> None:
    assert error(table).startswith(line)


def test_two_of_one_place_are_refused() -> None:
    first, second = FILES | {"path": "/x", "host": ["a", "b"]}, FILES | {"path": "/x/", "host": "B"}
    assert "mounts[1].path: '/x/' for host 'b' is that of mounts[0] too" in error(first, second)
    assert "mounts[2].path: '/' is that of mounts[0] too" in error(FILES, first, FILES)
    parse_mounts([first, FILES | {"path": "/x"}, FILES | {"path": "/x", "host": "c"}])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("example.org", "example.org."),
        ("*.example.org", "*.Example.ORG."),
        ("::1", "[0:0::1]"),
        ("b\u00fccher.example", "xn--bcher-kva.example"),
    ],
)
def test_two_spellings_of_one_host_are_one_place(first: str, second: str) -> None:
    said = error(FILES | {"host": first}, FILES | {"host": second})
    assert f"for host {second.lower()!r} is that of mounts[0] too" in said
    assert len(parse_mounts([FILES | {"host": [first, second]}])) == 1


def test_application_is_the_mount_at_the_root() -> None:
    assert "application is the mount at" in error(FILES, application="a:b")
    Config(mounts=[FILES | {"path": "/x"}, FILES | {"host": "a"}], application="a:b")


def test_the_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text('[[mounts]]\npath = "/x"\n[[mounts]]\ndirectory = 5\n')
    with pytest.raises(ConfigError, match=r"^mounts\[0\]: .* \(mounts: .*x\.toml\)$"):
        Config.from_toml(path)


@pytest.mark.parametrize("text", ["", ":", "a", "a b: c", "a:\x00", "\u00e9: x", "a: \u2603"])
def test_fields_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="field"):
        parse_field(text)


def test_check_looks_at_the_directories(tmp_path: Path) -> None:
    def check(**keys: Any) -> None:
        Config(mounts=[{"redirect": "/x", "path": "/y"}, keys]).check()

    check(directory=str(tmp_path))
    with pytest.raises(ConfigError, match=r"^mounts\[1\]\.directory: .* is not a directory$"):
        check(directory=str(tmp_path / "none"))
    with pytest.raises(ConfigError, match=r"^mounts\[1\]\.app_dir: .* is not a directory$"):
        check(application="a:b", app_dir=str(tmp_path / "none"))
    with pytest.raises(ConfigError, match=r"^mounts\[1\]\.fallback: cannot read "):
        check(directory=str(tmp_path), fallback="app.html")


def test_every_key_is_described() -> None:
    page = options_markdown().partition("\n## Mounts\n")[2]
    for name, row in KEYS.items():
        assert row.help.endswith("."), name
        assert f"| `{name}` |" in page
        assert row.help.replace("|", "\\|") in page
        assert expected(row)


def test_the_example_loads_where_its_comment_signs_are_taken_off() -> None:
    text = example_toml().partition("# ---- Mounts")[2].partition("# ---- Certificates")[0]
    lines = [line.removeprefix("# ") for line in text.splitlines()]
    tables = [line for line in lines if line == "[[mounts]]" or " = " in line]
    loaded = tomllib.loads("\n".join(tables))["mounts"]
    assert {key for table in loaded for key in table} == set(KEYS)
    mounts = parse_mounts(loaded)
    for mount, (_, given) in zip(mounts, MOUNT_EXAMPLE.items(), strict=True):
        assert mount == Mount(**given)


def test_the_command_needs_no_application_where_there_are_mounts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "public").mkdir()

    def check(mounts: str) -> tuple[int, str]:
        code = main(["--check-config", "--mounts", mounts])
        return code, "".join(capsys.readouterr())

    assert check('[{"directory": "public"}]') == (
        0,
        "tricorn: the configuration is valid: no application and 1 mount on 127.0.0.1:8000\n",
    )
    code, text = check('[{"directory": "public"}, {"path": "/x", "application": "nowhere:app"}]')
    assert code == 4
    assert text.startswith("tricorn: error: mounts[1].application: cannot import 'nowhere'")
    code, text = check("[]")
    assert (code, "no application" in text) == (2, True)
