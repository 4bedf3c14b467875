"""The schema itself: defaults, values, combinations, and the methods of `Config`."""

from __future__ import annotations

import dataclasses
import pickle
import ssl
from pathlib import Path
from typing import Any

import pytest
from option_samples import COMPANIONS, SAMPLES

from tricorn.config import OPTIONS, CombinationError, Config, option_named
from tricorn.config_values import Kind, coerce, expected, parse_duration, parse_size
from tricorn.exceptions import ConfigError


def error(**options: object) -> str:
    with pytest.raises(ConfigError) as caught:
        Config.from_mapping(options)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_every_option_has_a_sample() -> None:
    assert set(SAMPLES) == set(OPTIONS)
    for name, sample in SAMPLES.items():
        assert sample.stored != OPTIONS[name].default, name


def test_every_option_is_described() -> None:
    for row in OPTIONS.values():
        assert row.help.endswith("."), row.name
        assert expected(row), row.name
        if row.kind in (Kind.SIZE, Kind.SECONDS, Kind.RATE):
            assert row.unit, row.name
            if row.default is not None and not row.inert:
                assert row.reason, f"{row.name}: a limit owns its reason"


def test_flags_keys_and_variables_are_unique() -> None:
    keys = [key for row in OPTIONS.values() for key in (row.name, *row.aliases)]
    flags = [flag for row in OPTIONS.values() for flag in (row.flag, *row.flags)]
    assert len(set(keys)) == len(keys)
    assert len(set(flags)) == len(flags)


def test_defaults_are_stored_unchanged() -> None:
    config = Config()
    for row in OPTIONS.values():
        value = getattr(config, row.name)
        assert value == row.default, row.name
        assert type(value) is type(row.default), row.name
    assert config.warnings() == []
    assert not config.ssl_enabled


@pytest.mark.parametrize("name", OPTIONS)
def test_conversion_is_idempotent(name: str) -> None:
    stored = coerce(OPTIONS[name], SAMPLES[name].value)
    assert stored == SAMPLES[name].stored
    assert coerce(OPTIONS[name], stored) == stored


@pytest.mark.parametrize("name", OPTIONS)
def test_no_option_takes_a_foreign_type(name: str) -> None:
    row = OPTIONS[name]
    for wrong in (object(), b"bytes", {1, 2}, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match=f"^{name}: expected "):
            coerce(row, wrong)
    if row.kind is not Kind.BOOL:
        with pytest.raises(ConfigError):
            coerce(row, True)
    if not row.optional:
        with pytest.raises(ConfigError):
            coerce(row, None)


def test_config_is_frozen_equal_and_picklable() -> None:
    config = Config(backlog=7, logconfig_dict={"version": 1})
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.backlog = 8  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(config)) == config == Config(**config.to_dict())
    assert hash(config) == hash(config.replace())


def test_replace_checks_and_keeps_the_rest() -> None:
    config = Config(backlog=7)
    changed = config.replace(bind="[::]:80", keep_alive_timeout="1m")
    assert (changed.bind, changed.keep_alive_timeout, changed.backlog) == (("[::]:80",), 60.0, 7)
    with pytest.raises(ConfigError, match="backlog: expected"):
        config.replace(backlog=-1)
    with pytest.raises(ConfigError, match=r"unknown option 'baklog' .*did you mean 'backlog'"):
        config.replace(baklog=1)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0), ("30", 30), ("1.5", 1.5), ("500ms", 0.5), ("10s", 10), ("1h30m", 5400),
        ("1h 30m 5s", 5405), ("2d", 172800), ("1M", 60), (" 5 ", 5), ("-5", -5),
    ],
)  # fmt: skip
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "5x", "1m1h", "5s5s", "1,5", "1e3", "inf", "nan", "5 5", "٣x", "-1m"]
)
def test_not_durations(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("65536", 65536), ("64KiB", 65536), ("16 mib", 2**24), ("1.5KiB", 1536),
     ("2GiB", 2**31), ("1kB", 1000), ("3MB", 3_000_000), ("1GB", 10**9), ("7B", 7)],
)  # fmt: skip
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "KiB", "64k", "-1", "1.5B", "0.3KiB", "64 K iB", "1e3"])
def test_not_sizes(text: str) -> None:
    with pytest.raises(ValueError, match=r"size|whole number"):
        parse_size(text)


