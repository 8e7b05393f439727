"""Looked at only when that is wanted, a car is told of as if it were looked at over and over."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.adapters.can_broadcast import ASK_S
from agent.lookout import LOOK_INTERVAL_S, QUIET_LOOK_S
from agent.model.events import BusChanged
from agent.model.frame import BusState
from agent.model.reception import GoesOn, MessageId, WatchNews
from agent.model.use import Pace, VehicleUse
from agent.profiles.schema import ReportRule, SettleRule
from tests.support.plans import IS_LOCKED, ODOMETER, SPEED, frame_of, message_plan, profile_of, signal_plan
from tests.unit.test_telemetry import BATCH_S, HEARTBEAT_S, Car

STEP_S = 0.1
MESSAGE = MessageId("body", 0x100, False)
GOES_ON = [GoesOn(MESSAGE, 0.4)]
QUIET_S = 3 * QUIET_LOOK_S


class Restless(Car):
    """Looked at in each step; counts how often a look was wanted."""

    wanted = 0

    def step(self, *, is_always: bool) -> None:
        self.now_s = round(self.now_s + STEP_S, 6)
        is_wanted = self.now_s >= self.telemetry.next_timer()
        self.wanted += is_wanted
        if is_wanted or is_always:
            self.telemetry.handle_timer(self.now_s)
        self.perform()

    @property
    def is_asked(self) -> bool:
        """As `App` does before it has the engine look, and the edge does meanwhile."""
        return self.now_s + STEP_S >= self.telemetry.next_timer() or self.now_s % ASK_S < 0.5 * STEP_S

    def told(self) -> tuple[list[Any], dict[str, Any], list[float]]:
        """The events in order, what was told of each path last, and when that was and the bus woke and fell asleep."""
        documents = self.taken("evt")
        rows = {row["path"]: (row["value"], row["quality"]) for each in documents for row in each.get("readings", ())}
        last = {row["path"]: each for each in documents for row in each.get("readings", ())}
        slept = [each for each in documents if each["kind"] in ("bus_awake", "bus_asleep")]
        words = [each.get("event", each["kind"]) for each in documents if each["kind"] == "event" or each in slept]
        return words, rows, [each["session_ms"] / 1000 for each in (*last.values(), *slept)]


@st.composite
def days(draw: st.DrawFn) -> list[tuple[int, int, int, bool]]:
    """Speed, lock, for how many steps that goes on, and whether its frames are read or watched by the kernel."""
    part = st.tuples(st.sampled_from([0, 0, 50, 51]), st.sampled_from([0, 1]), st.integers(1, 40), st.booleans())
    return draw(st.lists(part, max_size=6))


def live(car: Restless, parts: list[tuple[int, int, int, bool]], *, is_always: bool) -> None:
    car.telemetry.bus_changed(BusChanged("body", BusState.UP), car.now_s)
    car.connect()
    goes_on = False
    for speed, lock, steps, is_watched in parts:
        for number in range(steps):
            frame = frame_of(speed, lock, at_s=car.now_s)
            if not is_watched:
                if goes_on:
                    car.telemetry.receive_watched(WatchNews("body", [MESSAGE], car.now_s), car.now_s)
                goes_on = False
                car.telemetry.receive_frame(frame, car.now_s)
            elif number == 0 or not goes_on:
                goes_on = True
                car.telemetry.receive_watched(WatchNews("body", (), car.now_s, [frame], GOES_ON), car.now_s)
            elif car.is_asked or is_always:
                car.telemetry.receive_watched(WatchNews("body", known_at_s=car.now_s), car.now_s)
            car.step(is_always=is_always)
    for number in range(round(QUIET_S / STEP_S)):
        if goes_on and number == 4:
            car.telemetry.receive_watched(WatchNews("body", [MESSAGE], car.now_s), car.now_s)
        car.step(is_always=is_always)


@given(days())
def test_nothing_is_missed_between_looks_sr_05(parts: list[tuple[int, int, int, bool]]) -> None:
    wanted, always = Restless(), Restless()
    live(wanted, parts, is_always=False)
    live(always, parts, is_always=True)
    assert wanted.telemetry.use is always.telemetry.use
    assert wanted.telemetry.is_asleep("body", wanted.now_s) and always.telemetry.is_asleep("body", always.now_s)
    words, rows, times_s = wanted.told()
    true_words, true_rows, true_times_s = always.told()
    assert (words, rows) == (true_words, true_rows)
    assert times_s == pytest.approx(true_times_s, abs=LOOK_INTERVAL_S + ASK_S + 2 * STEP_S)
    assert all(quality == "stale" for _, quality in rows.values())


def test_where_all_goes_on_a_look_is_rare_and_what_stops_is_told_in_time_sr_05() -> None:
    """SR-08: the computer of a car that stands there with its buses awake sleeps for seconds."""
    car = Restless()
    car.connect()
    car.telemetry.receive_watched(
        WatchNews("body", (), car.now_s, [frame_of(0, 1, at_s=car.now_s)], GOES_ON), car.now_s
    )
    while car.now_s < 1000.0 + HEARTBEAT_S:
        if car.is_asked:
            car.telemetry.receive_watched(WatchNews("body", known_at_s=car.now_s), car.now_s)
        car.step(is_always=False)
    assert car.wanted <= HEARTBEAT_S / QUIET_LOOK_S + 10
    assert car.told()[1] == {SPEED: (0, "ok"), IS_LOCKED: (True, "ok")}
    car.telemetry.receive_watched(WatchNews("body", [MESSAGE], car.now_s), car.now_s)
    car.run(0.85 + 2 * LOOK_INTERVAL_S + 1.0)
    assert car.told()[1] == {SPEED: (None, "stale")}
    before = car.wanted
    while car.now_s < 1000.0 + 2 * HEARTBEAT_S:
        car.step(is_always=False)
    assert car.wanted - before <= HEARTBEAT_S / QUIET_LOOK_S + 10


def test_what_is_fresh_for_long_grows_old_in_time_and_a_bus_that_wakes_is_seen_at_once_sr_05() -> None:
    car = Restless(profile=profile_of(message_plan(signal_plan(ODOMETER, freshness_s=41.3))))
    car.connect()
    for asleep_s in (30.0, 33.3, 36.7):
        heard_at_s = car.now_s
        car.telemetry.receive_frame(frame_of(0, at_s=heard_at_s), heard_at_s)
        while "bus_awake" not in [each["kind"] for each in car.taken("evt")]:
            car.step(is_always=False)
            assert car.now_s - heard_at_s < LOOK_INTERVAL_S + 2 * STEP_S
        while not (told := [each for each in car.taken("evt") if each["kind"] == "readings" and _is_stale(each)]):
            car.step(is_always=False)
            assert car.now_s - heard_at_s < 41.3 + LOOK_INTERVAL_S + BATCH_S + 2 * STEP_S
        assert len(told) == 1
        car.run(asleep_s)


RANGE = "Vehicle.Powertrain.Range"

SLOW = ReportRule(2.0, 3.0, is_event=False, paces={VehicleUse.DRIVING: Pace(0.5, 4.0)})

SAMPLES = profile_of(
    message_plan(
        signal_plan(SPEED, freshness_s=5.0, report=SLOW),
        signal_plan(ODOMETER, byte=1, freshness_s=2.0, report=SLOW, invalid_raw=frozenset({6})),
        replace(signal_plan(RANGE, byte=2, freshness_s=5.0), settle=SettleRule(0.3, 0.0)),
        signal_plan(IS_LOCKED, byte=3, choices={0: False, 1: True}, report=ReportRule(0.0, 0.0, is_event=True)),
    )
)

# Mostly one thing at a time: of two that change together the one may hide what is done about the other.
BYTES = st.tuples(*(st.sampled_from([0] * 4 + others) for others in ([3], [2, 4, 6], [1, 2], [1, 2])))
TIMES_S = st.sampled_from([0.0, 0.1, 0.4, 2.1])
READ_LATE = [((0, 0, 0, 0), 0.0, 0.0, False)] * 10 + [
    ((0, 0, 0, 0), 0.0, 2.1, False),
    ((0, 0, 0, 0), 0.0, 0.0, False),
    ((0, 2, 0, 0), 0.4, 2.1, True),
    ((0, 0, 0, 0), 0.1, 0.4, False),
]
"""A value that was stale when it was read, and after it no timer in time."""
STEPS = st.lists(st.tuples(BYTES, TIMES_S, TIMES_S, st.booleans()), max_size=40)


@example(READ_LATE)
@given(STEPS)
def test_a_value_that_follows_one_that_waits_is_told_as_if_it_were_considered_sr_05(
    steps: list[tuple[tuple[int, ...], float, float, bool]],
) -> None:
    """However late a frame is handled and a timer is, and whatever the car is used for."""
    passing, considering = Car(profile=SAMPLES), Car(profile=SAMPLES)
    assert passing.telemetry._lookout._only_samples == {ODOMETER, RANGE}
    considering.telemetry._lookout._only_samples = frozenset()
    uses: list[list[VehicleUse]] = [[], []]
    for car, used in zip((passing, considering), uses, strict=True):
        car.connect()
        for data, passed_s, late_s, is_late in steps:
            car.now_s = round(car.now_s + late_s + passed_s, 6)
            car.telemetry.receive_frame(frame_of(*data, at_s=car.now_s - late_s), car.now_s)
            if not is_late and car.now_s >= car.telemetry.next_timer():
                car.telemetry.handle_timer(car.now_s)
            car.perform()
            used.append(car.telemetry.use)
        car.run(8.0)
    assert passing.published == considering.published
    assert uses[0] == uses[1]


def test_what_matters_more_than_the_value_that_waits_is_seen_beside_it_sr_05() -> None:
    """A loss is told with the next batch, and by a new speed the use of the car is known in half a second, though of
    both paths a value waits for the end of its interval.
    """
    slow = ReportRule(0.0, 60.0, is_event=False)
    speed = signal_plan(SPEED, freshness_s=100.0, report=slow)
    odometer = signal_plan(ODOMETER, byte=1, freshness_s=100.0, report=slow, invalid_raw=frozenset({255}))
    car = Restless(profile=profile_of(message_plan(speed, odometer), silent_after_s=100.0))
    car.connect()

    def hear(*data: int) -> None:
        car.telemetry.receive_frame(frame_of(*data, at_s=car.now_s), car.now_s)
        for _ in range(round((LOOK_INTERVAL_S + BATCH_S) / STEP_S) + 2):
            car.step(is_always=False)

    hear(0, 1)
    hear(50, 2)
    assert car.telemetry.use.value == "driving"
    assert car.told()[1] == {SPEED: (0, "ok"), ODOMETER: (1, "ok")}
    hear(0, 2)
    assert car.telemetry.use.value == "awake"
    hear(0, 2)  # so that no look is due soon
    hear(0, 255)
    assert car.told()[1] == {ODOMETER: (None, "invalid")}


def _is_stale(document: dict[str, Any]) -> bool:
    return bool(document["readings"][0]["quality"] == "stale")
