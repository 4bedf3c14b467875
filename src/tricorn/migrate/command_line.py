"""Command lines of other servers: taken apart, recognised, and read by the peer's table.

A line may be a shell's, a Procfile's (``web: ...``), systemd's (``ExecStart=...``), supervisord's
(``command=...``) or a Dockerfile's (``CMD ...``, a JSON array included).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from tricorn.exceptions import ConfigError
from tricorn.migrate.shell import DOLLAR, VARIABLE, marked, parted
from tricorn.migrate.table import Given, Peer, Row, Shape, Values
from tricorn.migrate.variables import UNKNOWN, mark, readable

_PREFIX = re.compile(
    r"(?P<systemd>ExecStart\s*=\s*[-@:+!|]*)|(?P<supervisord>command\s*=\s*)"
    r"|(?:CMD|ENTRYPOINT)\s+|[\w-]+:\s+(?=\S)",
    re.IGNORECASE,
)
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_SHELLS = ("sh", "bash", "dash", "ash", "zsh")
#: Words of a command line that are no flags, of which nobody knows what they hold.
REST = "$@"
_SPECIFIER = re.compile(r"%([A-Za-z%])")  # systemd.unit(5)
_EXPRESSION = re.compile(r"%(%|\(\w+\)\d*[ds])")  # supervisord's, of Python


@dataclass(slots=True)
class Command:
    """A command taken apart: `program` and its `arguments`, what stands around it.

    ``before`` are words in front of the program (a wrapper), ``after`` those behind an
    operator of the shell; ``variables`` are assignments in front of the command.
    """

    program: str = ""
    arguments: list[str] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)


def read_command(words: Sequence[str], peers: Sequence[Peer], known: Mapping[str, str]) -> Command:
    """Find the peer's program in `words`; `known` are variables with known values.

    One word with a blank is a whole line. Without a program all words are arguments.
    Raises `ConfigError`.
    """
    names = {name: peer.name for peer in peers for name in peer.programs}
    if len(words) == 1 and re.search(r"\s|^\[", words[0].strip()):
        return _read_line(words[0], names, known)
    return _find(list(words), names, known)


def _read_line(line: str, names: Mapping[str, str], known: Mapping[str, str]) -> Command:
    text = line.strip().replace("\\\n", " ")
    match = _PREFIX.match(text)
    is_shell = match is None or not (match["systemd"] or match["supervisord"])
    if match:
        text = text[match.end() :]
        if match["systemd"]:
            text = _SPECIFIER.sub(_specified, text).replace("$$", DOLLAR)
        elif match["supervisord"]:  # it starts no shell
            text = _EXPRESSION.sub(_specified, text.replace("$", DOLLAR))
    if text.startswith("["):
        try:
            words = json.loads(text)
        except ValueError:
            raise ConfigError(f"{text[:60]!r} is not a JSON array") from None
        if not all(isinstance(word, str) for word in words):
            raise ConfigError("the JSON array of a command holds strings")
        return _find([word.replace("$", DOLLAR) for word in words], names, known)
    try:
        return _find(shlex.split(marked(text, is_shell=is_shell)), names, known, is_line=True)
    except ValueError as exc:
        raise ConfigError(f"the command line cannot be read: {exc}") from None


def _specified(found: re.Match[str]) -> str:
    return "%" if found[1] == "%" else mark(found[0])


def _find(
    words: list[str], names: Mapping[str, str], known: Mapping[str, str], is_line: bool = False
) -> Command:
    command = Command()
    while words and (match := _ASSIGNMENT.fullmatch(words[0])):
        command.variables[match[1]] = _expand(match[2], known)
        words = words[1:]
    known = {**known, **command.variables}
    start = _find_program(words, names)
    shell = next((at for at, word in enumerate(words[:start]) if _program(word) in _SHELLS), None)
    if shell is not None and words[shell + 1 : shell + 2] in (["-c"], ["-lc"], ["-ec"]):
        inner = _read_line(" ".join(words[shell + 2 :][:1]).replace(DOLLAR, "$"), names, known)
        inner.variables = {**command.variables, **inner.variables}
        return inner
    if start is not None:
        _take_wrapper(command, words[:start], known)
        command.program = names[_program(words[start])]
        words = words[start + 1 :]
    command.arguments = words
    if is_line:
        command.arguments, command.after = parted(words)
        expanded = [_expand(word, {**known, **command.variables}) for word in command.arguments]
        command.arguments = expanded
    command.arguments = [word.replace(DOLLAR, "$") for word in command.arguments]
    return command


def _find_program(words: list[str], names: Mapping[str, str]) -> int | None:
    """Where the peer's program stands; a path among the arguments may bear its name too."""
    for at, word in enumerate(words):
        if _program(word) in names:
            wrapped = ":" not in words[0] and not words[0].startswith("-")
            return at if not at or words[at - 1] == "-m" or wrapped else None
    return None


