"""A recorded log gives the readings the live car would have given, at the log's own times."""

from __future__ import annotations

import json

import pytest

from agent.errors import ConfigurationError
from agent.model.frame import Frame
from agent.profiles.schema import Profile
from agent.replay import Replay
from tests.profiles.shipped import profile as shipped
from tests.support.plans import IS_LOCKED, SPEED, frame_of, message_plan, profile_of, signal_plan

ONE_BUS = profile_of(
    message_plan(
        signal_plan(SPEED, unit="km/h", freshness_s=0.5, invalid_raw=frozenset({255})),
        signal_plan(IS_LOCKED, byte=1, choices={0: False, 1: True}, freshness_s=2.0),
    )
)
TWO_BUSES = profile_of(
    message_plan(signal_plan(SPEED), bus="drive"),
    message_plan(signal_plan(IS_LOCKED, choices={0: False, 1: True}), bus="body", name="Lock"),
)

Line = tuple[float, str, object, str]


def replay(profile: Profile = ONE_BUS, *, bus: str | None = None, is_every_reading: bool = False) -> Replay:
    return Replay(profile, bus=bus, is_every_reading=is_every_reading)


def lines(log: Replay, *frames: Frame) -> list[Line]:
    return [
        (document["time_s"], document["path"], document["value"], document["quality"])  # type: ignore[misc]
        for document in log.run(frames)
    ]


def test_line_is_json_with_the_six_keys() -> None:
    first, *_ = replay().run([frame_of(50, 1, at_s=1.5)])
    assert json.loads(json.dumps(first)) == {
        "time_s": 1.5,
        "path": SPEED,
        "value": 50,
        "unit": "km/h",
        "quality": "ok",
        "reason": None,
    }


def test_only_changes_are_told() -> None:
    frames = [
        frame_of(50, 1, at_s=1.0),
        frame_of(50, 1, at_s=1.1),
        frame_of(50, 0, at_s=1.2),
        frame_of(51, 0, at_s=1.3),
    ]
    assert lines(replay(), *frames) == [
        (1.0, SPEED, 50, "ok"),
        (1.0, IS_LOCKED, True, "ok"),
        (1.2, IS_LOCKED, False, "ok"),
        (1.3, SPEED, 51, "ok"),
    ]


def test_every_reading_is_told_when_asked_for() -> None:
    frames = [frame_of(50, 1, at_s=1.0), frame_of(50, 1, at_s=1.1)]
    assert len(lines(replay(is_every_reading=True), *frames)) == 4


def test_invalid_reading_is_told_with_its_reason_and_no_value() -> None:
    """SR-05."""
    (first, *_) = replay().run([frame_of(255, 1, at_s=1.0)])
    assert (first["value"], first["quality"], first["reason"]) == (None, "invalid", "invalid_marker")


@pytest.mark.parametrize("begin_s", [0.0, 1.0, 1_700_000_000.0])
def test_silence_makes_readings_stale_each_at_its_own_time(begin_s: float) -> None:
    """SR-05: between two frames ten seconds apart nothing is shown as if it were known."""
    log = lines(replay(), frame_of(50, 1, at_s=begin_s), frame_of(50, 1, at_s=begin_s + 10))
    assert log == [
        (begin_s, SPEED, 50, "ok"),
        (begin_s, IS_LOCKED, True, "ok"),
        (pytest.approx(begin_s + 0.5, rel=0, abs=1e-5), SPEED, None, "stale"),
        (pytest.approx(begin_s + 2.0, rel=0, abs=1e-5), IS_LOCKED, None, "stale"),
        (begin_s + 10, SPEED, 50, "ok"),
        (begin_s + 10, IS_LOCKED, True, "ok"),
    ]


def test_invalid_reading_grows_stale_too() -> None:
    """SR-05: that the car did not know is no knowledge either, once its frames stop."""
    log = lines(replay(), frame_of(255, 1, at_s=1.0), frame_of(255, 1, at_s=2.0))
    assert [quality for _, path, _, quality in log if path == SPEED] == ["invalid", "stale", "invalid"]


def test_reading_at_the_end_of_its_freshness_is_not_stale() -> None:
    frames = [frame_of(50, 1, at_s=1.0), frame_of(50, 1, at_s=1.5)]
    assert [line[3] for line in lines(replay(), *frames)] == ["ok", "ok"]


@pytest.mark.parametrize("begin_s", [1e10, 1.7e12, 1e17])
def test_times_beyond_the_resolution_of_a_double_do_not_hold_it_up(begin_s: float) -> None:
    """A log in milliseconds where seconds are expected."""
    log = lines(replay(), frame_of(50, 1, at_s=begin_s), frame_of(50, 1, at_s=begin_s * 1.5))
    assert [line[3] for line in log] == ["ok", "ok", "stale", "stale", "ok", "ok"]


def test_log_that_jumps_back_in_time_is_read_to_its_end() -> None:
    log = replay()
    assert [line[2] for line in lines(log, frame_of(50, 1, at_s=100.0), frame_of(60, 1, at_s=1.0))] == [50, True, 60]
    assert [(document["time_s"], document["value"]) for document in log.latest()] == [(100.0, 50), (100.0, True)]


