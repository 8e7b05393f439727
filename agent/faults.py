"""A fault in a file a person wrote: where it is, what is wrong, what was expected."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `key` is the dotted path in the file (`signals[3].unit`), `line` counts from 1, 0 if unknown."""

    source: str
    key: str
    line: int
    problem: str
    expected: str = ""

    def __str__(self) -> str:
        place = f"{self.source}:{self.line}" if self.line else self.source
        key = f" {self.key}:" if self.key else ""
        hint = f"; expected {self.expected}" if self.expected else ""
        return f"{place}:{key} {self.problem}{hint}"


def syntax_fault(source: str, error: ValueError | RecursionError) -> Fault:
    """The fault for what `tomllib.loads` raises: not TOMLDecodeError alone, also at numbers and nesting without end."""
    place = re.search(r"\(at line (\d+), column \d+\)$", str(error))
    return Fault(source, "", int(place[1]) if place else 0, f"not valid TOML: {error}")


def shown(value: object) -> str:
    """A value of a TOML document as a fault quotes it: short, and no more of a table or list than what it is."""
    if isinstance(value, int) and value.bit_length() > _SHOWN_BITS_MAX:
        return f"a number of {value.bit_length()} bits"
    if isinstance(value, str | int | float):
        return f"{value!r:.60}"
    return "a table" if isinstance(value, dict) else f"a {type(value).__name__}"


_SHOWN_BITS_MAX = 128  # Python refuses to write out integers of some thousand digits


def dotted(path: Sequence[str | int]) -> str:
    """`("signals", 3, "unit")` as `signals[3].unit`; a key that would not print is quoted."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += "." * bool(text) + (part if part.isprintable() else repr(part))
    return text


def toml_line(text: str, path: Sequence[str | int]) -> int:
    """Line (from 1) on which the value at `path` stands in a valid TOML text, or what it is part of; 0 if none.

    tomllib gives no positions; this reads table headers and keys.  A value inside an array or an inline table gets
    the line on which that begins.
    """
    lines = _lines(text)
    parts = tuple(path)
    return next((lines[parts[:depth]] for depth in range(len(parts), 0, -1) if parts[:depth] in lines), 0)


_NAME = r"""(?:[A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*')"""
_NAMES = rf"{_NAME}(?:[ \t]*\.[ \t]*{_NAME})*"
# Compiled when a fault is to be told: most starts have none.
_HEADER = rf"[ \t]*(\[\[?)[ \t]*({_NAMES})[ \t]*\]\]?"
_KEY = rf"[ \t]*({_NAMES})[ \t]*="

# Strings and comments may hold brackets and line ends that mean nothing.
_STRING_OR_BRACKET = (
    r'''(?s)(?P<quoted>#[^\n]*|"""(?:\\.|[^\\])*?"""|\'\'\'.*?\'\'\'|"(?:\\.|[^"\\\n])*"|'[^'\n]*')'''
    r"""|(?P<open>[\[{])|(?P<close>[\]}])|\n"""
)


@lru_cache(maxsize=1)  # a text has as many faults as a person makes, and each asks for a line
def _lines(text: str) -> Mapping[tuple[str | int, ...], int]:
    """The line on which each table and each value with a key of its own begins."""
    lines: dict[tuple[str | int, ...], int] = {}
    last_index: dict[tuple[str | int, ...], int] = {}
    table: list[str | int] = []
    for number, statement in _statements(text):
        if header := re.match(_HEADER, statement):
            table = []
            for name in _names(header[2]):
                table.append(name)
                if (index := last_index.get(tuple(table))) is not None:
                    table.append(index)
            if header[1] == "[[":
                if isinstance(table[-1], int):
                    table.pop()
                last_index[tuple(table)] = index = last_index.get(tuple(table), -1) + 1
                table.append(index)
            here = table
        elif key := re.match(_KEY, statement):
            here = [*table, *_names(key[1])]
        else:
            continue
        for depth in range(1, len(here) + 1):
            lines.setdefault(tuple(here[:depth]), number)
    return lines


def _names(key: str) -> list[str]:
    return [name[1:-1] if name[0] in "\"'" else name for name in re.findall(_NAME, key)]


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Each header and each `key = value` with its line; a value of several lines stays with its key."""
    number = begin_number = 1
    begin = depth = 0
    for token in re.finditer(_STRING_OR_BRACKET, text):
        if token["open"]:
            depth += 1
        elif token["close"]:
            depth -= 1
        elif token["quoted"]:
            number += token[0].count("\n")
        else:
            number += 1
            if depth == 0:
                yield begin_number, text[begin : token.start()]
                begin, begin_number = token.end(), number
    yield begin_number, text[begin:]
