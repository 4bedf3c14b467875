"""The codecs that tests run with.

``TRICORN_TEST_CODECS=pure`` in the environment hides the compiled codecs and what they need, in
the tests and in the servers that they start, as if they were not installed.
"""

from __future__ import annotations

import os
import runpy
from pathlib import Path

from tricorn.codecs import choice

# A server would take the variable for an option that there is not.
os.environ["TEST_CODECS"] = os.environ.pop(
    "TRICORN_TEST_CODECS", os.environ.get("TEST_CODECS", "all")
)

#: By slot; they come with tricorn itself.
PURE = {"http1": "h11", "http2": "h2", "websocket": "wsproto"}
ONLY_PURE = os.environ["TEST_CODECS"] == "pure"

_ABSENT = Path(__file__).parent / "absent"


def present(slot: str) -> list[str]:
    """Names of the slot's codecs that can be tested here, the fastest first."""
    return [PURE[slot]] if ONLY_PURE else choice.available()[slot]


def python_path(*folders: Path) -> str:
    """PYTHONPATH for a process with these folders."""
    return os.pathsep.join(map(str, [_ABSENT, *folders] if ONLY_PURE else folders))


def hide_compiled() -> None:
    """Make all codecs but the pure ones absent, here and in processes that are started."""
    inherited = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = python_path(*([Path(inherited)] if inherited else []))
    runpy.run_path(str(_ABSENT / "sitecustomize.py"))
    assert choice.available() == {slot: [name] for slot, name in PURE.items()}
