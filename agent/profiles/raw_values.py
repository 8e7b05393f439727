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


# Of one word: all of a byte. More are numbers and no words.
_RANGE_VALUES_MAX = 256


def raws_of(word: str, spec: SignalSpec, place: Place, lookup: Lookup) -> tuple[int, ...]:
    """The raw values meant by a name of the DBC's value table, a number as a text, or a range of a byte's worth."""
    if raws := spec.raws_named(word):
        return raws
    low, high = raw_range(spec.field)
    if (span := range_of(word)) is not None:
        if span[1] - span[0] >= _RANGE_VALUES_MAX:
            lookup.findings.add(place, f"{word!r} are too many raw values", f"at most {_RANGE_VALUES_MAX} in a range")
            return ()
        return tuple(range(span[0], span[1] + 1)) if fits(span, spec, place, lookup) else ()
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
    for written in invalid:
        if isinstance(written, int):
            first = last = written
        elif (found := range_of(written)) is not None:
            first, last = found
        else:
            lookup.findings.add(place, f"{written!r} is no range of raw values", '"0x3FC..0x3FF", the lower one first')
            continue
        fits((first, last), spec, place, lookup)
        if first == last:
            singles.add(first)
        else:
            ranges.append((first, last))
    return frozenset(singles), tuple(ranges)


def is_marked(raw: int, singles: frozenset[int], ranges: Ranges) -> bool:
    """Whether a raw value stands for none."""
    return raw in singles or any(first <= raw <= last for first, last in ranges)


def fits(span: tuple[int, int], spec: SignalSpec, place: Place, lookup: Lookup) -> bool:
    """Whether both ends of a range are raw values the signal can have; a fault is told of each that is not."""
    low, high = raw_range(spec.field)
    strange = [raw for raw in dict.fromkeys(span) if not low <= raw <= high]
    for raw in strange:
        lookup.findings.add(place, f"raw value {raw} does not fit {spec.name}", f"{low} to {high}")
    return not strange


def range_of(written: str) -> tuple[int, int] | None:
    """Both ends of a range written as text, None if it is none."""
    match = _RANGE.fullmatch(written)
    if match is None:
        return None
    try:
        first, last = int(match[1], 0), int(match[2], 0)
    except ValueError:
        return None
    return (first, last) if first <= last else None
