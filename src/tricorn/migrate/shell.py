"""A line of a shell: what the shell alone can fill in, marked, and what it leaves alone.

Variables by name stay as they are, for some of them are known.
"""

from __future__ import annotations

import re

from tricorn.migrate.variables import mark

#: A variable by name, which may have a default.
VARIABLE = re.compile(r"\$(?:\{(\w+)(:?[-=?+][^}]*)?\}|(\w+))")
#: Stands for a dollar sign that begins no variable.
DOLLAR = "\ue002"
_ARGUMENT = re.compile(r"\$[@*#?!0-9]")
_REDIRECTION = r"&>>?|(?:(?<!\S)\d+)?(?:>>|>&\d?|>\||>|<&\d?|<<?<?)"
_OPERATOR = re.compile(rf"{_REDIRECTION}|&&|\|\|?|;;?|&")
_COMMENT = re.compile(r"(?<!\S)#[^\n]*")
_CLOSING = {"(": ")", "{": "}"}


def marked(line: str, *, is_shell: bool = True) -> str:
    """`line` with ``$(...)``, backticks, ``$@``, arrays and their like between marks.

    What single quotes or a backslash hold back has `DOLLAR` in the place of its dollar signs.
    With `is_shell` the operators stand apart, as words of their own, and comments are left out.
    """
    parts: list[str] = []
    is_quoted = False
    at = 0
    while at < len(line):
        char = line[at]
        end = at + 1
        if char == "\\":
            end = at + 2
            held = line[at:end]
            parts.append(DOLLAR if held == "\\$" else held)
        elif char == "'" and not is_quoted:
            end = (line.find("'", end) + 1) or len(line)
            parts.append(line[at:end].replace("$", DOLLAR))
        elif (found := _end_of_expansion(line, at)) > end:
            end = found
            text = line[at:end]
            parts.append(text if _is_named(text, is_quoted) else mark(text))
        elif is_shell and not is_quoted and (match := _OPERATOR.match(line, at)):
            end = match.end()
            parts.append(f" {match[0]} ")
        elif is_shell and not is_quoted and (match := _COMMENT.match(line, at)):
            end = match.end()
        else:
            is_quoted ^= char == '"'
            parts.append(char)
        at = end
    return "".join(parts)


def parted(words: list[str]) -> tuple[list[str], list[str]]:
    """The words of a command, and those that belong to others: its redirections, and what
    stands behind an operator."""
    own: list[str] = []
    others: list[str] = []
    at = 0
    while at < len(words):
        word = words[at]
        if re.fullmatch(_REDIRECTION, word):
            width = 1 if word[-1:].isdecimal() else 2  # 2>&1 names no file
            others += words[at : at + width]
            at += width
        elif _OPERATOR.fullmatch(word):
            return own, others + words[at:]
        else:
            own.append(word)
            at += 1
    return own, others


def _end_of_expansion(line: str, at: int) -> int:
    """Where what begins at `at` ends; `at` for a variable in plain form, and for no expansion."""
    if line[at] == "`":
        return (line.find("`", at + 1) + 1) or at
    if line[at] != "$":
        return at
    if match := _ARGUMENT.match(line, at):
        return match.end()
    opening = line[at + 1 : at + 2]
    depth = 0
    for end in range(at + 1, len(line) if opening in _CLOSING else 0):
        depth += (line[end] == opening) - (line[end] == _CLOSING[opening])
        if not depth:
            return end + 1
    return at


def _is_named(text: str, is_quoted: bool) -> bool:
    """Whether it is a variable by name that stays one word."""
    return bool(VARIABLE.fullmatch(text)) and (is_quoted or not re.search(r"[\s\"'`]", text))
