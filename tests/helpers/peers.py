"""Other servers and frameworks, which some tests compare with.

They are skipped where these are not installed. ``TRICORN_TEST_PEERS=1`` in the environment says
that they are, as in a stage of CI: then one that is missing is an error.
"""

from __future__ import annotations

import importlib
import os
import warnings
from typing import Any

import pytest

# A server would take the variable for an option that there is not.
os.environ["TEST_PEERS"] = os.environ.pop("TRICORN_TEST_PEERS", os.environ.get("TEST_PEERS", "0"))


def peer_module(name: str) -> Any:
    """The module; skips where it is not installed and need not be."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they warn about is theirs
        if os.environ["TEST_PEERS"] == "1":
            return importlib.import_module(name)
        return pytest.importorskip(name)
