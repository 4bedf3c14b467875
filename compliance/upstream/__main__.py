"""``python -m compliance.upstream``."""

from compliance.upstream.runner import main

if __name__ == "__main__":
    raise SystemExit(main())
