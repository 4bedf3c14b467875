"""What supervisor and workers agree on, and what of the environment is the supervisor's alone."""

from __future__ import annotations

import json
import os
import signal
import sys

#: Makes a worker write the stacks of its threads to standard error, and go on.
DUMP_SIGNAL = signal.SIGQUIT
#: Seconds a cancelled application is waited for (in the worker), and a killed one to end.
CUT_TIME = 5.0

#: Where a supervisor that takes over finds what it is given (see `supervisor_handover`). Not
#: among TRICORN_ variables, which are options.
HANDOVER = "_TRICORN_HANDOVER"
# Where a worker finds the path of modules.
_PATH = "_TRICORN_PATH"
# What systemd said was for the supervisor.
_OWN = ("NOTIFY_SOCKET", "WATCHDOG_USEC", HANDOVER)
# What starts a worker where a new interpreter would look for us in vain.
_BY_PATH = (
    f"import json, os, sys; sys.path[:] = json.loads(os.environ.pop({_PATH!r})); "
    "from tricorn.worker_process import main; sys.exit(main())"
)


def is_command() -> bool:
    """Whether this is the ``tricorn`` command, and no program of somebody else's."""
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    file = os.path.basename(getattr(main, "__file__", None) or "")
    return getattr(spec, "name", None) == "tricorn.__main__" or file == "tricorn"


def worker_command() -> tuple[list[str], dict[str, str]]:
    """What has a new interpreter be a worker: its arguments, and its environment.

    A program may have found us by a path that is its own: a zipapp, a directory of what it needs
    that it put into ``sys.path``.
    """
    if is_command():
        return ["-m", "tricorn.worker_process"], for_worker()
    path = json.dumps([entry for entry in sys.path if isinstance(entry, str)])
    return ["-c", _BY_PATH], {**for_worker(), _PATH: path}


def for_worker() -> dict[str, str]:
    """The environment of a worker."""
    return {name: value for name, value in os.environ.items() if name not in _OWN}
