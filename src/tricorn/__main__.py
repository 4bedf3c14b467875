"""``python -m tricorn``."""

import sys

from tricorn.cli import main

if __name__ == "__main__":
    sys.exit(main())
