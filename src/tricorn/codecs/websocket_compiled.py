"""The WebSocket slot filled by Tricorn's own compiled codec, where it has been built.

Importing this module without it raises ImportError.
"""

from __future__ import annotations

from typing import Final

from tricorn.codecs._websocket import CompiledCodec

#: Where it is from, as the start lines and ``--version`` tell.
LIBRARY: Final = "Tricorn's own"

__all__ = ["LIBRARY", "CompiledCodec"]