def _take_wrapper(command: Command, words: list[str], known: Mapping[str, str]) -> None:
    if words[-1:] == ["-m"]:
        python = next((at for at, word in enumerate(words) if "python" in _program(word)), -2)
        words = words[:python]
    for word in words:
        if match := _ASSIGNMENT.fullmatch(word):
            command.variables[match[1]] = _expand(match[2], known)
        elif _program(word) not in ("exec", "env"):
            command.before.append(word)


def _program(word: str) -> str:
    return os.path.basename(word).removesuffix(".exe")


def _expand(word: str, known: Mapping[str, str]) -> str:
    """`word` with the variables of the shell whose values are known; the others are marked.

    One with a default is no more known than one without: platforms such as Cloud Run set PORT.
    """

    def value(match: re.Match[str]) -> str:
        name, otherwise = match[1] or match[3], match[2] or ""
        if known.get(name) and otherwise.lstrip(":")[:1] != "+":
            return known[name]
        return mark(match[0] if otherwise else f"${name}")

    return VARIABLE.sub(value, word)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{self.prog}: {message}")


class _Note(argparse.Action):
    """Notes the value under the row's name, with the flag as it was typed."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        row: Row = self.const
        spelling = (option_string or "").partition("=")[0]
        if row.shape is Shape.SWITCH:
            value: Any = spelling not in row.off
        elif row.shape is Shape.LIST:
            before, spelled = namespace.given.get(row.name, ([], ""))
            value = [*before, *(values if isinstance(values, list) else [values])]
            if spelled and spelling not in spelled.split(", "):
                spelling = f"{spelled}, {spelling}"
        else:
            value = row.const if values is row else values  # row: a flag without its value
        namespace.given[row.name] = Given(value, spelling)


def build_parser(peer: Peer) -> argparse.ArgumentParser:
    """A parser of the peer's command line, made from its table."""
    parser = _Parser(prog=peer.name, add_help=False, allow_abbrev=peer.abbreviates)
    parser.add_argument("words", nargs="*")
    for row in peer.rows:
        extra: dict[str, Any] = {"action": _Note, "const": row, "dest": row.name}
        if row.shape is Shape.SWITCH:
            extra["nargs"] = 0
        elif row.shape is Shape.MAYBE:
            extra["nargs"] = "?"
        flags = (*row.flags, *row.off)
        if flags:
            parser.add_argument(*flags, **extra)
    return parser


def read_arguments(peer: Peer, words: Sequence[str]) -> Values:
    """The options that `words` give, their values still text, and under `REST` what may be such.

    Raises `ConfigError`.
    """
    parsed, rest = build_parser(peer).parse_known_intermixed_args(
        list(words), argparse.Namespace(given={})
    )
    for word in rest:
        if word.startswith("-"):
            raise ConfigError(
                f"{peer.title} {peer.release} has no flag {word.partition('=')[0]!r}; "
                "flags of migrate itself stand before the command"
            )
    given: Values = parsed.given
    given.update(_application(peer, parsed.words))
    return given


