"""What a handler leaves to its process: an orderly end, signals, the cost of importing it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.programs import Program
from tricorn.serverless import LambdaHandler

LIVING = """
import anyio, ctypes, os, signal
from tricorn.config import Config
from tricorn.serverless import LambdaHandler

async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body"})
        return
    while True:
        kind = (await receive())["type"]
        if kind == "lifespan.shutdown":
            # What it needs may come from threads, such as connection pools.
            await anyio.sleep(0)
            print("shut down", flush=True)
        await send({"type": f"{kind}.complete"})

handler = LambdaHandler(app, Config(worker_class=os.environ.get("LOOP", "asyncio")))
event = {
    "httpMethod": "GET", "path": "/", "requestContext": {"elb": {}}, "headers": {}, "body": "",
}
assert handler(event, None)["statusCode"] == 200
print("ready", flush=True)
"""


def program(ending: str, **environ: str) -> Program:
    source = Path(LambdaHandler.__init__.__globals__["__file__"]).parents[2]
    return Program(
        [sys.executable, "-W", "error", "-c", LIVING + ending],
        env={**os.environ, "PYTHONPATH": str(source), **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_shutdown_at_exit(loop: str) -> None:
    with program("", LOOP=loop) as process:
        output, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")
    assert output == "ready\nshut down\n"


def test_shutdown_on_sigterm() -> None:
    with program("signal.pause()", AWS_LAMBDA_RUNTIME_API="127.0.0.1:9") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")
    assert output == "shut down\n"


def test_shutdown_on_sigterm_that_another_thread_gets() -> None:
    """The main thread goes on waiting in its system call: it is told again."""
    ending = """
import threading
def hit():
    print("hit", flush=True)
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
threading.Timer(0.2, hit).start()
read, _ = os.pipe()
os.read(read, 1)
"""
    with program(ending, AWS_LAMBDA_RUNTIME_API="127.0.0.1:9") as process:
        output, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")
    assert output == "ready\nhit\nshut down\n"


def test_sigterm_comes_once_to_a_handler_that_took_the_place_of_ours() -> None:
    ending = """
import time
times = 0
def theirs(number, frame):
    global times
    times += 1
signal.signal(signal.SIGTERM, theirs)
signal.raise_signal(signal.SIGTERM)
time.sleep(0.3)  # reminders would come by now
print(times, flush=True)
"""
    with program(ending, AWS_LAMBDA_RUNTIME_API="127.0.0.1:9") as process:
        output, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")
    assert sorted(output.splitlines()) == ["1", "ready", "shut down"]


def test_shutdown_on_sigterm_while_native_code_waits() -> None:
    """The managed runtime waits for events in C, and no Python handler runs there."""
    ending = """
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # another thread gets it
ctypes.CDLL(None).sleep(30)
"""
    with program(ending, AWS_LAMBDA_RUNTIME_API="127.0.0.1:9") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        ready, _, _ = select.select([process.stdout], [], [], 10)
        assert ready
        assert process.stdout.readline() == "shut down\n"
        assert process.poll() is None


def test_signals_are_left_alone_outside_lambda() -> None:
    with program("signal.pause()") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGTERM
    assert output == ""


def test_import_is_light() -> None:
    """A cold start does not pay for sockets, TLS and protocols that Lambda has no use for."""
    code = (
        "import sys, tricorn.serverless;"
        "names = ('h11', 'h2', 'hpack', 'wsproto', 'priority', 'trio', 'uvloop', 'cryptography',"
        " 'tricorn.server', 'tricorn.io', 'tricorn.codecs', 'tricorn.logs', 'http.client');"
        "print([name for name in names if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True,
                           text=True, timeout=30)  # fmt: skip
    assert (found.stdout, found.stderr) == ("[]\n", "")
