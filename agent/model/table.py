"""Tables of a TOML file as frozen classes, and the two ways from a document to them.

`checked` has pydantic look at every key, type and bound, and is for whatever was not looked at before.  `believed` only
puts a document in place that was found sound before, by its digest, and does without: to load pydantic and have it make
its validators took a quarter of an ordinary start.  Both give equal tables (`tests/property/test_tables.py`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from functools import cache, partial
from types import NoneType, SimpleNamespace, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    NamedTuple,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, TypeAdapter
    from pydantic_core import CoreSchema

_T = TypeVar("_T")


class Table:
    """No key that is not known, no number that is none, and nothing taken for what it is not."""

    __slots__ = ()

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, make: GetCoreSchemaHandler) -> CoreSchema:
        """Strict in all it holds; itself it is made of a table, not only of an instance."""
        schema = make(source)
        cast("dict[str, object]", schema)["strict"] = False
        return schema


class Within(NamedTuple):
    """The bounds of a value, in pydantic's words; only `checked` looks at them."""

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None

    def __get_pydantic_core_schema__(self, source: Any, make: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic import Field

        bounds: dict[str, Any] = {name: bound for name, bound in self._asdict().items() if bound is not None}
        return make(Annotated[source, Field(**bounds)])


class Judged(NamedTuple):
    """What bounds cannot say of a value: `judge` returns it, or raises ValueError in words. Only `checked` asks."""

    judge: Callable[[Any], Any]

    def __get_pydantic_core_schema__(self, source: Any, make: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core.core_schema import no_info_after_validator_function

        return no_info_after_validator_function(self.judge, make(source))


def checked(kind: type[_T], document: object) -> _T:
    """The table that a document is; pydantic's ValidationError lists every fault."""
    return cast(_T, _adapter(cast(Any, kind)).validate_python(document))


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def believed(kind: type[_T], document: object) -> _T:
    """The table that a document is which `checked` took before.

    Of another one too, if all in it is of its type: bounds are not looked at. TypeError otherwise.
    """
    return cast(_T, _placing(cast(Any, kind))(document))


def keys_at(kind: object, path: Sequence[str | int]) -> list[str]:
    """The keys of the table that stands at `path` in a document of this kind; none if no table has its place there."""
    for part in path:
        kind = get_type_hints(kind).get(str(part)) if is_dataclass(kind) else next(reversed(get_args(kind)), None)
        if get_origin(kind) is not None and NoneType in get_args(kind):
            kind = next(member for member in get_args(kind) if member is not NoneType)
    return [field.name for field in fields(kind)] if is_dataclass(kind) else []


@cache
def _placing(kind: Any) -> Callable[[Any], Any]:
    """How a value of this type is put in place; TypeError if it is of another."""
    origin, members = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        return _placing_table(cast(type, kind))
    if kind is float:
        return _number
    if kind in (str, int, bool):
        return partial(_exactly, kind)
    if origin is list:
        return partial(_placed_list, _placing(members[0]))
    if origin is dict:
        return partial(_placed_dict, _placing(members[1]))
    if origin in (Union, UnionType) and len(further := [member for member in members if member is not NoneType]) == 1:
        inner = _placing(further[0])
        return lambda given: None if given is None else inner(given)
    if origin in (Union, UnionType):
        return _scalar
    return partial(_exactly, (str, int))  # one of a few words or numbers


def _placing_table(kind: type) -> Callable[[Any], Any]:
    types = {field.name: field.type for field in fields(kind)}
    words = vars(sys.modules[kind.__module__])
    ways: dict[str, Callable[[Any], Any]] = {}

    def way(name: str) -> Callable[[Any], Any]:
        """Found out when it is first wanted: most keys of most tables are at their defaults."""
        if name not in ways:
            ways[name] = _placing(get_type_hints(SimpleNamespace(__annotations__={name: types[name]}), words)[name])
        return ways[name]

    def placed(given: Any) -> Any:
        if unknown := _exactly(dict, given).keys() - types.keys():
            raise TypeError(f"unknown keys {sorted(unknown)}")
        return kind(**{name: way(name)(one) for name, one in given.items()})

    return placed


def _exactly(kind: type | tuple[type, ...], given: Any) -> Any:
    if not isinstance(given, kind) or (kind is int and isinstance(given, bool)):
        raise TypeError(f"{given!r:.60} is of another type")
    return given


def _scalar(given: Any) -> Any:
    """One of several types as it is, but for a whole number that no signal can hold: pydantic finds a float in it."""
    if isinstance(given, int) and not -(1 << 63) <= given < 1 << 64:
        return float(given)
    return _exactly((str, int, float, NoneType), given)


def _number(given: Any) -> float:
    """A whole number is one too."""
    return float(given) if type(given) is int else cast(float, _exactly(float, given))


def _placed_list(each: Callable[[Any], Any], given: Any) -> list[Any]:
    return [each(one) for one in _exactly(list, given)]


def _placed_dict(each: Callable[[Any], Any], given: Any) -> dict[str, Any]:
    return {name: each(one) for name, one in _exactly(dict, given).items()}
