"""All of IPv6 and all of IPv4, over reloads that name IPv4 and name it no more."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from workers_daemon import Workers, eventually, is_alive, workers

from helpers.clients import HTTP1Client, open_socket

APP = """
async def app(scope, receive, send):
    body = f"{scope['client'][0]} {scope['scheme']}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
"""


def answers(site: Workers, port: int) -> None:
    for address in "127.0.0.1", "::1":
        with open_socket((address, port)) as sock:
            assert HTTP1Client(sock).get("/").text == f"{address} http", site.server.errors


@pytest.mark.long
@pytest.mark.parametrize("extra", [(), ("--reuse-port",), ("-k", "trio")], ids=str)
def test_reload_that_names_ipv4(tmp_path: Path, port: int, extra: tuple[str, ...]) -> None:
    settings = tmp_path / "tricorn.toml"
    (tmp_path / "site_app.py").write_text(APP)
    alone, both = f'["[::]:{port}"]', f'["[::]:{port}", "0.0.0.0:{port}"]'
    settings.write_text(f"insecure_bind = {alone}\n")
    with workers(tmp_path, "--workers", "2", "--lifespan", "off", *extra) as site:
        answers(site, port)
        for times, named in enumerate((both, alone, f'["0.0.0.0:{port}"]', alone), 2):
            settings.write_text(f"insecure_bind = {named}\n")
            site.server.send(signal.SIGHUP)
            site.wait_said(times)
            if "[::]" in named:
                answers(site, port)


def test_a_new_supervisor_has_both(tmp_path: Path, port: int) -> None:
    (tmp_path / "site_app.py").write_text(APP)
    (tmp_path / "tricorn.toml").write_text(f'insecure_bind = ["[::]:{port}"]\n')
    with workers(tmp_path, "--lifespan", "off") as site:
        site.server.send(signal.SIGUSR2)
        (_, new) = site.wait_said(2)
        try:
            assert site.server.process.wait(20) == 0
            answers(site, port)
        finally:
            os.kill(new, signal.SIGTERM)
            eventually(lambda: not is_alive(new), "the new supervisor stays")
