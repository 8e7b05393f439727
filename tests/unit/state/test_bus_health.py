"""The health of a bus: every state under every sign, worse at once, better once it has stood."""

from __future__ import annotations

import pytest

from agent.model.bus import BusHealth, BusLook, BusSign, LinkCounts
from agent.state.bus_health import RANK, STAND_S, TABLE, HealthWatch

SILENT_AFTER_S = 5.0

UP, DOWN, GONE = BusSign.LINK_UP, BusSign.LINK_DOWN, BusSign.LINK_GONE
OFF, RESTARTED, PASSIVE = BusSign.CONTROLLER_OFF, BusSign.CONTROLLER_RESTARTED, BusSign.CONTROLLER_PASSIVE

U, A, S, P, B, D, R = BusHealth

STAYS = {state: state for state in BusHealth}
# Only opening it leads back from an interface that is down or not there.
CLOSED = {D: D, R: R}

EXPECTED: dict[BusSign, dict[BusHealth, BusHealth]] = {
    UP: dict.fromkeys(BusHealth, A),
    DOWN: dict.fromkeys(BusHealth, D),
    GONE: dict.fromkeys(BusHealth, R),
    BusSign.CARRIER: STAYS | {U: A, B: A},
    BusSign.NO_CARRIER: dict.fromkeys(BusHealth, B) | CLOSED,
    BusSign.CONTROLLER_ACTIVE: dict.fromkeys(BusHealth, A) | CLOSED,
    BusSign.CONTROLLER_WARNING: dict.fromkeys(BusHealth, A) | CLOSED,
    PASSIVE: dict.fromkeys(BusHealth, P) | CLOSED,
    OFF: dict.fromkeys(BusHealth, B) | CLOSED,
    RESTARTED: dict.fromkeys(BusHealth, A) | CLOSED,
    BusSign.PROTOCOL_ERROR: STAYS,
    BusSign.NO_ACKNOWLEDGEMENT: STAYS,
    BusSign.SEND_TIMEOUT: STAYS,
    BusSign.OVERFLOW: STAYS,
    BusSign.HEARD: STAYS | {U: A, S: A, B: A},
    BusSign.TRAFFIC: STAYS | {U: A, S: A, B: A},
    BusSign.SILENCE: STAYS | {A: S},
    BusSign.REST: STAYS | {S: A},
}

WAYS_TO: dict[BusHealth, tuple[BusSign, ...]] = {
    U: (),
    A: (UP,),
    S: (UP, BusSign.SILENCE),
    P: (UP, PASSIVE),
    B: (UP, OFF),
    D: (DOWN,),
    R: (GONE,),
}


def watch(*signs: BusSign, at_s: float = 0.0) -> HealthWatch:
    made = HealthWatch(SILENT_AFTER_S, at_s)
    for sign in signs:
        made.note(sign, at_s)
    return made


@pytest.mark.parametrize("sign", BusSign)
@pytest.mark.parametrize("before", BusHealth)
def test_every_state_under_every_sign(before: BusHealth, sign: BusSign) -> None:
    bus = watch(*WAYS_TO[before])
    assert (bus.shown, bus.state) == (before, before)
    after = EXPECTED[sign][before]
    bus.note(sign, 10.0)
    assert bus.shown is after
    # Worse at once; the better has not stood yet.
    assert bus.state is (after if before is U or RANK[after] >= RANK[before] else before)
    bus.handle_time(10.0 + STAND_S, heard_at_s=None, is_in_use=True)
    assert bus.state in (after, S if after is A else after)  # nothing is heard here


def test_the_table_has_an_entry_for_everything() -> None:
    assert set(TABLE) == set(BusHealth)
    assert all(set(row) == set(BusSign) for row in TABLE.values())


def test_a_change_has_its_time_and_its_cause() -> None:
    bus = watch(UP, at_s=1.0)
    change = bus.note(OFF, 2.0)
    assert change is not None
    assert (change.state, change.before, change.cause, change.at_s) == (B, A, OFF, 2.0)
    assert bus.note(RESTARTED, 3.0) is None
    assert bus.handle_time(3.0 + STAND_S - 0.001, heard_at_s=None, is_in_use=False) is None
    change = bus.handle_time(3.0 + STAND_S, heard_at_s=None, is_in_use=False)
    assert change is not None
    assert (change.state, change.before, change.cause, change.at_s) == (A, B, RESTARTED, 3.0 + STAND_S)
    assert bus.changes == 3


