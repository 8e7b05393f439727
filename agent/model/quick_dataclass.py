"""`dataclass` for this package: the standard library's, made in a third of the time.

The standard one compiles six functions for each frozen class with slots, one by one, and an agent has nearly two
hundred such classes before its first value: a quarter of its start.  Here one is compiled, `__init__`, and that once
for each number of fields; the others are the same few functions for all.  Fields, `replace`, `asdict`, `match`,
copying, pickling and what a failure is remain the standard library's; `tests/unit/test_quick_dataclass.py` compares
the two on every class of the agent.

To a type checker this is the standard `dataclass`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:
    import dataclasses
    import inspect
    from functools import cache
    from operator import attrgetter
    from reprlib import recursive_repr
    from types import CodeType, FunctionType

    def dataclass(kind=None, /, *, frozen=False, slots=False, kw_only=False, **further):
        """As `dataclasses.dataclass`, to which it leaves what has no slots, and inherited and special fields."""
        if kind is None:
            return lambda decorated: dataclass(decorated, frozen=frozen, slots=slots, kw_only=kw_only, **further)
        inherits = any(map(dataclasses.is_dataclass, kind.__mro__))
        if not slots or further or inherits or any(map(_is_special, vars(kind).values())):
            return dataclasses.dataclass(kind, frozen=frozen, slots=slots, kw_only=kw_only, **further)
        if not kind.__doc__:
            kind.__doc__ = kind.__name__  # otherwise the signature, which is dear to find out
        fields = _fields_of(kind, kw_only=kw_only)
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
        if hasattr(parameters, "slots"):  # since Python 3.12
            parameters.slots = True
        return made

    def _is_special(given):
        """A field that is not like all others: left out of a comparison, the words or the parameters."""
        if not isinstance(given, dataclasses.Field):
            return False
        return not (given.init and given.repr and given.compare and given.hash is None)

    def _fields_of(kind, *, kw_only):
        """As the standard library finds them. It looks long at each type that is text, for the few words it knows."""
        types = inspect.get_annotations(kind)
        words = " ".join(map(str, types.values()))
        is_plain = not any(word in words for word in ("ClassVar", "InitVar", "KW_ONLY"))
        if is_plain:
            kind.__annotations__ = dict.fromkeys(types, object)
        fields = dataclasses.fields(dataclasses.dataclass(kind, init=False, repr=False, eq=False, kw_only=kw_only))
        if is_plain:
            kind.__annotations__ = types
            for field in fields:
                field.type = types[field.name]
        return fields

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
        """The one function that is compiled, because a generic one would be slow at every event.

        It is compiled once for each number of fields; its parameters are named after them afterwards.
        """
        missing, is_by_name = dataclasses.MISSING, bool(fields) and fields[0].kw_only  # all of them, or none
        is_made = tuple(field.default_factory is not missing for field in fields)
        code = _init_code(is_made, is_by_name, hasattr(made, "__post_init__"))
        code = code.replace(co_varnames=("self", *(field.name for field in fields)))
        names: dict[str, Any] = {f"set{number}": vars(made)[field.name].__set__ for number, field in enumerate(fields)}
        names |= {f"make{number}": field.default_factory for number, field in enumerate(fields) if is_made[number]}
        init = FunctionType(code, names | {"MISSING": missing}, "__init__")
        has_default = [field.default is not missing or field.default_factory is not missing for field in fields]
        defaults = {field.name: field.default for field, has in zip(fields, has_default, strict=True) if has}
        if is_by_name:
            init.__kwdefaults__ = defaults
        elif sorted(has_default) != has_default:
            raise TypeError(f"{made.__name__}: a field without a default follows one that has one")
        else:
            init.__defaults__ = tuple(defaults.values())
        init.__qualname__ = f"{made.__qualname__}.__init__"
        init.__module__ = made.__module__
        init.__annotations__ = {field.name: field.type for field in fields} | {"return": None}
        return init

    @cache
    def _init_code(is_made, is_by_name, is_checked):
        """The code that sets so many fields, those that `is_made` by a function to what that gives unless given."""
        parameters = ["self", *(["*"] if is_by_name else []), *(f"value{number}" for number in range(len(is_made)))]
        lines = [f"def __init__({', '.join(parameters)}):"]
        for number, made in enumerate(is_made):
            value = f"make{number}() if value{number} is MISSING else value{number}" if made else f"value{number}"
            lines.append(f" set{number}(self, {value})")
        lines.append(" self.__post_init__()" if is_checked else " return None")
        module = compile("\n".join(lines), "<quick dataclass>", "exec")
        return next(code for code in module.co_consts if isinstance(code, CodeType))

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
