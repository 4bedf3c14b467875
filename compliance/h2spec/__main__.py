"""``python -m compliance.h2spec``."""

from compliance.h2spec.runner import main

if __name__ == "__main__":
    raise SystemExit(main())
