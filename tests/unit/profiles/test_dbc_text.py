"""What is asked of a DBC's text before cantools reads it."""

from __future__ import annotations

import pytest

from agent.profiles.dbc_text import faults_in_text, line_of
from tests.support.small_car import DBC


def test_a_sound_text_has_no_faults() -> None:
    assert faults_in_text(DBC, "small.dbc") == []


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("BO_ 1 Huge: 999999999999 Car", "a message of 999999999999 bytes"),
        ("BO_ 1 Huge: 1786 Car", "a message of 1786 bytes"),
        ("BO_ 1 Huge: 0xFFFFFFFF Car", "a message of 0xFFFFFFFF bytes"),
        ('BO_ 1 M: 8 Car\n SG_ Long : 0|99999999@1+ (1,0) [0|0] "" Agent', "a signal at 0|99999999"),
        ("SG_MUL_VAL_ 1 Cell Page 0-4294967295;", "present for multiplexer values 0-4294967295"),
        ("SG_MUL_VAL_ 1 Cell Page 1-2, 99999999999-99999999999;", "present for multiplexer values"),
    ],
)
def test_what_would_take_all_memory_to_expand_is_refused_unread(line: str, problem: str) -> None:
    found = faults_in_text(DBC + line + "\n", "small.dbc")
    assert [problem in str(fault) for fault in found] == [True]
    assert found[0].line > DBC.count("\n")


def test_ranges_of_multiplexer_values_that_cars_have_are_read() -> None:
    assert faults_in_text("SG_MUL_VAL_ 1 Cell Page 0-255, 1000-65535;", "small.dbc") == []


MARKED = """BO_ 1 Cells: 8 Car
 SG_ First M : 0|8@1+ (1,0) [0|0] "" Agent
 SG_ Second {mark} : 8|8@1+ (1,0) [0|0] "" Agent
 SG_ Cell m3 : 16|8@1+ (1,0) [0|0] "" Agent
"""


def test_a_signal_multiplexed_by_nobody_knows_which_of_two_is_a_fault() -> None:
    (fault,) = faults_in_text(MARKED.format(mark="M"), "cells.dbc")
    assert (fault.source, fault.line, fault.key) == ("cells.dbc", 4, "Cells.Cell")
    assert "2 multiplexers" in fault.problem


def test_a_multiplexed_signal_without_a_multiplexer_is_a_fault() -> None:
    (fault,) = faults_in_text(MARKED.format(mark="").replace(" M ", " "), "cells.dbc")
    assert "0 multiplexers" in fault.problem


def test_one_multiplexer_or_a_line_that_names_it_is_no_fault() -> None:
    assert faults_in_text(MARKED.format(mark=""), "cells.dbc") == []
    told = MARKED.format(mark="M") + "SG_MUL_VAL_ 1 Cell Second 3-3;\n"
    assert faults_in_text(told, "cells.dbc") == []


def test_the_line_of_a_message_and_of_its_signal() -> None:
    lines = DBC.splitlines()
    assert lines[line_of(DBC, "Battery") - 1].startswith("BO_ 2566853172 Battery")
    assert lines[line_of(DBC, "Battery", "Page") - 1].startswith(" SG_ Page M")
    assert lines[line_of(DBC, "Battery", "Speed") - 1].startswith("BO_ 2566853172 Battery")
    assert line_of(DBC, "Nothing") == 0
