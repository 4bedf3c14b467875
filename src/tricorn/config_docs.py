"""The schema as text: the options reference, the example file, and a printed configuration.

``python -m tricorn.config_docs reference`` and ``... example`` write them to standard output, and
``... arguments`` the schema for type checkers.
"""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from tricorn.config import OPTIONS
from tricorn.config_certificates import KEYS as CERTIFICATE_KEYS
from tricorn.config_mounts import APPLICATION, DIRECTORY, KEYS, REDIRECT
from tricorn.config_sources import LoadedConfig
from tricorn.config_values import Kind, Option, expected, flags_of

EXAMPLE: dict[str, object] = {
    "application": "tricorn.demo:app",
    "bind": ("127.0.0.1:8443",),
    "insecure_bind": ("127.0.0.1:8080",),
    "dev_certificate": True,
}
# The values of the example's mounts that are no defaults.
MOUNT_EXAMPLE: dict[str, dict[str, Any]] = {
    APPLICATION: {"path": "/api", "application": "shop.api:app"},
    DIRECTORY: {"path": "/static", "directory": "static"},
    REDIRECT: {"path": "/old", "redirect": "/new"},
}
CERTIFICATE_EXAMPLE: dict[str, object] = {
    "names": ("shop.example.org", "*.shop.example.org"),
    "certfile": "shop.pem",
    "keyfile": "shop-key.pem",
}
HIDDEN = "********"


def toml_value(value: object, kind: Kind | None = None) -> str:
    """`value` as TOML writes it; None becomes ``"none"``, which every source reads as None."""
    match value:
        case None:
            return '"none"'
        case bool():
            return "true" if value else "false"
        case int():
            return f"0o{value:o}" if kind in (Kind.UMASK, Kind.MODE) else str(value)
        case float():
            return repr(value)
        case str():
            # A JSON string is a TOML basic string, but for DEL.
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case list() | tuple():
            return f"[{', '.join(toml_value(item) for item in value)}]"
        case dict():
            items = (f"{toml_value(str(key))} = {toml_value(item)}" for key, item in value.items())
            return "{ " + ", ".join(items) + " }" if value else "{}"
    raise TypeError(f"TOML has no form for {type(value).__name__}")


def option_toml(row: Option, value: object) -> str:
    """An option's `value` as TOML writes it. Raises `TypeError` where that has no form for it."""
    if row.free and _holds_none(value):
        raise TypeError("TOML has no form for None")
    return toml_value(value, row.kind)


def _holds_none(value: object) -> bool:
    """Whether None stands among the items of a list or table."""
    if isinstance(value, dict):
        return _holds_none([*value.values()])
    return isinstance(value, list | tuple) and any(v is None or _holds_none(v) for v in value)


def default_text(row: Option) -> str:
    """The default in words an operator can type."""
    return "not set" if row.default is None else toml_value(row.default, row.kind)


def _sections() -> Iterator[tuple[str, list[Option]]]:
    for section, rows in groupby(OPTIONS.values(), key=lambda row: row.section):
        yield section, list(rows)


def _mount_sections() -> Iterator[tuple[str, list[Option]]]:
    for section, rows in groupby(KEYS.values(), key=lambda row: row.section):
        yield section, list(rows)


def options_markdown() -> str:
    """The options reference, a Markdown page with one table for each section."""
    lines = [
        "# Options",
        "",
        "Every option can be given in a file, as an environment variable and as a flag; a flag "
        "wins over a variable, a variable over the file, the file over the default.",
        "",
        "Times are seconds; text may also say `500ms`, `10s` or `1h30m`. Sizes are bytes; text "
        "may also say `64KiB` or `16MiB`. Where an option may be off, `none` turns it off. Lists "
        "are repeated flags, or one variable with commas. An empty variable counts as not set.",
    ]
    for section, rows in _sections():
        lines += ["", f"## {section}", ""]
        lines += ["| Option | Default | Meaning | Flags and variable |", "|---|---|---|---|"]
        for row in rows:
            names = ", ".join(f"`{name}`" for name in (*flags_of(row), row.variable))
            lines.append(_markdown_row([*_markdown_cells(row), names]))
    return "\n".join([*lines, *_mounts_markdown(), *_certificates_markdown()]) + "\n"


