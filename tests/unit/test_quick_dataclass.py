"""The agent's own `dataclass` beside the standard library's, the oracle: on every class of the agent, and by use."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import inspect
import pickle
import pkgutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest

import agent
from agent.model.quick_dataclass import dataclass


def classes() -> Iterator[type]:
    for module in pkgutil.walk_packages(agent.__path__, "agent."):
        if module.name != "agent.__main__" and not module.name.startswith(("agent.bench", "agent.profile_tools.plot")):
            for kind in vars(importlib.import_module(module.name)).values():
                if isinstance(kind, type) and dataclasses.is_dataclass(kind) and kind.__module__ == module.name:
                    yield kind


def twin(kind: Any) -> Any:
    """What the standard library makes of the same fields."""
    space: dict[str, Any] = {"__annotations__": {field.name: field.type for field in dataclasses.fields(kind)}}
    for field in dataclasses.fields(kind):
        if field.default is not dataclasses.MISSING:
            space[field.name] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            space[field.name] = dataclasses.field(default_factory=field.default_factory)
    is_by_name = any(field.kw_only for field in dataclasses.fields(kind))
    space |= {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
    bare = type(kind.__name__, (), space)
    return dataclasses.dataclass(frozen=kind.__dataclass_params__.frozen, slots=True, kw_only=is_by_name)(bare)


CLASSES = sorted(set(classes()), key=lambda kind: (kind.__module__, kind.__qualname__))
QUICK = [kind for kind in CLASSES if kind.__init__.__code__.co_filename == "<quick dataclass>"]  # type: ignore[misc]


def test_there_are_many_and_few_are_left_to_the_standard_library() -> None:
    assert len(QUICK) > 0.9 * len(CLASSES) > 150


@pytest.mark.parametrize("kind", QUICK, ids=lambda kind: f"{kind.__module__}.{kind.__qualname__}")
def test_class_is_what_the_standard_library_makes_of_it(kind: Any) -> None:
    oracle = twin(kind)
    mine, theirs = inspect.signature(kind).parameters, inspect.signature(oracle).parameters
    assert list(mine) == list(theirs)
    for name, parameter in theirs.items():
        made = {field.name for field in dataclasses.fields(kind) if field.default_factory is not dataclasses.MISSING}
        assert mine[name].kind == parameter.kind
        assert name in made or mine[name].default is parameter.default or mine[name].default == parameter.default
    assert kind.__slots__ == oracle.__slots__
    assert kind.__match_args__ == oracle.__match_args__
    assert not hasattr(kind, "__weakref__")
    assert (kind.__hash__ is None) == (oracle.__hash__ is None)
    assert repr(kind.__dataclass_params__) == repr(oracle.__dataclass_params__)


def made_by(decorate: Callable[..., Any]) -> dict[str, Any]:
    """The same classes by one of the two."""

    @decorate(frozen=True, slots=True)
    class Point:
        x: int
        y: float = 2.0
        names: list[str] = dataclasses.field(default_factory=list)

        @property
        def sum(self) -> float:
            return self.x + self.y

        @classmethod
        def origin(cls) -> Any:
            made: Any = cls
            return made(0, 0.0)

    @decorate(frozen=True, slots=True)
    class Single:
        only: object

    @decorate(frozen=True, slots=True)
    class Checked:
        number: int

        def __post_init__(self) -> None:
            if self.number < 0:
                raise ValueError("negative")

    @decorate(frozen=True, slots=True)
    class Empty:
        pass

    @decorate(frozen=True, slots=True, kw_only=True)
    class Named:
        first: int = 1
        second: int

    @decorate(slots=True)
    class Mutable:
        counts: Counter[str] = dataclasses.field(default_factory=Counter)
        told: str | None = None

    @decorate(frozen=True, slots=True, order=True)
    class Ordered:
        number: int

    @decorate(frozen=True, slots=True)
    class Partly:
        number: int
        beside: int = dataclasses.field(default=0, compare=False, repr=False)
        made: int = dataclasses.field(default=1, init=False)

    @decorate(frozen=True, slots=True)
    class Told:
        counted: ClassVar[int] = 5
        number: int

    @decorate(frozen=True, slots=True)
    class Worded:
        word: str

        def __repr__(self) -> str:
            return "its own"

    return {
        kind.__name__: kind for kind in (Point, Single, Checked, Empty, Named, Mutable, Ordered, Partly, Told, Worded)
    }


def outcome(act: Callable[[dict[str, Any]], object], decorate: Callable[..., Any]) -> object:
    """What comes of it, in words that do not name the decorator."""
    try:
        found = act(made_by(decorate))
    except Exception as error:  # noqa: BLE001 - whatever it is, it must be the same
        return type(error), str(error)
    return repr(found)


def assigned(each: Any, name: str) -> object:
    setattr(each, name, 5)
    return each


def deleted(each: Any, name: str) -> object:
    delattr(each, name)
    return each


def matched(each: Any, kind: Any) -> object:
    match each:
        case kind(x, y):
            return x, y
    return None


NAN = float("nan")

ACTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "made by place": lambda of: of["Point"](1, 3.0, ["a"]),
    "made by name": lambda of: of["Point"](y=3.0, x=1),
    "by name alone": lambda of: of["Named"](second=2),
    "by name alone, by place": lambda of: of["Named"](2),
    "by name alone, matched": lambda of: matched(of["Named"](second=2), of["Named"]),
    "too few": lambda of: of["Point"](),
    "too many": lambda of: of["Single"](1, 2),
    "unknown name": lambda of: of["Single"](other=2),
    "factory is called each time": lambda of: of["Point"](1).names is of["Point"](1).names,
    "property": lambda of: of["Point"](1).sum,
    "class method": lambda of: of["Point"].origin(),
    "equal": lambda of: of["Point"](1) == of["Point"](1),
    "unequal": lambda of: of["Point"](1) == of["Point"](2),
    "of another class": lambda of: of["Single"](1) == of["Checked"](1),
    "equal to a number": lambda of: of["Single"](1) == 1,
    "hash": lambda of: hash(of["Single"](1)) == hash(of["Single"](1)) == hash((1,)),
    "hash of many": lambda of: hash(of["Point"](1, 2.0, ())) == hash((1, 2.0, ())),
    "hash of what has none": lambda of: hash(of["Point"](1)),
    "hash of a mutable one": lambda of: hash(of["Mutable"]()),
    "assigned": lambda of: assigned(of["Point"](1), "x"),
    "deleted": lambda of: deleted(of["Point"](1), "x"),
    "mutable assigned": lambda of: assigned(of["Mutable"](), "told"),
    "mutable with another name": lambda of: assigned(of["Mutable"](), "z"),
    "refused": lambda of: of["Checked"](-1),
    "checked when replaced": lambda of: dataclasses.replace(of["Checked"](1), number=-1),
    "replaced": lambda of: dataclasses.replace(of["Point"](1), y=7.0),
    "replaced by an unknown name": lambda of: dataclasses.replace(of["Point"](1), z=7.0),
    "as a dictionary": lambda of: dataclasses.asdict(of["Point"](1)),
    "copied": lambda of: copy.copy(of["Point"](1)),
    "copied deeply": lambda of: copy.deepcopy(of["Point"](1, 2.0, ["a"])),
    "matched": lambda of: matched(of["Point"](1), of["Point"]),
    "empty": lambda of: (of["Empty"](), of["Empty"]() == of["Empty"](), hash(of["Empty"]()) == hash(())),
    "ordered": lambda of: sorted([of["Ordered"](2), of["Ordered"](1)]),
    "of the class": lambda of: (of["Told"](1), of["Told"].counted, dataclasses.fields(of["Told"])),
    "partly compared": lambda of: (of["Partly"](1, 2) == of["Partly"](1, 3), hash(of["Partly"](1, 2)), of["Partly"](1)),
    "its own words": lambda of: of["Worded"]("a"),
    "its own place": lambda of: (of["Point"].__qualname__, of["Point"].__module__, of["Point"].__init__.__qualname__),
}


if sys.version_info < (3, 13):  # since then the standard one compares field by field, ours still all at once
    ACTS["nan is itself"] = lambda of: of["Single"](NAN) == of["Single"](NAN)


@pytest.mark.parametrize("act", ACTS)
def test_used_it_does_as_the_standard_library_does(act: str) -> None:
    assert outcome(ACTS[act], dataclass) == outcome(ACTS[act], dataclasses.dataclass)


def test_another_name_is_refused_as_a_field_is() -> None:
    """The standard library's fails there over the class it made a second time, with a TypeError about that."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        assigned(made_by(dataclass)["Point"](1), "z")


def test_a_field_without_a_default_after_one_with_is_refused() -> None:
    for decorate in (dataclass, dataclasses.dataclass):
        wrong = type("Wrong", (), {"__annotations__": {"first": int, "second": int}, "first": 1})
        with pytest.raises(TypeError, match="default"):
            decorate(frozen=True, slots=True)(wrong)


def test_an_instance_that_holds_itself_can_be_told() -> None:
    held: list[object] = []
    point = made_by(dataclass)["Single"](held)
    held.append(point)
    assert repr(point).endswith("Single(only=[...])")


@dataclass(frozen=True, slots=True)
class Pickled:
    """At module level, as pickle wants it."""

    number: int
    words: tuple[str, ...] = ()


def test_pickled_it_comes_back() -> None:
    assert pickle.loads(pickle.dumps(Pickled(1, ("a",)))) == Pickled(1, ("a",))  # noqa: S301 - our own


def test_inherited_fields_are_the_standard_librarys() -> None:
    @dataclass(frozen=True, slots=True)
    class Child(Pickled):
        further: int = 0

    assert Child(1, ("a",), 2) == Child(1, ("a",), 2)
    assert repr(Child(1)).endswith("Child(number=1, words=(), further=0)")
