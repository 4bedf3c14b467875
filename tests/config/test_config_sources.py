"""Files, objects, the environment and flags: each option through each, and who wins."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from option_samples import COMPANIONS, SAMPLES

from tricorn import cli_parser
from tricorn.cli_command import plain
from tricorn.config import OPTIONS, Config
from tricorn.config_docs import toml_value
from tricorn.config_sources import (
    LoadedConfig,
    load,
    merge,
    read_default_file,
    read_environment,
    read_named,
    read_object,
)
from tricorn.config_values import flags_of
from tricorn.exceptions import ConfigError


def with_companion(name: str) -> list[str]:
    return [name, COMPANIONS[name]] if name in COMPANIONS else [name]


def flags_of_sample(name: str, flag: str | None = None) -> list[str]:
    text = SAMPLES[name].text
    row = OPTIONS[name]
    if text in ("true", "false"):
        chosen = flag or row.flag
        return [chosen if text == "true" else f"--no-{chosen.removeprefix('--')}"]
    texts = text if isinstance(text, list) else [text]
    return [word for value in texts for word in (flag or row.flag, value)]


def parse(*argv: str) -> dict[str, Any]:
    command = cli_parser.parse(argv)
    assert command is not None
    quick = plain(argv)
    assert quick is None or vars(quick) == vars(command)
    return command.given


def check_loaded(loaded: LoadedConfig, name: str) -> None:
    config = loaded.config
    assert getattr(config, name) == SAMPLES[name].stored
    changed = {row.name for row in OPTIONS.values() if getattr(config, row.name) != row.default}
    assert changed == set(with_companion(name))
    assert set(loaded.origins) == changed


@pytest.mark.parametrize("name", OPTIONS)
def test_toml(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text(
        "".join(f"{key} = {toml_value(SAMPLES[key].value)}\n" for key in with_companion(name))
    )
    loaded = load(config=str(path))
    check_loaded(loaded, name)
    assert loaded.origin(name) == str(path)
    assert Config.from_toml(path) == loaded.config


@pytest.mark.parametrize("name", OPTIONS)
def test_python_file_and_object(name: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.py"
    path.write_text("".join(f"{key} = {SAMPLES[key].value!r}\n" for key in with_companion(name)))
    check_loaded(load(config=f"file:{path}"), name)
    values = {key: SAMPLES[key].value for key in with_companion(name)}
    check_loaded(merge(read_object(SimpleNamespace(**values))), name)
    assert Config.from_object(type("Settings", (), values)) == Config.from_pyfile(path)
    assert Config.from_mapping(values) == Config.from_mapping(**values) == Config.from_pyfile(path)


@pytest.mark.parametrize("name", OPTIONS)
def test_environment(name: str) -> None:
    environ = {}
    for key in with_companion(name):
        text = SAMPLES[key].text
        environ[OPTIONS[key].variable] = ", ".join(text) if isinstance(text, list) else text
    loaded = load(environ=environ)
    check_loaded(loaded, name)
    assert loaded.origin(name) == f"environment variable TRICORN_{name.upper()}"


@pytest.mark.parametrize("name", OPTIONS)
def test_flags(name: str) -> None:
    argv = [word for key in with_companion(name) for word in flags_of_sample(key)]
    loaded = load(parse(*argv))
    check_loaded(loaded, name)
    assert loaded.origin(name) == f"flag {argv[0]}"


@pytest.mark.parametrize(
    ("flag", "name"), [(flag, row.name) for row in OPTIONS.values() for flag in row.flags]
)
def test_extra_flag_spellings(flag: str, name: str) -> None:
    companions = [key for key in with_companion(name) if key != name]
    others = [word for key in companions for word in flags_of_sample(key)]
    loaded = load(parse(*flags_of_sample(name, flag), *others))
    assert getattr(loaded.config, name) == SAMPLES[name].stored
    assert loaded.origin(name) == f"flag {flags_of_sample(name, flag)[0]}"


HYPERCORN_FLAGS = """
--access-log --access-logfile --access-logformat --backlog -b --bind --ca-certs --certfile
--cert-reqs --ciphers -c --config -D --daemon --debug --error-log --error-logfile --log-file
--graceful-timeout --read-timeout --max-requests --max-requests-jitter -g --group -k
--worker-class --keep-alive --keyfile --keyfile-password --insecure-bind --log-config
--log-level -p --pid --quic-bind --reload --root-path --server-name --statsd-host
--statsd-prefix -m --umask -u --user --verify-mode --websocket-ping-interval -w --workers
"""


def test_every_hypercorn_flag_is_known() -> None:
    known = {"-c", "--config"} | {flag for row in OPTIONS.values() for flag in flags_of(row)}
    assert set(HYPERCORN_FLAGS.split()) <= known


HYPERCORN_TOML = """
access_log_format = '%(h)s %(l)s %(l)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'
accesslog = "-"
alpn_protocols = ["h2", "http/1.1"]
alt_svc_headers = ['h3=":443"; ma=3600']
application_path = "shop.web:app"
backlog = 100
bind = ["0.0.0.0:443", "[::]:443", "unix:/run/shop.sock"]
ca_certs = "ca.pem"
certfile = "cert.pem"
ciphers = "ECDHE+AESGCM"
daemon = false
debug = false
dogstatsd_tags = ""
errorlog = "-"
graceful_timeout = 3
group = 33
h11_max_incomplete_size = 16384
h11_pass_raw_headers = false
h2_max_concurrent_streams = 100
h2_max_header_list_size = 65536
h2_max_inbound_frame_size = 16384
include_date_header = true
include_server_header = true
insecure_bind = "0.0.0.0:80"
keep_alive_max_requests = 1000
keep_alive_timeout = 5
keyfile = "key.pem"
keyfile_password = "x"
logconfig = "json:logging.json"
loglevel = "info"
max_app_queue_size = 10
max_requests_jitter = 0
max_requests = 1000
pid_path = "/run/shop.pid"
quic_bind = ["0.0.0.0:4433"]
read_timeout = 10
root_path = "/shop/"
server_names = ["shop.example"]
shutdown_timeout = 60
ssl_handshake_timeout = 60
startup_timeout = 60
statsd_host = "localhost:8125"
statsd_prefix = ""
umask = 63
use_reloader = false
user = 33
verify_flags = 32
verify_mode = 2
websocket_max_message_size = 16777216
websocket_ping_interval = 50
worker_class = "asyncio"
workers = 4
wsgi_max_body_size = 16777216
logger_class = "shop.logs.Logger"

