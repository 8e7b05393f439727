"""What of a profile is heard, why values are none, and an id that means something else on this car."""

from __future__ import annotations

import pytest

from agent.model.frame import Frame
from agent.profile_tools.coverage import Coverage
from agent.profile_tools.coverage_report import document, lines
from tests.profiles.shipped import profile as shipped
from tests.support.journey_car import cell_voltages, journey, lock, profile, voltages


def covered(*logs: list[Frame]) -> Coverage:
    found = Coverage(profile())
    for log in logs:
        found.hear(log)
    return found


def mismatches(*logs: list[Frame]) -> list[tuple[str, str]]:
    return [(mismatch.plan.name, mismatch.kind) for mismatch in covered(*logs).mismatches()]


def ride(seconds: int = 60, speed_kmh: float = 36.0, begin_km: float = 1000.0) -> list[Frame]:
    return [journey(tenth / 10, speed_kmh, begin_km + tenth * speed_kmh / 36_000) for tenth in range(seconds * 10)]


def test_counts_periods_lengths_and_what_was_never_heard() -> None:
    found = covered([*ride(10), Frame("body", 0x123, b"\x01\x02", 5.0), Frame("body", 0x123, b"\x01", 5.5)])
    seen = found.messages["Journey"]
    assert (seen.rhythm.frames, seen.rhythm.period_s, dict(seen.rhythm.lengths)) == (100, 0.1, {7: 100})
    assert [plan.name for plan in found.never_heard()] == ["Lock", "Battery"]
    ((key, rhythm),) = found.unknown.items()
    assert (str(key), rhythm.frames, rhythm.period_s, dict(rhythm.lengths)) == ("0x123", 2, 0.5, {2: 1, 1: 1})
    assert found.mismatches() == []


def test_values_and_reasons_are_counted_by_path() -> None:
    """SR-05: what is no value is counted by its reason and never among the values."""
    frames = [journey(1.0, 50.0, 1000.0), journey(1.1, 655.35, 1000.0)]
    frames += [lock(1.0 + count / 10, count, state) for count, state in enumerate((1, 0, 7))]
    found = covered(frames)
    speed, is_locked = found.signals["Vehicle.Speed"], found.signals["Vehicle.Carshare.CentralLock.IsLocked"]
    assert (speed.ok, dict(speed.not_ok), speed.low, speed.high) == (1, {"out_of_range": 1}, 50.0, 50.0)
    assert (is_locked.ok, dict(is_locked.not_ok)) == (2, {"no_meaning": 1})
    assert list(is_locked.values) == [True, False]


def test_cell_voltages_under_the_id_of_speed_and_odometer_are_a_named_mismatch() -> None:
    """3.7 V read as speed is 37 km/h, and as odometer 151,000 km: all in range, and still no journey."""
    found = mismatches(list(voltages()))
    assert ("Journey", "journey") in found
    assert ("Journey", "length") in found


def test_frames_longer_than_a_dbc_that_says_no_more_than_it_needs_are_no_mismatch() -> None:
    """Who wrote it did not know how long the message is: of a smart no source says so."""
    found = Coverage(shipped("smart_451"))
    found.hear(Frame("obd", 0x423, bytes([1, 0, 2, 0, 0, 0, 0, 0][: 7 + tenth % 2]), tenth / 10) for tenth in range(20))
    assert found.mismatches() == []
    assert (found.messages["BodyState"].counts.refused_length, found.signals["Vehicle.LowVoltageSystemState"].ok) == (
        0,
        20,
    )


def test_cell_voltages_that_stand_still_are_a_mismatch_too() -> None:
    frames = [
        cell_voltages(tenth / 10, 3700, 3701, 3702, 3703)._replace(data=bytes.fromhex("0E740E750E760E"))
        for tenth in range(600)
    ]
    (mismatch,) = covered(frames).mismatches()
    assert mismatch.kind == "journey"
    assert "by Vehicle.Speed the car went 616 m, by Vehicle.TraveledDistance 0 m" in mismatch.problem


@pytest.mark.parametrize("speed_kmh", [0.0, 5.0, 36.0, 130.0])
def test_an_honest_ride_is_no_mismatch(speed_kmh: float) -> None:
    assert mismatches(ride(60, speed_kmh)) == []


def test_recordings_of_one_car_in_any_order_are_no_mismatch() -> None:
    assert mismatches(*(ride(begin_km=begin_km) for begin_km in (5000.0, 1000.0, 4000.0, 3000.0, 2000.0))) == []


def test_stray_frame_is_no_mismatch() -> None:
    frames = ride()
    frames[300] = journey(30.0, 12.0, 77.0)
    assert mismatches(frames) == []


