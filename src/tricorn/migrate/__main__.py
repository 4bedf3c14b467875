"""``python -m tricorn.migrate table PEER`` writes a peer's table for the documentation."""

from __future__ import annotations

import sys

from tricorn.migrate import PEERS
from tricorn.migrate.markdown import table


def main(argv: list[str]) -> int:
    """Write the table that `argv` names; the exit code."""
    if len(argv) != 2 or argv[0] != "table" or argv[1] not in PEERS:
        print(f"usage: python -m tricorn.migrate table {{{','.join(PEERS)}}}", file=sys.stderr)
        return 2
    sys.stdout.write(table(PEERS[argv[1]]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
