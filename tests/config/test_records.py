"""Records: what dataclasses do, without what they cost."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from typing import Any

import pytest

from tricorn.config import Config
from tricorn.config_binds import Bind
from tricorn.records import Field, Record, replace


class Point(Record):
    x: int
    y: int = 0


class Named(Point, kw_only=True):
    name: str = "?"
    table: Any = Field({}, hash=False, repr=False, metadata={"key": 1})


class Loose(Record, frozen=False):
    x: int = 1


def test_values_come_by_place_and_by_name() -> None:
    assert (Point(1).x, Point(1).y) == (1, 0)
    assert Point(1, y=2) == Point(x=1, y=2) != Point(1, 3)
    assert Point(1) != Named(x=1)
    assert Point(1) != (1, 0)
    assert repr(Named(x=1, name="n")) == "Named(x=1, y=0, name='n')"


@pytest.mark.parametrize(
    ("kind", "args", "given", "line"),
    [
        (Point, (), {}, "missing required arguments: 'x'"),
        (Point, (1, 2, 3), {}, "takes 2 positional arguments, 3 were given"),
        (Named, (1,), {}, "takes 0 positional arguments, 1 were given"),
        (Point, (1,), {"x": 2}, "multiple values for argument 'x'"),
        (Point, (1,), {"z": 2}, "unexpected keyword argument 'z'"),
    ],
)
def test_wrong_arguments_are_type_errors(
    kind: Any, args: tuple[int, ...], given: dict[str, int], line: str
) -> None:
    with pytest.raises(TypeError, match=line):
        kind(*args, **given)


def test_a_frozen_one_stays_as_it_is() -> None:
    point: Any = Point(1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        point.x = 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        point.z = 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        del point.x
    assert not hasattr(point, "__dict__")
    loose = Loose()
    loose.x = 2
    assert loose == Loose(2)
    with pytest.raises(TypeError):
        hash(loose)


def test_hash_copy_pickle_and_match() -> None:
    assert len({Point(1), Point(1), Point(2)}) == 2
    assert hash(Named(x=1)) == hash(Named(x=1, table={"a": 1}))
    for again in (copy.deepcopy(Named(x=1)), pickle.loads(pickle.dumps(Named(x=1)))):
        assert again == Named(x=1)
    match Bind("tcp", "h", 80):
        case Bind("tcp", host, port):
            assert (host, port) == ("h", 80)
    assert replace(Point(1), y=5) == Point(1, 5)
    with pytest.raises(TypeError, match="unexpected"):
        replace(Point(1), z=5)


def test_it_is_a_dataclass_to_those_who_ask() -> None:
    config: Any = Config(bind="127.0.0.1:1")
    kind: Any = Config
    assert dataclasses.is_dataclass(kind)
    assert [field.name for field in dataclasses.fields(kind)] == list(config.to_dict())
    assert dataclasses.replace(config, workers=3) == config.replace(workers=3)
    assert dataclasses.asdict(config)["bind"] == ("127.0.0.1:1",)
    assert dataclasses.fields(Named(x=1))[3].metadata == {"key": 1}  # type: ignore[arg-type]
    parameters = inspect.signature(Config).parameters
    assert parameters["workers"].default == 1
    assert {p.kind for p in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}