def _mounts_markdown() -> list[str]:
    lines = [
        "",
        "## Mounts",
        "",
        "Keys of one `[[mounts]]` table, for the option `mounts`: see [several applications]"
        "(../how-to/several-applications.md) and [static files](../how-to/static-files.md). "
        "Every mount has exactly one of `application`, `directory` and `redirect`, and the keys "
        "that go with it.",
    ]
    for section, rows in _mount_sections():
        lines += ["", f"### {section}", "", "| Key | Default | Meaning |", "|---|---|---|"]
        lines += [_markdown_row(_markdown_cells(row)) for row in rows]
    return lines


def _certificates_markdown() -> list[str]:
    lines = [
        "",
        "## Certificates",
        "",
        "Keys of one `[[certificates]]` table, for the option `certificates`: see [certificates]"
        "(../how-to/certificates.md). All but `keyfile_password` are needed.",
        "",
        "| Key | Default | Meaning |",
        "|---|---|---|",
    ]
    return lines + [_markdown_row(_markdown_cells(row)) for row in CERTIFICATE_KEYS.values()]


def _markdown_cells(row: Option) -> list[str]:
    default = f"`{default_text(row)}`" if row.default is not None else default_text(row)
    if row.unit and row.default is not None:
        default += f" {row.unit}"
    meaning = f"{row.help} Takes {expected(row)}."
    if row.reason:
        meaning += f" Default: {row.reason}."
    if row.inert:
        meaning += f" No effect: {row.inert}."
    if row.aliases:
        meaning += f" Also read as {', '.join(f'`{alias}`' for alias in row.aliases)}."
    return [f"`{row.name}`", default, meaning]


def _markdown_row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def example_toml() -> str:
    """``config.example.toml``: the demonstration is set, all else stands as a comment."""
    lines = _comment(
        "Tricorn's options. Copy to tricorn.toml, which is read from the working directory, or "
        "name it with -c. As it is, this file serves the demonstration. A line that begins with "
        '#name shows a default; options with the default "none" are off or not set.'
    )
    for section, rows in _sections():
        lines += ["", f"# ---- {section}"]
        for row in rows:
            lines.append("")
            lines += _comment(row.help + (f" [{row.unit}]" if row.unit else ""))
            if row.inert:
                lines += _comment(f"No effect: {row.inert}.")
            if row.name in EXAMPLE:
                lines.append(f"{row.name} = {toml_value(EXAMPLE[row.name], row.kind)}")
            else:
                default = "" if row.secret else toml_value(row.default, row.kind)
                lines.append(f"#{row.name} = {default or toml_value('')}")
    return "\n".join([*lines, *_mounts_example(), *_certificates_example()]) + "\n"


def _mounts_example() -> list[str]:
    lines = ["", "# ---- Mounts", ""]
    lines += _comment(
        "Tables of the option mounts; they stand behind all options. Every mount has exactly one "
        "of application, directory and redirect; the other keys are shown with their defaults."
    )
    common, *kinds = _mount_sections()
    for section, rows in kinds:
        lines += ["", f"# {section}:", "# [[mounts]]"]
        for row in (*common[1], *rows):
            value = MOUNT_EXAMPLE[section].get(row.name, row.default)
            lines.append(f"# {row.name} = {toml_value(value, row.kind)}")
    return lines


def _certificates_example() -> list[str]:
    lines = ["", "# ---- Certificates", ""]
    lines += _comment(
        "Tables of the option certificates, beside certfile and keyfile, which clients get that "
        "send no server name or another one."
    )
    lines += ["", "# [[certificates]]"]
    for row in CERTIFICATE_KEYS.values():
        if row.name in CERTIFICATE_EXAMPLE:
            lines.append(f"# {row.name} = {toml_value(CERTIFICATE_EXAMPLE[row.name], row.kind)}")
        else:
            lines.append(f"# {row.name} = {toml_value('')}")
    return lines


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, 98, initial_indent="# ", subsequent_indent="# ")


