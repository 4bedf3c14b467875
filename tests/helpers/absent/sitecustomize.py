"""Makes what is compiled look as if it were not installed.

Every Python that has this directory in its PYTHONPATH imports it as it starts; see
``helpers.codecs``.
"""

from __future__ import annotations

import sys

ABSENT = {
    "httptools",
    "tricorn.codecs._http1",
    "tricorn.codecs._nghttp2",
    "tricorn.codecs._websocket",
}


class Absence:
    """A finder that is asked before all others."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        """Refuse what is absent; the other finders know the rest."""
        if name in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Absence)  # type: ignore[arg-type]  # a class does as well
