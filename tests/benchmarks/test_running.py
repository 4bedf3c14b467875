"""Who takes part in what, how servers take turns, and the load generator itself."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from benchmarks.figures import Cell, Table
from benchmarks.fleet import LOOPS, SERVERS, baseline
from benchmarks.load import Load
from benchmarks.rounds import Plan, keep
from benchmarks.servers import ROOT, Certificate, Listen
from benchmarks.workloads import WORKLOADS

from benchmarks import __main__ as command
from benchmarks import bars, checkout, generator, overhead, processes
from tricorn import compilation


def plan(rounds: int = 3, seconds: int = 2) -> Plan:
    return Plan(rounds, seconds, processes.Cores(0, 1), lambda text: None)


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize("tls", [False, True])
def test_every_server_has_a_command_for_its_wires(tmp_path: Path, name: str, tls: bool) -> None:
    server = SERVERS[name]
    certificate = Certificate(tmp_path / "chain", tmp_path / "key", tmp_path / "ca")
    for number, wire in enumerate(sorted(server.wires)):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        listen = Listen(8123, wire, certificate if tls else None, folder)
        words = " ".join(
            [*server.command(listen), *(path.read_text() for path in folder.glob("*.*"))]
        )
        assert "8123" in words
        assert (str(certificate.key) in words) == (tls and server.interface != "wsgi")


def test_wsgi_servers_take_part_in_wsgi_workloads_alone() -> None:
    asgi, wsgi = WORKLOADS["http1-small"], WORKLOADS["wsgi-small"]
    for server in SERVERS.values():
        assert asgi.takes(server) == (server.interface != "wsgi")
        assert wsgi.takes(server) == (server.interface == "wsgi")


def test_a_server_of_files_takes_part_where_files_do() -> None:
    nginx = SERVERS["nginx"]
    with_files = {name for name, workload in WORKLOADS.items() if workload.takes(nginx)}
    assert {"http1-small", "http2-10k", "http1-download", "tls-handshakes"} <= with_files
    assert with_files.isdisjoint(
        {"http1-wait", "http2-echo-10k", "http1-upload", "ws-32", "memory"}
    )


def test_what_a_server_does_not_speak_is_no_failure() -> None:
    names = ["uvicorn-h11", "uvicorn-zttp", "granian-wsgi"]
    able, reasons = command.able(WORKLOADS["http2-small"], [SERVERS[name] for name in names])
    assert [server.name for server in able] == ["uvicorn-zttp"]
    assert reasons == {"uvicorn-h11": "does not speak HTTP/2 over TLS"}


def estimated(made: Plan, names: list[str], *, only_bars: bool = False) -> float:
    servers = [SERVERS[name] for name in names]
    parts = command.share_out(servers, list(WORKLOADS.values()), only_bars=only_bars)
    return command.estimate(made, parts)


def test_the_estimate_grows_with_rounds_and_servers() -> None:
    names = ["tricorn-uvloop", "granian"]
    short = estimated(plan(1, 1), names)
    assert short < estimated(plan(3, 2), names)
    assert short < estimated(plan(1, 1), [*names, "daphne"])
    assert short > estimated(plan(1, 1), names, only_bars=True)


def test_only_what_the_bars_need() -> None:
    parts = command.share_out(list(SERVERS.values()), list(WORKLOADS.values()), only_bars=True)
    taking = {workload.name: {server.name for server in names} for workload, names, _ in parts}
    assert taking["start"] == {"tricorn-uvloop", "uvicorn-httptools"}
    assert {"tricorn-trio", "hypercorn-trio", "granian", "nginx"} <= taking["http1-small"]
    assert "tricorn-trio" not in taking["http1-10k"]
    peers = {name for name, server in SERVERS.items() if server.kind == "peer"}
    for name in ("http1-small", "http2-small"):
        speaking, _ = command.able(WORKLOADS[name], [SERVERS[peer] for peer in sorted(peers)])
        assert {server.name for server in speaking} == taking[name] & peers
    assert {"uvicorn-zttp", "daphne", "anycorn-trio", "gunicorn-asgi"} <= taking["http2-small"]
    assert "tricorn-pure-trio" not in taking["http1-small"]  # it is for a baseline
    assert taking["workers"] == {"tricorn-uvloop", "tricorn-asyncio", "tricorn-trio"}
    assert not {"latency-http1", "overhead", "wsgi-small"} & set(taking)
    tables = {table for bar in bars.BARS for table in bar.tables}
    for table in tables:
        assert any(table.startswith(name) for name in taking), table


@pytest.mark.parametrize(
    "arguments",
    [
        ["--servers", "apache"],
        ["--workloads", "http9"],
        ["--rounds", "0"],
        ["--seconds", "1000"],
        ["--baseline", "/nonexistent"],
    ],
)
def test_wrong_usage_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.parse(arguments)
    assert ended.value.code == 2


def test_quick_is_one_round_of_one_second() -> None:
    options = command.parse(["--quick", "--workloads", "ws-32, start"])
    assert (options.rounds, options.seconds) == (1, 1)
    assert options.workloads == ["ws-32", "start"]


LISTEN = Listen(8123, "http1", None, Path())


def test_a_baseline_is_tricorn_from_another_tree(tmp_path: Path) -> None:
    found = baseline(tmp_path)
    assert [server.name for server in found] == [f"baseline-{loop}" for loop in LOOPS]
    for server in found:
        path = server.environment["PYTHONPATH"].split(os.pathsep)
        assert path[0] == str(tmp_path / "src")
        assert server.kind == "own"


def test_a_baseline_has_the_codecs_of_those_it_is_compared_with() -> None:
    for server in baseline(ROOT):
        ours = SERVERS[server.name.replace("baseline", "tricorn-pure")]
        assert server.command(LISTEN) == ours.command(LISTEN)


def test_an_older_baseline_is_not_asked_for_options_it_has_not(tmp_path: Path) -> None:
    package = tmp_path / "src" / "tricorn"
    package.mkdir(parents=True)
    for text in (None, "http2_push: bool\n"):  # from before options had a module, and from after
        if text is not None:
            (package / "config_options.py").write_text(text)
        for server in baseline(tmp_path):
            fastest = SERVERS[server.name.replace("baseline", "tricorn")]
            assert server.command(LISTEN) == fastest.command(LISTEN)


def git(tree: Path, *words: str) -> str:
    settings = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    command = ["git", "-C", str(tree), *settings, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_the_commit_is_noted(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("1")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-q", "-m", "One")
    git(tmp_path, "tag", "v1")
    whole = git(tmp_path, "rev-parse", "HEAD")
    assert checkout.commit(tmp_path) == whole[:12]
    (tmp_path / "file").write_text("2")
    assert checkout.commit(tmp_path) == f"{whole[:12]}-dirty"
    inner = tmp_path / "unpacked"
    inner.mkdir()
    assert checkout.commit(inner) is None  # that is the commit of something else


def test_without_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert checkout.commit(tmp_path) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert checkout.commit(ROOT) is None


def test_a_run_says_what_it_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    meta = command.describe_machine(plan(), [SERVERS["tricorn-asyncio"]], {}, tmp_path)
    assert meta["driver"] == compilation.driver()
    assert meta["commit"] == checkout.commit(ROOT)
    assert meta["baseline_commit"] is None
    json.dumps(meta)


def test_a_round_keeps_what_the_server_spent() -> None:
    cell = Cell()
    keep(cell, Load(1000.0, 2000, 0, "", busy=0.5), used=1.5, elapsed=2.0)
    assert cell.values == [1000.0]
    assert cell.noted("server busy") == 0.75
    assert cell.noted("cpu") == pytest.approx(0.00075)
    assert cell.noted("load busy") == 0.5
    assert cell.by_processor.values == [pytest.approx(2000 / 1.5)]


def test_overhead_is_over_the_codec_that_the_server_uses() -> None:
    floors = {"http1": {"httptools": {"codec": 2.0, "sans-io": 8.0}, "h11": {"codec": 20.0}}}
    cells = {"tricorn-uvloop": Cell([40.0]), "tricorn-pure-trio": Cell([100.0])}
    spent = Table("processor-http1", "us/exchange", False, cells=cells)
    *_, ratios = overhead.ratios("http1", spent, floors, None)
    assert ratios.cells["tricorn-uvloop"].values == [20.0]
    assert ratios.cells["tricorn-pure-trio"].values == [5.0]
    assert overhead.codec_of("baseline-trio", "http1", floors) == "h11"


# The load generator against servers that are sockets and no more.


@pytest.fixture(scope="module")
def load() -> Path:
    problem = generator.missing()
    if problem is not None:
        pytest.skip(problem)
    return generator.program()


@contextmanager
def answering(reply: bytes, ask: bytes = b"\r\n\r\n") -> Iterator[int]:
    """A port where each request, which ends in `ask`, gets `reply` and the connection ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:  # the test is over
                    return
                with client:
                    seen = b""
                    while not seen.endswith(ask) and (data := client.recv(65536)):
                        seen += data
                    client.sendall(reply)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)


