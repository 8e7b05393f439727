"""The numbered hazards of `tests/hazards.toml`, how a test claims one, and the table of what came of it.

    python -m tests.support.hazards [--booted] REPORT…

prints number, test and result from the JUnit reports, a number without a test too. Exit status 1 if a required number
has no test that passed, or any of its tests failed. Numbers that only a booted system proves are asked for with
`--booted`, and nothing else then is.
"""

# ruff: noqa: T201, S314 - a command's own output; the reports are ours
from __future__ import annotations

import re
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import pytest

FILE = Path(__file__).resolve().parents[1] / "hazards.toml"

RESULTS = ("failed", "skipped", "passed")
"""Of a test with several cases the first of these that any of them came to is told."""


@dataclass(frozen=True, slots=True)
class Hazards:
    """`texts`: number → what happens and what must come of it. `untestable`: number → why no test can prove it.

    `booted`: those of the required that only tests on booted systems prove.
    """

    texts: Mapping[str, str]
    required: frozenset[str]
    untestable: Mapping[str, str]
    booted: frozenset[str] = frozenset()

    def asked(self, *, is_booted: bool) -> Hazards:
        """The same list, of which one run of tests has to prove the required."""
        return replace(self, required=self.booted if is_booted else self.required - self.booted)


def place(number: str) -> int:
    """`H55` → 55, for sorting."""
    return int(number[1:])


def numbers_in(span: str) -> list[str]:
    """`H39-H41` → `H39`, `H40`, `H41`."""
    first, _, last = span.partition("-")
    return [f"H{number}" for number in range(place(first), place(last or first) + 1)]


@cache
def hazards() -> Hazards:
    """The list as it stands in the file."""
    document = tomllib.loads(FILE.read_text())
    required, booted = (
        frozenset(number for span in document[key] for number in numbers_in(span)) for key in ("required", "booted")
    )
    return Hazards(document["hazards"], required, document["untestable"], booted)


def properties_of(item: pytest.Item) -> Iterator[tuple[str, object]]:
    """What the JUnit report is to say of a test: its name and the hazards it claims. UsageError for a bad marker."""
    numbers = [number for marker in item.iter_markers("hazard") for number in (*marker.args, *marker.kwargs)]
    if unknown := [number for number in numbers if number not in hazards().texts]:
        raise pytest.UsageError(
            f"{item.nodeid}: hazard({', '.join(map(repr, unknown))}): no such hazard; "
            f'expected numbers of {FILE.name} such as hazard("H55")'
        )
    if numbers:
        yield "test", item.nodeid
    yield from (("hazard", number) for number in dict.fromkeys(numbers))


def outcomes(reports: Iterable[str]) -> dict[str, dict[str, Counter[str]]]:
    """Number → test without its parameters → result → number of cases, from the text of JUnit reports."""
    found: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for report in reports:
        for case in ElementTree.fromstring(report).iter("testcase"):
            said = [(each.get("name"), each.get("value", "")) for each in case.iter("property")]
            test = next((value for name, value in said if name == "test"), "")
            has_failed = case.find("failure") is not None or case.find("error") is not None
            result = "failed" if has_failed else "passed" if case.find("skipped") is None else "skipped"
            for name, number in said:
                if name == "hazard":
                    found[number][re.sub(r"\[.*", "", test, flags=re.DOTALL)][result] += 1
    return found


def result_of(cases: Counter[str]) -> str:
    """`passed`, or `passed (12 cases)`; with failures or skips, how many of how many."""
    worst = next(result for result in RESULTS if cases[result])
    if cases[worst] != cases.total():
        return f"{worst} ({cases[worst]} of {cases.total()} cases)"
    return worst if cases.total() == 1 else f"{worst} ({cases.total()} cases)"


def table(found: Mapping[str, Mapping[str, Counter[str]]], known: Hazards) -> Iterator[tuple[str, str, str]]:
    """Rows of number, test, result, by number; a required number without a test has a row that says so."""
    for number in sorted(known.required | found.keys(), key=place):
        for test, cases in sorted(found.get(number, {}).items()):
            yield number, test, result_of(cases)
        if number in known.untestable:
            yield number, f"untestable: {known.untestable[number]}", "-"
        elif not found.get(number):
            yield number, f"no test: {known.texts[number]}", "missing"


def broken(found: Mapping[str, Mapping[str, Counter[str]]], known: Hazards) -> list[str]:
    """Required numbers that no passing test proves, and every number of which a test failed."""
    proven = {
        number for number, tests in found.items() if any(result_of(cases)[:6] == "passed" for cases in tests.values())
    }
    failed = {number for number, tests in found.items() if any(cases["failed"] for cases in tests.values())}
    return sorted((known.required - proven - known.untestable.keys()) | failed, key=place)


def main(arguments: Sequence[str]) -> int:
    is_booted = arguments[:1] == ["--booted"]
    known = hazards().asked(is_booted=is_booted)
    found = outcomes(path.read_text() for path in map(Path, arguments[is_booted:]) if path.exists())
    rows = list(table(found, known))
    width = max((len(test) for _, test, result in rows if "::" in test), default=0)
    for number, test, result in rows:
        print(f"{number:<5} {test:<{width}} {result}")
    unproven = broken(found, known)
    required = known.required
    print(f"===== {len(required - set(unproven))} of {len(required)} required hazards hold, of these", end=" ")
    print(f"{len(required & known.untestable.keys())} untestable =====")
    if unproven:
        print(f"not proven: {', '.join(unproven)}")
    return 1 if unproven else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
