"""Dropping root: in a process of its own, where the tests run as root."""

from __future__ import annotations

import grp
import json
import os
import pwd
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import anyio
import pytest

import tricorn.exceptions
from tricorn.config import Config
from tricorn.exceptions import ConfigError
from tricorn.privileges import drop, group_id, user_id

SOURCE = Path(tricorn.exceptions.__file__).parents[1]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

_SCRIPT = """
import json, os, stat, sys
from tricorn.config import Config
from tricorn.exceptions import ConfigError
from tricorn.io.listener import bind_all
from tricorn.privileges import drop
config = Config(**json.loads(sys.argv[1]))
listeners = bind_all(config)
try:
    drop(config)
except ConfigError as exc:
    print(json.dumps(str(exc)))
    sys.exit()
def refused(call, *args):
    try:
        call(*args)
    except PermissionError:
        return True
    return False
seen = os.umask(0)
print(json.dumps({
    "uids": os.getresuid(), "gids": os.getresgid(), "groups": sorted(os.getgroups()),
    "umask": seen, "home": os.environ["HOME"], "user": os.environ["USER"],
    "no_way_back": refused(os.setuid, 0) and refused(os.setgroups, [0]),
}))
"""

# A supervisor, which stays root, and its worker; each says when the other may go on.
_ROTATION = """
import logging, os, sys
from tricorn import logs
from tricorn.config import Config
from tricorn.privileges import drop
access, error = sys.argv[2:]
config = Config(user=sys.argv[1], accesslog=access, errorlog=error)
logs.setup(config)
to_worker, to_supervisor = os.pipe(), os.pipe()
if not os.fork():
    drop(config)
    logging.getLogger(logs.ACCESS).info("before")
    logs.shutdown()
    os.write(to_supervisor[1], b"x")
    os.read(to_worker[0], 1)
    logs.reopen()
    logs.shutdown()  # what is queued before that is written belongs to the old file
    logging.getLogger(logs.ACCESS).info("behind")
    logs.shutdown()
    os._exit(0)
os.read(to_supervisor[0], 1)
os.rename(access, access + ".1")
os.rename(error, error + ".1")
REOPEN
os.write(to_worker[1], b"x")
os.wait()
"""


