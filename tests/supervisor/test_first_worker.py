"""The first worker, forked off the command: what it has, and what both processes import."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from workers_daemon import Workers, eventually, is_alive, workers

import tricorn.exceptions
from helpers.codecs import python_path
from helpers.daemon import COMMAND, daemon

SOURCE = Path(tricorn.exceptions.__file__).parents[1]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only there it is a fork")

APP = """
import atexit, gc, json, os, sys, threading

IMPORTED = sorted(sys.modules)

async def app(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError("no lifespan")
    facts = {
        "pid": os.getpid(), "argv": sys.argv, "gc": gc.isenabled(), "modules": IMPORTED,
        "path": sys.path, "environ": dict(os.environ), "descriptors": os.listdir("/proc/self/fd"),
        "main": __name__,
    }
    body = json.dumps(facts).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})

if "WITNESS" in os.environ:
    atexit.register(lambda: open(os.environ["WITNESS"], "a").write(f"{os.getpid()}\\n"))
"""

# Notes at its end what a process has imported; sitecustomize is imported by every interpreter.
WITNESS = """
import atexit, os, sys

def note():
    with open(os.path.join(os.environ["NOTES"], str(os.getpid())), "w") as file:
        file.write("\\n".join(sys.modules))

atexit.register(note)
"""

# As monitoring agents do it: what they hold is theirs in every process.
AGENT_WITH_A_LOG = """
import os
import sys

sys.agent = open(os.environ["AGENT_LOG"], "a", buffering=1)
sys.agent.write("begins\\n")
"""
AGENT_WITH_A_THREAD = """
import _thread, os, sys, threading

def write():
    while True:
        asked.acquire()
        with open(os.environ["AGENT_LOG"], "a") as file:
            file.write(wanted.pop())
        written.release()

class Agent:
    def write(self, text):
        wanted.append(text)
        asked.release()
        assert written.acquire(timeout=20)

wanted, asked, written = [], threading.Semaphore(0), threading.Semaphore(0)
_thread.start_new_thread(write, ())
sys.agent = Agent()
sys.agent.write("begins\\n")
"""
AGENT_APP = """
import sys

