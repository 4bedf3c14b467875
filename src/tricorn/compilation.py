"""The compiled driver: marks for its compiler, mypyc, and whether it is in use.

`hatch_build.py` names the modules that make it up. Without it they are interpreted as they stand,
and the marks mean nothing.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

__all__ = ["driver", "mypyc_attr"]

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr
else:

    def mypyc_attr(**_):
        """The class as it is."""
        return lambda cls: cls


def driver() -> str:
    """``compiled`` or ``interpreted``; nothing is imported."""
    found = importlib.util.find_spec("tricorn._driver__mypyc")
    return "interpreted" if found is None else "compiled"