def test_umask_and_mode_spellings() -> None:
    umask, mode = OPTIONS["umask"], OPTIONS["unix_socket_mode"]
    assert [coerce(umask, text, text=True) for text in ("18", "022", "0o22", "0")] == [18] * 3 + [0]
    assert [coerce(mode, text) for text in ("660", "0660", "0o660")] == [0o660] * 3
    for row, wrong in [(umask, "8000"), (umask, "-1"), (umask, "089"), (mode, 660), (mode, "9")]:
        with pytest.raises(ConfigError, match=row.name):
            coerce(row, wrong)


def test_verify_mode_and_flags_spellings() -> None:
    for value in (ssl.CERT_REQUIRED, 2, "cert_required", "2"):
        config = Config.from_mapping(verify_mode=value)
        assert config.verify_mode == "CERT_REQUIRED"
        assert config.ssl_verify_mode is ssl.VerifyMode.CERT_REQUIRED
    assert Config.from_mapping(cert_reqs=1).verify_mode == "CERT_OPTIONAL"
    flags = ssl.VerifyFlags.VERIFY_X509_STRICT | ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
    assert Config.from_mapping(verify_flags=flags).ssl_verify_flags == flags
    assert Config.from_mapping(verify_flags=int(flags)).ssl_verify_flags == flags
    assert Config.from_mapping(verify_flags=0).ssl_verify_flags == ssl.VerifyFlags.VERIFY_DEFAULT
    assert Config().ssl_verify_flags is None
    assert "CERT_REQUIRED" in error(verify_mode=3)
    assert "verify_flags: expected" in error(verify_flags="VERIFY_NOTHING")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"workers": "four"}, 'workers: expected a whole number, 0 to 1024, or "auto", got'),
        ({"workers": "4"}, "or \"auto\", got '4'"),
        ({"backlog": 2.5}, "backlog: expected a whole number, at least 1, got 2.5"),
        ({"debug": "yes"}, "debug: expected true or false, got 'yes'"),
        ({"worker_class": "asyncoi"}, "did you mean 'asyncio'?"),
        ({"alpn_protocols": ["h3"]}, "alpn_protocols: expected a list of h2, http/1.1"),
        ({"websocket_server_max_window_bits": 8}, "expected a whole number, 9 to 15, got 8"),
        ({"h2_max_inbound_frame_size": 2**24}, "expected at most 16777215"),
        ({"header_timeout": 0}, "header_timeout: expected seconds"),
        ({"header_timeout": 1e9}, "header_timeout: expected at most 31536000"),
        ({"read_timeout": "soon"}, "got 'soon'"),
        ({"alt_svc_headers": ["a\r\nb: c"]}, "alt_svc_headers: expected a list of strings"),
        ({"headers": ["a b: c"]}, 'headers: expected fields, each "Name: value", got'),
        ({"headers": ["x: y", "Content-Length: 5"]}, "without content-length, which only the"),
        ({"headers": ["content-range: bytes */5"]}, "without content-range, which only the"),
        ({"headers": ["Transfer-Encoding: chunked"]}, "without transfer-encoding, which only"),
        ({"headers": ["connection: close"]}, "without connection, which only the server can"),
        ({"server_names": ["a", 1]}, "server_names: expected a list of strings"),
        ({"certfile": ""}, "certfile: expected a path"),
        ({"user": "a b"}, "user: expected a name or a number"),
        ({"group": -1}, "group: expected a name or a number"),
        ({"root_path": "shop"}, "root_path: expected a path that begins with /"),
        ({"ciphers": "x" * 200 + "\0"}, "..."),
        ({"bind": "127.0.0.1:99999"}, "bind: address '127.0.0.1:99999': port '99999'"),
        ({"max_request_body_sizes": {1: 2}}, "max_request_body_sizes: expected a path that begins"),
        ({"bind": "fd://2147483648"}, "bind: address 'fd://2147483648': fd:// needs a descriptor"),
        ({"keep_alive_timout": 1}, "did you mean 'keep_alive_timeout'?"),
        ({"keep-alive-timeout": 1}, "did you mean 'keep_alive_timeout'?"),
        ({"KEEP_ALIVE_TIMEOUT": 1}, "did you mean 'keep_alive_timeout'?"),
        ({"reload": True}, "did you mean 'use_reloader'?"),
        ({"log-file": "x"}, "did you mean 'errorlog'?"),
        ({"host": "::1"}, "unknown option 'host' (argument); bind = 'HOST' says it"),
        ({"port": 80}, "unknown option 'port' (argument); bind = 'HOST:PORT' says it"),
        ({"uds": "/run/s"}, "unknown option 'uds' (argument); bind = 'unix:PATH' says it"),
        ({"fd": 3}, "unknown option 'fd' (argument); bind = 'fd://N' says it"),
        ({"zzz": 1}, "unknown option 'zzz' (argument)"),
        ({"application": "a:b", "application_path": "a:b"}, "given twice"),
    ],
)
def test_wrong_values_give_one_clear_line(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config.from_mapping(**options)
    text = str(caught.value)
    assert words in text
    assert "\n" not in text
    assert len(text) < 250


def test_a_secret_is_never_shown() -> None:
    assert "s3cret" not in repr(Config(keyfile_password="s3cret"))
    assert "s3cret" not in error(keyfile_password="s3cret\0")
    assert "s3cret" not in error(keyfile_password=["s3cret"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"certfile": "c.pem"}, "certfile and keyfile go together"),
        ({"keyfile": "k.pem"}, "certfile and keyfile go together"),
        ({"bind": [], "insecure_bind": []}, "bind: no address"),
        ({"bind": ["A.example:1", "a.example:1"]}, "'a.example:1' is there twice"),
        ({"bind": "a", "insecure_bind": "a:8000"}, "'a:8000' is there twice"),
        ({"bind": ["unix:/x", "unix:/x"]}, "'unix:/x' is there twice"),
        ({"write_buffer_high": 10}, "write_buffer_low (16384) is above write_buffer_high (10)"),
        ({"alpn_protocols": []}, "alpn_protocols: the list is empty"),
    ],
)
def test_wrong_combinations(options: dict[str, object], words: str) -> None:
    with pytest.raises(CombinationError) as caught:
        Config.from_mapping(options)
    assert words in str(caught.value)


