"""The HTTP/1.1 slot filled by Tricorn's own compiled codec, where it has been built.

Importing this module without it raises ImportError.
"""

from __future__ import annotations

from tricorn.codecs._http1 import CompiledHTTP1Codec

#: Where it is from, as the start lines and ``--version`` tell.
LIBRARY = "Tricorn's own"

__all__ = ["LIBRARY", "CompiledHTTP1Codec"]