def dropped(folder: Path, **options: Any) -> Any:
    """What a process found after dropping, or the text of its error."""
    options = {"bind": f"unix:{folder / 'web.sock'}"} | options
    result = subprocess.run(
        [sys.executable, "-c", _SCRIPT, json.dumps(options)],
        env={"PYTHONPATH": str(SOURCE), "HOME": "/root", "USER": "root"},
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert result.stderr == ""
    return json.loads(result.stdout)


@pytest.fixture
def account() -> pwd.struct_passwd:
    """Some account that is not root."""
    return pwd.getpwnam("nobody")


@as_root
@pytest.mark.parametrize("by_number", [False, True], ids=["name", "number"])
def test_user(tmp_path: Path, account: pwd.struct_passwd, by_number: bool) -> None:
    user = account.pw_uid if by_number else account.pw_name
    found = dropped(tmp_path, user=user)
    assert found["uids"] == [account.pw_uid] * 3
    assert found["gids"] == [account.pw_gid] * 3
    assert found["groups"] == sorted(set(os.getgrouplist(account.pw_name, account.pw_gid)))
    assert found["no_way_back"]
    assert (found["home"], found["user"]) == (account.pw_dir, account.pw_name)


@as_root
def test_group_of_its_own(tmp_path: Path, account: pwd.struct_passwd) -> None:
    group = grp.getgrnam("daemon")
    found = dropped(tmp_path, user=account.pw_name, group="daemon", umask=0o027)
    assert found["gids"] == [group.gr_gid] * 3
    assert group.gr_gid in found["groups"]
    assert 0 not in found["groups"]
    assert found["umask"] == 0o027
    path = (tmp_path / "web.sock").stat()
    assert (path.st_uid, path.st_gid) == (account.pw_uid, group.gr_gid)
    assert path.st_mode & 0o777 == 0o777 & ~0o027


@as_root
def test_numbers_without_an_account(tmp_path: Path) -> None:
    found = dropped(tmp_path, user=54321, group=54322)
    assert found["uids"] == [54321] * 3
    assert found["gids"] == [54322] * 3
    assert found["groups"] == [54322]
    assert found["home"] == "/root"
    assert "its group is needed" in dropped(tmp_path, user=54321)


@as_root
def test_only_the_group(tmp_path: Path) -> None:
    found = dropped(tmp_path, group="daemon")
    assert found["uids"] == [0, 0, 0]
    assert found["gids"] == [grp.getgrnam("daemon").gr_gid] * 3
    assert found["groups"] == [grp.getgrnam("daemon").gr_gid]


@as_root
def test_log_files_are_handed_over(tmp_path: Path, account: pwd.struct_passwd) -> None:
    """The user can open them anew; what a link leads to stays as it is."""
    secret = tmp_path / "secret"
    secret.write_text("x")
    access, error = tmp_path / "access.log", tmp_path / "error.log"
    access.write_text("an old line\n")
    error.symlink_to(secret)
    dropped(tmp_path, user=account.pw_name, accesslog=str(access), errorlog=str(error))
    assert access.stat().st_uid == account.pw_uid
    assert access.read_text() == "an old line\n"
    assert secret.stat().st_uid == 0
    error.unlink()
    dropped(tmp_path, user=account.pw_name, errorlog=str(error))
    assert error.stat().st_uid == account.pw_uid
    error.unlink()
    os.link(secret, error)
    dropped(tmp_path, user=account.pw_name, errorlog=str(error))
    assert secret.stat().st_uid == 0


@as_root
@pytest.mark.parametrize(
    "reopen",
    ["logs.reopen()", "logging.getLogger(logs.ERROR).error('a line'); logs.shutdown()"],
    ids=["asked", "noticed"],
)
def test_rotated_log_files_are_handed_over(account: pwd.struct_passwd, reopen: str) -> None:
    """Where the directory is root's, only root can make the new file."""
    with tempfile.TemporaryDirectory() as name:  # pytest's own is for root alone
        os.chmod(name, 0o755)
        access = Path(name, "access.log")
        result = subprocess.run(
            [sys.executable, "-c", _ROTATION.replace("REOPEN", reopen),
             account.pw_name, str(access), str(Path(name, "error.log"))],
            env={"PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, timeout=30, check=True,
        )  # fmt: skip
        assert result.stderr == ""
        assert access.stat().st_uid == account.pw_uid
        assert access.read_text() == "behind\n"
        assert Path(name, "access.log.1").read_text() == "before\n"


def readable_for(user: int, *folders: Path) -> bool:
    """Whether a process of the user, once it is started, can import from them."""
    script = (
        "import os, sys; os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[1]))\n"
        "sys.exit(not all(os.access(name, os.R_OK | os.X_OK) for name in sys.argv[2:]))\n"
    )
    command = [sys.executable, "-c", script, str(user), *map(str, folders)]
    return subprocess.run(command, timeout=30).returncode == 0


@as_root
def test_not_root(tmp_path: Path, account: pwd.struct_passwd) -> None:
    """One who is not root stays who he is, and is told."""
    script = (
        "import os, sys; os.setgid(54322); os.setuid(54321)\n"
        "from tricorn.config import Config; from tricorn.privileges import drop\n"
        "drop(Config(user=sys.argv[1])); print(os.getuid())\n"
    )
    needed = [SOURCE / "tricorn", *(Path(module.__file__).parent for module in (os, anyio))]
    if not readable_for(54321, *needed):
        pytest.skip("the source, or what it needs, is not readable for others")
    result = subprocess.run(
        [sys.executable, "-c", script, account.pw_name],
        env={"PYTHONPATH": str(SOURCE)},
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert result.stdout == "54321\n"
    line = f"user = {account.pw_name!r}: this process is not root and stays user 54321\n"
    assert result.stderr == line


def test_unknown_names() -> None:
    with pytest.raises(ConfigError, match="user: expected a user of this system, got 'nobody-x'"):
        user_id("nobody-x")
    with pytest.raises(ConfigError, match="group: expected a group of this system"):
        group_id("nobody-x")
    with pytest.raises(ConfigError, match="user"):
        drop(Config(user="nobody-x"))


def test_nothing_asked_for() -> None:
    before = os.getresuid(), os.getresgid(), os.getgroups()
    drop(Config())
    assert (os.getresuid(), os.getresgid(), os.getgroups()) == before
