"""Mutation testing does what `tests/README.md` says of it. The whole takes minutes; here one module is gone through."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest

from tests.mutants.mutation import LIST, MODULES, Count, Survivor, listed, own_tests, report, shown, undecorated
from tests.mutants.run import ROOT
from tests.mutants.values import value_faults

LISTED = listed(LIST.read_text(), MODULES)


@pytest.mark.timeout(400)
def test_survivors_of_permits_are_those_of_the_list() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.mutants.mutation", "permits"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"


def test_list_names_functions_and_constants_that_exist() -> None:
    assert LISTED
    for survivor in LISTED:
        module, *names = survivor.place.split(".")
        source = (ROOT / MODULES[module]).read_text()
        assert [name for name in names if name not in source] == [], survivor


def test_each_survivor_has_one_reason() -> None:
    rows = [line for line in LIST.read_text().splitlines() if line.startswith("| `") and "`" in line.split("|")[2]]
    found = Counter(survivor for row in rows for survivor in listed(row, MODULES))
    assert [survivor for survivor, count in found.items() if count > 1] == []
    assert set(found) == LISTED


@pytest.mark.parametrize("path", MODULES.values())
def test_each_module_has_tests_of_its_own(path: str) -> None:
    assert own_tests(path)


def test_every_number_string_and_item_of_a_table_is_changed_once() -> None:
    source = (
        'A = 3\nB: Final = "b"\nC = frozenset({X, Y})\nD = tuple[int, None]\n__all__ = ["A"]\n'
        "class K:\n    e: int = 1\n    f: bool = False\n    g: int | None = None\n"
    )
    assert [(fault.place, fault.change) for fault in value_faults(source)] == [
        ("A", "A = 4"),
        ("B", "B: Final = 'XXbXX'"),
        ("C", "C = frozenset()"),
        ("C", "C = frozenset({Y})"),
        ("C", "C = frozenset({X})"),
        ("K.e", "e: int = 2"),
        ("K.f", "f: bool = True"),
    ]


def test_fault_in_a_value_stands_in_the_place_of_the_value() -> None:
    source = "x = 0\nclass K:\n    # why\n    e: int = 1\n    f: int\n"
    *_, fault = value_faults(source)
    assert fault.source == "x = 0\nclass K:\n    # why\n    e: int = 2\n    f: int\n"


def test_property_stays_one_without_its_decorator() -> None:
    source = (
        "class K:\n"
        "    @property\n    def two(self):\n        return 2\n\n"
        "    @classmethod\n    def three(cls):\n        return 3\n"
    )
    changed = undecorated(source)
    assert "@property" not in changed
    names: dict[str, type] = {}
    exec(changed, names)  # noqa: S102 - the text above
    assert names["K"]().two == 2
    assert names["K"].three() == 3  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "lines", "survivor"),
    [
        (
            "agent.policy.permits.x_permit__mutmut_3",
            "--- a\n+++ b\n@@ -1 +1 @@\n-    if a:  # why\n+    if not a:  # why\n",
            Survivor("permits.permit", "if not a:"),
        ),
        (
            "agent.command.lifecycle.xǁLifecycleǁ_act__mutmut_11",
            "--- a\n+++ b\n@@ -1,2 +1 @@\n-        b=b,\n-    )\n+        )\n",
            Survivor("lifecycle.Lifecycle._act", "without b=b,"),
        ),
        (
            "agent.policy.permits.x__misses__mutmut_1",
            "--- a\n+++ b\n@@ -1,2 +0 @@\n-        case OK:\n-            return None\n",
            Survivor("permits._misses", "without case OK: return None"),
        ),
    ],
)
def test_survivor_is_told_by_its_function_and_what_stands_there_instead(
    name: str, lines: str, survivor: Survivor
) -> None:
    assert shown(name, lines) == survivor


def test_survivor_that_is_not_listed_and_one_that_was_killed_are_told() -> None:
    old, new = Survivor("permits.a", "x"), Survivor("permits.b", "y")
    *lines, total = report(Count(9, frozenset({new})), frozenset({old}))
    assert [line.split(":")[0] for line in lines] == ["KILLED, strike it from the list", "SURVIVED, and is not listed"]
    assert total == "9 faults, 8 killed, 1 survived"
    assert listed(f"| {new} | a reason |\n| {old} | |\n", ["permits"]) == {new}