[logconfig_dict]
version = 1
"""


def test_a_hypercorn_file_with_every_key_loads(tmp_path: Path) -> None:
    path = tmp_path / "hypercorn.toml"
    path.write_text(HYPERCORN_TOML)
    config = Config.from_toml(path)
    assert config.application == "shop.web:app"
    assert config.insecure_bind == ("0.0.0.0:80",)
    assert (config.graceful_timeout, config.umask) == (3.0, 0o077)
    assert (config.verify_mode, config.verify_flags) == ("CERT_REQUIRED", "VERIFY_X509_STRICT")
    named = [line.split()[0] for line in config.warnings()]
    assert named == ["logger_class", "statsd_host", "quic_bind"]


def test_an_object_like_hypercorns_config_loads() -> None:
    class Hypercorn:
        backlog = 100
        daemon = True
        verify_mode = None
        cert_reqs = property(None, lambda self, value: None)
        bind = property(lambda self: ["127.0.0.1:9000"])

        def create_ssl_context(self) -> None: ...

    config = Config.from_object(Hypercorn())
    assert (config.bind, config.backlog) == (("127.0.0.1:9000",), 100)


def test_precedence(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text("backlog = 1\nmax_header_count = 1\nh2_max_pushes = 1\nbind = ['a:1', 'b:1']\n")
    environ = {"TRICORN_BACKLOG": "2", "TRICORN_MAX_HEADER_COUNT": "2"}
    loaded = load(parse("--backlog", "3", "-b", "c:1"), environ, str(path))
    config = loaded.config
    assert (config.backlog, config.max_header_count, config.h2_max_pushes) == (3, 2, 1)
    assert config.h2_max_resets == OPTIONS["h2_max_resets"].default
    assert config.bind == ("c:1",), "a list replaces a list"
    assert [loaded.origin(name) for name in
            ("backlog", "max_header_count", "h2_max_pushes", "h2_max_resets")] == [
        "flag --backlog", "environment variable TRICORN_MAX_HEADER_COUNT", str(path), "default",
    ]  # fmt: skip


def test_last_flag_wins_and_no_turns_off() -> None:
    config = load(parse("--debug", "--no-debug", "--backlog=5", "--backlog=6")).config
    assert (config.debug, config.backlog) == (False, 6)


def test_the_application_as_argument_beats_variable_and_file(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text('application = "a:file"')
    environ = {"TRICORN_APPLICATION": "a:variable"}
    assert load({}, {}, str(path)).config.application == "a:file"
    assert load({}, environ, str(path)).config.application == "a:variable"
    loaded = load(parse("a:argument"), environ, str(path))
    assert loaded.config.application == "a:argument"
    assert loaded.origin("application") == "argument APP"


def test_none_empties_a_list(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text('insecure_bind = ":80"\nserver_names = ["a"]')
    environ = {"TRICORN_SERVER_NAMES": "none"}
    config = load(parse("--insecure-bind", "none"), environ, str(path)).config
    assert (config.insecure_bind, config.server_names) == ((), ())


def test_halves_of_a_pair_may_come_from_two_sources(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text('certfile = "c.pem"')
    assert load({}, {"TRICORN_KEYFILE": "k.pem"}, str(path)).config.ssl_enabled
    with pytest.raises(ConfigError) as caught:
        load(config=str(path))
    assert str(caught.value) == f"certfile and keyfile go together (certfile: {path})"


class TestDefaultFile:
    def test_tricorn_toml_before_pyproject(self, tmp_path: Path) -> None:
        assert read_default_file(str(tmp_path)) == {}
        (tmp_path / "pyproject.toml").write_text("[tool.tricorn]\nbacklog = 1\n")
        assert load(directory=str(tmp_path)).config.backlog == 1
        origin = load(directory=str(tmp_path)).origin("backlog")
        assert origin == f"{tmp_path / 'pyproject.toml'} [tool.tricorn]"
        (tmp_path / "tricorn.toml").write_text("[tricorn]\nbacklog = 2\n")
        assert load(directory=str(tmp_path)).config.backlog == 2
        (tmp_path / "tricorn.toml").write_text("")
        assert load(directory=str(tmp_path)).config == Config()

    def test_a_named_file_replaces_the_default_one(self, tmp_path: Path) -> None:
        (tmp_path / "tricorn.toml").write_text("backlog = 2\n")
        (tmp_path / "a.toml").write_text("debug = true\n")
        (tmp_path / "b.toml").write_text("h2_max_pushes = 3\n")
        environ = {"TRICORN_CONFIG": str(tmp_path / "a.toml")}
        config = load({}, environ, None, str(tmp_path)).config
        assert config == Config(debug=True)
        config = load({}, environ, str(tmp_path / "b.toml"), str(tmp_path)).config
        assert config == Config(h2_max_pushes=3)

    def test_a_pyproject_that_is_not_ours_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "pyproject.toml").write_text("[tool.black]\n")
        assert load(directory=str(tmp_path)).config == Config()
        with pytest.raises(ConfigError, match=r"has no table \[tool.tricorn\]"):
            read_named(str(tmp_path / "pyproject.toml"))
        (tmp_path / "pyproject.toml").write_text("not toml")
        assert load(directory=str(tmp_path)).config == Config()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.toml", "bind = [", "is not valid TOML"),
        ("x.toml", "\xff", "is not valid TOML"),
        ("x.toml", "backlgo = 1", "unknown option 'backlgo'"),
        ("x.toml", "backlog = '1'", "backlog: expected a whole number, at least 1, got '1'"),
        ("x.toml", "backlog = 1\n[tricorn]\ndebug = true", "'backlog' stands outside"),
        ("x.toml", "[http2]\na = 1", "unknown option 'http2'"),
        ("x.toml", "[tricorn.http2]\na = 1", "unknown option 'http2'"),
        ("pyproject.toml", "[tool]\ntricorn = 1", "tool.tricorn is not a table"),
        ("x.py", "backlog = -1", "backlog: expected a whole number"),
        ("x.py", "raise RuntimeError('line\\nline')", "failed: RuntimeError: line line"),
        ("x.py", "import sys; sys.exit(3)", "failed: SystemExit: 3"),
        ("x.py", "a b", "failed: SyntaxError"),
        ("x.py", "worker = 3", "unknown option 'worker'"),
        ("x.py", "accesslog = __import__('logging').getLogger()", "accesslog: expected a path"),
    ],
)
def test_each_wrong_file_is_one_line_that_names_it(
    name: str, content: str, words: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="latin-1")
    with pytest.raises(ConfigError) as caught:
        load(config=str(path))
    text = str(caught.value)
    assert words in text
    assert str(path) in text
    assert "\n" not in text


@pytest.mark.parametrize("name", ["x.toml", "pyproject.toml", "x.py"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_files_of_windows_editors(name: str, mark: bytes, ending: str, tmp_path: Path) -> None:
    lines = ["[tool.tricorn]"] if name == "pyproject.toml" else []
    lines += ["backlog = 7", 'application = "caf\u00e9:app"', ""]
    (tmp_path / name).write_bytes(mark + ending.join(lines).encode())
    config = load(config=str(tmp_path / name)).config
    assert (config.backlog, config.application) == (7, "caf\u00e9:app")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("backlog = 7\r\n".encode("utf-16"), "is not valid TOML: it is in UTF-16"),
        ("backlog = 7\r\n".encode("utf-16-le"), "is not valid TOML: it is in UTF-16"),
        ("backlog = 7\r\n".encode("utf-16-be"), "is not valid TOML: it is in UTF-16"),
        (b"backlog = 7\r\n# caf\xe9\r\n", "is not valid TOML: byte 0xe9 in line 2 is not UTF-8"),
        (b"backlog = 7\0\n", "is not valid TOML: Expected newline"),
        (b"backlog = 7\rworkers = 2\r", "is not valid TOML: Expected newline"),
    ],
)
def test_files_in_other_encodings_are_refused_in_one_line(
    content: bytes, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(config=str(path))
    assert str(caught.value).startswith(f"{path} {words}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["x.toml", "file:x.py", "python:no_such_module_here"])
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=name.rpartition(":")[2]):
        load(config=name)
    with pytest.raises(ConfigError, match=r"cannot read .*: Is a directory"):
        load(config=str(tmp_path))


def test_names_of_a_python_file_that_are_no_options_are_its_own(tmp_path: Path) -> None:
    path = tmp_path / "x.py"
    path.write_text(
        "import os\nfrom pathlib import Path\nhost = 'h'\nport = 1\nBASE = Path('.')\n"
        "def workers_for(n): return n\n_backlgo = 3\nbind = [f'{host}:{port}']\n"
    )
    assert Config.from_pyfile(path) == Config(bind=("h:1",))


def test_python_module_and_attribute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop_settings.py").write_text("backlog = 9\nclass Production:\n    backlog = 10\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        assert load(config="python:shop_settings").config.backlog == 9
        assert load(config="python:shop_settings.Production").config.backlog == 10
        assert load(config="python:shop_settings:Production").config.backlog == 10
        with pytest.raises(ConfigError, match="cannot load python:shop_settings:Nothing"):
            load(config="python:shop_settings:Nothing")
    finally:
        sys.modules.pop("shop_settings", None)


def test_a_module_of_the_working_directory_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed, project = tmp_path / "installed", tmp_path / "project"
    for place, backlog in (installed, 5), (project, 9):
        place.mkdir()
        (place / "shop_of_two.py").write_text(f"backlog = {backlog}\n")
    monkeypatch.setattr(sys, "path", [str(installed), *sys.path, str(project)])
    monkeypatch.chdir(project)
    try:
        assert load(config="python:shop_of_two").config.backlog == 9
    finally:
        sys.modules.pop("shop_of_two", None)


@pytest.mark.parametrize(
    "name",
    ["shop_again", "shop_again:Site", "shop_again.Site", "shop_pack.again", "shop_pack.again:Site"],
)
def test_a_module_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / "shop_pack").mkdir()
    paths = [tmp_path / "shop_again.py", tmp_path / "shop_pack" / "again.py"]
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(text: str) -> None:
        for path in paths:
            path.write_text(text)

    try:
        write("backlog = 9\nworkers = 3\nclass Site:\n    backlog = 9\n    workers = 3\n")
        assert load(config=f"python:{name}").config.workers == 3
        write("backlog = 10\nclass Site:\n    backlog = 10\n")
        assert load(config=f"python:{name}").config.workers == 3
        found = load(config=f"python:{name}", again=True).config
        assert (found.backlog, found.workers) == (10, 1)
        write("backlog = \n")
        with pytest.raises(ConfigError, match="SyntaxError"):
            load(config=f"python:{name}", again=True)
        write("backlog = 11  # right\nclass Site:\n    backlog = 11\n")
        assert load(config=f"python:{name}", again=True).config.backlog == 11
    finally:
        for module in "shop_again", "shop_pack", "shop_pack.again":
            sys.modules.pop(module, None)


@pytest.mark.parametrize(
    ("argv", "name", "stored"),
    [
        (["--forwarded-allow-ips", "10.0.0.1,10.0.0.2"], "trusted_proxies",
         ("10.0.0.1", "10.0.0.2")),
        (["--trusted-proxies=unix", "--trusted-proxies", "::1, 10.0.0.0/8,"], "trusted_proxies",
         ("unix", "::1", "10.0.0.0/8")),
        (["--alpn-protocols", "http/1.1,h2"], "alpn_protocols", ("http/1.1", "h2")),
        (["--forwarded-fields=forwarded,x-forwarded-port"], "forwarded_fields",
         ("forwarded", "x-forwarded-port")),
        (["--server-name", "a.example,b.example"], "server_names", ("a.example", "b.example")),
        # A comma may be part of these.
        (["--header", "Vary: A, B"], "headers", ("Vary: A, B",)),
        (["--bind", "unix:/run/a,b.sock"], "bind", ("unix:/run/a,b.sock",)),
    ],
)  # fmt: skip
def test_one_flag_may_give_several_items(argv: list[str], name: str, stored: Any) -> None:
    assert getattr(load(parse(*argv)).config, name) == stored


@pytest.mark.parametrize("text", ["", ",", " "])
def test_a_flag_that_gives_no_item(text: str) -> None:
    with pytest.raises(ConfigError, match="trusted_proxies: expected"):
        load(parse("--trusted-proxies", text))


class TestEnvironment:
    def test_an_empty_variable_counts_as_not_set(self) -> None:
        assert read_environment({"TRICORN_WORKERS": "", "OTHER": "1"}) == ({}, [])

    def test_a_near_miss_is_an_error(self) -> None:
        with pytest.raises(ConfigError) as caught:
            read_environment({"TRICORN_BAKLOG": "1"})
        assert str(caught.value) == (
            "unknown environment variable TRICORN_BAKLOG; did you mean 'TRICORN_BACKLOG'?"
        )

    def test_a_foreign_variable_is_a_note(self) -> None:
        layer, notes = read_environment({"TRICORN_QQQQ": "1"})
        assert layer == {}
        assert notes == ["environment variable TRICORN_QQQQ names no option and is ignored"]

    @pytest.mark.parametrize(
        ("variable", "meant"),
        [
            ("TRICORN_RELOAD", "TRICORN_USE_RELOADER"),
            ("TRICORN_FORWARDED_ALLOW_IPS", "TRICORN_TRUSTED_PROXIES"),
            ("TRICORN_SSL_KEYFILE", "TRICORN_KEYFILE"),
            ("TRICORN_NO_SERVER_HEADER", "TRICORN_INCLUDE_SERVER_HEADER"),
        ],
    )
    def test_the_name_of_a_flag_is_a_near_miss(self, variable: str, meant: str) -> None:
        with pytest.raises(ConfigError, match=f"{variable}; did you mean '{meant}'"):
            read_environment({variable: "1"})

    @pytest.mark.parametrize(
        ("variable", "value", "form"),
        [
            ("TRICORN_PORT", "8080", "HOST:PORT"),
            ("TRICORN_HOST", "0.0.0.0", "HOST"),
            ("TRICORN_UDS", "/run/a.sock", "unix:PATH"),
            ("TRICORN_FD", "3", "fd://N"),
        ],
    )
    def test_flags_for_an_address_have_no_variable(
        self, variable: str, value: str, form: str
    ) -> None:
        layer, notes = read_environment({variable: value})
        assert layer == {}
        assert notes == [
            f"environment variable {variable} names no option and is ignored; "
            f"TRICORN_BIND={form} says it"
        ]

    def test_kubernetes_service_variables_are_silent(self) -> None:
        names = ["SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_80_TCP",
                 "PORT_80_TCP_ADDR", "PORT_80_TCP_PROTO"]  # fmt: skip
        assert read_environment({f"TRICORN_{name}": "tcp://10.0.0.1:80" for name in names}) == (
            {},
            [],
        )

    def test_errors_name_the_variable(self) -> None:
        with pytest.raises(ConfigError, match=r"\(environment variable TRICORN_DEBUG\)"):
            read_environment({"TRICORN_DEBUG": "perhaps"})
        with pytest.raises(ConfigError, match="logconfig_dict: expected a table"):
            read_environment({"TRICORN_LOGCONFIG_DICT": "{"})

    @pytest.mark.parametrize("text", ["1", "true", "YES", "on"])
    def test_truths(self, text: str) -> None:
        assert load(environ={"TRICORN_DEBUG": text}).config.debug
        negative = {"1": "0", "true": "false", "YES": "NO", "on": "off"}[text]
        assert not load(environ={"TRICORN_H2_SERVER_PUSH": negative}).config.h2_server_push

    def test_a_table_is_json(self) -> None:
        table = {"version": 1, "loggers": {"a": {"level": None}}}
        environ = {"TRICORN_LOGCONFIG_DICT": json.dumps(table)}
        assert load(environ=environ).config.logconfig_dict == table
