"""What peers sent, in sentences for the log: quoted, cut short, and apart from the sentence.

Whoever picks a value must neither pick how much is written nor how often.
"""

from __future__ import annotations

import re
from typing import Final

_LONGEST: Final = 80  # bytes of a value
_LONGEST_SENTENCE: Final = 200

# From the first quote on, for a library may quote what holds quotes itself; and numbers.
_PARTICULARS: Final = re.compile(r"""(?<!\w)b?["'].*|[0-9]+""", re.DOTALL)


def quoted(value: bytes | None) -> str:
    """A value as Python writes it, the beginning of a long one."""
    if value is None or len(value) <= _LONGEST:
        return repr(value)
    return f"{value[:_LONGEST]!r}..."


def shortened(sentence: str) -> str:
    """The sentence of a library, which may quote a value whole."""
    if len(sentence) <= _LONGEST_SENTENCE:
        return sentence
    return f"{sentence[:_LONGEST_SENTENCE]}..."


def kind_of(sentence: str) -> str:
    """What sentences that differ in quoted values and numbers have in common."""
    return _PARTICULARS.sub("", sentence)
