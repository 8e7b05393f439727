"""The ranges of raw values, and the values of a multiplexer a DBC knows."""

from __future__ import annotations

import pytest

from agent.model.frame import BitField
from agent.profiles.database import MessageDatabase
from agent.profiles.message_spec import MessageSpec, raw_range
from tests.support.small_car import DBC


def message(name: str, dbc: str = DBC) -> MessageSpec:
    database = MessageDatabase.load({"small.dbc": dbc.encode()})
    assert isinstance(database, MessageDatabase)
    return database.messages[name]


@pytest.mark.parametrize(
    ("length", "is_signed", "expected"),
    [(1, False, (0, 1)), (8, False, (0, 255)), (8, True, (-128, 127)), (64, False, (0, 2**64 - 1)), (1, True, (-1, 0))],
)
def test_the_range_of_raw_values(length: int, is_signed: bool, expected: tuple[int, int]) -> None:
    assert raw_range(BitField(0, length, True, 8, is_signed)) == expected


def test_the_known_values_of_a_multiplexer_are_those_that_select_and_those_with_a_name() -> None:
    assert message("Battery").known_values("Page") == {201, 2}
    named = DBC.replace("VAL_ 256 Gear", 'VAL_ 2566853172 Page 7 "Nothing" ;\nVAL_ 256 Gear')
    assert message("Battery", named).known_values("Page") == {201, 2, 7}


def test_a_name_may_stand_for_several_raw_values() -> None:
    twice = DBC.replace('5 "Drive" 4 "Park"', '5 "Drive" 6 "Drive" 4 "Park"')
    assert sorted(message("Motion", twice).signals["Gear"].raws_named("Drive")) == [5, 6]
    assert message("Motion").signals["Gear"].raws_named("Reverse") == ()
