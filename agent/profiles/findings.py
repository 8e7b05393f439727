"""Faults of one profile, collected with their places so that a person sees all of them at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from agent.faults import Fault, dotted, toml_line

FAULTS_MAX = 100  # more than a person reads at once; finding a line costs a pass over the text each


class Findings:
    """Collects faults of a TOML text (`add`) and of the files beside it (`add_fault`)."""

    def __init__(self, text: str, source: str) -> None:
        self._text = text
        self._source = source
        self._faults: dict[Fault, None] = {}
        self._settled: set[tuple[str | int, ...]] = set()
        self._beyond_max = 0

    def __bool__(self) -> bool:
        return bool(self._faults)

    def add(self, path: Sequence[str | int], problem: str, expected: str = "") -> None:
        """A fault of the value at `path`, which may name more than the text holds: the nearest table is taken."""
        if not self.is_settled(path) and self._has_room():
            self._add(Fault(self._source, dotted(path), toml_line(self._text, path), problem, expected))

    def add_fault(self, fault: Fault) -> None:
        """A fault that already knows its place."""
        if self._has_room():
            self._add(fault)

    def settle(self, *paths: Sequence[str | int]) -> None:
        """Nothing more is to be told at or below these places: what is wrong there is told."""
        self._settled.update(map(tuple, paths))

    def is_settled(self, path: Sequence[str | int]) -> bool:
        return any(tuple(path[:depth]) in self._settled for depth in range(1, len(path) + 1))

    def beside(self, name: str) -> str:
        """Where a file beside the profile is, in the words of the profile's own source."""
        folder, slash, _ = self._source.rpartition("/")
        return f"{folder}{slash}{name}"

    def listed(self) -> list[Fault]:
        """All faults, file by file in the order of their lines."""
        listed = sorted(self._faults, key=lambda fault: (fault.source != self._source, fault.source, fault.line))
        if self._beyond_max:
            listed.append(Fault(self._source, "", 0, f"and {self._beyond_max} faults more"))
        return listed

    def _has_room(self) -> bool:
        if len(self._faults) < FAULTS_MAX:
            return True
        self._beyond_max += 1
        return False

    def _add(self, fault: Fault) -> None:
        self._faults[fault] = None  # the same fault seen from two places is told once


def expected_by(message: str) -> str:
    """What a type or a bound wants, of the message with which pydantic refused a value."""
    if digits := re.search(r"pattern '\^\[0-9a-f\]\{(\d+)\}\$'", message):
        return f"{digits[1]} hexadecimal digits, in lower case"
    if message == "String should have at least 1 character":
        return "a text that is not empty"
    return message.removeprefix("Input should be ")


def expected_of(known: Iterable[str], given: str = "") -> str:
    """What to expect instead of `given`: the names most like it, or else some of those there are."""
    names = sorted(set(known))
    if close := _differing_in_case(given, names) or get_close_matches(given, names, n=3, cutoff=0.6):
        return " or ".join(close)
    if not names:
        return "nothing: there is none"
    shown = ", ".join(names[:_NAMES_SHOWN])
    return f"one of {shown}" + (f" … ({len(names)} in all)" if len(names) > _NAMES_SHOWN else "")


_NAMES_SHOWN = 8


def _differing_in_case(given: str, names: Sequence[str]) -> list[str]:
    return [name for name in names if given and name.casefold() == given.casefold()]
