"""TOML files as editors leave them, those of Windows too."""

from __future__ import annotations

import os
import tomllib
from typing import Any


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The top level of a TOML file, with or without a byte order mark.

    :raises OSError: if it cannot be read.
    :raises ValueError: if it is not valid TOML, in one line.
    """
    with open(path, "rb") as file:
        data = file.read()
    # With a mark or, as TOML begins with an ASCII character, without one.
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or data[:2].count(0) == 1:
        raise ValueError("it is in UTF-16 and must be in UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise ValueError(f"byte 0x{data[exc.start]:02x} in line {line} is not UTF-8") from None
    return tomllib.loads(text)
