"""What supervisor and workers agree on, and what of the environment is the supervisor's alone."""

from __future__ import annotations

import os
import signal

#: Makes a worker write the stacks of its threads to standard error, and go on.
DUMP_SIGNAL = signal.SIGQUIT
#: Seconds a cancelled application is waited for (in the worker), and a killed one to end.
CUT_TIME = 5.0

#: Where a supervisor that takes over finds what it is given (see `supervisor_handover`). Not
#: among TRICORN_ variables, which are options.
HANDOVER = "_TRICORN_HANDOVER"
# What systemd said was for the supervisor.
_OWN = ("NOTIFY_SOCKET", "WATCHDOG_USEC", HANDOVER)


def for_worker() -> dict[str, str]:
    """The environment of a worker."""
    return {name: value for name, value in os.environ.items() if name not in _OWN}
