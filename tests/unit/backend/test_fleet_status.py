"""What is known of a fleet, and its picture: it fits every window, and no car's text can break it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.backend.fleet_status import CHARGE, LOCKED, SILENT_S, FleetStatus
from agent.backend.fleet_view import fleet_picture, rows_of, span
from agent.backend.notices import notice_document, notice_words
from agent.backend.numbering import SETTLE_S
from agent.backend.session import Change
from agent.backend.watching import (
    ChangeReport,
    EventReport,
    LinkReport,
    Missed,
    PresenceReport,
    Report,
    StateReport,
)
from agent.policy.happenings import LOW_VOLTAGE

UNIX_S = 1_790_000_000.0


def reading(value: object, quality: str = "ok") -> dict[str, object]:
    return {"value": value, "quality": quality}


def state(
    car: str, *, is_retained: bool = False, use: str = "awake", told_unix_s: float = UNIX_S, **fields: object
) -> StateReport:
    readings = {LOCKED: reading(value=True), CHARGE[0]: reading(61.4), LOW_VOLTAGE: reading(12.6)}
    document = {"kind": "state", "use": use, "time_unix_s": told_unix_s, "readings": readings, **fields}
    return StateReport(car, document, is_retained)


def event(car: str, sequence: int, kind: str = "odd", **fields: object) -> EventReport:
    return EventReport(car, {"kind": kind, "seq": sequence, **fields})


def online(car: str, *, is_online: bool = True) -> PresenceReport:
    return PresenceReport(car, is_online, b"session1")


def fleet(*reports: Report, names: tuple[str, ...] = ("car-10", "car-9", "car-1")) -> FleetStatus:
    status = FleetStatus(names)
    for report in reports:
        status.take(report, 100.0, UNIX_S)
    return status


def picture(status: FleetStatus, now_s: float = 100.0, columns: int = 140, lines: int = 9, first: int = 0) -> list[str]:
    return fleet_picture(status, columns=columns, lines=lines, now_s=now_s, first=first, has_color=False)


def row(status: FleetStatus, car: str, now_s: float = 100.0) -> str:
    return next(line for line in picture(status, now_s) if line.startswith(car + " "))


def test_a_car_is_one_line_of_what_it_told_last() -> None:
    status = fleet(online("car-9"), state("car-9"))
    assert row(status, "car-9").split() == ["car-9", "parked", "locked", "61", "%", "12.6", "0", "s", "online"]
    assert row(status, "car-1").split() == ["car-1", "?", "?", "?", "?", "never", "never", "seen"]


def test_what_may_be_long_past_stands_in_brackets_sr_05() -> None:
    status = fleet(online("car-9", is_online=False), state("car-9", is_retained=True, told_unix_s=UNIX_S - 7200))
    assert "(locked)" in row(status, "car-9") and "2 h" in row(status, "car-9") and "OFFLINE" in row(status, "car-9")
    status = fleet(online("car-9"), state("car-9"))
    assert "(locked)" not in row(status, "car-9", 100.0 + SILENT_S)
    late = row(status, "car-9", 101.0 + SILENT_S)
    assert "(locked)" in late and "SILENT" in late
    status = fleet(online("car-9"), state("car-9", use="asleep"))
    assert "SILENT" not in row(status, "car-9", 101.0 + SILENT_S), "a car that sleeps may be silent"


def test_a_car_that_announced_its_sleep_is_apart_from_one_that_was_lost() -> None:
    """R14: no trouble, and its values are those of then; a car that somebody stopped is trouble."""
    rows = {}
    for end in ("asleep", "stopped", None):
        status = fleet(state("car-9"), online("car-9"), PresenceReport("car-9", False, b"session1", end))
        rows[end] = row(status, "car-9")
        assert "(locked)" in rows[end]
        assert status.cars["car-9"].troubles(100.0) == (() if end == "asleep" else ("offline",))
    assert ["asleep" in rows["asleep"], "STOPPED" in rows["stopped"], "OFFLINE" in rows[None]] == [True] * 3
    assert "OFFLINE" not in rows["asleep"] + rows["stopped"]
    status.take(online("car-9"), 100.0, UNIX_S)
    assert "online" in row(status, "car-9")


def test_a_value_that_is_not_good_any_more_is_not_shown_sr_05() -> None:
    stale = {"path": LOCKED, **reading(value=None, quality="stale")}
    status = fleet(online("car-9"), state("car-9"), event("car-9", 1, "readings", readings=[stale]))
    assert row(status, "car-9").split()[2] == "?"
    old = event("car-9", 2, "readings", readings=[{"path": LOCKED, **reading(value=False)}], historical=True)
    status.take(old, 100.0, UNIX_S)
    assert row(status, "car-9").split()[2] == "?", "what had waited says how it was, not how it is"


@pytest.mark.parametrize(
    ("power", "volts", "shown", "is_low"),
    [
        ({"step": "normal"}, reading(12.1), "12.1", False),
        ({"step": "warned"}, reading(12.6), "12.6!", True),
        ({"step": "shedding"}, reading(None, "stale"), "low!", True),
        ({"step": "power_off"}, reading(11.9), "11.9!", True),
        ({"step": "of a later version"}, reading(12.1), "12.1", False),
        ({"step": ["warned"]}, reading(12.1), "12.1", False),
        ("warned", reading(12.1), "12.1", False),
        (None, reading(None, "stale"), "?", False),
    ],
)
def test_whether_its_12_v_are_low_is_for_the_car_to_say(
    power: object, volts: dict[str, object], shown: str, is_low: bool
) -> None:
    """R7: it has limits and times of its own; to us a voltage below some bound may be a motor that starts."""
    status = fleet(
        online("car-9"), state("car-9", power=power, readings={LOCKED: reading(value=True), LOW_VOLTAGE: volts})
    )
    assert row(status, "car-9").split()[4] == shown
    assert status.cars["car-9"].troubles(100.0) == (("12 V",) if is_low else ())


def test_a_12_v_battery_that_is_well_again_is_no_trouble_any_more() -> None:
    status = fleet(online("car-9"), state("car-9", power={"step": "shedding"}))
    assert status.cars["car-9"].is_low
    status.take(state("car-9", power={"step": "normal"}), 101.0, UNIX_S)
    assert status.cars["car-9"].troubles(101.0) == ()


def test_those_in_trouble_come_first_and_the_rest_by_name() -> None:
    status = fleet(*(online(name) for name in ("car-1", "car-9", "car-10")), *map(state, ("car-1", "car-9", "car-10")))
    assert [car.name for car in status.in_order(100.0)] == ["car-1", "car-9", "car-10"]
    status.take(online("car-9", is_online=False), 100.0, UNIX_S)
    status.take(event("car-10", 1, "command", **COMMAND, result_seq=0), 100.0, UNIX_S)
    assert [car.name for car in status.in_order(100.0)] == ["car-10", "car-9", "car-1"]
    assert "lock failed: door open, 5 s" in row(status, "car-10", 105.0)
    status.take(ChangeReport("car-1", Change.EVENTS_WENT_BACK), 100.0, UNIX_S)
    assert "OLD IMAGE" in picture(status)[3]


COMMAND = {"command": "lock", "cid": "00", "stage": "failed", "reason": "door_open", "executed": "no"}


def test_missing_records_are_counted_once_they_are_known_to_be_sr_10() -> None:
    status = fleet(event("car-9", 1), event("car-9", 4, historical=True), event("car-9", 5, "readings", readings=[]))
    assert not status.look(100.0 + SETTLE_S - 1)
    (missing,) = status.look(100.0 + SETTLE_S)
    assert notice_words(missing) == "car-9 records 2 to 3 are MISSING so far"
    assert (notice_document(missing, 1.0) or {})["type"] == "missing"
    assert row(status, "car-9").split()[-1] == "2"
    assert "2 records missing" in picture(status)[0]
    (after_all,) = status.take(event("car-9", 3), 300.0, UNIX_S)
    assert notice_words(after_all) == "car-9 record 3 has come after all"
    spans = event("car-9", 6, "gap", dropped=1, unused=0, spans=[[2, 2, 1, 0]])
    given_up, itself = status.take(spans, 300.0, UNIX_S)
    assert notice_words(given_up) == "car-9 record 2 is given up by the car, or never any; they are not missing"
    assert notice_words(itself) is None and notice_document(itself, 1.0) is None
    (begun, _) = status.take(event("car-9", 2**51), 300.0, UNIX_S)
    assert (notice_document(begun, 1.0) or {})["type"] == "new_store"


def test_a_lost_broker_is_shown_and_its_return() -> None:
    status = fleet(LinkReport(is_connected=False, detail="gone\x1b[2J"), Missed(3))
    assert picture(status)[1].startswith("NOT CONNECTED, what is shown is old: gone?[2J; 3 reports")
    status.take(LinkReport(is_connected=True, detail=""), 101.0, UNIX_S)
    assert picture(status)[1].startswith("connected to the broker")


def test_a_fleet_larger_than_the_window_can_be_scrolled_through() -> None:
    status = fleet(names=tuple(f"car-{number}" for number in range(500)))
    seen: set[str] = set()
    for first in range(0, 600, rows_of(24)):
        seen |= {line.split()[0] for line in picture(status, lines=24, first=first)[3:-1]}
    assert len(seen) == 500
    assert picture(status, lines=24, first=9999)[-1].startswith("481-500 of 500")


def test_a_narrow_window_has_the_name_and_what_matters_most() -> None:
    status = fleet(online("car-9"), state("car-9"))
    assert [line.split()[0] for line in picture(status, columns=16)[3:6]] == ["car-1", "car-9", "car-10"]
    assert picture(status, columns=42)[2].split() == ["car", "state", "link"]


def test_a_time_that_passed_is_short() -> None:
    assert [span(s) for s in (-1, 0, 99, 119, 120, 7199, 7200, 172_799, 172_800)] == [
        *("0 s", "0 s", "99 s", "2 min", "2 min", "120 min", "2 h", "48 h", "2 d"),
    ]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(
    ["kind", "seq", "use", "readings", "time_unix_s", "historical", "event", "spans", "command", "stage", LOCKED]
)
kinds = st.fixed_dictionaries({"seq": st.integers(1, 50), "kind": st.sampled_from(["readings", "gap", "command", "x"])})
documents = st.dictionaries(keys, json_values, max_size=8) | kinds.flatmap(
    lambda known: st.dictionaries(keys, json_values, max_size=6).map(lambda other: {**other, **known})
)
reports = st.one_of(
    st.builds(StateReport, st.just("car-9"), documents, st.booleans()),
    st.builds(EventReport, st.just("car-9"), documents),
    st.builds(LinkReport, st.booleans(), st.text(max_size=30)),
)


@given(st.lists(reports, max_size=12), st.text(max_size=30), st.integers(1, 160), st.integers(1, 30))
def test_the_picture_fits_the_window_whatever_was_told(told: list[Report], name: str, columns: int, lines: int) -> None:
    shown = picture(fleet(*told, names=("car-9", name)), columns=columns, lines=lines)
    assert len(shown) == lines
    assert all(len(line) <= columns and line.isprintable() for line in shown)
