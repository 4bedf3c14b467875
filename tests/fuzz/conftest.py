"""The helpers of the protocol and ASGI tests serve here too, and the fuzzer's."""

import sys
from pathlib import Path

TESTS = Path(__file__).parent.parent
for folder in (TESTS / "protocol", TESTS / "asgi", TESTS.parent):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
