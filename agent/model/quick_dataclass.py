"""`dataclass` for this package: the standard library's, made in a third of the time.

The standard one compiles six functions for each frozen class with slots, one by one, and an agent has nearly two
hundred such classes before its first value: a quarter of its start.  Here one is compiled, `__init__`; the others are
the same few functions for all.  Fields, `replace`, `asdict`, `match`, copying, pickling and what a failure is remain
the standard library's; `tests/unit/test_quick_dataclass.py` compares the two on every class of the agent.

To a type checker this is the standard `dataclass`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:
    import dataclasses
    from operator import attrgetter
    from reprlib import recursive_repr

    def dataclass(kind=None, /, *, frozen=False, slots=False, kw_only=False, **further):
        """As `dataclasses.dataclass`; what it does not know itself (no slots, inherited fields) it leaves to that."""
        if kind is None:
            return lambda decorated: dataclass(decorated, frozen=frozen, slots=slots, kw_only=kw_only, **further)
        if not slots or further or any(map(dataclasses.is_dataclass, kind.__mro__)):
            return dataclasses.dataclass(kind, frozen=frozen, slots=slots, kw_only=kw_only, **further)
        if not kind.__doc__:
            kind.__doc__ = kind.__name__  # otherwise the signature, which is dear to find out
        fields = dataclasses.fields(dataclasses.dataclass(kind, init=False, repr=False, eq=False, kw_only=kw_only))
        names = tuple(field.name for field in fields)
        # With slots the fields are descriptors in the place of defaults: the class is made a second time.
        space = {name: given for name, given in vars(kind).items() if name not in (*names, "__dict__", "__weakref__")}
        made = type(kind)(kind.__name__, kind.__bases__, space | {"__slots__": names})
        made.__qualname__ = kind.__qualname__
        for name, method in _methods(made, fields, frozen=frozen).items():
            if name not in space:
                setattr(made, name, method)
        parameters = made.__dataclass_params__
        parameters.init = parameters.repr = parameters.eq = True
        parameters.frozen = frozen
        return made

    def _methods(made, fields, *, frozen):
        names = tuple(field.name for field in fields)
        values = attrgetter(*names) if len(names) > 1 else lambda each: tuple(getattr(each, name) for name in names)
        methods = {"__init__": _init(made, fields), "__repr__": _repr(names), "__eq__": _eq(values), "__hash__": None}
        if frozen:
            methods |= {
                "__hash__": lambda each: hash(values(each)),
                "__setattr__": _refuse_to_assign,
                "__delattr__": _refuse_to_delete,
                "__getstate__": _getstate,
                "__setstate__": _setstate,
            }
        return methods

    def _init(made, fields):
        """The one function that is compiled: a generic one would be slow at every event."""
        names: dict[str, Any] = {}
        # All of them, or none.
        parameters, lines = ["*"] if fields and fields[0].kw_only else [], []
        for number, field in enumerate(fields):
            names[f"_set{number}"] = vars(made)[field.name].__set__
            value = field.name
            if field.default is not dataclasses.MISSING:
                names[f"_default{number}"] = field.default
                parameters.append(f"{field.name}=_default{number}")
            elif field.default_factory is not dataclasses.MISSING:
                names[f"_default{number}"], names["_missing"] = field.default_factory, dataclasses.MISSING
                parameters.append(f"{field.name}=_missing")
                value = f"_default{number}() if {field.name} is _missing else {field.name}"
            else:
                parameters.append(field.name)
            lines.append(f" _set{number}(self, {value})")
        if hasattr(made, "__post_init__"):
            lines.append(" self.__post_init__()")
        text = f"def __init__({', '.join(['self', *parameters])}):\n" + ("\n".join(lines) or " pass")
        exec(compile(text, "<quick dataclass>", "exec"), names)  # noqa: S102 - as the standard library does
        init = names["__init__"]
        init.__qualname__ = f"{made.__qualname__}.__init__"
        init.__module__ = made.__module__
        init.__annotations__ = {field.name: field.type for field in fields} | {"return": None}
        return init

    def _eq(values):
        def __eq__(self, other):  # noqa: N807 - becomes the method
            if other.__class__ is not self.__class__:
                return NotImplemented
            return values(self) == values(other)

        return __eq__

    def _repr(names):
        @recursive_repr()
        def __repr__(self):  # noqa: N807 - becomes the method
            told = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
            return f"{self.__class__.__qualname__}({told})"

        return __repr__

    def _refuse_to_assign(self, name, value):
        raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")

    def _refuse_to_delete(self, name):
        raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")

    def _getstate(self):
        return [getattr(self, field.name) for field in dataclasses.fields(self)]

    def _setstate(self, state):
        for field, value in zip(dataclasses.fields(self), state, strict=True):
            object.__setattr__(self, field.name, value)
