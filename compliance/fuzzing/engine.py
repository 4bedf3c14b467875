"""One coverage-guided run of one target, by atheris; a process of its own.

``python -m compliance.fuzzing.engine TARGET [libFuzzer options] NEW_INPUTS CORPUS...``
"""

from __future__ import annotations

import random
import shlex
import sys
from collections.abc import Callable
from typing import Any

import atheris

# Nothing that is to be watched may be imported before this: it would go without counters.
_WATCHED = ["tricorn", "h11", "h2", "hpack", "hyperframe", "priority", "wsproto"]


def _load(name: str) -> Any:
    with atheris.instrument_imports(include=_WATCHED):
        from compliance.fuzzing.targets import TARGETS
    return TARGETS[name]


def frame_mutator() -> Callable[[bytes, int, int], bytes]:
    """Half of the time mutates one frame of HTTP/2 and sets its length right again.

    Bytes that are put in or taken out anywhere else break the framing, and all that follows
    is noise.
    """
    from compliance.fuzzing.frames import split_frames
    from compliance.fuzzing.inputs import split

    def mutate(data: bytes, longest: int, seed: int) -> bytes:
        chance = random.Random(seed)
        wire, _ = split(data)
        found = list(split_frames(wire))
        if chance.random() < 0.5 or not found:
            return bytes(atheris.Mutate(data, longest))
        at = chance.randrange(len(found))
        match chance.randrange(6):
            case 0:
                found.insert(at, chance.choice(found))
            case 1:
                del found[at]
            case 2:
                other = chance.randrange(len(found))
                found[at], found[other] = found[other], found[at]
            case _:
                found[at] = _mutate_frame(found[at])
        return (b"".join(found) + data[len(wire) :])[:longest]

    return mutate


def _mutate_frame(frame: bytes) -> bytes:
    if len(frame) < 9:
        return frame
    # Type, flags, stream and payload; the length follows from them.
    changed = bytes(atheris.Mutate(frame[3:], len(frame) + 64))
    if len(changed) < 6:
        changed += bytes(6 - len(changed))
    return (len(changed) - 6).to_bytes(3, "big") + changed


def main(arguments: list[str]) -> None:
    """Run until libFuzzer is done; it ends the process."""
    name, *options = arguments
    target = _load(name)

    def one_input(data: bytes) -> None:
        target.check(bytes(data))

    more: dict[str, Any] = {"custom_mutator": frame_mutator()} if target.framed else {}
    longest = f"-max_len={target.longest}"
    # A merge runs itself again, by a shell and this name.
    itself = f"{shlex.quote(sys.executable)} -m compliance.fuzzing.engine {name}"
    atheris.Setup([itself, longest, *options], one_input, **more)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
