"""``python -m compliance.workloads``."""

from compliance.workloads.runner import main

if __name__ == "__main__":
    raise SystemExit(main())