async def app(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError("no lifespan")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    sys.agent.write("GET " + scope["path"] + "\\n")
    await send({"type": "http.response.body", "body": b"served"})
"""

# What a supervisor has no use for; and what its modules import by themselves is looked up, since
# the standard library differs from version to version.
NOT_IN_SUPERVISOR = {
    "anyio", "argparse", "ast", "asyncio", "dataclasses", "difflib", "email", "gettext",
    "grp", "hashlib", "http", "inspect", "ipaddress", "pathlib", "random", "shutil", "ssl",
    "subprocess", "tempfile", "tomllib", "typing", "unicodedata", "urllib", "uvloop", "zlib",
}  # fmt: skip
# array is for descriptors that are passed on; up to Python 3.13 socket imports it itself.
NEEDED = "array, importlib.util, json, logging, mmap, select, selectors, signal, socket, threading"
TRICORN_NOT_IN_SUPERVISOR = (
    "_driver__mypyc", "access_log", "app_loader", "application", "asgi", "cli_parser",
    "cli_versions", "codecs",
    "config_docs", "event_loop", "io.accepting", "io.connection", "io.tls", "migrate", "protocol",
    "server", "types", "worker_process",
)  # fmt: skip
NOT_IN_WORKER = {
    "argparse", "cryptography", "email", "h11", "h2", "hashlib", "hpack", "http", "hyperframe",
    "mimetypes", "secrets", "tomllib", "trio", "trustme", "urllib", "wsproto", "zlib",
}  # fmt: skip
TRICORN_NOT_IN_WORKER = (
    "access_log", "asgi.asgi2", "asgi.forwarded", "asgi.media_types", "asgi.mounts",
    "asgi.redirect", "asgi.static", "asgi.wsgi", "cli_parser", "cli_versions", "codecs.http1_h11",
    "codecs.http2_h2", "codecs.websocket_wsproto", "config_docs", "dev_certificate",
    "io.accepting_anyio", "io.anyio_means", "io.anyio_output", "io.anyio_transport",
    "io.certificates", "io.cleartext", "io.proxy_header", "io.tls", "migrate",
    "protocol.proxy_protocol", "reloader", "supervisor",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "site_app.py").write_text(APP)
    return tmp_path


@contextmanager
def started(folder: Path, *argv: str, **environ: str) -> Iterator[Workers]:
    words = [f"{name}={value}" for name, value in environ.items()]
    command = ("env", *words, *COMMAND)
    arguments = ("site_app:app", "--bind", "127.0.0.1:0", *argv)
    with daemon(folder, *arguments, command=command) as server:
        found = Workers(server)
        found.wait_said(1)
        yield found


def facts(server: Workers) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(server.get())
    return found


def command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")


def of_ours(modules: set[str], names: tuple[str, ...]) -> set[str]:
    """Those of ``names`` that are there, or whose submodules are."""
    return {
        name
        for name in names
        for found in modules
        if found == f"tricorn.{name}" or found.startswith(f"tricorn.{name}.")
    }


def loaded_by(imports: str) -> set[str]:
    """The top-level modules that an interpreter has behind these imports."""
    program = f"import sys\nimport {imports}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True
    )
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_what_supervisor_and_worker_import(folder: Path) -> None:
    notes = folder / "notes"
    witness = folder / "witness"
    notes.mkdir()
    witness.mkdir()
    (witness / "sitecustomize.py").write_text(WITNESS)
    path = f"{witness}{os.pathsep}{python_path(SOURCE)}"
    argv = "-k", "asyncio", "--workers", "1"
    with started(folder, *argv, PYTHONPATH=path, NOTES=str(notes)) as server:
        worker = facts(server)
        server.server.send(signal.SIGTERM)
        assert server.server.end() == 0
    supervisor = set((notes / str(server.server.process.pid)).read_text().split())
    tops = {name.partition(".")[0] for name in supervisor} - loaded_by(NEEDED)
    assert tops & NOT_IN_SUPERVISOR == set()
    assert of_ours(supervisor, TRICORN_NOT_IN_SUPERVISOR) == set()
    modules = set(worker["modules"])
    tops = {name.partition(".")[0] for name in modules}
    tops -= loaded_by("asyncio, anyio._backends._asyncio")
    assert tops & NOT_IN_WORKER == set()
    assert of_ours(modules, TRICORN_NOT_IN_WORKER) == set()


def test_it_has_what_a_new_interpreter_would_have(folder: Path) -> None:
    notice = {"NOTIFY_SOCKET": str(folder / "none"), "WATCHDOG_USEC": "60000000"}
    with started(folder, **notice) as server:
        first = facts(server)
        assert "tricorn.worker_process" not in command_of(first["pid"])
        server.server.send(signal.SIGHUP)
        server.wait_said(2)
        second = facts(server)
        assert "tricorn.worker_process" in command_of(second["pid"])
    # That of the command, as without workers.
    assert first["argv"] == second["argv"]
    assert first["argv"][1:] == ["site_app:app", "--bind", "127.0.0.1:0"]
    assert first["path"] == second["path"]
    assert first["gc"]
    assert second["gc"]
    assert not notice.keys() & first["environ"].keys()
    assert first["environ"] == second["environ"]
    assert abs(len(first["descriptors"]) - len(second["descriptors"])) <= 1


def test_it_inherits_no_descriptor(folder: Path) -> None:
    opens = ("sh", "-c", 'exec 9</dev/null; exec "$0" "$@"', *COMMAND)
    with daemon(folder, "site_app:app", "--bind", "127.0.0.1:0", command=opens) as server:
        found = Workers(server)
        found.wait_said(1)
        supervisor, worker = server.process.pid, facts(found)["pid"]
        assert Path(f"/proc/{supervisor}/fd/9").exists()
        target = Path(f"/proc/{worker}/fd/9")
        assert not target.exists() or os.readlink(target) != "/dev/null"


def test_code_of_a_configuration_is_not_in_it(folder: Path) -> None:
    (folder / "site_config.py").write_text("workers = 1\n")
    with started(folder, "-c", "python:site_config") as server:
        worker = facts(server)
        assert "tricorn.worker_process" in command_of(worker["pid"])
    assert "site_config" not in worker["modules"]


@pytest.mark.parametrize("agent", [AGENT_WITH_A_LOG, AGENT_WITH_A_THREAD])
def test_code_that_an_interpreter_starts_with_keeps_what_it_holds(
    tmp_path: Path, agent: str
) -> None:
    (tmp_path / "site_app.py").write_text(AGENT_APP)
    (tmp_path / "sitecustomize.py").write_text(agent)
    log = tmp_path / "agent.log"
    path = python_path(tmp_path, SOURCE)
    with started(tmp_path, PYTHONPATH=path, AGENT_LOG=str(log)) as server:
        assert [server.get(f"/{number}") for number in range(3)] == ["served"] * 3
    # Not in a connection or a pipe that has the number of the file, nor in a thread that is gone.
    assert log.read_text().split("\n") == ["begins"] * 2 + [f"GET /{n}" for n in range(3)] + [""]


def test_it_ends_as_an_interpreter_does(folder: Path) -> None:
    written = folder / "written"
    with started(folder, WITNESS=str(written)) as server:
        worker = facts(server)["pid"]
        server.server.send(signal.SIGTERM)
        assert server.server.end() == 0
    assert written.read_text().split() == [str(worker)]


def test_it_does_not_outlive_a_supervisor_that_cannot_start(folder: Path) -> None:
    with workers(folder, "--bind", f"unix:{folder}/x.sock") as other:
        assert other.server.process.pid
        argv = "site_app:app", "--bind", f"unix:{folder}/x.sock"
        with daemon(folder, *argv) as second:
            assert second.end() == 5
        # Its standard error is at its end: nobody holds it any more.
        (line,) = second.errors.splitlines()
        assert "cannot bind" in line


def test_it_leaves_no_socket_open(folder: Path) -> None:
    strict = (sys.executable, "-X", "dev", "-m", "tricorn")
    with daemon(folder, "site_app:app", "--bind", "127.0.0.1:0", command=strict) as server:
        Workers(server).wait_said(1)
        server.send(signal.SIGTERM)
        assert server.end() == 0
    assert "Warning" not in server.errors


def test_it_ends_with_a_supervisor_that_is_killed(folder: Path) -> None:
    with started(folder) as server:
        worker = facts(server)["pid"]
        server.server.send(signal.SIGKILL)
        eventually(lambda: not is_alive(worker), "the worker stays")


def test_a_system_without_proc_has_workers_too(folder: Path) -> None:
    """A chroot, for one."""
    hidden = ("unshare", "--mount", "sh", "-c", 'umount -l /proc && exec "$@"', "sh")
    if subprocess.run((*hidden, "true"), capture_output=True).returncode:
        pytest.skip("needs root, and unshare of util-linux")
    argv = ("site_app:app", "--bind", "127.0.0.1:0", "--workers", "1", "--lifespan", "off")
    with daemon(folder, *argv, command=(*hidden, *COMMAND)) as server:
        server.wait_for("1 worker (")
        server.send(signal.SIGTERM)
        assert server.end() == 0
