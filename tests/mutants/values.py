"""Faults in the values a module makes when it is imported: its constants, its tables, the defaults of its fields.

mutmut changes what stands in functions only; here every number is one too high, every string another, every truth its
opposite, and every item of a table is left out once.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ValueFault:
    """`source` is the module with the fault in it; `place` and `change` say where and what."""

    place: str
    change: str
    source: str


def value_faults(source: str) -> Iterator[ValueFault]:
    """Every such fault of one module, in the order of its lines."""
    lines = source.splitlines()
    for scope, statement in _statements(ast.parse(source)):
        target = statement.target if isinstance(statement, ast.AnnAssign) else statement.targets[0]
        place = f"{scope}{ast.unparse(target)}"
        for changed in _changed(statement):
            text = ast.unparse(changed)
            faulty = [
                *lines[: statement.lineno - 1],
                *(f"{' ' * statement.col_offset}{line}" for line in text.splitlines()),
                *lines[statement.end_lineno :],
            ]
            yield ValueFault(place, text, "\n".join(faulty) + "\n")


def _statements(module: ast.Module) -> Iterator[tuple[str, ast.Assign | ast.AnnAssign]]:
    """Assignments of the module and defaults of fields; an enumeration's values are names, and names no promise."""
    for statement in module.body:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and ast.unparse(statement).split()[0] != "__all__":
            yield "", statement
        elif isinstance(statement, ast.ClassDef):
            yield from ((f"{statement.name}.", field) for field in statement.body if isinstance(field, ast.AnnAssign))


def _changed(statement: ast.Assign | ast.AnnAssign) -> Iterator[ast.stmt]:
    """Copies of the statement with one fault each; a subscript is a type, which changes nothing at run time."""
    if statement.value is None or isinstance(statement.value, ast.Subscript):
        return
    for number, node in enumerate(ast.walk(statement.value)):
        for fault in range(_faults(node)):
            changed = copy.deepcopy(statement)
            assert changed.value is not None
            _break(list(ast.walk(changed.value))[number], fault)
            yield changed


def _faults(node: ast.AST) -> int:
    """In how many ways `_break` can change the node."""
    match node:
        case ast.Constant(value=int() | float() | str()):
            return 1
        case ast.Set(elts=items) | ast.Tuple(elts=items) | ast.List(elts=items) | ast.Call(args=items):
            return len(items)
        case ast.Dict(values=items):
            return len(items)
    return 0


def _break(node: ast.AST, fault: int) -> None:
    match node:
        case ast.Constant(value=str(text)):
            node.value = f"XX{text}XX"
        case ast.Constant(value=bool(truth)):
            node.value = not truth
        case ast.Constant(value=int(number) | float(number)):
            node.value = number + 1
        case ast.Set(elts=items) | ast.Tuple(elts=items) | ast.List(elts=items) | ast.Call(args=items):
            del items[fault]
        case ast.Dict(keys=keys, values=values):
            del keys[fault], values[fault]