def ran(program: Path, *arguments: object) -> Load:
    words = [str(program), *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=True)
    return generator.parse(done.stdout)


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"


def test_generator_downloads_whole_bodies(load: Path) -> None:
    with answering(OK + b"12345") as port:
        found = ran(load, "download", port, 1, 5)
    assert found.problem is None
    assert found.requests > 1


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (OK + b"123", "a body that ended early"),
        (OK.replace(b"200", b"503") + b"12345", "a status other than 200"),
        (OK.replace(b"5", b"4") + b"1234", "a body of another size"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "a response without Content-Length"),
        (b"", "the server closed the connection"),
    ],
)
def test_generator_takes_no_other_response(load: Path, reply: bytes, why: str) -> None:
    with answering(reply) as port:
        found = ran(load, "download", port, 1, 5)
    assert (found.failed, found.failure) == (1, why)


def test_generator_says_where_there_is_no_server(load: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert ran(load, "ws", port, 1, 1, 1, 32).failure == "no connection"


def test_generator_refuses_a_websocket_that_echoes_something_else(load: Path) -> None:
    switching = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
    with answering(switching) as port:
        assert ran(load, "ws", port, 1, 1, 1, 32).failure == "the server closed a WebSocket"
    with answering(OK) as port:
        assert ran(load, "ws", port, 1, 1, 1, 32).failure == "the WebSocket was refused"


def test_generator_refuses_wrong_numbers(load: Path) -> None:
    done = subprocess.run(
        [load, "rate", "99999", "1"], capture_output=True, timeout=20, check=False
    )
    assert done.returncode == 2
