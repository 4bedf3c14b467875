"""Gunicorn's options, read as its own validators read them."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from migrate_peers import config_of, moved, parse

from tricorn.config import Config
from tricorn.exceptions import ConfigError
from tricorn.migrate import PEERS
from tricorn.reloader import FileWatch


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


ON = {"proxy_protocol": ("all",)}
OFF: dict[str, Any] = {"proxy_protocol": ()}
PRIOR = {"h2_prior_knowledge": True, "h2c_upgrade": False}
UPGRADE = {"h2_prior_knowledge": False, "h2c_upgrade": True}
NO_H2C = {"h2_prior_knowledge": False, "h2c_upgrade": False}

# The option, its value, what its validator makes of it, and what it is here.
NORMALISED = [
    ("proxy_protocol", "0", "off", OFF),
    ("proxy_protocol", "OFF", "off", OFF),
    ("proxy_protocol", " None ", "off", OFF),
    ("proxy_protocol", "False", "off", OFF),
    ("proxy_protocol", "1", "auto", ON),
    ("proxy_protocol", "True", "auto", ON),
    ("proxy_protocol", "V2", "v2", ON),
    ("http2_cleartext", "Prior-Knowledge", "prior-knowledge", PRIOR),
    ("http2_cleartext", "UPGRADE", "upgrade", UPGRADE),
    ("http2_cleartext", "OFF", "off", NO_H2C),
    ("http_protocols", "H2,h1", ["h2", "h1"], {"alpn_protocols": ("h2", "http/1.1")}),
    ("http_protocols", "H1", ["h1"], {"alpn_protocols": ("http/1.1",)}),
    ("http_parser", "FAST", "fast", {"http1_codec": "httptools"}),
    ("http_parser", " Python", "python", {"http1_codec": "h11"}),
]


@pytest.mark.parametrize(("name", "value", "theirs", "ours"), NORMALISED)
def test_words_are_read_in_any_spelling(
    name: str, value: str, theirs: object, ours: dict[str, Any], place: Path
) -> None:
    words = ["a:b", f"--{name.replace('_', '-')}", value]
    assert parse("gunicorn", words)[name] == theirs
    (place / "g.py").write_text(f"{name} = {value!r}\n")
    for found in (moved("gunicorn", words), moved("gunicorn", ["a:b"], file="g.py")):
        config = config_of(found)
        assert {option: getattr(config, option) for option in ours} == ours


@pytest.mark.parametrize(
    ("line", "ours"),
    [
        ("proxy_protocol = True", ON),
        ("proxy_protocol = False", OFF),
        ("http2_cleartext = True", PRIOR),
        ("http2_cleartext = False", NO_H2C),
    ],
)
def test_truth_in_a_file(line: str, ours: dict[str, Any], place: Path) -> None:
    (place / "g.py").write_text(line)
    config = config_of(moved("gunicorn", ["a:b"], file="g.py"))
    assert {option: getattr(config, option) for option in ours} == ours


@pytest.mark.parametrize(
    "words",
    [("--proxy-protocol", "maybe"), ("--http2-cleartext", "true"), ("--http-parser", "quick")],
)
def test_what_the_validators_refuse_is_refused(words: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match=r"Invalid|must be"):
        parse("gunicorn", ["a:b", *words])
    with pytest.raises(ConfigError):
        moved("gunicorn", ["a:b", *words])


@pytest.mark.parametrize(
    "value",
    ["{'()': Formatter}", "{'stream': sys.stdout}", "[{'formatter': None}]", "lambda: 1"],
)
def test_a_logging_configuration_that_toml_cannot_hold(value: str, place: Path) -> None:
    (place / "g.py").write_text(
        "import sys\nclass Formatter: pass\nworkers = 2\n"
        f"logconfig_dict = {{'version': 1, 'formatters': {value}}}\n"
    )
    found = moved("gunicorn", ["a:b"], file="g.py")
    (place / "tricorn.toml").write_text(found.text)
    config = Config.from_toml(place / "tricorn.toml")
    assert (config.workers, config.logconfig_dict) == (2, None)
    ((origin, reason),) = found.left_out
    assert origin == "logconfig_dict in g.py"
    assert reason.startswith("TOML has no form for")
    assert "-c" in reason


@pytest.mark.parametrize(
    ("line", "threads"),
    [
        ("a:b", 1),
        ("a:b -k sync", 1),
        ("a:b -k gthread", 1),
        ("a:b -k gunicorn.workers.gthread.ThreadWorker", 1),
        ("a:b --threads 4", 4),
        ("a:b -k gevent", 40),
        ("a:b -k asgi", 40),
    ],
)
def test_requests_at_a_time(line: str, threads: int) -> None:
    kept = moved("gunicorn", line.split(), keep_defaults=True)
    assert config_of(kept).wsgi_threads == threads
    found = moved("gunicorn", line.split())
    assert ("# - wsgi_threads = 1 with Gunicorn, 40 here" in found.text) is (threads == 1)


@pytest.mark.parametrize(
    ("line", "dirs", "include"),
    [
        ("--reload-extra-file t.html", (".", "t.html"), ("*.py",)),
        ("--reload-extra-file pages/*.html", (), ("*.py", "pages/*.html")),
        ("--reload-extra-file *.yaml --reload-extra-file t.html", (".", "t.html"),
         ("*.py", "*.yaml")),
        ("--reload-extra-file pages/**/*.html", (), ("*.py", "pages/*.html")),
        ("--reload-extra-file pages/**/a/*.html", (), ("*.py", "pages/*a/*.html")),
        ("--chdir /srv --reload-extra-file etc/*.[ty]*", (), ("*.py", "etc/*.[ty]*")),
        ("--reload-extra-file /etc/shop/*.toml", (".", "/etc/shop"), ("*.py", "*.toml")),
        ("--reload-extra-file ../*/x.toml", (".", ".."), ("*.py", "*/x.toml")),
    ],
)  # fmt: skip
def test_extra_files_to_watch(line: str, dirs: tuple[str, ...], include: tuple[str, ...]) -> None:
    config = config_of(moved("gunicorn", ["a:b", "--reload", *line.split()]))
    assert (config.reload_dirs, config.reload_include) == (dirs, include)


@pytest.mark.parametrize("extra", ["page.html", "*.html", "pages/*.html", "**/*.html"])
def test_extra_files_are_watched(extra: str, place: Path) -> None:
    (place / "pages").mkdir()
    page = place / ("page.html" if "/" not in extra else "pages/page.html")
    page.write_text("<p>")
    parse("gunicorn", ["a:b", "--reload-extra-file", extra])
    watch = FileWatch(config_of(moved("gunicorn", ["a:b", "--reload-extra-file", extra])))
    page.write_text("<p>more")
    assert watch.wait(10) == {page.resolve()}
    watch.close()
    watch.wait()


@pytest.mark.parametrize("worker", ["sync", "gunicorn.workers.sync.SyncWorker"])
def test_sync_with_threads_is_gthread(worker: str) -> None:
    line = ["a:b", "-k", worker, "--threads", "4"]
    assert config_of(moved("gunicorn", line, keep_defaults=True)).max_connections == 1000
    assert config_of(moved("gunicorn", [*line, "--worker-connections", "9"])).max_connections == 9


KINDS = "8000", "1.5", "True", "[]", "[None]", "{'a': 1}", "b'x'", "object()", "range(3)", "len"


@pytest.mark.parametrize(("peer", "row"), [
    (name, row.name) for name in ("gunicorn", "hypercorn") for row in PEERS[name].rows
])  # fmt: skip
def test_a_value_of_another_kind_is_refused_or_taken(peer: str, row: str, place: Path) -> None:
    for value in KINDS:
        Path("conf.py").write_text(f"{row} = {value}\n")
        with contextlib.suppress(ConfigError):
            moved(peer, [], file="conf.py")


@pytest.mark.parametrize(
    ("line", "refusal"),
    [
        ("bind = 8000", "8000 is not a value for bind (bind in conf.py)"),
        ("threads = [2]", "[2] is not a value for threads (threads in conf.py)"),
        ("access_log_format = 1", "1 is not a value for access_log_format (access_log_format in "
         "conf.py)"),
        ("threads = []; worker_class = 5", "5 is not a value for worker_class "
         "(worker_class in conf.py), or [] is not a value for threads (threads in conf.py)"),
    ],
)  # fmt: skip
def test_a_refused_kind_is_named_with_its_option(line: str, refusal: str, place: Path) -> None:
    Path("conf.py").write_text(line)
    with pytest.raises(ConfigError) as refused:
        moved("gunicorn", ["gunicorn", "a:b"], file="conf.py")
    assert str(refused.value) == refusal
