"""``python -m tricorn.serverless``."""

import sys

from tricorn.serverless.runtime import main

if __name__ == "__main__":
    sys.exit(main())
