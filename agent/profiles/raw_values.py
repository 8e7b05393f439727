"""Raw values as a profile writes them: by their name in the DBC, as a number, or as a range of numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence

from agent.profiles.findings import expected_of
from agent.profiles.lookup import Lookup, Place
from agent.profiles.message_spec import SignalSpec, raw_range

# As much of a number as 64 bits can need: whatever is longer is none, and reading it would cost time.
_NUMBER_CHARACTERS_MAX = 70
_RANGE = re.compile(rf"\s*(-?\w{{1,{_NUMBER_CHARACTERS_MAX}}})\s*\.\.\s*(-?\w{{1,{_NUMBER_CHARACTERS_MAX}}})\s*")


def raws_of(word: str, spec: SignalSpec, place: Place, lookup: Lookup) -> tuple[int, ...]:
    """The raw values meant by a name of the DBC's value table or by a number written as text."""
    if raws := spec.raws_named(word):
        return raws
    low, high = raw_range(spec.field)
    try:
        raw = int(word[:24], 0)
    except ValueError:
        expected = expected_of(spec.names.values(), word) if spec.names else f"a raw value from {low} to {high}"
        lookup.findings.add(place, f"the DBC has no value called {word!r} for {spec.name}", expected)
        return ()
    if low <= raw <= high:
        return (raw,)
    lookup.findings.add(place, f"raw value {raw} does not fit {spec.name}", f"{low} to {high}")
    return ()


Ranges = tuple[tuple[int, int], ...]
"""Raw values from the first to the second, both included."""


def markers_of(
    invalid: Sequence[int | str], spec: SignalSpec, place: Place, lookup: Lookup
) -> tuple[frozenset[int], Ranges]:
    """The raw values that stand for no value: single ones, and ranges (`"0x3FC..0x3FF"`)."""
    singles: set[int] = set()
    ranges: list[tuple[int, int]] = []
    low, high = raw_range(spec.field)
    for written in invalid:
        if isinstance(written, int):
            first = last = written
        elif (found := _range(written)) is not None:
            first, last = found
        else:
            lookup.findings.add(place, f"{written!r} is no range of raw values", '"0x3FC..0x3FF", the lower one first')
            continue
        for raw in dict.fromkeys((first, last)):
            if not low <= raw <= high:
                lookup.findings.add(place, f"raw value {raw} does not fit {spec.name}", f"{low} to {high}")
        if first == last:
            singles.add(first)
        else:
            ranges.append((first, last))
    return frozenset(singles), tuple(ranges)


def is_marked(raw: int, singles: frozenset[int], ranges: Ranges) -> bool:
    """Whether a raw value stands for none."""
    return raw in singles or any(first <= raw <= last for first, last in ranges)


def _range(written: str) -> tuple[int, int] | None:
    match = _RANGE.fullmatch(written)
    if match is None:
        return None
    try:
        first, last = int(match[1], 0), int(match[2], 0)
    except ValueError:
        return None
    return (first, last) if first <= last else None
