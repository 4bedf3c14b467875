"""How a daemon with workers starts, or fails to."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
from pathlib import Path

import pytest
from workers_daemon import APP, Workers, eventually, is_alive, workers

from helpers.daemon import daemon

_DIES = "import os\nos._exit(9)\n"
_KILLED = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "site_app.py").write_text(APP)
    (tmp_path / "dies.py").write_text(_DIES)
    (tmp_path / "killed.py").write_text(_KILLED)
    (tmp_path / "raises.py").write_text("raise OSError('no disk')\n")
    return tmp_path


@pytest.mark.long
@pytest.mark.parametrize("count", ["0", "1", "2"])
@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["site_app:app", "--certfile", "site_app.py", "--keyfile", "site_app.py"], 2, "certfile"),
        (["site_app:failing"], 3, "no database"),
        (["site_app:missing"], 4, "missing"),
        (["site_app:app", "--bind", "BUSY"], 5, "bind: cannot bind"),
    ],
    ids=["certificate", "lifespan", "import", "address"],
)
def test_exit_codes_whatever_the_number_of_workers(
    folder: Path, argv: list[str], code: int, said: str, count: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        busy = f"127.0.0.1:{other.getsockname()[1]}"
        argv = [busy if word == "BUSY" else word for word in argv]
        if busy not in argv:
            argv += ["--bind", "127.0.0.1:0"]
        with daemon(folder, *argv, "--workers", count, "--loglevel", "warning") as server:
            assert server.end() == code
    (line,) = server.errors.splitlines()
    assert line.startswith("tricorn: error: ")
    assert said in line


def test_the_applications_traceback_comes_once(folder: Path) -> None:
    with daemon(folder, "raises:app", "--bind", "127.0.0.1:0", "--workers", "2") as server:
        assert server.end() == 4
    lines = server.errors.splitlines()
    assert [line for line in lines if line.startswith("  File ")] == [
        f'  File "{folder / "raises.py"}", line 1, in <module>'
    ]
    assert lines[-2:] == [
        "OSError: no disk",
        "tricorn: error: importing 'raises' failed: OSError: no disk",
    ]


@pytest.mark.parametrize(
    ("app", "code", "said"),
    [("dies:app", 9, "exit code 9"), ("killed:app", 1, "was killed by SIGKILL")],
)
def test_a_worker_that_dies_as_it_starts_ends_the_daemon(
    folder: Path, app: str, code: int, said: str
) -> None:
    with daemon(folder, app, "--bind", "127.0.0.1:0", "--workers", "2") as server:
        assert server.end() == code
    (line,) = server.errors.splitlines()
    assert line.startswith("tricorn: error: worker ")
    assert said in line


def test_addresses_are_told_once_and_the_supervisor_is_small(folder: Path) -> None:
    with workers(folder, "--workers", "2", "--pid-path", "pid") as site:
        (one, other), supervisor = site.said[0]
        assert site.server.errors.count(" speaks ") == 1
        assert supervisor == site.server.process.pid
        assert (folder / "pid").read_text() == f"{supervisor}\n"
        maps = Path(f"/proc/{supervisor}/maps").read_text()
        assert "_ssl" not in maps
        assert "_asyncio" not in maps
        assert "uvloop" not in maps
        assert _rss(supervisor) < 0.8 * _rss(one)
        site.server.send(signal.SIGTERM)
        assert site.server.end() == 0
        assert not is_alive(one)
        assert not is_alive(other)
    assert not (folder / "pid").exists()


def _rss(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1])


def test_auto_is_the_cores_the_process_may_use(folder: Path) -> None:
    with workers(folder, "--workers", "auto") as site:
        assert len(site.said[0][0]) == len(os.sched_getaffinity(0))


def test_workers_die_with_their_supervisor(folder: Path) -> None:
    with workers(folder, "--workers", "2") as site:
        (one, other), supervisor = site.said[0]
        os.kill(supervisor, signal.SIGKILL)
        eventually(lambda: not is_alive(one) and not is_alive(other), "workers live on")
        site.server.end()
    assert site.server.errors.count("the supervisor is gone") == 2
    assert "Traceback" not in site.server.errors


def test_a_script_may_name_the_application(folder: Path) -> None:
    """``run("module:attribute")`` is as the command; the script's directory is in the path."""
    script = folder / "scripts" / "serve.py"
    script.parent.mkdir()
    (script.parent / "its_app.py").write_text(APP)
    script.write_text(
        "import logging, tricorn\n"
        "logging.basicConfig(level=logging.INFO)\n"
        "if __name__ == '__main__':\n"
        "    tricorn.run('its_app:app', tricorn.Config(bind='127.0.0.1:0', workers=2))\n"
    )
    with daemon(folder, command=[sys.executable, str(script)]) as server:
        server.wait_for("2 workers (")
        server.send(signal.SIGTERM)
        assert server.end() == 0


def test_a_script_may_have_more_than_text_in_its_path(folder: Path) -> None:
    """Python passes over a ``Path`` there, which is often meant well."""
    (folder / "serve.py").write_text(
        "import pathlib, sys, tricorn.logs\n"
        "sys.path.insert(0, pathlib.Path('elsewhere'))\n"
        "config = tricorn.Config(bind='127.0.0.1:0')\n"
        "tricorn.logs.setup(config)\n"
        "tricorn.run('site_app:app', config)\n"
    )
    with daemon(folder, command=[sys.executable, "serve.py"]) as server:
        server.wait_for("1 worker (")
        server.send(signal.SIGTERM)
        assert server.end() == 0


