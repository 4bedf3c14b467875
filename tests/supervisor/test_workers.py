"""What becomes of workers that die, hang or wear out, and signals about their number."""

from __future__ import annotations

import http.client
import os
import signal
from pathlib import Path

import pytest
from workers_daemon import eventually, is_alive, workers


def test_a_crashed_worker_is_replaced_and_the_reason_told(tmp_path: Path) -> None:
    with workers(tmp_path) as site:
        ((first,), _) = site.said[0]
        with pytest.raises(http.client.RemoteDisconnected):
            site.get("/exit")
        second = site.worker()  # waits in the queue of the socket meanwhile
        assert second != first
        os.kill(second, signal.SIGKILL)
        third = site.worker()
        assert third not in (first, second)
    errors = site.server.errors
    assert f"worker {first} ended by itself with exit code 7; another one starts\n" in errors
    assert f"worker {second} was killed by SIGKILL" in errors
    assert "another one starts in 0.5 s" in errors


def test_a_hung_worker_is_dumped_and_replaced(tmp_path: Path) -> None:
    with workers(tmp_path, "--worker-heartbeat-timeout", "1.5") as site:
        ((first,), _) = site.said[0]
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            site.get("/block")
        assert site.worker() != first
    errors = site.server.errors
    assert f"worker {first} is dumped and killed: its event loop stood still for 1.5 s" in errors
    assert 'site_app.py", line' in errors  # where it stood
    assert f"worker {first} was killed: its event loop stood still" in errors


def test_workers_are_replaced_after_max_requests_without_a_gap(tmp_path: Path) -> None:
    with workers(tmp_path, "--max-requests", "20") as site:
        ((first,), _) = site.said[0]
        client = site.connection()
        answered = first
        while answered == first:
            client.request("GET", "/")
            answered = int(client.getresponse().read().split()[0])
        client.close()
        eventually(lambda: not is_alive(first), "the former worker lives on")
        assert f"worker {first} is replaced: it has served " in site.server.errors
        assert "ERROR" not in site.server.errors


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("--worker-max-memory", "1MiB", "MiB (worker_max_memory)"),
        ("--worker-max-lifetime", "1", "it has served for 1 s (worker_max_lifetime)"),
    ],
)
def test_workers_are_replaced_by_memory_and_age(
    tmp_path: Path, option: str, value: str, reason: str
) -> None:
    with workers(tmp_path, option, value) as site:
        ((first,), _) = site.said[0]
        eventually(lambda: site.worker() != first, "the worker stays")
        assert f"worker {first} is replaced: " in site.server.errors
        assert reason in site.server.errors


def test_one_more_and_one_less(tmp_path: Path) -> None:
    with workers(tmp_path) as site:
        ((first,), supervisor) = site.said[0]
        site.server.send(signal.SIGTTIN)
        site.server.wait_for("SIGTTIN: 2 workers")
        eventually(lambda: len(_children(supervisor)) == 2, "no second worker")
        (second,) = set(_children(supervisor)) - {first}
        site.server.send(signal.SIGTTOU)
        site.server.wait_for("SIGTTOU: 1 worker")
        eventually(lambda: not is_alive(second), "the second worker stays")
        site.server.send(signal.SIGTTOU)
        site.server.wait_for("one worker is the least")
        assert site.worker() == first


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def test_logs_are_opened_anew_everywhere(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    argv = ["--workers", "2", "--accesslog", "access.log", "--errorlog", "error.log"]
    from workers_daemon import APP

    from helpers.daemon import daemon

    (tmp_path / "site_app.py").write_text(APP)
    with daemon(tmp_path, "site_app:app", "--bind", "unix:s", *argv) as server:
        errors = tmp_path / "error.log"
        eventually(lambda: errors.exists() and "2 workers (" in errors.read_text(), "no start")
        log.rename(tmp_path / "access.1")
        errors.rename(tmp_path / "error.1")
        server.send(signal.SIGUSR1)
        eventually(lambda: log.exists() and errors.exists(), "not opened anew")
        server.send(signal.SIGTERM)
        assert server.end() == 0
        assert "SIGTERM: finishing" in errors.read_text()
    assert not (tmp_path / "s").exists()


def test_a_worker_told_to_end_by_somebody_else_is_replaced(tmp_path: Path) -> None:
    with workers(tmp_path) as site:
        ((first,), _) = site.said[0]
        os.kill(first, signal.SIGTERM)
        site.server.wait_for(f"worker {first} was told to end by somebody else")
        assert site.worker() != first
        assert "ERROR" not in site.server.errors


def test_the_daemon_is_ready_while_a_worker_ends_that_somebody_told_to(tmp_path: Path) -> None:
    with workers(tmp_path, "--drain-delay", "60", "--readyz-path", "/readyz") as site:
        ((first,), _) = site.said[0]
        client = site.connection()  # to the first one

        def ready() -> bool:
            client.request("GET", "/readyz")
            response = client.getresponse()
            response.read()
            return response.status == 200

        assert ready()
        os.kill(first, signal.SIGTERM)
        eventually(lambda: site.worker() != first, "no other worker serves")
        assert ready()
        site.server.send(signal.SIGTERM)
        eventually(lambda: not ready(), "it is ready while the daemon stops")
        client.close()
        site.server.send_again(signal.SIGTERM, "stopping at once")
        assert site.server.end() == 0
