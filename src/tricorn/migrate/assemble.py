"""From the options of another server to a configuration of ours, by its table."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence

from tricorn.config import OPTIONS
from tricorn.config_sources import Setting, merge
from tricorn.exceptions import ConfigError
from tricorn.migrate.command_line import (
    REST,
    read_arguments,
    read_variables,
    typed,
    variable_names,
)
from tricorn.migrate.python_file import at_home
from tricorn.migrate.table import Draft, Entry, Given, Outside, Peer, Row, Shape, Values
from tricorn.migrate.variables import readable, unknown_in


def gather(
    peer: Peer,
    words: Sequence[str],
    environ: Mapping[str, str],
    file: str | None,
) -> tuple[Values, list[tuple[str, str]]]:
    """What was given, in the peer's own order of precedence: arguments over variables over
    the file; also what is nobody's option, with the reason.

    Raises `ConfigError`.
    """
    from_arguments = read_arguments(peer, words)
    from_defaults, from_variables = read_variables(peer, environ)
    if peer.arguments and environ.get(peer.arguments):
        more = read_arguments(peer, _words(environ[peer.arguments], peer.arguments))
        for key, given in more.items():
            from_variables[key] = Given(given.value, f"{given.origin} of {peer.arguments}")
    named: str | None = None
    for values in (from_variables, from_arguments):
        if "config" in values:
            named = str(values.pop("config").value)
    name = file if file is not None else named
    if unknown_in(name):
        raise ConfigError(f"which file is {readable(name or '')}? Give it with --file")
    if name is None and peer.default_file and os.path.exists(peer.default_file):
        name = f"./{peer.default_file}"
    from_file, foreign = _from_file(peer, name, environ) if name else ({}, [])
    left_out = [(f"{key} in {name}", f"{peer.title} has no such option") for key in foreign]
    merged = {**from_defaults, **from_file, **from_variables, **from_arguments}
    if REST in merged:
        reason = "what it holds is not known here; of flags in it, give Tricorn's"
        left_out.append((merged.pop(REST).origin, reason))
    return merged, left_out


def _words(text: str, name: str) -> list[str]:
    import shlex

    try:
        return shlex.split(text)
    except ValueError as exc:
        raise ConfigError(f"variable {name} cannot be read: {exc}") from None


def _from_file(peer: Peer, name: str, environ: Mapping[str, str]) -> tuple[Values, list[str]]:
    if peer.read_file is None:
        hint = f"; --env-file reads {peer.prefix}* variables" if peer.prefix else ""
        raise ConfigError(f"{peer.title} has no configuration file{hint}")
    known = {row.name for row in peer.rows}
    values: Values = {}
    foreign: list[str] = []
    with at_home(environ):
        found = peer.read_file(name)
    for key, value in found.items():
        if key in known:
            values[key] = Given(value, f"{key} in {name}")
        else:
            foreign.append(key)
    return values, foreign


def assemble(peer: Peer, values: Values, environ: Mapping[str, str] | None = None) -> Draft:
    """What `values` become, and some of `environ`. Raises `ConfigError` for what the peer would
    refuse too."""
    draft = Draft(peer.title, environ or {}, set(variable_names(peer)))
    ready: Values = {}
    for row in peer.rows:
        if row.name not in values:
            continue
        given = values[row.name]
        if unknown_in(given.value):
            draft.unknown.add(row.name)
            ready[row.name] = given
        else:
            ready[row.name] = typed(row, given)
    joint: Values = {}
    for row in peer.rows:
        if row.name not in ready:
            continue
        if row.joint:
            joint[row.name] = ready[row.name]
            continue
        with _refusing({row.name: ready[row.name]}):
            (_take_unknown if row.name in draft.unknown else _take)(row, ready[row.name], draft)
    with _refusing(joint):
        peer.join(ready, draft)
    _take_defaults(peer, ready, draft)
    _complete_tls(draft)
    draft.left_out += [(found.origin, found.reason(name)) for name, found in draft.outside.items()]
    return draft


@contextlib.contextmanager
def _refusing(values: Values) -> Iterator[None]:
    """Values of a Python or TOML file, which may be of any kind: one of a kind that is never taken
    is the operator's mistake. Raises `ConfigError`."""
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError):
        odd = {name: given for name, given in values.items() if not _is_text(given.value)}
        told = [
            f"{given.value!r:.60} is not a value for {name} ({given.origin})"
            for name, given in (odd or values).items()
        ]
        raise ConfigError(", or ".join(told)) from None


def _is_text(value: object) -> bool:
    items = value if isinstance(value, list) and value else [value]
    return all(isinstance(item, str) for item in items)


def _take(row: Row, given: Given, draft: Draft) -> None:
    is_default = given.value == row.default or (given.value == [] and row.default == ())
    if not row.to and is_default and not row.lost:
        return
    if not row.to and row.convert is None:
        draft.left_out.append((given.origin, row.note))
    else:
        draft.take(row.taken(given.value), given.origin)


def _take_unknown(row: Row, given: Given, draft: Draft) -> None:
    """A value in which a variable stands: only what goes over as text can be said beforehand."""
    if not row.to:
        draft.left_out.append((given.origin, row.note))
    elif row.convert is None or row.shape is Shape.LIST:
        draft.take(row.taken(given.value), given.origin)
    else:
        draft.leave(row.to, given)


def _take_defaults(peer: Peer, values: Values, draft: Draft) -> None:
    draft.take_default(peer.habits)
    for row in peer.rows:
        if row.name in values:
            continue
        if row.unset is not None:
            draft.take_default(row.unset)
        elif row.to and row.default is not None:
            draft.take_default(row.taken(row.default).options)
    for name in (*draft.entries, *draft.outside):
        draft.defaults.pop(name, None)


def _complete_tls(draft: Draft) -> None:
    """A certificate alone brings its key in the same file, for the peers that allow it."""
    note = "the key is in the same file"
    if "keyfile" not in draft.entries and "keyfile" not in draft.outside:
        if "certfile" in draft.entries:
            draft.entries["keyfile"] = draft.entries["certfile"]._replace(note=note)
        elif "certfile" in draft.outside:
            draft.outside["keyfile"] = draft.outside["certfile"]._replace(note=note)
    draft.together("certfile", "keyfile")


def settings(draft: Draft, keep_defaults: bool) -> dict[str, Entry]:
    """The options to write, in the order of the schema."""
    chosen = {**draft.defaults, **draft.entries} if keep_defaults else draft.entries
    return {name: chosen[name] for name in OPTIONS if name in chosen}


def check(entries: Mapping[str, Entry], outside: Mapping[str, Outside]) -> list[str]:
    """Build the configuration; its warnings.

    TLS and its authorities are there also with files that stand `outside`. Raises `ConfigError`.
    """
    layer = {name: Setting(entry.value, entry.origin) for name, entry in entries.items()}
    for name in {"certfile", "keyfile", "ca_certs"} & outside.keys():
        layer[name] = Setting(name, outside[name].origin)
    if "verify_mode" in outside:  # whether authorities are needed is not known
        layer["verify_mode"] = Setting("CERT_OPTIONAL", outside["verify_mode"].origin)
        layer.setdefault("ca_certs", Setting("ca_certs", ""))
    return merge(layer).config.warnings()