def test_latest_is_every_path_as_it_stands_at_the_end() -> None:
    """SR-05: what stopped coming before the end has no value there."""
    profile = profile_of(
        message_plan(signal_plan(SPEED, freshness_s=0.5)),
        message_plan(signal_plan("Vehicle.X", freshness_s=0.5), name="Other", arbitration_id=0x101),
        message_plan(signal_plan("Vehicle.Never"), name="Never", arbitration_id=0x102),
    )
    log = replay(profile)
    lines(log, frame_of(50, at_s=1.0), frame_of(7, at_s=3.0, arbitration_id=0x101))
    assert [(document["path"], document["value"], document["quality"]) for document in log.latest()] == [
        (SPEED, None, "stale"),
        ("Vehicle.X", 7, "ok"),
        ("Vehicle.Never", None, "unknown"),
    ]
    assert {document["time_s"] for document in log.latest()} == {3.0}


def test_path_that_never_came_is_not_told_while_others_grow_stale() -> None:
    profile = profile_of(
        message_plan(signal_plan(SPEED)),
        message_plan(signal_plan("Vehicle.Never"), name="Never", arbitration_id=0x102),
    )
    log = lines(replay(profile), frame_of(50, at_s=1.0), frame_of(50, at_s=10.0))
    assert [(path, quality) for _, path, _, quality in log] == [(SPEED, "ok"), (SPEED, "stale"), (SPEED, "ok")]


def test_paths_the_log_says_nothing_of_are_named() -> None:
    log = replay(TWO_BUSES)
    lines(log, frame_of(50, at_s=1.0, bus="drive"))
    (never,) = log.never_received()
    assert (never["path"], never["quality"], never["reason"]) == (IS_LOCKED, "unknown", "never_received")


def test_empty_log_leaves_everything_unknown() -> None:
    log = replay()
    assert lines(log) == []
    assert [document["quality"] for document in log.latest()] == ["unknown", "unknown"]
    assert len(list(log.never_received())) == 2


# --- which bus ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channel", ["body", "can0", ""])
def test_any_channel_is_the_one_bus_there_is(channel: str) -> None:
    assert len(lines(replay(), frame_of(50, 1, at_s=1.0, bus=channel))) == 2


def test_channel_tells_two_buses_apart() -> None:
    log = replay(TWO_BUSES)
    assert lines(log, frame_of(50, at_s=1.0, bus="drive"), frame_of(1, at_s=1.0, bus="body")) == [
        (1.0, SPEED, 50, "ok"),
        (1.0, IS_LOCKED, True, "ok"),
    ]


def test_named_bus_stands_for_every_channel() -> None:
    assert lines(replay(TWO_BUSES, bus="body"), frame_of(1, at_s=1.0, bus="drive")) == [(1.0, IS_LOCKED, True, "ok")]


def test_channel_that_could_be_either_bus_is_asked_about() -> None:
    with pytest.raises(ConfigurationError, match=r"'can0' is no bus of by_hand; .* --bus \(drive, body\)"):
        lines(replay(TWO_BUSES), frame_of(1, at_s=1.0, bus="can0"))


def test_bus_the_profile_does_not_have_is_refused_at_once() -> None:
    with pytest.raises(ConfigurationError, match="--bus can0: by_hand has no such bus; it has drive, body"):
        replay(TWO_BUSES, bus="can0")


VOLTS = "Vehicle.LowVoltageBattery.CurrentVoltage"


def supply(at_s: float, raw: int) -> Frame:
    """0x292 of a Leaf: tenths of a volt in byte 3."""
    return Frame("car", 0x292, bytes([0, 0, 0, raw, 0, 0, 0, 0]), at_s)


def answered(at_s: float, raw: int) -> Frame:
    """0.08 V a step."""
    return Frame("ev", 0x79A, bytes([0x04, 0x62, 0x11, 0x03, raw, 0, 0, 0]), at_s)


def test_an_answer_in_a_log_is_told_where_the_car_does_not_say_it_itself() -> None:
    log = replay(shipped("nissan_leaf_ze1"))
    found = [
        (at_s, value, quality)
        for at_s, path, value, quality in lines(
            log, answered(1.0, 155), supply(2.0, 127), answered(3.0, 150), supply(4.0, 255), answered(5.0, 155)
        )
        if path == VOLTS
    ]
    # That of 3 s is older than what the car itself said last, and worth nothing when that is gone.
    assert found == [(1.0, 12.4, "ok"), (2.0, 12.7, "ok"), (4.0, None, "invalid"), (5.0, 12.4, "ok")]


def test_the_only_bus_on_which_the_car_speaks_needs_no_name_in_a_log() -> None:
    log = replay(shipped("bmw_i3"))
    frame = Frame("can0", 0x330, bytes.fromhex("2733010000000000"), 1.0)
    assert {path for _, path, *_ in lines(log, frame)} == {"Vehicle.TraveledDistance"}
