"""Nothing in `agent/` is too long to be read at a sitting, and the program as a whole is made of small pieces.

The limits are a tenth above the guide of the house (300 lines a file, 60 a function), which is aimed at; the room
between is so that nobody cuts a thought in two for the sake of a line. A file at the limit is asked for the second
noun in it, not for shorter lines. What is longer for a reason stands in `LONGER`, with that reason.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILE_LINES_MAX = 330
FUNCTION_LINES_MAX = 70
FUNCTION_LINES_MEDIAN_MAX = 12
"""The codebases taken as a measure lie between 6 and 12: most functions do one thing and have room for no second."""

LONGER: dict[str, str] = {}
"""`path` or `path:function` → why it is longer than its limit."""

MODULES = sorted(file.relative_to(ROOT).as_posix() for file in (ROOT / "agent").rglob("*.py"))


def functions(source: str) -> Iterator[tuple[str, int]]:
    """Name and length in lines, decorators included, of every function and method."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            yield node.name, (node.end_lineno or node.lineno) - first + 1


def too_long(path: str, source: str) -> dict[str, str]:
    """`path` or `path:function` → complaint, exceptions included."""
    lines = source.count("\n")
    found = {path: f"{lines} lines, at most {FILE_LINES_MAX}"} if lines > FILE_LINES_MAX else {}
    return found | {
        f"{path}:{name}": f"{length} lines, at most {FUNCTION_LINES_MAX}"
        for name, length in functions(source)
        if length > FUNCTION_LINES_MAX
    }


@pytest.mark.parametrize("path", MODULES)
def test_module_and_its_functions_are_short(path: str) -> None:
    found = too_long(path, (ROOT / path).read_text())
    assert {place: complaint for place, complaint in found.items() if place not in LONGER} == {}


def test_half_of_all_functions_fit_into_a_few_lines() -> None:
    lengths = [length for path in MODULES for _, length in functions((ROOT / path).read_text())]
    assert median(lengths) <= FUNCTION_LINES_MEDIAN_MAX


def test_exceptions_are_still_needed() -> None:
    found = {place for path in MODULES for place in too_long(path, (ROOT / path).read_text())}
    assert LONGER.keys() - found == set()


def test_long_file_and_long_function_are_seen() -> None:
    assert too_long("agent/odds.py", "\n" * (FILE_LINES_MAX + 1))
    assert too_long("agent/odds.py", "@wraps\ndef f():\n" + "    pass\n" * (FUNCTION_LINES_MAX - 1))
    assert not too_long("agent/odds.py", "def f():\n" + "    pass\n" * (FUNCTION_LINES_MAX - 1))
