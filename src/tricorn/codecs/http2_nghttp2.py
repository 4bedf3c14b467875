"""The HTTP/2 slot on libnghttp2: the compiled codec, under the name that others import.

:raises ImportError: on import, where the extension was not built.
"""

from __future__ import annotations

from tricorn.codecs._nghttp2 import LIBRARY, Nghttp2Codec

__all__ = ["LIBRARY", "Nghttp2Codec"]
