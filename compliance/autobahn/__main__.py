"""``python -m compliance.autobahn``."""

from compliance.autobahn.runner import main

if __name__ == "__main__":
    raise SystemExit(main())
