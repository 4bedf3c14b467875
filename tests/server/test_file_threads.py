"""Files that are read in threads, beside the application's own threads."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import anyio.to_thread
import pytest

from helpers.apps import start
from helpers.site import Site
from tricorn.types import Receive, Scope, Send

CONTENT = bytes(range(256)) * 2000


@pytest.mark.skipif(sys.platform != "linux", reason="only there a file is put out of the cache")
def test_a_file_does_not_wait_for_the_application_s_threads(plain: Site, tmp_path: Path) -> None:
    path = tmp_path / "file"

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        threads = anyio.to_thread.current_default_thread_limiter()
        taken = [object() for _ in range(int(threads.available_tokens))]
        for borrower in taken:
            threads.acquire_on_behalf_of_nowait(borrower)
        try:
            await start(send)
            await send({"type": "http.response.pathsend", "path": str(path)})
        finally:
            for borrower in taken:
                threads.release_on_behalf_of(borrower)

    path.write_bytes(CONTENT)
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    assert bytes(plain.open(app).get("/").body) == CONTENT