MISFITS = {
    "length": [Frame("body", 0x5D7, b"\x00\x01", tenth / 10) for tenth in range(20)],
    "checksum": [lock(tenth / 10, tenth, 1, is_crc_wrong=True) for tenth in range(20)],
    "counter": [lock(tenth / 10, 5, 1) for tenth in range(20)],
    "multiplexer": [Frame("body", 0x320, bytes([9, 50]), tenth / 10) for tenth in range(20)],
    "values": [Frame("body", 0x320, bytes([1, 101 + tenth]), tenth / 10) for tenth in range(20)],
}


@pytest.mark.parametrize("kind", MISFITS)
def test_id_whose_frames_do_not_fit_is_a_mismatch_of_its_kind(kind: str) -> None:
    assert [each for _, each in mismatches(MISFITS[kind])] == [kind]
    assert mismatches(MISFITS[kind][:2]) == []  # too few to say


@pytest.mark.parametrize(
    ("keys", "reason"), [("settle_s = 0.5", "settling"), ("settle_s = 0.5\nmax_step = 100.0", "jump")]
)
def test_slow_value_that_changes_with_each_frame_is_a_mismatch(keys: str, reason: str) -> None:
    found = Coverage(profile(keys))
    stands = [journey(tenth / 10, 0.0, 1000.0) for tenth in range(7 if reason == "jump" else 0)]
    found.hear([*stands, *(journey(1 + tenth / 10, 0.0, 1500.0 + tenth % 2 * 500) for tenth in range(100))])
    assert reason in found.signals["Vehicle.TraveledDistance"].not_ok
    assert [mismatch.kind for mismatch in found.mismatches()] == ["values"]


def test_state_that_is_not_available_all_the_time_is_no_mismatch() -> None:
    assert mismatches([lock(tenth / 10, tenth, 7) for tenth in range(50)]) == []


def test_report_says_the_same_to_a_person_and_to_a_program() -> None:
    found = covered(list(voltages()))
    told = document(found, ["ride.log"])
    assert (told["profile"], told["frames"]) == ("my_car", 600)
    assert {(each["id"], each["kind"]) for each in told["mismatches"]} == {("0x5D7", "length"), ("0x5D7", "journey")}  # type: ignore[attr-defined]
    text = "\n".join(lines(found))
    assert "MISMATCH (journey) body 0x5D7 Journey: " in text
    assert "body  0x1F1  Lock     never heard" in text


def test_an_id_that_came_on_another_bus_alone_is_a_mismatch_named_by_that_bus() -> None:
    astray = [Frame("other", 0x5D7, bytes(7), second / 10) for second in range(5)]
    (mismatch,) = covered(astray).mismatches()
    assert (mismatch.plan.name, mismatch.kind, mismatch.bus) == ("Journey", "bus", "other")
    assert covered(astray[:2]).mismatches() == []  # too few to prove anything
    assert covered(ride(10), astray).mismatches() == []  # it came where it belongs
    known = [frame._replace(arbitration_id=0x5D8) for frame in astray]
    assert covered(known).mismatches() == []  # nothing of the profile


def test_answers_are_counted_by_poll_whoever_asked_and_are_no_unknown_ids() -> None:
    found = Coverage(shipped("nissan_leaf_ze1"))
    found.hear(
        Frame("ev", arbitration_id, bytes.fromhex(data), at_s)
        for at_s, arbitration_id, data in (
            (1.0, 0x797, "0322110300000000"),
            (1.1, 0x79A, "046211039B000000"),
            (2.1, 0x79A, "04621103FF000000"),
            (3.1, 0x79A, "0562110300000000"),
        )
    )
    seen = found.polls["supply"]
    assert dict(seen.counts) == {"answered": 2, "wrong_length": 1}
    (volts,) = seen.signals
    assert (volts.ok, volts.low, dict(volts.not_ok)) == (1, 12.4, {"invalid_marker": 1})
    assert [key.arbitration_id for key in found.unknown] == [0x797]
    assert found.signals["Vehicle.LowVoltageBattery.CurrentVoltage"].ok == 0
    text = "\n".join(lines(found))
    assert "0x79A" in text
    assert "12.4 V" in text
    (row,) = [row for row in document(found, [])["polls"] if row["poll"] == "supply"]  # type: ignore[attr-defined]
    assert (row["answered"], row["refused"], row["signals"][0]["min"]) == (2, {"wrong_length": 1}, 12.4)


def test_a_log_without_answers_says_nothing_of_polls() -> None:
    found = Coverage(shipped("nissan_leaf_ze1"))
    found.hear([Frame("ev", 0x284, bytes(8), 1.0)])
    assert not any("answers to" in line for line in lines(found))
