"""``max_request_body_sizes``: the size limit of a request body by path."""

from __future__ import annotations

from collections.abc import Iterator

from tricorn.config_values import parse_size

TYPE_CHECKING = False  # typing itself takes a megabyte
if TYPE_CHECKING:
    from tricorn.config import Config

_OPTION = "max_request_body_sizes"


def body_sizes(config: Config) -> list[tuple[str, int | None]]:
    """Path prefixes without their last slash, the longest first, and their limits (bytes).

    :raises ValueError: with a line for whoever wrote the option.
    """
    sizes: dict[str, int | None] = {}
    for path, value in (config.max_request_body_sizes or {}).items():
        if not (isinstance(path, str) and path.startswith("/")):
            raise ValueError(f"{_OPTION}: expected a path that begins with /, got {path!r}")
        prefix = path.rstrip("/")
        if prefix in sizes:
            raise ValueError(f"{_OPTION}: {path!r} is there twice")
        sizes[prefix] = _size(path, value)
    return sorted(sizes.items(), key=lambda item: -len(item[0]))


def _size(path: str, value: object) -> int | None:
    if value is None or (isinstance(value, str) and value.lower() == "none"):
        return None
    try:
        size = parse_size(value) if isinstance(value, str) else value
    except ValueError:
        size = None
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise ValueError(
            f'{_OPTION}: expected a size in bytes such as 65536 or "64KiB", or "none", for '
            f"{path!r}, got {value!r}"
        )
    return size


def limit_faults(config: Config) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What is wrong with the options: a line, and their names."""
    try:
        body_sizes(config)
    except ValueError as exc:
        yield str(exc), (_OPTION,)
