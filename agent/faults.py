"""A fault in a file a person wrote: where it is, what is wrong, what was expected."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


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


_TABLE = re.compile(r"^\s*(\[\[?)\s*([A-Za-z0-9_.\"' -]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"^\s*([A-Za-z0-9_-]+|\"[^\"]+\")\s*=")


def toml_line(text: str, path: Sequence[str | int]) -> int:
    """Line (from 1) on which the value at `path` stands in a TOML text, or of the nearest table above it; 0 if none.

    tomllib gives no positions; this reads table headers and keys at the start of a line, which is how
    configuration and profiles are written.  Keys inside an inline table get the line of the table.
    """
    best, best_depth = 0, -1
    current: list[str | int] = []
    counts: dict[str, int] = {}
    wanted = list(path)
    for number, line in enumerate(text.splitlines(), 1):
        if header := _TABLE.match(line):
            names = [part.strip().strip("\"'") for part in header[2].split(".")]
            name = ".".join(names)
            current = list(names)
            if header[1] == "[[":
                counts[name] = counts.get(name, -1) + 1
                current.append(counts[name])
            else:
                for depth in range(len(names), 0, -1):
                    parent = ".".join(names[:depth])
                    if parent in counts:
                        current.insert(depth, counts[parent])
                        break
            here = current
        elif key := _KEY.match(line):
            here = [*current, key[1].strip('"')]
        else:
            continue
        depth = len(here)
        if depth > best_depth and here == wanted[:depth]:
            best, best_depth = number, depth
    return best


def dotted(path: Sequence[str | int]) -> str:
    """`("signals", 3, "unit")` as `signals[3].unit`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text
