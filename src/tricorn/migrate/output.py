"""``tricorn.toml`` as text, and its safe way into a file."""

from __future__ import annotations

import contextlib
import os
import tempfile
import textwrap
from collections.abc import Iterable, Mapping
from itertools import groupby

from tricorn.config import OPTIONS
from tricorn.config_docs import option_toml
from tricorn.exceptions import ConfigError
from tricorn.migrate.table import Draft, Entry, Peer

_WIDTH = 98


def render(
    peer: Peer, entries: Mapping[str, Entry], draft: Draft, notes: Iterable[str], kept: bool
) -> str:
    """The file: options grouped as in the reference, then what is not in them, as comments.

    ``notes`` are further lines about the migration; ``kept`` whether the peer's defaults are
    among ``entries``.
    """
    lines = _comment(
        f"Made by tricorn migrate from {peer.title}. Behind each option stands what it was "
        "made from. Look at it with: tricorn --check-config"
    )
    for section, names in groupby(entries, key=lambda name: OPTIONS[name].section):
        lines += ["", f"# ---- {section}"]
        for name in names:
            entry = entries[name]
            if entry.note:
                lines += _comment(entry.note)
            row = OPTIONS[name]
            if row.inert:
                lines += _comment(f"No effect: {row.inert}.")
            value = option_toml(row, entry.value)
            lines.append(f"{name} = {value}  # {_line(entry.origin)}")
    lines += _tail("Not taken over", [f"{origin}: {reason}" for origin, reason in draft.left_out])
    lines += _tail("Also", notes)
    if not kept:
        lines += _tail(
            f"Other defaults (with --keep-defaults those of {peer.title} are written)",
            [_difference(peer, name, entry) for name, entry in sorted(draft.defaults.items())],
        )
    lines += _tail(f"Other behaviour than {peer.title}'s", peer.changes)
    return "\n".join(lines) + "\n"


def _difference(peer: Peer, name: str, entry: Entry) -> str:
    row = OPTIONS[name]
    theirs, ours = (option_toml(row, value) for value in (entry.value, row.default))
    return f"{name} = {theirs} with {peer.title}, {ours} here"


def _tail(title: str, items: Iterable[str]) -> list[str]:
    lines: list[str] = []
    for item in items:
        lines += textwrap.wrap(
            _line(item), _WIDTH, initial_indent="# - ", subsequent_indent="#   ",
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
    return ["", f"# ---- {title}", *lines] if lines else []


def _comment(text: str) -> list[str]:
    return textwrap.wrap(_line(text), _WIDTH, initial_indent="# ", subsequent_indent="# ")


def _line(text: str) -> str:
    """`text` in one line of characters that TOML allows in a comment."""
    return "".join(char if char.isprintable() else " " for char in text)


def write(path: str, text: str, *, force: bool, private: bool) -> None:
    """Write the file whole or not at all; over an existing one only with `force`.

    `private` files can be read by their owner alone. Raises `ConfigError`.
    """
    target = os.path.realpath(path)
    if not force and os.path.lexists(path):
        raise _exists(path)
    try:
        number, draft = tempfile.mkstemp(prefix=".tricorn-", dir=os.path.dirname(target))
    except OSError as exc:
        raise ConfigError(f"cannot write {path}: {exc.strerror}") from None
    try:
        with os.fdopen(number, "w", encoding="utf-8") as file:
            file.write(text)
        if not private:
            os.chmod(draft, 0o666 & ~_umask())
        if force:
            os.replace(draft, target)
        else:
            os.link(draft, target)  # fails where somebody else was first
    except FileExistsError:
        raise _exists(path) from None
    except OSError as exc:
        raise ConfigError(f"cannot write {path}: {exc.strerror}") from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft)


def _exists(path: str) -> ConfigError:
    return ConfigError(f"{path} exists; --force writes over it, --output names another file")


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
