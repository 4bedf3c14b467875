"""The server's metrics as Prometheus' own parser reads them."""

from __future__ import annotations

import http.client

from prometheus_client.parser import text_string_to_metric_families

from helpers.serving import PATIENCE, Served, address_of, eventually

#: Options that serve the metrics.
OPTIONS = {"health_bind": "127.0.0.1:0"}


def fetch(address: tuple[str, int]) -> str:
    """The text at ``/metrics``, on a connection of its own."""
    client = http.client.HTTPConnection(*address, timeout=PATIENCE)
    try:
        client.request("GET", "/metrics")
        response = client.getresponse()
        assert response.status == 200
        return response.read().decode("ascii")
    finally:
        client.close()


def samples(text: str) -> dict[str, float]:
    """Value by name and labels, written as ``name{label=value,...}``."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sample.labels.items())
            key = f"{sample.name}{{{labels}}}" if labels else sample.name
            assert key not in found, f"{key} is there twice"
            found[key] = sample.value
    return found


class Metrics:
    """The metrics of a server; its health address is the last of its URLs."""

    def __init__(self, served: Served) -> None:
        self._address = address_of(served.urls[-1])

    def all(self) -> dict[str, float]:
        """Every sample now."""
        return samples(fetch(self._address))

    def changed(self) -> dict[str, float]:
        """Those that are not zero."""
        return {key: value for key, value in self.all().items() if value}

    def __getitem__(self, key: str) -> float:
        return self.all()[key]

    def limit(self, option: str) -> float:
        """How often a bound was reached."""
        return self[f"tricorn_limit_total{{limit={option}}}"]

    def until(self, key: str, value: float) -> None:
        """Wait for a value; a metric is counted a moment after its cause."""
        eventually(lambda: self[key] == value, f"{key} = {value}")
