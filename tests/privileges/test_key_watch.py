"""The supervisor's look at keys that its workers cannot read any more."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import trustme

from helpers.daemon import daemon
from helpers.serving import eventually
from tricorn.config import Config
from tricorn.supervisor_certificates import KeyWatch


@pytest.fixture
def pair(tmp_path: Path) -> dict[str, Any]:
    for name in ("c.pem", "k.pem"):
        (tmp_path / name).write_text(name)
    return {"certfile": str(tmp_path / "c.pem"), "keyfile": str(tmp_path / "k.pem")}


@pytest.fixture
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def test_only_where_workers_give_up_root(
    pair: dict[str, Any], as_root: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert KeyWatch.create(Config(user=4711)) is None
    assert KeyWatch.create(Config(**pair)) is None
    assert KeyWatch.create(Config(**pair, user=0)) is None
    assert KeyWatch.create(Config(**pair, user=4711, certificate_watch=None)) is None
    watch = KeyWatch.create(Config(**pair, user=4711))
    assert watch is not None
    assert KeyWatch.create(Config(**pair, user=4711, workers=3), watch) is watch
    assert KeyWatch.create(Config(**pair, user=4711, certificate_watch=1), watch) is not watch
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    assert KeyWatch.create(Config(**pair, user=4711)) is None


def test_a_change_is_told_once_it_holds_still(
    pair: dict[str, Any], tmp_path: Path, as_root: None
) -> None:
    extra = tmp_path / "b.pem"
    extra.write_text("b")
    table = {"names": ["b.example"], "certfile": str(extra), "keyfile": str(extra)}
    watch = KeyWatch.create(Config(**pair, user=4711, certificates=[table]))
    assert watch is not None
    assert watch.changed(100.0) == ""
    extra.write_text("bb")
    assert watch.changed(109.9) == "", "a look every 10 s"
    assert watch.changed(110.0) == "", "it has just changed"
    Path(pair["keyfile"]).write_text("kk")
    assert watch.changed(110.5) == "", "it is still changing"
    assert watch.changed(111.0) == f"{pair['keyfile']}, {extra} changed"
    assert watch.changed(130.0) == ""
    Path(pair["keyfile"]).unlink()
    assert watch.changed(140.0) == ""
    assert watch.changed(140.5) == f"{pair['keyfile']} changed"


def test_a_change_that_failed_is_told_again(pair: dict[str, Any], as_root: None) -> None:
    config = Config(**pair, user=4711)
    watch = KeyWatch.create(config)
    assert watch is not None
    watch.begins()
    watch.failed()  # a reload for another reason
    assert watch.changed(100.0) == ""
    Path(pair["keyfile"]).write_text("kk")
    assert watch.changed(110.0) == ""
    assert watch.changed(110.5)
    watch.begins()
    watch.failed()
    assert watch.changed(120.4) == ""
    assert watch.changed(130.4) == f"{pair['keyfile']} changed"
    watch.begins()
    watch.failed()
    assert watch.changed(150.3) == "", "each time later"
    assert watch.changed(160.3)
    watch.begins()
    watch.failed()
    # Another change is told at once; and what the workers have is not told again.
    Path(pair["keyfile"]).write_text("kkk")
    assert watch.changed(170.3) == ""
    assert watch.changed(170.4)
    watch.begins()
    assert KeyWatch.create(config, watch) is watch
    watch.begins()
    watch.failed()
    assert watch.changed(200.0) == ""


def test_what_another_reload_has_brought_is_not_told(pair: dict[str, Any], as_root: None) -> None:
    config = Config(**pair, user=4711)
    watch = KeyWatch.create(config)
    assert watch is not None
    Path(pair["keyfile"]).write_text("kk")
    assert watch.changed(100.0) == ""
    assert watch.changed(100.5)
    watch.begins()
    watch.failed()
    watch.begins()  # SIGHUP
    assert KeyWatch.create(config, watch) is watch
    assert watch.changed(200.0) == ""


def test_a_change_that_waits_for_another_reload(pair: dict[str, Any], as_root: None) -> None:
    """It is told again where its own reload fails, though the other came about."""
    config = Config(**pair, user=4711)
    watch = KeyWatch.create(config)
    assert watch is not None
    watch.begins()  # SIGHUP
    Path(pair["keyfile"]).write_text("kk")
    assert watch.changed(100.0) == ""
    assert watch.changed(100.5)
    assert KeyWatch.create(config, watch) is watch
    watch.begins()
    assert watch.changed(111.0) == "", "it is under way"
    watch.failed()
    assert watch.changed(200.0) == f"{pair['keyfile']} changed"


_SCRIPT = """
import os, sys
from tricorn import supervisor_certificates
from tricorn.cli import main
os.geteuid = lambda: 0
supervisor_certificates.user_id = lambda user: 4711
sys.exit(main(sys.argv[1:]))
"""


def renew(folder: Path, authority: trustme.CA) -> None:
    issued = authority.issue_cert("a.example")
    issued.cert_chain_pems[0].write_to_path(folder / "c.pem")
    issued.private_key_pem.write_to_path(folder / "k.pem")


def test_a_renewal_comes_once_the_application_is_right_again(tmp_path: Path) -> None:
    """The supervisor takes itself for root, and the user of its workers for another one."""
    authority = trustme.CA()
    renew(tmp_path, authority)
    app = tmp_path / "site_app.py"
    app.write_text("async def app(scope, receive, send): raise NotImplementedError\n")
    argv = ("site_app:app", "--bind", "127.0.0.1:0", "--lifespan", "off", "--user",
            str(os.getuid()), "--certfile", "c.pem", "--keyfile", "k.pem", "--certificate-watch",
            "0.1")  # fmt: skip
    with daemon(tmp_path, *argv, command=(sys.executable, "-c", _SCRIPT)) as server:
        server.wait_for(" below supervisor ")
        app.write_text("def app(:\n")
        renew(tmp_path, authority)
        server.wait_for("changed: the reload failed")
        app.write_text("async def app(scope, receive, send): raise NotImplementedError\n")
        server.wait_until(lambda said: said.count(" below supervisor ") == 2)


_SLOW = """
import os, time
if os.path.exists("slow"):
    open("caught", "w").close()
    while os.path.exists("slow"):
        time.sleep(0.01)
async def app(scope, receive, send): raise NotImplementedError
"""


def test_a_renewal_while_another_configuration_starts_is_not_lost(tmp_path: Path) -> None:
    """Its workers have read the former keys; the watch is another one from then on."""
    authority = trustme.CA()
    renew(tmp_path, authority)
    (tmp_path / "site_app.py").write_text(_SLOW)
    settings = tmp_path / "tricorn.toml"
    settings.write_text("certificate_watch = 0.1\n")
    argv = ("site_app:app", "--bind", "127.0.0.1:0", "--lifespan", "off", "--user",
            str(os.getuid()), "--certfile", "c.pem", "--keyfile", "k.pem")  # fmt: skip
    with daemon(tmp_path, *argv, command=(sys.executable, "-c", _SCRIPT)) as server:
        server.wait_for(" below supervisor ")
        (tmp_path / "slow").touch()
        settings.write_text("certificate_watch = 0.05\n")
        server.send(signal.SIGHUP)
        eventually((tmp_path / "caught").exists)
        renew(tmp_path, authority)
        (tmp_path / "slow").unlink()
        server.wait_until(lambda said: said.count(" below supervisor ") == 3)
