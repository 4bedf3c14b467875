"""The base of values that are made often."""

from __future__ import annotations

from typing import ClassVar


class Plain:
    """Has slots, sets them itself, and is equal to another with the same values in them."""

    __slots__: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """What it holds."""
        # Compiled classes have no slots to be asked for.
        names: tuple[str, ...] = getattr(cls, "__mypyc_attrs__", None) or cls.__slots__
        return names

    def _values(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.names()}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Plain) or type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    __hash__: ClassVar[None]  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = [f"{name}={value!r}" for name, value in self._values().items()]
        return f"{type(self).__qualname__}({', '.join(shown)})"