def _application(peer: Peer, words: list[str]) -> Values:
    """The application among the words that are no flags, and `REST`. Raises `ConfigError`."""
    named = [word for word in words if not UNKNOWN.fullmatch(word)]
    if len(named) > 1 and peer.rows[0].shape is not Shape.LIST:
        raise ConfigError(f"unexpected argument {readable(named[1])!r} for {peer.title}")
    unknown = [word for word in words if word not in named]
    if not named:  # then it is a variable, but not $@, which may as well be flags
        named = [word for word in unknown if VARIABLE.fullmatch(readable(word))][:1]
    found: Values = {}
    if named:
        whole = named if peer.rows[0].shape is Shape.LIST else named[0]
        found[peer.rows[0].name] = Given(whole, "APP")
    if rest := [word for word in unknown if word not in named]:
        found[REST] = Given(rest, ", ".join(map(readable, rest)))
    return found


def variable_names(peer: Peer) -> list[str]:
    """The variables that are the peer's own."""
    rows = [peer.prefix + row.name.upper() for row in peer.rows] if peer.prefix else []
    return [*peer.variables, *rows, peer.arguments]


def read_variables(peer: Peer, environ: Mapping[str, str]) -> tuple[Values, Values]:
    """The options among variables: those that hold a default only, and the others."""
    defaults: Values = {}
    given: Values = {}
    for name, row_name in peer.variables.items():
        if environ.get(name):
            text = f"0.0.0.0:{environ[name]}" if name == "PORT" else environ[name]
            defaults[row_name] = Given(_as_shape(peer.row(row_name), text), f"variable {name}")
    for row in peer.rows:
        name = peer.prefix + row.name.upper()
        if peer.prefix and environ.get(name):
            given[row.name] = Given(_as_shape(row, environ[name]), f"variable {name}")
    return defaults, given


def _as_shape(row: Row, text: str) -> Any:
    if row.shape is Shape.LIST:
        return text.split(row.separator)
    return text


_TRUTH: dict[str, bool] = {
    **dict.fromkeys(("1", "true", "t", "yes", "y", "on"), True),
    **dict.fromkeys(("0", "false", "f", "no", "n", "off"), False),
}


def typed(row: Row, given: Given) -> Given:
    """The value as the peer's own parser has it. Raises `ConfigError`."""
    value, origin = given
    if not isinstance(value, str):
        return given
    convert: Callable[[str], Any] = row.type
    if convert is bool or row.shape is Shape.SWITCH:
        convert = lambda text: _TRUTH[text.strip().lower()]  # noqa: E731 (one of several)
    try:
        value = convert(value)
    except (ValueError, KeyError):
        raise ConfigError(f"{value!r} is not a value for {row.name} ({origin})") from None
    if row.choices:
        value = _choice(row, str(value), origin)
    return Given(value, origin)


def _choice(row: Row, text: str, origin: str) -> str:
    """The one of the row's choices that was meant, whose case does not matter."""
    for choice in row.choices:
        if choice.lower() == text.strip().lower():
            return choice
    wanted = ", ".join(row.choices)
    raise ConfigError(f"{row.name} is one of {wanted}, not {text!r} ({origin})")


def read_env_file(lines: str) -> dict[str, str]:
    """The variables of an env file: ``NAME=value``, comments, quotes, ``export``."""
    found: dict[str, str] = {}
    for line in lines.splitlines():
        text = line.strip().removeprefix("export ").strip()
        match = _ASSIGNMENT.fullmatch(text)
        if text.startswith("#") or match is None:
            continue
        value = match[2].strip()
        if value[:1] in ("'", '"') and value.endswith(value[:1]) and len(value) > 1:
            value = value[1:-1]
        else:
            value = re.split(r"\s+#", value)[0].strip()
        found[match[1]] = value
    return found
