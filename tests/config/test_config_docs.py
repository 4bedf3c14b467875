"""The reference page, the example file and the printed configuration follow the schema."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from option_samples import SAMPLES

from tricorn.config import OPTIONS, Config
from tricorn.config_docs import (
    EXAMPLE,
    config_json,
    config_toml,
    example_toml,
    main,
    options_markdown,
    toml_value,
)
from tricorn.config_sources import load, merge, read_mapping
from tricorn.config_values import flags_of

EXAMPLE_FILE = Path(__file__).parents[2] / "config.example.toml"


def test_reference_lists_every_option_once() -> None:
    page = options_markdown().partition("\n## Mounts\n")[0]  # those have a test of their own
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert [line.split("`")[1] for line in rows] == list(OPTIONS)
    for line, row in zip(rows, OPTIONS.values(), strict=True):
        assert row.help.replace("|", "\\|") in line
        for name in (*flags_of(row), row.variable, *row.aliases):
            assert f"`{name}`" in line
        assert line.replace("\\|", "").count("|") == 5, "four cells"


def test_example_file_is_current() -> None:
    assert EXAMPLE_FILE.read_text(encoding="utf-8") == example_toml(), (
        "run: python -m tricorn.config_docs example > config.example.toml"
    )


def test_example_file_serves_the_demonstration() -> None:
    config = Config.from_toml(EXAMPLE_FILE)
    assert config == Config.from_mapping(EXAMPLE)
    assert config.application == "tricorn.demo:app"
    assert config.ssl_enabled
    assert config.warnings() == []


def test_commented_lines_of_the_example_are_the_defaults() -> None:
    lines = [
        line.removeprefix("#")
        for line in example_toml().splitlines()
        if line.startswith("#") and not line.startswith("# ")
    ]
    assert {line.split(" = ")[0] for line in lines} == set(OPTIONS) - set(EXAMPLE)
    values = tomllib.loads("\n".join(lines))
    del values["keyfile_password"]
    assert Config.from_mapping(values) == Config()


def test_printed_toml_loads_to_the_same(tmp_path: Path) -> None:
    values = {name: sample.value for name, sample in SAMPLES.items() if name != "keyfile_password"}
    loaded = merge(read_mapping(values, "here"))
    path = tmp_path / "x.toml"
    path.write_text(config_toml(loaded), encoding="utf-8")
    assert Config.from_toml(path) == loaded.config
    path.write_text(config_toml(load()), encoding="utf-8")
    assert Config.from_toml(path) == Config()


def test_printed_forms_show_sources_and_hide_secrets() -> None:
    loaded = merge(read_mapping({"keyfile_password": "s3cret", "backlog": 3}, "/etc/x.toml"))
    toml, values = config_toml(loaded), json.loads(config_json(loaded))
    assert "backlog = 3  # /etc/x.toml\n" in toml
    assert "debug = false  # default\n" in toml
    assert values.keys() == OPTIONS.keys()
    assert values["backlog"] == {"value": 3, "source": "/etc/x.toml"}
    assert "s3cret" not in toml + json.dumps(values)


OBJECTS = [
    ("{'stream': sys.__stdout__}", "TextIOWrapper", "<_io.TextIOWrapper"),
    ("{'()': logging.Formatter}", "type", "<class 'logging.Formatter'>"),
    ("{'x': [{'y': None}]}", "None", "None"),
]


@pytest.mark.parametrize(("value", "kind", "shown"), OBJECTS)
def test_what_a_python_file_holds_is_shown(
    value: str, kind: str, shown: str, tmp_path: Path
) -> None:
    path = tmp_path / "conf.py"
    path.write_text(f"import logging, sys\nlogconfig_dict = {{'handlers': {value}}}\n")
    loaded = load(config=str(path))
    text = config_toml(loaded)
    (line,) = [line for line in text.splitlines() if "logconfig_dict" in line]
    assert line.startswith(f"# TOML has no form for {kind}: logconfig_dict = {{'handlers'")
    assert shown in line
    assert "logconfig_dict" not in tomllib.loads(text)
    found = json.loads(config_json(loaded))["logconfig_dict"]["value"]["handlers"]
    assert shown in repr(found)


def test_none_in_a_table_of_ours_is_written() -> None:
    loaded = merge(read_mapping({"max_request_body_sizes": {"/a": None}}, "here"))
    sizes = tomllib.loads(config_toml(loaded))["max_request_body_sizes"]
    assert Config(max_request_body_sizes=sizes).max_request_body_sizes == {"/a": "none"}


@pytest.mark.parametrize(
    "value",
    ["", 'a"b\\c', "é\n\t\x7f\x00", 1, 1.5, True, [], ["a", "b"], {"a b": {"c": [1]}, "d": {}}],
)
def test_toml_values_read_back(value: object) -> None:
    assert tomllib.loads(f"x = {toml_value(value)}")["x"] == value


def test_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reference"]) == 0
    assert capsys.readouterr().out == options_markdown()
    assert main(["nothing"]) == 2
