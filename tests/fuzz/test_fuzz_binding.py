"""The compiled HTTP/2 codec: whatever is done to it, the process lives and nothing is left."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.codecs import present

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif("nghttp2" not in present("http2"), reason="built without libnghttp2")
@pytest.mark.parametrize("seed", [1, 20_000])
def test_the_interpreter_lives(seed):
    # In a process of its own: a crash is a finding, and no end of the tests.
    command = [sys.executable, "-m", "compliance.fuzzing.binding"]
    done = subprocess.run(
        [*command, "--rounds", "400", "--seed", str(seed)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "400 conversations, 0 codecs left" in done.stdout
