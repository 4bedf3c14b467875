"""Server-sent events over a raw connection, httpx and Chromium's own EventSource."""

from __future__ import annotations

import shutil
import subprocess
import tempfile

from compliance.workloads.checks import PATIENCE, Suite, Target, Unmet, curl, expect, stream, until
from compliance.workloads.connections import http_client, wire

suite = Suite("http/1.1", "h2")


def counted(target: Target, name: str) -> int:
    with http_client(target) as client:
        return client.get("/counts").json().get(name, 0)


@suite.check()
def events(target: Target) -> None:
    with http_client(target) as client:
        response = client.get("/three")
    kind = response.headers["content-type"].partition(";")[0]
    expect(kind, "text/event-stream", "content-type")
    wanted = "".join(
        f"id: {number}\r\nevent: tick\r\ndata: event\r\ndata: {number}\r\n\r\n"
        for number in range(3)
    )
    expect(response.text, wanted, "events")


@suite.check()
def leave(target: Target) -> None:
    """The library's handler and the generator's clean-up run when the client leaves."""
    before = counted(target, "left"), counted(target, "ended")
    with wire(target) as connection:
        found = connection.get("/endless", lambda seen: b"tick" in seen.body)
        expect(found.over, False, "the stream has ended")
        connection.abandon()
        until(lambda: counted(target, "left") == before[0] + 1, "the handler did not run")
        until(lambda: counted(target, "ended") == before[1] + 1, "the clean-up did not run")


@suite.check()
def ping(target: Target) -> None:
    """The library's pings arrive while the application is silent."""
    with wire(target) as connection:
        found = connection.get("/quiet", lambda seen: seen.body.count(b": ping") == 3)
        expect(found.over, False, "the stream has ended")
        connection.abandon()


@suite.check()
def head_at_once(target: Target) -> None:
    """The head comes before the first event: EventSource is open, and fires ``open``."""
    options = ("--request", "GET", "--dump-header", "-", "--max-time", "2")
    found = curl(target, "/silent", *options, codes=(28,))
    expect("text/event-stream" in found, True, f"a head within 2 s: {found!r}")


@suite.check()
def browser(target: Target) -> None:
    """Chromium's EventSource: six events over three connections, by Last-Event-ID."""
    chromium = shutil.which("chromium")
    if chromium is None:
        raise Unmet("no chromium on PATH")
    with tempfile.TemporaryDirectory(prefix="workloads-") as profile:
        command = [chromium, "--headless=new", "--no-sandbox", "--disable-gpu"]
        command += [f"--user-data-dir={profile}", "--disable-dev-shm-usage"]
        # The test's authority is none of the browser's.
        command += ["--ignore-certificate-errors", "--virtual-time-budget=8000", "--dump-dom"]
        done = subprocess.run(
            [*command, target.url("/")],
            capture_output=True,
            text=True,
            timeout=PATIENCE * 2,
            check=False,
        )
    if "<title>seen 0 1 2 3 4 5</title>" not in done.stdout:
        raise Unmet(f"the page: {done.stdout[:300]!r} {done.stderr[-300:]!r}")


@suite.at_stop()
def stop(target: Target, opened) -> None:
    """The stream that asks tricorn.stopping says farewell and ends in order."""
    with stream(target, "/endless") as lines:
        found = next(lines)
        opened()
        found += "".join(lines)
    expect("event: bye" in found, True, "farewell")


if __name__ == "__main__":
    raise SystemExit(suite.main())
