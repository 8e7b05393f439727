"""States that no single signal gives: a value only while every input has one (SR-05)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model.clause import Clause
from agent.model.reading import Quality, Reading, Value
from agent.profiles.schema import Derivation, DerivedPlan, ReportRule
from agent.state.derived import RiseCounter, derive
from agent.state.tracker import Tracker
from tests.support.honest_readings import is_honest
from tests.support.plans import message_plan, profile_of, signal_plan

CLOSED = "Vehicle.Carshare.Doors.IsAllClosed"
ENERGY = "Vehicle.Powertrain.TractionBattery.StateOfCharge.CurrentEnergy"
CYCLES = "Vehicle.Carshare.IgnitionCycles"
FRONT, REAR = "Vehicle.Cabin.Door.Row1.DriverSide.IsOpen", "Vehicle.Body.Trunk.Rear.IsOpen"
CHARGE = "Vehicle.Powertrain.TractionBattery.StateOfCharge.Current"
READY = "Vehicle.Carshare.IsReadyToDrive"
QUIET = ReportRule(deadband=0.0, interval_s_min=0.0, is_event=False)
CONTACT = {0: False, 1: True, 2: True}


def plan(path: str, how: Derivation, *clauses: Clause, factor: float = 1.0, datatype: str = "boolean") -> DerivedPlan:
    return DerivedPlan(path, None, datatype, how, clauses, factor, 3 if datatype == "float" else 0, None, QUIET)


ALL_CLOSED = plan(CLOSED, Derivation.ALL, Clause(FRONT, equals=False), Clause(REAR, equals=False))
ANY_CLOSED = replace(ALL_CLOSED, how=Derivation.ANY)
FULL_ENERGY = plan(ENERGY, Derivation.PRODUCT, Clause(CHARGE), factor=0.4, datatype="float")
RIDES = replace(plan(CYCLES, Derivation.RISES, Clause(READY, equals=True), datatype="uint32"), maximum=2**32 - 1)


def ok(path: str, value: Value, at_s: float = 1.0) -> Reading:
    return Reading(path, value, None, at_s, Quality.OK, message=path[-4:])


def no(path: str, quality: Quality, at_s: float = 1.0) -> Reading:
    return Reading(path, None, None, at_s, quality, f"why_{quality.value}", path[-4:])


def derived(of: DerivedPlan, *inputs: Reading, rises: int | None = None) -> Reading:
    return derive(of, {reading.path: reading for reading in inputs}.__getitem__, rises)


@pytest.mark.parametrize(
    ("front", "rear", "are_all", "is_any"),
    [(False, False, True, True), (True, False, False, True), (False, True, False, True), (True, True, False, False)],
)
def test_all_and_any_are_what_they_say(front: bool, rear: bool, are_all: bool, is_any: bool) -> None:
    inputs = ok(FRONT, front, 2.0), ok(REAR, rear, 1.0)
    assert derived(ALL_CLOSED, *inputs).value is are_all
    assert derived(ANY_CLOSED, *inputs).value is is_any


def test_value_is_as_old_as_its_oldest_input_and_names_its_message() -> None:
    reading = derived(ALL_CLOSED, ok(FRONT, False, 7.0), ok(REAR, False, 3.0))
    assert (reading.path, reading.at_s, reading.message) == (CLOSED, 3.0, "Open")


@pytest.mark.parametrize("quality", [Quality.STALE, Quality.INVALID, Quality.UNKNOWN])
@pytest.mark.parametrize("other", [True, False])
def test_without_a_value_of_every_input_there_is_none_even_if_one_decides_already(
    quality: Quality, other: bool
) -> None:
    """SR-05: of two doors one is known to be open, and still the state of both is not known."""
    reading = derived(ALL_CLOSED, ok(FRONT, other), no(REAR, quality))
    assert (reading.value, reading.quality, reading.reason) == (None, quality, f"why_{quality.value}")


def test_gravest_input_is_named() -> None:
    reading = derived(ALL_CLOSED, no(FRONT, Quality.STALE), no(REAR, Quality.UNKNOWN))
    assert (reading.quality, reading.message) == (Quality.UNKNOWN, REAR[-4:])


def test_product_is_rounded_to_thousandths() -> None:
    assert derived(FULL_ENERGY, ok(CHARGE, 33.3)).value == 13.32


def test_number_its_datatype_cannot_hold_is_no_value() -> None:
    gids = replace(FULL_ENERGY, datatype="uint16", maximum=65535.0, digits=0, factor=1000.0)
    assert derived(gids, ok(CHARGE, 65.0)).value == 65000
    for charge in (66.0, -1.0, float("inf"), float("nan")):
        reading = derived(gids, ok(CHARGE, charge))
        assert (reading.value, reading.quality, reading.reason) == (None, Quality.INVALID, "out_of_range")


def test_rise_is_counted_from_one_known_value_to_the_next() -> None:
    counter = RiseCounter([RIDES])
    assert counter.count(CYCLES) is None
    for value, count in ((True, 0), (True, 0), (False, 0), (True, 1), (True, 1), (False, 1), (True, 2)):
        counter.note(ok(READY, value))
        assert counter.count(CYCLES) == count
    counter.note(no(READY, Quality.INVALID))
    counter.note(ok(READY, True))
    assert counter.count(CYCLES) == 2, "what was not known in between is no rise"


PROFILE = replace(
    profile_of(
        message_plan(
            signal_plan(FRONT, choices=CONTACT, freshness_s=1.0),
            signal_plan(REAR, byte=1, choices=CONTACT, freshness_s=3.0),
            signal_plan(READY, byte=2, choices=CONTACT, freshness_s=3.0),
        )
    ),
    derived=(ALL_CLOSED, RIDES),
)

TIMES = st.integers(0, 16).map(lambda quarters: quarters / 4)
READINGS = st.lists(
    st.builds(
        lambda path, value, at_s, is_ok: ok(path, value, at_s) if is_ok else no(path, Quality.INVALID, at_s),
        st.sampled_from([FRONT, REAR, READY]),
        st.booleans(),
        TIMES,
        st.booleans(),
    ),
    max_size=20,
)


@given(READINGS, TIMES)
def test_state_has_a_value_exactly_while_each_of_its_inputs_has_one(readings: list[Reading], now_s: float) -> None:
    """SR-05, for any order of readings and any time they are asked at."""
    tracker = Tracker(PROFILE)
    tracker.fold(readings)
    shown = tracker.snapshot(now_s)
    assert set(shown) == {FRONT, REAR, READY, CLOSED, CYCLES}
    for state in (ALL_CLOSED, RIDES):
        reading = shown[state.path]
        assert is_honest(reading)
        assert (reading.quality is Quality.OK) == all(shown[path].quality is Quality.OK for path in state.inputs)
    if shown[CLOSED].quality is Quality.OK:
        assert shown[CLOSED].value is not (shown[FRONT].value or shown[REAR].value)
        assert shown[CLOSED].at_s == min(shown[FRONT].at_s, shown[REAR].at_s)
