"""Uvicorn's patterns of watched files, in ours.

Uvicorn's are `pathlib`'s, for absolute paths: a relative one fits from the right, and ``*`` stops
at a slash. A directory is one from the working directory, and what is below it. Ours fit a name, or
the whole path below a directory that is watched, and ``*`` goes across slashes.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import PurePath

from tricorn.migrate.table import Draft, Given, Taken, Values

_OPTIONS = {"reload_includes": "reload_include", "reload_excludes": "reload_exclude"}
_AROUND = ("reload_dirs", "app_dir")
_ACROSS = "* goes across slashes here"


def join_reload(values: Values, draft: Draft) -> None:
    """What counts and what does not, below the directories that are watched."""
    given = {name: values[name] for name in _OPTIONS if name in values}
    around = [values[name] for name in _AROUND if name in values]
    if draft.unknown.intersection((*given, *_AROUND)):
        for name, item in given.items():
            draft.leave((_OPTIONS[name],), item, *around)
        return
    roots: list[str] = [*values["reload_dirs"].value] if "reload_dirs" in values else []
    included = given["reload_includes"].value if "reload_includes" in given else []
    directories = [text for text in included if os.path.isdir(text)]
    if directories:
        roots += directories
        draft.take(Taken({"reload_dirs": list(dict.fromkeys(roots))}), _origins(values))
    roots = roots or [(values["app_dir"].value if "app_dir" in values else "") or os.curdir]
    for name, (texts, origin) in given.items():
        patterns: list[str] = []
        if name == "reload_includes":
            texts = [text for text in texts if text not in directories]
            excluded = given["reload_excludes"].value if "reload_excludes" in given else ()
            patterns = ["*.py"] if texts and "*.py" not in excluded else []  # its default stays
        for text in texts:
            found, reason = _said(text, roots, narrow=name == "reload_excludes")
            patterns += found
            if reason:
                draft.left_out.append((origin, f"{text}: {reason}"))
        note = _ACROSS if any(_crosses(text) and "/" in text for text in patterns) else ""
        if patterns:
            draft.take(Taken({_OPTIONS[name]: list(dict.fromkeys(patterns))}, note), origin)


def _origins(values: Values) -> str:
    items: list[Given] = [
        values[name] for name in ("reload_dirs", "reload_includes") if name in values
    ]
    return ", ".join(item.origin for item in items)


def _said(text: str, roots: Sequence[str], *, narrow: bool) -> tuple[list[str], str]:
    """The patterns for one of Uvicorn's; none and a reason where there are none.

    :param narrow: what fits more than Uvicorn's is none.
    """
    whole = PurePath(os.path.normpath(text))
    if os.path.isdir(text) or (whole.is_absolute() and not glob.has_magic(text)):
        below = [_below(text, root) for root in roots]
        missed = "it is below no directory that is watched"
        found = []
    else:
        parts = ["*" if part == "**" else part for part in whole.parts]
        below = [_ends(parts, root) for root in roots]
        missed = "no file that is watched fits it"
        found = [] if whole.is_absolute() or not parts else _anywhere(parts)
        if len(found) == 1:
            return found, ""
    ends = list(dict.fromkeys(end for each in below for end in each))
    if narrow and any(end not in each for end in ends for each in below):
        return [], "a pattern is for all directories of reload_dirs, and would fit in others too"
    if narrow and any(_crosses(end) and "/" not in end for end in ends):
        return [], f"{_ACROSS}: it would fit the files of all directories"
    found += ends
    return found, "" if found else missed


def _below(directory: str, root: str) -> list[str]:
    """A directory as seen from another one that it is below."""
    path = os.path.relpath(directory, root)
    return [] if path.split(os.sep)[0] in (os.curdir, os.pardir) else [_path(glob.escape(path))]


def _path(pattern: str) -> str:
    """A pattern that fits whole paths and no names, as far as there is one."""
    return pattern if "/" in pattern or _crosses(pattern) else f"{pattern}/"


def _crosses(pattern: str) -> bool:
    return "*" in pattern.replace("[*]", "")


def _anywhere(parts: Sequence[str]) -> list[str]:
    """A relative pattern, at whatever depth."""
    while parts[0] == "*" and len(parts) > 1:
        parts = parts[1:]  # every file is in a directory
    return [parts[0]] if len(parts) == 1 else ["/".join(parts), "/".join(["*", *parts])]


def _ends(parts: Sequence[str], root: str) -> list[str]:
    """What is left of a pattern where the path of a directory takes up its beginning."""
    path = PurePath(os.path.abspath(root))
    fits = [at for at in range(1, len(parts)) if path.match(str(PurePath(*parts[:at])))]
    return [_path("/".join(parts[at:])) for at in fits]
