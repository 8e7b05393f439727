"""Adds up the JUnit reports of the parts of `./test` into one line, worded as pytest words its own.

    python -m tests.support.totals SECONDS REPORT…

Exit status 1 if no test was run at all.
"""

# ruff: noqa: T201, S314 - a command's own output; the reports are ours
from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree


def count(report: str) -> Counter[str]:
    """Outcomes in one JUnit report, under pytest's words."""
    counts: Counter[str] = Counter()
    for suite in ElementTree.fromstring(report).iter("testsuite"):
        outcomes = {"failed": "failures", "errors": "errors", "skipped": "skipped"}
        found = {word: int(suite.get(attribute, 0)) for word, attribute in outcomes.items()}
        counts.update(found, passed=int(suite.get("tests", 0)) - sum(found.values()))
    return counts


def line(counts: Counter[str], seconds: float) -> str:
    words = [f"{counts[word]} {word}" for word in ("failed", "errors", "passed", "skipped") if counts[word]]
    return f"{', '.join(words) or 'no tests ran'} in {seconds:g} s"


def main(arguments: Sequence[str]) -> int:
    counts: Counter[str] = Counter()
    for path in map(Path, arguments[1:]):
        if path.exists():  # an unmatched pattern of the shell is passed on as it stands
            counts += count(path.read_text())
    print(f"===== {line(counts, float(arguments[0]))} =====")
    return 0 if counts.total() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
