"""What an operator is told happened, from the car's frames through the whole engine."""

from __future__ import annotations

from typing import Any

from agent.model.command import Action, Stage
from agent.model.events import ClockSet, ClockTrust
from tests.support.pair import Pair

LOCK = "Vehicle.Carshare.CentralLock.IsLocked"
CONTEXT = {"Vehicle.TraveledDistance", "Vehicle.Powertrain.TractionBattery.StateOfCharge.Displayed"}


def told(pair: Pair, *kinds: str) -> list[Any]:
    return [event for event in pair.events() if event["kind"] in kinds]


def test_unlock_by_command_is_told_as_ours_beside_its_signed_result() -> None:
    pair = Pair()
    pair.run(3.0)
    result = pair.ask(Action.UNLOCK)
    pair.run(2.0)
    assert result.stage is Stage.VERIFIED
    (command,) = told(pair, "command")
    assert (command["command"], command["stage"], command["cid"]) == ("unlock", "verified", result.cid.hex())
    assert command["result_seq"] == result.event_sequence
    (unlocked,) = told(pair, "event")
    assert (unlocked["event"], unlocked["by"], unlocked["cid"]) == ("unlocked", "command", result.cid.hex())
    assert [row["path"] for row in unlocked["readings"]] == [LOCK]
    assert unlocked["context"].keys() == CONTEXT
    assert all(row["quality"] == "ok" for row in unlocked["context"].values())


def test_lock_by_the_key_is_told_as_the_keys() -> None:
    pair = Pair()
    pair.run(3.0)
    for is_locked, word in ((False, "unlocked"), (True, "locked")):
        pair.run(50.0)
        pair.published.clear()
        pair.car.press_key_fob(pair.now_s, is_locked=is_locked)
        pair.run(2.0)
        (event,) = told(pair, "event")
        assert (event["event"], event["by"]) == (word, "key")


def test_numbers_of_records_and_of_results_leave_no_hole() -> None:
    """SR-07: also for whoever reads only the records."""
    pair = Pair()
    pair.run(3.0)
    for action in (Action.UNLOCK, Action.LOCK):
        pair.ask(action)
    pair.run(3.0)
    events: list[Any] = pair.events()
    numbers = {event["seq"] for event in events} | {each["result_seq"] for each in told(pair, "command")}
    assert numbers == set(range(1, max(numbers) + 1))


def test_clock_that_comes_to_be_known_dates_what_came_before_and_a_jump_reorders_nothing() -> None:
    pair = Pair()
    pair.run(3.0)
    for offset_s in (1.7e9, 1.7e9 - 86_400.0, 1.7e9):
        pair.engine.receive_link(ClockSet(offset_s, ClockTrust.ESTIMATED), pair.now_s)
        pair.perform()
        pair.car.press_key_fob(pair.now_s, is_locked=offset_s != 1.7e9)
        pair.run(3.0)
    events: list[Any] = pair.events()
    undated = [event for event in events if event["time_unix_s"] is None]
    clocks = told(pair, "clock")
    assert [clock["step_s"] for clock in clocks] == [None, -86_400.0, 86_400.0]
    assert undated
    assert {event["sid"] for event in undated} == {clocks[0]["sid"]}
    began_s = clocks[0]["session_started_unix_s"]
    assert all(1000.0 <= began_s + event["session_ms"] / 1000 - 1.7e9 <= pair.now_s for event in undated)
    assert [event["seq"] for event in events] == sorted(event["seq"] for event in events)
    assert [event["session_ms"] for event in events] == sorted(event["session_ms"] for event in events)


def test_event_of_a_sleeping_car_shows_no_old_value_as_a_value() -> None:
    """SR-05."""
    pair = Pair()
    pair.run(3.0)
    pair.car.sleep(pair.now_s)
    pair.run(30.0)
    (asleep,) = told(pair, "bus_asleep")
    assert all(row["value"] is None or row["quality"] == "ok" for row in asleep["context"].values())
    pair.published.clear()
    pair.engine.receive_link(ClockSet(1.7e9, ClockTrust.ESTIMATED), pair.now_s)
    pair.perform()
    (clock,) = told(pair, "clock")
    assert {row["quality"] for row in clock["context"].values()} == {"stale"}
    assert {row["value"] for row in clock["context"].values()} == {None}