def test_port_zero_and_two_unix_sockets_may_repeat() -> None:
    config = Config.from_mapping(bind=["127.0.0.1:0", "127.0.0.1:0", "unix:a", "unix:b"])
    assert len(config.bind) == 4


def test_ssl_enabled() -> None:
    assert Config(certfile="c", keyfile="k").ssl_enabled
    assert Config(dev_certificate=True).ssl_enabled


def test_root_path_loses_its_trailing_slash() -> None:
    assert [Config(root_path=path).root_path for path in ("/shop/", "/a/b//", "/")] == [
        "/shop", "/a/b", "",
    ]  # fmt: skip


def test_event_loop_resolves_auto() -> None:
    assert Config(worker_class="trio").event_loop == "trio"
    assert Config(worker_class="uvloop").event_loop == "uvloop"
    assert Config(worker_class="asyncio").event_loop == "asyncio"
    assert Config().event_loop in ("uvloop", "asyncio")


@pytest.mark.parametrize("name", [row.name for row in OPTIONS.values() if row.inert])
def test_an_option_without_effect_warns_once(name: str) -> None:
    warnings = Config.from_mapping({name: SAMPLES[name].value}).warnings()
    assert len(warnings) == 1
    assert warnings[0].startswith(f"{name} has no effect: ")


def test_options_with_effect_do_not_warn() -> None:
    names = [row.name for row in OPTIONS.values() if not row.inert]
    assert Config.from_mapping({name: SAMPLES[name].value for name in names}).warnings() == []


def test_client_certificates_without_tls_warn() -> None:
    assert Config(verify_mode="CERT_REQUIRED").warnings() == [
        "verify_mode and ca_certs have no effect: TLS is off"
    ]


@pytest.mark.parametrize(
    ("options", "warnings"),
    [
        (
            {"ca_certs": "ca"},
            ["ca_certs without verify_mode: no client is asked for a certificate"],
        ),
        ({"ca_certs": "ca", "verify_mode": "CERT_NONE"}, []),
        ({"ca_certs": "ca", "verify_mode": "CERT_OPTIONAL"}, []),
        (
            {"verify_mode": "CERT_OPTIONAL"},
            ["verify_mode without ca_certs: who shows a certificate is refused"],
        ),
    ],
)
def test_half_of_client_certificates_warns(options: dict[str, str], warnings: list[str]) -> None:
    assert Config(certfile="c", keyfile="k", **options).warnings() == warnings


def test_option_named_knows_hypercorns_keys() -> None:
    assert option_named("application_path", "x").name == "application"
    assert option_named("cert_reqs", "x").name == "verify_mode"
    assert COMPANIONS.keys() <= OPTIONS.keys()


def test_paths_may_be_path_objects(tmp_path: Path) -> None:
    assert Config.from_mapping(app_dir=tmp_path).app_dir == str(tmp_path)


@pytest.mark.parametrize(
    ("given", "level"), [("warn", "WARNING"), ("WARN", "WARNING"), ("Fatal", "CRITICAL")]
)
def test_spellings_of_levels(given: str, level: str) -> None:
    """Those of Python's logging."""
    assert Config(loglevel=given).loglevel == level
