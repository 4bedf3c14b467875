"""Classes of named values, made without the `dataclasses` module.

A dataclass costs a compilation for every method of every class when its module is imported,
and `dataclasses` imports `inspect`: together a third of the time the supervisor takes to start.
A `Record` is slower to make and to compare, and for what is made a few times only. To whom it
matters it is a dataclass: `dataclasses.fields`, ``replace``, ``asdict`` and ``inspect.signature``
know it.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing itself takes a megabyte
if TYPE_CHECKING:
    from typing import Any, ClassVar, TypeVar, dataclass_transform

    _R = TypeVar("_R", bound="Record")
else:

    def dataclass_transform():
        return lambda kind: kind


_set = object.__setattr__
_REQUIRED: Any = object()


class Field:
    """A default with more to it.

    :param repr: whether the representation shows the value.
    :param hash: whether the value is part of the hash.
    :param metadata: whatever else is known of the field.
    """

    __slots__ = ("default", "hash", "metadata", "repr")

    def __init__(
        self,
        default: object,
        *,
        repr: bool = True,
        hash: bool = True,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self.default = default
        self.repr = repr
        self.hash = hash
        self.metadata = metadata or {}


class _Lazy:
    """An attribute of the class that is made when somebody asks for it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type[Record]) -> object:
        import dataclasses
        import inspect

        rows = []
        for name, field in owner.__record_fields__.items():
            default = dataclasses.MISSING if field.default is _REQUIRED else field.default
            # A dict is no default for a dataclass, and none of ours is ever changed.
            given: dict[str, Any] = {"default": default}
            if default.__hash__ is None:
                given = {"default_factory": lambda value=default: value}
            rows.append(
                (
                    name,
                    owner.__record_types__[name],
                    dataclasses.field(
                        **given, repr=field.repr, hash=field.hash, metadata=field.metadata
                    ),
                )
            )
        made = dataclasses.make_dataclass(owner.__name__, rows, kw_only=owner.__record_kw_only__)
        if self._name == "__signature__":
            return inspect.signature(made)
        return vars(made)["__dataclass_fields__"]


@dataclass_transform()
class RecordType(type):
    """Gives a class its slots and what is known of its fields."""

    def __new__(
        mcs,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        frozen: bool = True,
        kw_only: bool = False,
    ) -> RecordType:
        types: dict[str, str] = {}
        fields: dict[str, Field] = {}
        for base in bases:
            types |= getattr(base, "__record_types__", {})
            fields |= getattr(base, "__record_fields__", {})
            kw_only = kw_only or getattr(base, "__record_kw_only__", False)
        own = namespace.get("__annotations__", {})
        for field, kind in own.items():
            default = namespace.pop(field, _REQUIRED)
            types[field] = kind
            fields[field] = default if isinstance(default, Field) else Field(default)
        namespace["__slots__"] = tuple(own)
        namespace["__record_types__"] = types
        namespace["__record_fields__"] = fields
        namespace["__record_kw_only__"] = kw_only
        namespace["__record_frozen__"] = frozen
        namespace["__record_defaults__"] = {
            field: row.default for field, row in fields.items() if row.default is not _REQUIRED
        }
        if not kw_only:
            namespace["__match_args__"] = tuple(fields)
        if not frozen:
            namespace["__hash__"] = None
        return super().__new__(mcs, name, bases, namespace)


class Record(metaclass=RecordType):
    """The base of all records; its subclasses name fields as dataclasses do.

    :param frozen: (of the class statement) no field can be set afterwards, and there is a hash.
    :param kw_only: (of the class statement) fields are given by name only.
    """

    if TYPE_CHECKING:
        __record_types__: ClassVar[dict[str, str]]
        __record_fields__: ClassVar[dict[str, Field]]
        __record_defaults__: ClassVar[dict[str, Any]]
        __record_kw_only__: ClassVar[bool]
        __record_frozen__: ClassVar[bool]
    else:  # without annotations, which would make them fields
        __signature__ = _Lazy("__signature__")
        __dataclass_fields__ = _Lazy("__dataclass_fields__")

    if not TYPE_CHECKING:

        def __init__(self, *args: object, **given: object) -> None:
            fields = self.__record_fields__
            if args:
                given = self._with_positional(args, given)
            values = {**self.__record_defaults__, **given}
            if len(values) != len(fields) or values.keys() != fields.keys():
                self._refuse(values)
            for name, value in values.items():
                _set(self, name, value)
            self.__post_init__()

    def __post_init__(self) -> None:
        """Called when the fields are set."""

    def _with_positional(
        self, args: tuple[object, ...], given: dict[str, object]
    ) -> dict[str, object]:
        names = list(self.__record_fields__)
        called = f"{type(self).__name__}.__init__()"
        if self.__record_kw_only__ or len(args) > len(names):
            most = 0 if self.__record_kw_only__ else len(names)
            raise TypeError(f"{called} takes {most} positional arguments, {len(args)} were given")
        placed = dict(zip(names, args, strict=False))
        for name in placed:
            if name in given:
                raise TypeError(f"{called} got multiple values for argument {name!r}")
        return {**placed, **given}

    def _refuse(self, values: dict[str, object]) -> None:
        called = f"{type(self).__name__}.__init__()"
        for name in values:
            if name not in self.__record_fields__:
                raise TypeError(f"{called} got an unexpected keyword argument {name!r}")
        missing = [name for name in self.__record_fields__ if name not in values]
        raise TypeError(f"{called} missing required arguments: {', '.join(map(repr, missing))}")

    if not TYPE_CHECKING:

        def __setattr__(self, name: str, value: object) -> None:
            if self.__record_frozen__:
                from dataclasses import FrozenInstanceError

                raise FrozenInstanceError(f"cannot assign to field {name!r}")
            _set(self, name, value)

        def __delattr__(self, name: str) -> None:
            from dataclasses import FrozenInstanceError

            raise FrozenInstanceError(f"cannot delete field {name!r}")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Record) or type(other) is not type(self):
            return NotImplemented
        return self.__getstate__() == other.__getstate__()

    def __hash__(self) -> int:
        return hash(
            tuple(getattr(self, name) for name, row in self.__record_fields__.items() if row.hash)
        )

    def __repr__(self) -> str:
        shown = (
            f"{name}={getattr(self, name)!r}"
            for name, row in self.__record_fields__.items()
            if row.repr
        )
        return f"{type(self).__qualname__}({', '.join(shown)})"

    def __getstate__(self) -> list[Any]:
        return [getattr(self, name) for name in self.__record_fields__]

    def __setstate__(self, state: list[Any]) -> None:
        for name, value in zip(self.__record_fields__, state, strict=True):
            _set(self, name, value)


def replace(record: _R, **changes: object) -> _R:
    """A copy with other values in the fields that ``changes`` names; raises TypeError."""
    now = dict(zip(record.__record_fields__, record.__getstate__(), strict=True))
    return type(record)(**{**now, **changes})
