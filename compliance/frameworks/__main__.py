"""``python -m compliance.frameworks``."""

from compliance.frameworks.runner import main

if __name__ == "__main__":
    raise SystemExit(main())
