"""The keys of ``[[certificates]]``: what they take, and the one line for what they do not."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from tricorn.config import Config
from tricorn.config_certificates import KEYS, parse_certificates, server_name
from tricorn.config_docs import config_json, config_toml, example_toml, options_markdown
from tricorn.config_sources import merge, read_mapping
from tricorn.exceptions import ConfigError

PAIR = {"certfile": "b.pem", "keyfile": "b-key.pem"}


def error(*tables: dict[str, Any], **options: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        Config(certificates=list(tables), **({"dev_certificate": True} | options))
    text = str(caught.value)
    assert "\n" not in text
    return text


LONGEST = ".".join(["a" * 63] * 3 + ["a" * 61])  # 253 characters, RFC 1035 section 2.3.4


def test_names_are_what_clients_send() -> None:
    given = ["Shop.Example.org.", "*.bücher.example", "xn--bcher-kva.example"]
    found = parse_certificates([{"names": given, **PAIR}])[0]
    assert found.names == (
        "shop.example.org", "*.xn--bcher-kva.example", "xn--bcher-kva.example",
    )  # fmt: skip
    assert parse_certificates([{"names": "one.example", **PAIR}])[0].names == ("one.example",)


@pytest.mark.parametrize(
    "name", ["*", "*.", "a.*.example", "a..b", "-a.example", "a b", "127.0.0.1:80", "[::1]",
             "a" * 64 + ".example", ".".join(["a" * 60] * 5),
             LONGEST + "a"]
)  # fmt: skip
def test_no_host_names(name: str) -> None:
    with pytest.raises(ValueError, match="is no host name"):
        server_name(name)
    assert error({"names": ["a.example", name], **PAIR}).startswith(
        "certificates[0].names: expected host names such as example.org or *.example.org, got"
    )


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (PAIR, "certificates[0].names: it is needed"),
        ({"names": ["a.example"], "certfile": "a.pem"}, "certificates[0].keyfile: it is needed"),
        ({"names": ["a.example"], **PAIR, "keyfle": "x"}, "did you mean 'keyfile'?"),
        ({"names": ["a.example"], **PAIR, "certfile": 3}, "certificates[0].certfile: expected"),
    ],
)
def test_wrong_tables(table: dict[str, Any], said: str) -> None:
    assert said in error(table)


def test_the_longest_name() -> None:
    assert server_name(LONGEST + ".") == LONGEST


def test_one_name_has_one_certificate() -> None:
    first, second = {"names": ["a.example"], **PAIR}, {"names": ["b.example", "A.example"], **PAIR}
    said = "certificates[1].names: 'a.example' is one of certificates[0] too"
    assert error(first, second) == said


def test_clients_without_a_name_need_a_certificate() -> None:
    assert "certificates needs certfile and keyfile" in error(
        {"names": ["a.example"], **PAIR}, dev_certificate=False
    )


def test_passwords_are_never_shown() -> None:
    table = {"names": ["a.example"], **PAIR, "keyfile_password": "s3cret"}
    values = {"certificates": [table], "dev_certificate": True}
    loaded = merge(read_mapping(values, "here"))
    printed = config_toml(loaded)
    for text in (repr(loaded.config), printed, config_json(loaded)):
        assert "s3cret" not in text
    assert "# without keyfile_password:\ncertificates = [{" in printed
    assert "s3cret" not in error({**table, "keyfile_password": ["s3cret"]})
    with pytest.raises(ConfigError) as caught:
        Config(certificates='[{"keyfile_password": "s3cret"')
    assert "s3cret" not in str(caught.value)


def test_check_looks_at_the_files(tmp_path: Path) -> None:
    pair = {key: str(tmp_path / name) for key, name in PAIR.items()}
    config = Config(certificates=[{"names": ["a.example"], **pair}], dev_certificate=True)
    with pytest.raises(ConfigError, match=r"^certificates\[0\]\.certfile: cannot read"):
        config.check()


def test_the_docs_have_every_key() -> None:
    text = example_toml().partition("# ---- Certificates")[2]
    lines = [line.removeprefix("# ") for line in text.splitlines()]
    tables = [line for line in lines if line == "[[certificates]]" or " = " in line]
    loaded = tomllib.loads("\n".join(tables))["certificates"]
    assert set(loaded[0]) == set(KEYS)
    del loaded[0]["keyfile_password"]
    Config(certificates=loaded, dev_certificate=True)
    reference = options_markdown().partition("## Certificates")[2]
    assert all(f"| `{key}` |" in reference for key in KEYS)