def config_toml(loaded: LoadedConfig) -> str:
    """Every value in force with its source; TOML that loads to the same. Secrets are left out,
    and what TOML has no form for is a comment."""
    lines: list[str] = []
    for section, rows in _sections():
        lines += ["", f"# {section}"] if lines else [f"# {section}"]
        for row in rows:
            value = _shown(row, getattr(loaded.config, row.name))
            source = loaded.origin(row.name)
            if value != getattr(loaded.config, row.name):
                lines.append(f"# without {', '.join(row.hides)}:")
            if row.secret and value is not None:
                lines.append(f"# {row.name} = {toml_value(HIDDEN)}  # {source}")
            elif row.secret:
                lines.append(f"# {row.name} is not set  # {source}")
            else:
                lines.append(f"{_assignment(row, value)}  # {source}")
    return "\n".join(lines) + "\n"


def _assignment(row: Option, value: Any) -> str:
    try:
        return f"{row.name} = {option_toml(row, value)}"
    except TypeError as exc:
        return f"# {exc}: {row.name} = {' '.join(repr(value).split())}"


def _shown(row: Option, value: Any) -> Any:
    """The value without what its tables hide."""
    if not row.hides:
        return value
    return tuple({key: table[key] for key in table if key not in row.hides} for table in value)


def config_json(loaded: LoadedConfig) -> str:
    """Every value in force as JSON: name to an object of ``value`` and ``source``. What JSON has
    no form for is text, as ``repr`` gives it."""
    values: dict[str, dict[str, Any]] = {}
    for row in OPTIONS.values():
        value = getattr(loaded.config, row.name)
        shown = HIDDEN if row.secret and value is not None else _shown(row, value)
        values[row.name] = {"value": shown, "source": loaded.origin(row.name)}
    return json.dumps(values, indent=2, default=repr) + "\n"


# What `config_values.coerce` takes of Python, for type checkers.
_ARGUMENTS = {
    Kind.TEXT: "str",
    Kind.PATH: "str | os.PathLike[str]",
    Kind.BOOL: "bool",
    Kind.COUNT: "int",
    Kind.SIZE: "int | str",
    Kind.SECONDS: "float | str",
    Kind.RATE: "float",
    Kind.LIST: "Sequence[str]",
    Kind.BINDS: "Sequence[str]",
    Kind.UMASK: "int | str",
    Kind.MODE: "int | str",
    Kind.OWNER: "int | str",
    Kind.VERIFY_MODE: "int | str",
    Kind.VERIFY_FLAGS: "int | str",
    Kind.TABLE: "dict[str, Any]",
    Kind.TABLES: "Sequence[dict[str, Any]]",
    Kind.CLASS: "str | type",
}
_ARGUMENTS_HEAD = """\
\"\"\"What `Config` takes, for type checkers: made by ``python -m tricorn.config_docs arguments``.

Times and sizes may be text, paths may be `pathlib`'s; the fields of `Config` have the stored form.
\"\"\"

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, TypedDict


class Arguments(TypedDict, total=False):
    \"\"\"The options as keyword arguments.\"\"\"

"""


def arguments_module() -> str:
    """The module `tricorn.config_arguments`."""
    lines = []
    for row in OPTIONS.values():
        kinds = _ARGUMENTS[row.kind]
        kinds += " | str" if row.words else ""
        kinds += " | None" if row.optional else ""
        lines.append(f"    {row.name}: {kinds}\n")
    return _ARGUMENTS_HEAD + "".join(lines)


def main(argv: list[str]) -> int:
    """Write the page that `argv` names; the exit code."""
    pages = {
        "reference": options_markdown, "example": example_toml, "arguments": arguments_module,
    }  # fmt: skip
    if len(argv) != 1 or argv[0] not in pages:
        print(f"usage: python -m tricorn.config_docs {{{','.join(pages)}}}", file=sys.stderr)
        return 2
    sys.stdout.write(pages[argv[0]]())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
