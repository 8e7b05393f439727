"""Every hazard that must be withstood has a test that claims it, or a reason why none can; the table is true."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support.hazards import Hazards, broken, hazards, outcomes, result_of, table

ROOT = Path(__file__).resolve().parents[2]
UNTESTABLE_MAX = 5
"""More than a handful would be a list of excuses."""


def claims(source: str) -> Iterator[str]:
    """Numbers in the markers of a file, wherever they stand: `pytest.mark.hazard("H1", "H2")`."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Attribute(ast.Attribute(attr="mark"), "hazard"), args=arguments):
                yield from (str(each.value) for each in arguments if isinstance(each, ast.Constant))
            case ast.Call(func=ast.Name("hazard"), args=[ast.Constant(value), *_]):  # a case of parametrize
                yield str(value)


@cache
def all_claims() -> dict[str, set[str]]:
    """Number → files that claim it. Markers made of variables are seen by the conftest alone."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "tests").rglob("test_*.py"):
        for number in claims(path.read_text()):
            found.setdefault(number, set()).add(path.relative_to(ROOT).as_posix())
    return found


def test_every_required_hazard_has_a_test_or_a_reason() -> None:
    assert hazards().required - all_claims().keys() - hazards().untestable.keys() == set()


def test_what_only_a_booted_system_shows_is_claimed_there() -> None:
    assert hazards().booted <= hazards().required
    for number in hazards().booted:
        assert any(file.startswith("tests/booted/") for file in all_claims()[number]), number


def test_each_of_the_others_is_claimed_where_a_booted_system_is_not_needed() -> None:
    for number in hazards().required - hazards().booted - hazards().untestable.keys():
        assert any(not file.startswith("tests/booted/") for file in all_claims()[number]), number


def test_every_marker_names_a_hazard_there_is() -> None:
    assert {number: files for number, files in all_claims().items() if number not in hazards().texts} == {}


def test_reasons_are_few_and_only_for_what_has_no_test() -> None:
    assert len(hazards().untestable) <= UNTESTABLE_MAX
    assert all(len(reason.split()) > 3 for reason in hazards().untestable.values())
    assert hazards().untestable.keys() & all_claims().keys() == set()
    assert hazards().untestable.keys() <= hazards().required <= hazards().texts.keys()


def test_numbers_are_whole_and_say_what_must_come_of_them() -> None:
    assert list(hazards().texts) == [f"H{number}" for number in range(1, len(hazards().texts) + 1)]
    assert all(" → " in text for text in hazards().texts.values())
    assert {"H1", "H22", "H55", "H143"} <= hazards().required
    assert {"H23", "H56", "H128"} & hazards().required == set()


REPORT = """<testsuites><testsuite>
<testcase><properties><property name="test" value="tests/a.py::test_one[x]"/><property name="hazard" value="H2"/>
</properties></testcase>
<testcase><properties><property name="test" value="tests/a.py::test_one[y]"/><property name="hazard" value="H2"/>
<property name="hazard" value="H10"/></properties></testcase>
<testcase><properties><property name="test" value="tests/a.py::test_two"/><property name="hazard" value="H10"/>
</properties>{outcome}</testcase>
<testcase name="test_three"/>
</testsuite></testsuites>"""
SMALL = Hazards({"H2": "a → b", "H3": "c → d", "H10": "e → f"}, frozenset({"H2", "H3"}), {"H3": "no such thing yet"})


def test_table_is_sorted_by_number_and_counts_cases() -> None:
    assert list(table(outcomes([REPORT.format(outcome="<skipped/>")]), SMALL)) == [
        ("H2", "tests/a.py::test_one", "passed (2 cases)"),
        ("H3", "untestable: no such thing yet", "-"),
        ("H10", "tests/a.py::test_one", "passed"),
        ("H10", "tests/a.py::test_two", "skipped"),
    ]


def test_required_hazard_without_a_test_is_told_and_fails() -> None:
    known = Hazards(SMALL.texts, SMALL.required, {})
    found = outcomes([REPORT.format(outcome="")])
    assert ("H3", "no test: c → d", "missing") in list(table(found, known))
    assert broken(found, known) == ["H3"]
    assert broken(found, SMALL) == []


def test_one_run_is_asked_for_what_it_can_show_and_the_other_for_the_rest() -> None:
    known = Hazards(SMALL.texts, frozenset({"H2", "H3"}), {}, booted=frozenset({"H3"}))
    assert broken(outcomes([REPORT.format(outcome="")]), known.asked(is_booted=False)) == []
    assert broken(outcomes([REPORT.format(outcome="")]), known.asked(is_booted=True)) == ["H3"]


@pytest.mark.parametrize("outcome", ["<failure/>", "<error/>"])
def test_failed_test_fails_its_hazard_whatever_else_passed(outcome: str) -> None:
    assert broken(outcomes([REPORT.format(outcome=outcome)]), SMALL) == ["H10"]


def test_hazard_all_of_whose_tests_were_skipped_is_not_proven() -> None:
    known = Hazards(SMALL.texts, frozenset({"H10"}), {})
    skipped = REPORT.replace(
        '<property name="hazard" value="H10"/></properties></testcase>', "</properties></testcase>", 1
    )
    assert broken(outcomes([skipped.format(outcome="<skipped/>")]), known) == ["H10"]


def test_cases_that_differ_are_told_by_the_worst() -> None:
    assert result_of(Counter(passed=2, failed=1)) == "failed (1 of 3 cases)"
    assert result_of(Counter(passed=1, skipped=1)) == "skipped (1 of 2 cases)"


def test_markers_are_found_in_decorators_and_cases() -> None:
    source = '@pytest.mark.hazard("H1", "H2")\ndef test_a(): ...\nC = [pytest.param(1, marks=pytest.mark.hazard("H3"))]'
    assert sorted(claims(source)) == ["H1", "H2", "H3"]
    assert list(claims('"""hazard H4"""\n# pytest.mark.hazard("H5")')) == []
