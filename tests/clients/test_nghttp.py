"""nghttp and h2load: frames as another implementation sees them, and many requests."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
from client_app import PUSHED, content
from client_harness import Daemon, Output, require_program, run_client


def nghttp(*arguments: str) -> Output:
    return run_client([require_program("nghttp"), "--no-verify-peer", *arguments])


def frames(output: Output) -> list[tuple[str, str, int]]:
    """Direction, type and stream of each frame of a verbose run, in order."""
    pattern = re.compile(r"(recv|send) ([A-Z_]+) frame <.*?stream_id=(\d+)>")
    return [(way, kind, int(stream)) for way, kind, stream in pattern.findall(output.text)]


def promised(output: Output) -> list[int]:
    return [int(number) for number in re.findall(r"promised_stream_id=(\d+)", output.text)]


def test_promises_come_before_the_page_that_names_them(daemon: Daemon) -> None:
    output = nghttp("--verbose", "--null-out", daemon.tls + "/push")
    seen = frames(output)
    page = next(number for way, kind, number in seen if (way, kind) == ("recv", "PUSH_PROMISE"))
    first_data = seen.index(("recv", "DATA", page))
    promises = [i for i, frame in enumerate(seen) if frame == ("recv", "PUSH_PROMISE", page)]
    assert len(promises) == len(PUSHED)
    assert max(promises) < first_data
    for number in promised(output):
        assert number % 2 == 0
        assert seen.index(("recv", "HEADERS", number)) < seen.index(("recv", "DATA", number))
    for path in PUSHED:
        assert f":path: {path}" in output.text
    assert output.text.count("accept-language: de") == 2
    # The promised request's fields reached the application.
    assert output.text.count("x-language: de") == 2
    assert ":method: GET" in output.text
    assert f":authority: 127.0.0.1:{daemon.tls_port}" in output.text
    assert "RST_STREAM" not in output.text


def test_statistics_mark_the_pushed_streams(daemon: Daemon) -> None:
    output = nghttp("--stat", "--null-out", daemon.tls + "/push")
    rows = re.findall(r"^ *\d+ +\S+ (\*| ) +\S+ +\S+ +(\d+) +\S+ (/\S*)$", output.text, re.M)
    assert (" ", "200", "/push") in rows
    assert {path for star, code, path in rows if (star, code) == ("*", "200")} == set(PUSHED)


def test_pushed_bodies_arrive_whole(daemon: Daemon) -> None:
    # Without --null-out nghttp writes the requested body and those that were pushed.
    output = nghttp(daemon.tls + "/push")
    for body in PUSHED.values():
        assert output.stdout.count(body) == 1


def test_no_push_is_honoured(daemon: Daemon) -> None:
    output = nghttp("--verbose", "--null-out", "--no-push", daemon.tls + "/push")
    assert "SETTINGS_ENABLE_PUSH(0x02):0" in output.text
    assert "PUSH_PROMISE" not in output.text
    assert ":status: 200" in output.text


def test_push_can_be_switched_off(strict_daemon: Daemon) -> None:
    output = nghttp("--verbose", "--null-out", strict_daemon.tls + "/push")
    assert "PUSH_PROMISE" not in output.text
    assert ":status: 200" in output.text


def test_no_more_pushes_at_once_than_the_client_accepts(daemon: Daemon) -> None:
    options = ("--verbose", "--null-out", "--max-concurrent-streams=1")
    output = nghttp(*options, daemon.tls + "/push")
    seen = frames(output)
    promises = [
        i for i, (way, kind, _) in enumerate(seen) if (way, kind) == ("recv", "PUSH_PROMISE")
    ]
    assert promises
    # A further promise is right only once the stream before it has ended.
    for number, following in zip(promised(output), promises[1:], strict=False):
        assert ("recv", "DATA", number) in seen[:following]
        assert ("recv", "DATA", number) not in seen[following:]


def test_upgrade_pushes_too(daemon: Daemon) -> None:
    output = nghttp("--verbose", "--null-out", "--upgrade", daemon.clear + "/push")
    assert "HTTP/1.1 101" in output.text
    assert ("recv", "HEADERS", 1) in frames(output)
    assert ("recv", "DATA", 1) in frames(output)


def test_upgraded_connection_carries_a_large_body(daemon: Daemon) -> None:
    output = nghttp("--upgrade", daemon.clear + "/download/3000000")
    assert hashlib.sha256(output.stdout).digest() == hashlib.sha256(content(3_000_000)).digest()


def test_upgrade_with_a_body_behind_it(daemon: Daemon, tmp_path: Path) -> None:
    # nghttp upgrades with OPTIONS and posts over HTTP/2 behind it.
    facts = upload(daemon.clear, tmp_path, 400_000, "--upgrade")
    assert facts["http_version"] == "2"


@pytest.mark.parametrize("secure", [True, False], ids=["tls", "prior-knowledge"])
@pytest.mark.parametrize("options", [(), ("--padding=200",), ("--continuation",)])
def test_upload(daemon: Daemon, tmp_path: Path, secure: bool, options: tuple[str, ...]) -> None:
    upload(daemon.url(secure=secure), tmp_path, 1_000_000, *options)


def upload(base: str, directory: Path, size: int, *options: str) -> dict[str, object]:
    file = directory / "upload"
    file.write_bytes(content(size))
    output = nghttp(*options, f"--data={file}", base + "/digest")
    facts: dict[str, object] = json.loads(output.stdout)
    assert facts["size"] == size
    assert facts["sha256"] == hashlib.sha256(content(size)).hexdigest()
    return facts


def test_expect_continue(daemon: Daemon, tmp_path: Path) -> None:
    file = tmp_path / "upload"
    file.write_bytes(content(200_000))
    options = ("--verbose", "--expect-continue", f"--data={file}")
    output = nghttp(*options, daemon.tls + "/digest")
    interim, final = output.text.index(":status: 100"), output.text.index(":status: 200")
    assert interim < output.text.index("send DATA frame") < final


def test_request_trailers_reach_the_application(daemon: Daemon, tmp_path: Path) -> None:
    file = tmp_path / "upload"
    file.write_bytes(b"body")
    options = ("--trailer=x-sum: 17", "--header=te: trailers", f"--data={file}", "--verbose")
    output = nghttp(*options, daemon.tls + "/trailers")
    assert '[["x-sum", "17"]]' in output.text
    assert hashlib.sha256(b"body").hexdigest() in output.text


@pytest.mark.parametrize(
    ("option", "light", "heavy"),
    [
        pytest.param("--weight", "1", "256", id="RFC 7540 5.3"),
        pytest.param("--extpri", "u=7", "u=0", id="RFC 9218"),
    ],
)
def test_of_two_bodies_the_one_that_matters_more_is_served_first(
    daemon: Daemon, option: str, light: str, heavy: str
) -> None:
    if option not in nghttp("--help").text:
        pytest.skip(f"this nghttp has no {option}")
    later, sooner = daemon.tls + "/download/900001", daemon.tls + "/download/900000"
    # The connection's window is what they have to share.
    windows = ("--window-bits=21", "--connection-window-bits=16")
    priorities = (f"{option}={light}", f"{option}={heavy}")
    output = nghttp(*windows, *priorities, "-v", "-n", later, sooner)
    numbers: dict[str, int] = {}
    for stream, path in re.findall(
        r"send HEADERS frame <[^>]*stream_id=(\d+)>.*?:path: (\S+)", output.text, re.S
    ):
        numbers[path] = int(stream)
    sent = [number for way, kind, number in frames(output) if (way, kind) == ("recv", "DATA")]
    last = {path: len(sent) - sent[::-1].index(number) for path, number in numbers.items()}
    assert last["/download/900000"] < last["/download/900001"]


def test_every_stream_of_one_connection_is_answered(daemon: Daemon) -> None:
    output = nghttp("--stat", "--null-out", "--multiply=80", daemon.tls + "/hello")
    assert len(re.findall(r" 200 +\d+ /hello$", output.text, re.M)) == 80


@pytest.mark.parametrize("options", [(), ("--no-rfc7540-pri",), ("--no-dep",)])
def test_priority_schemes_of_the_client(daemon: Daemon, options: tuple[str, ...]) -> None:
    output = nghttp(*options, daemon.tls + "/download/200000", daemon.tls + "/hello")
    assert len(output.stdout) == 200_000 + len(b"hello")


@pytest.mark.parametrize("options", [(), ("--h1",)], ids=["http2", "http1"])
@pytest.mark.parametrize("secure", [True, False], ids=["tls", "clear"])
def test_two_thousand_requests_without_a_failure(
    daemon: Daemon, secure: bool, options: tuple[str, ...]
) -> None:
    program = require_program("h2load")
    amount = ("--requests=2000", "--clients=4", "--max-concurrent-streams=10")
    command = [program, *amount, *options, daemon.url(secure=secure) + "/hello"]
    output = run_client(command)
    counts = dict(re.findall(r"(\w+): (.*)", output.text))
    expected = "2000 total, 2000 started, 2000 done, 2000 succeeded, 0 failed, 0 errored, 0 timeout"
    assert counts["requests"] == expected
    assert re.search(r"status codes: 2000 2xx, 0 3xx, 0 4xx, 0 5xx", output.text)
    protocol = re.search(r"Application protocol: (\S+)", output.text)
    assert protocol
    assert protocol.group(1) == ("http/1.1" if options else "h2" if secure else "h2c")
