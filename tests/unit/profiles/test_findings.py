"""Faults with their places, and the words that suggest what was meant."""

from __future__ import annotations

from agent.faults import Fault
from agent.profiles.findings import FAULTS_MAX, Findings, expected_by, expected_of

TEXT = """name = "x"

[[signals]]
path = "A"

[[signals]]
path = "B"
"""


def test_faults_are_listed_by_line_the_profile_first() -> None:
    findings = Findings(TEXT, "car/profile.toml")
    findings.add_fault(Fault(findings.beside("car.dbc"), "", 1, "odd"))
    findings.add(("signals", 1, "path"), "late")
    findings.add(("name",), "early", "a name")
    assert [str(fault) for fault in findings.listed()] == [
        "car/profile.toml:1: name: early; expected a name",
        "car/profile.toml:7: signals[1].path: late",
        "car/car.dbc:1: odd",
    ]


def test_the_same_fault_is_told_once() -> None:
    findings = Findings(TEXT, "profile.toml")
    findings.add(("name",), "odd")
    findings.add(("name",), "odd")
    assert len(findings.listed()) == 1


def test_more_faults_than_a_person_reads_are_counted() -> None:
    findings = Findings(TEXT, "profile.toml")
    for number in range(FAULTS_MAX + 7):
        findings.add((f"key{number}",), "odd")
    listed = findings.listed()
    assert len(listed) == FAULTS_MAX + 1
    assert listed[-1].problem == "and 7 faults more"


def test_findings_are_true_once_there_is_one() -> None:
    findings = Findings(TEXT, "profile.toml")
    assert not findings
    findings.add((), "odd")
    assert findings


def test_a_file_beside_a_profile_without_a_folder_is_its_bare_name() -> None:
    assert Findings(TEXT, "profile.toml").beside("car.dbc") == "car.dbc"


def test_what_pydantic_wants_is_said_in_words() -> None:
    assert expected_by("String should match pattern '^[0-9a-f]{16}$'") == "16 hexadecimal digits, in lower case"
    assert expected_by("String should have at least 1 character") == "a text that is not empty"
    assert expected_by("Input should be less than 3") == "less than 3"


def test_the_nearest_names_are_suggested() -> None:
    known = ["freshness_s", "checksum", "counter", "message"]
    assert expected_of(known, "freshnes_s") == "freshness_s"
    assert expected_of(known, "FRESHNESS_S") == "freshness_s"
    assert expected_of(known, "zzz") == "one of checksum, counter, freshness_s, message"
    assert expected_of([], "zzz") == "nothing: there is none"
    assert expected_of([f"name{number:02}" for number in range(20)]).endswith("… (20 in all)")
