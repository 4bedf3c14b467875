"""Messages between supervisor and worker."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import tricorn.exceptions
from helpers.codecs import python_path

SOURCE = Path(tricorn.exceptions.__file__).parents[1]

# The main thread is amid a message for which there is no room, when a signal comes whose handler
# sends one as well.
_INTERRUPTED = """
import linecache, signal, sys, threading, time
from tricorn.control_channel import Channel

ours, theirs = Channel.pair()
handled = threading.Event()

def handle(number, frame):
    ours.send("draining")
    handled.set()

def is_amid():
    frame = sys._current_frames()[threading.main_thread().ident]
    return "sendall(" in linecache.getline(frame.f_code.co_filename, frame.f_lineno)

def disturb():
    while not is_amid():
        time.sleep(0.001)
    signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)
    handled.wait()
    while not any(message["type"] == "ready" for message in theirs.receive(wait=True)):
        pass

signal.signal(signal.SIGTERM, handle)
while ours.send("heartbeat", requests=0):
    pass
threading.Thread(target=disturb).start()
print(ours.send("ready", wait=True))
"""


def test_a_signal_handler_may_send_amid_a_message() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED],
        env={"PYTHONPATH": python_path(SOURCE)},
        stdout=subprocess.PIPE,
        text=True,
        timeout=20,
        check=True,
    )
    assert done.stdout == "True\n"