def test_a_script_may_find_the_server_by_a_path_of_its_own(folder: Path) -> None:
    """A zipapp, or what it needs in a directory beside it: a new interpreter knows neither."""
    (folder / "serve.py").write_text(
        f"import sys\nsys.path[:0] = {[str(folder), *map(str, sys.path)]!r}\n"
        "import tricorn, tricorn.logs\n"
        "config = tricorn.Config(bind='127.0.0.1:0', workers=2)\n"
        "tricorn.logs.setup(config)\n"
        "tricorn.run('site_app:app', config)\n"
    )
    with daemon(folder, command=[sys.executable, "-I", "-S", "serve.py"]) as server:
        server.wait_for("2 workers (")
        server.send(signal.SIGTERM)
        assert server.end() == 0


@pytest.mark.parametrize("workers", ["0", "1"])
@pytest.mark.parametrize(
    "call",
    [
        "tricorn.run(app, CONFIG)", "tricorn.run('serves:app', CONFIG)",
        "anyio.run(tricorn.serve, app, CONFIG)",
    ],
    ids=["object", "name", "serve"],
)  # fmt: skip
def test_an_application_that_serves_where_it_is_imported(
    folder: Path, call: str, workers: str
) -> None:
    (folder / "serves.py").write_text(
        f"import anyio, tricorn\nCONFIG = tricorn.Config(bind='127.0.0.1:0')\n{APP}\n{call}\n"
    )
    with daemon(folder, "serves:app", "--bind", "127.0.0.1:0", "--workers", workers) as server:
        assert server.end() == 4
    assert " is called while 'serves:app' is imported" in server.errors.splitlines()[-1]
    assert " speaks " not in server.errors


def test_a_script_that_starts_itself_again_and_again(folder: Path) -> None:
    """Without ``if __name__ == "__main__"`` each worker would be a supervisor."""
    script = folder / "serves.py"
    script.write_text(
        f"import tricorn\n{APP}\n"
        "tricorn.run('serves:app', tricorn.Config(bind='127.0.0.1:0', workers=2))\n"
    )
    with daemon(folder, command=[sys.executable, str(script)]) as server:
        assert server.end() == 1
    assert "run() is called while 'serves:app' is imported" in server.errors.splitlines()[-1]


def test_an_imported_application_may_serve_in_a_thread(folder: Path) -> None:
    (folder / "site_app.py").write_text(
        f"import tricorn\n{APP}\n"
        "helper = tricorn.serve_in_thread(app, tricorn.Config(bind='127.0.0.1:0'))\n"
        "helper.close()\n"
    )
    with workers(folder) as site:
        assert len(re.findall(" speaks ", site.server.errors)) == 2


def test_an_application_object_has_no_workers(folder: Path) -> None:
    import tricorn
    from tricorn.exceptions import ConfigError

    async def app(scope: object, receive: object, send: object) -> None:
        raise AssertionError

    with pytest.raises(ConfigError, match="workers: expected 1 or 0 for an application object"):
        tricorn.run(app, tricorn.Config(workers=2))


def test_what_takes_a_supervisor_is_told_without_one() -> None:
    from tricorn import Config

    assert Config(max_requests=5, workers=1).warnings() == []
    (line,) = Config(max_requests=5, workers=0).warnings()
    assert line == "max_requests has no effect: workers = 0, so there is no supervisor"


@pytest.mark.parametrize("served", ["site_app.app", "'site_app:app'"], ids=["object", "name"])
def test_run_tells_what_has_no_effect(folder: Path, served: str) -> None:
    options = "bind='127.0.0.1:0', use_reloader=True, max_requests=5, daemon=True"
    workers = "" if served == "site_app.app" else ", workers=0"
    (folder / "serve.py").write_text(
        "import site_app, tricorn\n"
        "tricorn.logs.setup(tricorn.Config())\n"
        f"tricorn.run({served}, tricorn.Config({options}{workers}))\n"
    )
    with daemon(folder, command=[sys.executable, "serve.py"]) as server:
        server.wait_for(" speaks ")
        server.send(signal.SIGTERM)
        assert server.end() == 0
    lines = [line for line in server.errors.splitlines() if " has no effect: " in line]
    assert [line.split()[3] for line in lines] == ["daemon", "max_requests", "use_reloader"]
    assert lines[1].endswith("max_requests has no effect: workers = 0, so there is no supervisor")


def test_one_address_with_port_0_may_be_there_several_times(folder: Path) -> None:
    with workers(folder, "--bind", "127.0.0.1:0", "--insecure-bind", "127.0.0.1:0") as site:
        urls = re.findall(r"(http://\S+) speaks", site.server.errors)
        assert len(urls) == len(set(urls)) == 3


_WSGI = """
def app(environ, start_response):
    start_response("200 OK", [])
    return [str(environ["wsgi.multiprocess"]).encode()]
"""


@pytest.mark.parametrize(
    ("count", "mounted", "several"), [(0, False, False), (1, False, True), (2, True, True)]
)
def test_wsgi_application_is_told_of_other_workers(
    tmp_path: Path, count: int, mounted: bool, several: bool
) -> None:
    """Of one that SIGTTIN or a reload starts, too, however long it runs itself."""
    (tmp_path / "site_app.py").write_text(_WSGI)
    mounts = ("--mounts", '[{"path": "/", "application": "site_app:app"}]')
    argv = ("--bind", "127.0.0.1:0", "--workers", str(count))
    with daemon(tmp_path, *(mounts if mounted else ("site_app:app",)), *argv) as server:
        assert Workers(server).get() == str(several)
