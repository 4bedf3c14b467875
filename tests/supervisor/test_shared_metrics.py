"""Every worker answers for all, and counts outlive the worker that counted."""

from __future__ import annotations

import http.client
import os
import re
import signal
from pathlib import Path

import pytest
from workers_daemon import Workers, eventually, workers

from helpers.metrics import fetch, samples

REQUESTS = "tricorn_requests_total{protocol=http/1.1,status=2xx}"
# Not the address of bind: a supervisor keeps one socket for one address.
OPTIONS = ("--health-bind", "localhost:0")
_HEALTH = re.compile(r"http://127\.0\.0\.1:(\d+) answers /livez, /readyz, /metrics")


def health(site: Workers) -> tuple[str, int]:
    """The address of health_bind."""
    found = _HEALTH.search(site.server.errors)
    assert found is not None, site.server.errors
    return "127.0.0.1", int(found[1])


def metrics(site: Workers) -> dict[str, float]:
    """The metrics, as whichever worker has them."""
    return samples(fetch(health(site)))


def wait_for(site: Workers, key: str, value: float) -> None:
    eventually(lambda: metrics(site)[key] == value, f"{key} is not {value}")


def test_all_workers_are_counted_and_the_dead_too(tmp_path: Path) -> None:
    with workers(tmp_path, "--workers", "2", *OPTIONS) as site:
        wait_for(site, "tricorn_workers", 2)
        answered = set()
        requests = 0
        while len(answered) < 2:
            answered.add(site.worker())
            requests += 1
        # A worker counts a moment behind its answer.
        wait_for(site, REQUESTS, requests)
        assert [metrics(site)[REQUESTS] for _ in range(10)] == [requests] * 10
        os.kill(answered.pop(), signal.SIGKILL)
        wait_for(site, "tricorn_worker_starts_total", 3)
        wait_for(site, "tricorn_workers", 2)
        found = metrics(site)
        assert found["tricorn_worker_deaths_total"] == 1
        assert (found[REQUESTS], found["tricorn_connections_total"]) == (requests, requests)


@pytest.mark.parametrize(
    ("option", "value"),
    [("max_requests", "3"), ("worker_heartbeat_timeout", "1")],
)
def test_bounds_of_workers_are_counted(tmp_path: Path, option: str, value: str) -> None:
    flag = "--" + option.replace("_", "-")
    with workers(tmp_path, flag, value, *OPTIONS) as site:
        if option == "worker_heartbeat_timeout":
            with pytest.raises(OSError, match=r"reset|closed"):
                site.get("/block")
        else:
            for _ in range(3):
                site.get()
        key = f"tricorn_limit_total{{limit={option}}}"
        eventually(lambda: metrics(site)[key] >= 1, f"{option} is not counted")


def test_a_daemon_that_stops_is_not_ready(tmp_path: Path) -> None:
    with workers(tmp_path, "--workers", "2", "--graceful-timeout", "1", *OPTIONS) as site:
        wait_for(site, "tricorn_workers", 2)
        stuck = [site.connection() for _ in range(8)]
        for client in stuck:
            client.request("GET", "/stuck")
            assert client.getresponse().read(5) == b"first"
        assert readiness(site) == 200
        site.server.send(signal.SIGTERM)
        eventually(lambda: readiness(site) == 503, "a daemon that stops is ready")
        for client in stuck:
            client.close()


def readiness(site: Workers) -> int:
    client = http.client.HTTPConnection(*health(site), timeout=5)
    try:
        client.request("GET", "/readyz")
        return client.getresponse().status
    finally:
        client.close()
