"""Names in `agent/` say what a thing is; the words below say nothing, so no name is made of them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

EMPTY_WORDS = {
    "common",
    "handler",
    "helper",
    "helpers",
    "info",
    "manager",
    "misc",
    "processor",
    "service",
    "tmp",
    "util",
    "utils",
}
EMPTY_BEGINNINGS = ("do_", "process_")

MODULES = sorted(file.relative_to(ROOT).as_posix() for file in (ROOT / "agent").rglob("*.py"))


def definitions(path: str, source: str) -> Iterator[tuple[int, str]]:
    """Line and name of what others see of the module: itself, its classes, functions and parameters."""
    yield 0, Path(path).stem
    for node in ast.walk(ast.parse(source)):
        match node:
            case (
                ast.ClassDef(name=name)
                | ast.FunctionDef(name=name)
                | ast.AsyncFunctionDef(name=name)
                | ast.arg(arg=name)
            ):
                yield node.lineno, name


def words(name: str) -> set[str]:
    """The words of a snake_case or CamelCase name, in small letters."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def empty_names(path: str, source: str) -> list[str]:
    return [
        f"{path}:{line}: {name}"
        for line, name in definitions(path, source)
        if words(name) & EMPTY_WORDS
        or name.startswith(EMPTY_BEGINNINGS)
        or (name[0].isupper() and name.lower().endswith("data"))
    ]


@pytest.mark.parametrize("path", MODULES)
def test_names_say_something(path: str) -> None:
    assert empty_names(path, (ROOT / path).read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "class StoreManager: ...",
        "def do_unlock(): ...",
        "def frame_handler(): ...",
        "def f(bus_info): ...",
        "class CarData: ...",
    ],
)
def test_empty_name_is_seen(source: str) -> None:
    assert empty_names("agent/odds.py", source)


def test_empty_name_of_a_module_is_seen() -> None:
    assert empty_names("agent/utils.py", "")
