"""Files of WSGI applications behind what they wrote."""

from __future__ import annotations

import sys
import tempfile
import threading
from typing import Any

import anyio
import pytest

from helpers.serving import eventually
from tricorn.asgi.wsgi import WSGIAdapter

SCOPE: dict[str, Any] = {
    "type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "path": "/",
    "raw_path": b"/", "query_string": b"", "root_path": "", "headers": [], "client": None,
    "server": ("192.0.2.2", 8000), "extensions": {"http.response.zerocopysend": {}},
}  # fmt: skip


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_a_file_behind_written_output_is_open_until_it_is_sent(loop: str) -> None:
    seen: list[bool] = []
    threads: list[int] = []

    def app(environ: Any, start_response: Any) -> Any:
        threads.append(threading.get_ident())
        write = start_response("200 OK", [("Content-Length", "100")])
        write(b"x" * 10)
        return environ["wsgi.file_wrapper"](file)

    def parked() -> bool:
        return sys._current_frames()[threads[0]].f_code.co_name == "put"

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body" and message["body"]:
            eventually(parked)  # with the file, behind what is being sent
        elif message["type"] == "http.response.zerocopysend":
            threading.Event().wait(0.05)  # time to close it too early
            seen.append(file.closed)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    with tempfile.NamedTemporaryFile() as named:
        named.write(b"y" * 90)
        named.flush()
        file = open(named.name, "rb")  # noqa: SIM115 - the application's to close
        anyio.run(WSGIAdapter(app), SCOPE, receive, send, backend=loop)
    assert seen == [False]
    assert file.closed
