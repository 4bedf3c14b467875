"""Variables of the shell, specifiers of systemd, expressions of supervisord: what nobody knows.

In a value such a variable stands as it was typed, ``$PORT`` or ``%t``, between two marks. What is
made of the value holds it too, so that advice about it is in words of ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

UNKNOWN = re.compile("\ue000([^\ue001]*)\ue001")
# What would part a value stands between the marks for something else: ${PORT:-80} is one word.
_VEILED = {char: chr(0xE100 + char) for char in range(128) if not chr(char).isalnum()}
_PLAIN = {ord(veiled): char for char, veiled in _VEILED.items()}


def mark(variable: str) -> str:
    """A variable, as it was typed, between the marks."""
    return f"\ue000{variable.translate(_VEILED)}\ue001"


def unknown_in(value: object) -> list[str]:
    """The variables in a text, or in the texts of a list or table, each once."""
    if isinstance(value, str):
        return list(dict.fromkeys(found.translate(_PLAIN) for found in UNKNOWN.findall(value)))
    items: Iterable[object] = ()
    if isinstance(value, dict):
        items = value.values()
    elif isinstance(value, list | tuple):
        items = value
    return list(dict.fromkeys(name for item in items for name in unknown_in(item)))


def readable(text: str) -> str:
    """The text with its variables as they were typed."""
    return UNKNOWN.sub(lambda found: found[1].translate(_PLAIN), text)


def who_fills_in(variables: Iterable[str]) -> str:
    """The variables, and who knows their values, in words."""
    names = list(dict.fromkeys(variables))
    who = list(dict.fromkeys(_who(name) for name in names))
    return f"{', '.join(names)}, which {' and '.join(who)} fill{'s' * (len(who) == 1)} in"


def _who(name: str) -> str:
    if name.startswith("%("):
        return "supervisord"
    return "systemd" if name[0] == "%" else "the shell"
