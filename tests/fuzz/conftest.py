"""The helpers of the protocol and ASGI tests serve here too."""

import sys
from pathlib import Path

for folder in ("protocol", "asgi"):
    sys.path.insert(0, str(Path(__file__).parent.parent / folder))
