"""Who the serving processes are: user, group and umask.

A process started as root binds its addresses and reads its keys, then calls `drop` and is
root no more. Unix sockets and log files are given to the user before, so that the sockets
can be reached and the files opened anew after a rotation.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pwd
import stat

from tricorn.config import Config
from tricorn.exceptions import ConfigError

_log = logging.getLogger("tricorn.error")


def user_id(user: str | int | None) -> int:
    """The number of a user given by name or number; -1 for None, as ``os.chown`` takes it.

    :raises ConfigError: if there is no user of that name.
    """
    if user is None or isinstance(user, int):
        return -1 if user is None else user
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        raise ConfigError(f"user: expected a user of this system, got {user!r}") from None


def group_id(group: str | int | None) -> int:
    """The number of a group given by name or number; -1 for None, as ``os.chown`` takes it.

    :raises ConfigError: if there is no group of that name.
    """
    if group is None or isinstance(group, int):
        return -1 if group is None else group
    import grp  # not above: few ask for a group

    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise ConfigError(f"group: expected a group of this system, got {group!r}") from None


# The umask that this process was started with, once it has another one.
_first_umask = -1


def take_umask(config: Config) -> None:
    """Have ``umask`` hold for all files from now on; without it what was there at the start."""
    global _first_umask
    wanted = wanted_umask(config.umask)
    if wanted < 0:
        return
    former = os.umask(wanted)
    if _first_umask < 0:
        _first_umask = former


def wanted_umask(umask: int | None) -> int:
    """What the option asks for, None being the one at the start; -1 for what this process has."""
    return _first_umask if umask is None else umask


def current_umask() -> int:
    """The umask of this process, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def first_umask() -> int:
    """The umask for a new process that will read the options itself; as `subprocess` takes it."""
    return _first_umask


def drop(config: Config) -> bool:
    """Make this process what ``user``, ``group`` and ``umask`` ask for; there is no way back.

    Returns whether it was root and is another user now.

    Without ``group`` the groups are those of ``user``; without ``user`` only the group
    changes. ``HOME``, ``USER`` and ``LOGNAME`` become the user's. A process that is not root
    keeps its user; a warning says so where another one is asked for.

    Threads of the process change with it. On Linux the signal asked for with
    PR_SET_PDEATHSIG is forgotten: ask for it again.

    :raises ConfigError: if there is no such user or group, or the system refuses.
    """
    take_umask(config)
    if config.user is None and config.group is None:
        return False
    uid, gid, account = _wanted(config)
    if os.geteuid() != 0:
        _warn_if_other(config, uid, gid)
        return False
    hand_over_logs(config)
    _become(config, uid, gid, account)
    if account is not None:
        os.environ.update(HOME=account.pw_dir, USER=account.pw_name, LOGNAME=account.pw_name)
    return uid > 0


def _wanted(config: Config) -> tuple[int, int, pwd.struct_passwd | None]:
    uid, gid = user_id(config.user), group_id(config.group)
    account = _account(uid)
    return uid, gid if gid >= 0 else _group_of(config, account), account


def _account(uid: int) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(uid) if uid >= 0 else None
    except KeyError:
        return None  # a number without a name is as good


def _group_of(config: Config, account: pwd.struct_passwd | None) -> int:
    if account is None:
        raise ConfigError(f"group: user {config.user!r} has no account, so its group is needed")
    return account.pw_gid


def _warn_if_other(config: Config, uid: int, gid: int) -> None:
    if uid in (-1, os.geteuid()) and gid in (os.getegid(), *os.getgroups()):
        return
    wanted = " ".join(
        f"{name} = {value!r}"
        for name, value in (("user", config.user), ("group", config.group))
        if value is not None
    )
    _log.warning("%s: this process is not root and stays user %d", wanted, os.geteuid())


def hand_over_logs(config: Config) -> None:
    """Give the log files to ``user`` and ``group``, if we are root; made where missing.

    Only plain files of root: who may write to their directory could have put a link there
    that leads to somebody else's file.

    :raises ConfigError: if there is no such user or group.
    """
    if os.geteuid() != 0 or (config.user is None and config.group is None):
        return
    uid, gid, _ = _wanted(config)
    for path in (config.accesslog, config.errorlog):
        if path is None or path == "-":
            continue
        # What cannot be opened here is told by whoever opens it to write.
        with contextlib.suppress(OSError):
            # Not blocking: it might be a pipe that nobody reads.
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
            fd = os.open(path, flags, 0o666)
            try:
                found = os.fstat(fd)
                if stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_uid == 0:
                    os.fchown(fd, uid, gid)
            finally:
                os.close(fd)


def _become(config: Config, uid: int, gid: int, account: pwd.struct_passwd | None) -> None:
    try:
        if account is not None:
            os.initgroups(account.pw_name, gid)
        else:
            os.setgroups([gid])
        # Groups first: afterwards we would not be allowed to.
        os.setgid(gid)
        if uid >= 0:
            os.setuid(uid)
    except OSError as exc:
        who = f"user = {config.user!r}" if config.user is not None else f"group = {config.group!r}"
        raise ConfigError(f"{who}: the system refuses the change: {exc.strerror}") from None
    if uid > 0:
        try:
            os.setuid(0)
        except PermissionError:
            return
        raise ConfigError(f"user = {config.user!r}: the process could become root again")
