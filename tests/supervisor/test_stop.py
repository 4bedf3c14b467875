"""How a daemon with workers stops."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from workers_daemon import Echo, is_alive, workers


def test_idle_connections_may_still_send_a_request(tmp_path: Path) -> None:
    """The request that crosses the stop is answered, with ``Connection: close``."""
    with workers(tmp_path) as site:
        client, slow = site.connection(), site.connection()
        client.request("GET", "/")
        client.getresponse().read()
        slow.request("GET", "/slow")
        response = slow.getresponse()
        site.server.send(signal.SIGTERM)
        site.server.wait_for("finishing what is in flight")
        assert response.read().startswith(b"first")
        client.request("GET", "/")
        last = client.getresponse()
        assert last.status == 200
        assert last.getheader("connection") == "close"
        client.close()
        slow.close()
        assert site.server.end() == 0


def test_the_second_signal_forces(tmp_path: Path) -> None:
    with workers(tmp_path, "--workers", "2") as site:
        pids, _ = site.said[0]
        client = site.connection()
        client.request("GET", "/stuck")
        client.getresponse().read(5)
        site.server.send(signal.SIGINT)
        site.server.wait_for("finishing what is in flight")
        site.server.send(signal.SIGINT)
        assert site.server.end() == 0
        client.close()
        assert "stopping at once" in site.server.errors
        assert not any(map(is_alive, pids))
        assert "Traceback" not in site.server.errors


def test_a_signal_to_all_processes_is_the_first_of_each(tmp_path: Path) -> None:
    with workers(tmp_path) as site:
        ((pid,), _) = site.said[0]
        echo, client = Echo(site), site.connection()
        client.request("GET", "/stopping")
        response = client.getresponse()
        assert response.read(5) == b"first"
        site.server.send(signal.SIGTERM)
        assert response.read()  # the worker has heard of it
        client.close()
        os.kill(pid, signal.SIGTERM)
        for byte in b"b", b"c", b"d", b"e":  # turns of its loop, of which one would cut
            echo.send(byte)
        os.kill(pid, signal.SIGTERM)
        assert not echo.end()
        assert site.server.end() == 0
    assert "Traceback" not in site.server.errors


@pytest.mark.parametrize("path", ["/block", "/thread"])
def test_a_worker_that_does_not_end_is_killed(tmp_path: Path, path: str) -> None:
    with workers(tmp_path) as site:
        ((pid,), _) = site.said[0]
        client = site.connection()
        client.request("GET", path)
        if path == "/thread":
            client.getresponse().read()
        client.close()
        site.server.send(signal.SIGTERM)
        site.server.wait_for("finishing what is in flight")
        site.server.send(signal.SIGTERM)
        site.server.wait_for("stopping at once")
        site.server.send(signal.SIGTERM)  # this one asks nobody
        assert site.server.end() == 0
        assert not is_alive(pid)