def test_a_controller_that_is_restarted_every_second_and_goes_off_again_is_off_all_the_time() -> None:
    bus = watch(UP, OFF)
    changes = [
        bus.note(sign, second + share)
        for second in range(1, 61)
        for sign, share in ((RESTARTED, 0.0), (BusSign.HEARD, 0.1), (OFF, 0.2))
    ]
    assert changes == [None] * 180
    assert (bus.state, bus.changes) == (B, 2)


def test_it_gets_better_by_way_of_what_it_showed_meanwhile() -> None:
    """Removed, back and down, up and passive: each is told only if it stood."""
    bus = watch(UP, GONE)
    bus.note(DOWN, 1.0)
    bus.note(UP, 3.0)
    changes = [bus.handle_time(at_s, heard_at_s=None, is_in_use=False) for at_s in (3.5, 4.0, 5.0, 6.0, 7.0)]
    told = [(change.at_s, change.state, change.cause) for change in changes if change is not None]
    assert told == [(4.0, D, DOWN), (6.0, A, UP)]


def test_silence_counts_only_of_a_car_that_is_in_use_and_from_when_it_could_be_heard() -> None:
    parked = watch(UP)
    assert parked.handle_time(1000.0, heard_at_s=1.0, is_in_use=False) is None
    driven = watch(UP, at_s=10.0)
    assert driven.handle_time(15.0, heard_at_s=1.0, is_in_use=True) is None
    change = driven.handle_time(15.1, heard_at_s=1.0, is_in_use=True)
    assert change is not None and (change.state, change.cause) == (S, BusSign.SILENCE)
    assert driven.handle_time(15.6, heard_at_s=15.5, is_in_use=True) is None
    change = driven.handle_time(15.6 + STAND_S, heard_at_s=18.0, is_in_use=True)
    assert change is not None and (change.state, change.cause) == (A, BusSign.HEARD)


def test_silence_is_no_wonder_once_the_car_was_heard_not_to_drive() -> None:
    bus = watch(UP, BusSign.SILENCE)
    bus.handle_time(20.0, heard_at_s=None, is_in_use=False)
    change = bus.handle_time(20.0 + STAND_S, heard_at_s=None, is_in_use=False)
    assert change is not None and (change.state, change.cause) == (A, BusSign.REST)


def test_a_frame_from_before_a_bus_off_says_nothing_of_the_time_since() -> None:
    bus = watch(UP)
    bus.note(OFF, 10.0)
    bus.handle_time(10.5, heard_at_s=9.9, is_in_use=False)
    assert bus.shown is B
    bus.handle_time(11.0, heard_at_s=10.6, is_in_use=False)
    assert bus.shown is A


@pytest.mark.parametrize(
    ("received", "errors", "sent", "is_traffic"),
    [(0, 0, 0, False), (1, 0, 0, True), (5, 5, 0, False), (5, 3, 2, False), (6, 3, 2, True)],
)
def test_frames_that_are_not_the_profiles_are_traffic_if_they_are_no_error_and_not_ours(
    received: int, errors: int, sent: int, is_traffic: bool
) -> None:
    bus = watch(UP, BusSign.SILENCE)
    bus.take_look(BusLook({PASSIVE: 1}, 7, counts(100)), 1.0)
    bus.take_look(BusLook({PASSIVE: 1 + errors}, 7 + sent, counts(100 + received)), 6.0)
    assert bus.shown is (A if is_traffic else S)


def test_the_kernels_counts_say_nothing_the_first_time_nor_where_there_is_no_kernel() -> None:
    bus = watch(UP, BusSign.SILENCE)
    for look in (BusLook({}, 0, None), BusLook({}, 0, counts(100)), BusLook({}, 0, None)):
        assert bus.take_look(look, 1.0) is None
    assert bus.shown is S


def counts(received: int) -> LinkCounts:
    return LinkCounts(received, 0, 0, 0, 0, 0)
