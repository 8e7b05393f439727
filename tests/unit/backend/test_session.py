"""The backend's side of amendment A7: whose hello counts, what time it gives, and counters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.backend.session import (
    COUNTER_MAX,
    LIFETIME_S,
    MAPPING_AGE_S_MAX,
    NONCE_LIFE_S,
    NONCES_MAX,
    CarSession,
    Change,
    Reception,
    SessionMapping,
    SessionUsedUpError,
)
from agent.command.envelope import Hello
from agent.model.command import Action
from agent.model.events import ClockTrust

KID = bytes.fromhex("01020304")
NONCE = b"n" * 16
OTHER_NONCE = b"m" * 16


def hello(
    nonce: bytes | None,
    *,
    sid: bytes = b"session1",
    session_ms: int = 5000,
    store_id: bytes = b"store--1",
    event_sequence: int = 7,
    counter: int | None = None,
) -> Hello:
    counters = {} if counter is None else {KID: counter}
    return Hello(
        b"thecar--", sid, session_ms, ClockTrust.FLOOR_ONLY, store_id, event_sequence, counters=counters, nonce=nonce
    )


def asked(nonce: bytes = NONCE, now_s: float = 100.0) -> CarSession:
    session = CarSession(KID)
    session.ask(nonce, now_s)
    return session


def mapped(now_s: float = 100.0, counter: int | None = None) -> CarSession:
    session = asked(now_s=now_s)
    session.receive(hello(NONCE, counter=counter), now_s)
    return session


def test_a_hello_with_our_nonce_maps_the_session() -> None:
    session = asked()
    assert session.receive(hello(NONCE), 100.2) == Reception(frozenset({NONCE}))
    assert session.mapping(100.2) == SessionMapping(b"session1", 5000, 100.2)


@pytest.mark.hazard("H51")
def test_a_nonce_is_used_once_so_a_replayed_hello_is_discarded() -> None:
    """H51."""
    session = asked()
    session.receive(hello(NONCE), 100.2)
    assert not session.receive(hello(NONCE, session_ms=1), 100.3).answered
    assert session.mapping(100.3) == SessionMapping(b"session1", 5000, 100.2)


@pytest.mark.hazard("H52")
@pytest.mark.parametrize(("delay_s", "is_used"), [(0.0, True), (NONCE_LIFE_S, True), (10.001, False), (60.0, False)])
def test_a_hello_delayed_for_more_than_ten_seconds_is_not_used_for_mapping(delay_s: float, is_used: bool) -> None:
    """H52."""
    session = asked(now_s=0.0)
    assert bool(session.receive(hello(NONCE), delay_s).answered) is is_used
    assert (session.mapping(delay_s) is not None) is is_used


@pytest.mark.parametrize("nonce", [None, OTHER_NONCE])
def test_a_hello_nobody_asked_for_gives_no_mapping(nonce: bytes | None) -> None:
    session = asked()
    assert not session.receive(hello(nonce), 100.1).answered
    assert session.mapping(100.1) is None


def test_a_hello_nobody_asked_for_casts_doubt_on_another_session_only() -> None:
    session = mapped()
    session.receive(hello(None), 101.0)
    assert session.mapping(101.0) is not None
    session.receive(hello(None, sid=b"session2"), 102.0)
    assert session.mapping(102.0) is None


def test_an_answer_makes_earlier_questions_moot() -> None:
    session = asked(NONCE, 100.0)
    session.ask(OTHER_NONCE, 101.0)
    assert session.receive(hello(OTHER_NONCE, sid=b"session2"), 101.1).answered == {NONCE, OTHER_NONCE}
    assert not session.receive(hello(NONCE, sid=b"session1"), 101.2).answered, "it comes from an older time"


def test_an_answer_leaves_later_questions_open() -> None:
    session = asked(NONCE, 100.0)
    session.ask(OTHER_NONCE, 101.0)
    assert session.receive(hello(NONCE), 101.1).answered == {NONCE}
    assert session.receive(hello(OTHER_NONCE), 101.2).answered == {OTHER_NONCE}


def test_the_oldest_questions_give_way_when_there_are_too_many() -> None:
    session = CarSession(KID)
    for number in range(NONCES_MAX + 1):
        session.ask(number.to_bytes(16, "big"), 100.0)
    assert not session.receive(hello((0).to_bytes(16, "big")), 100.1).answered
    assert session.receive(hello((1).to_bytes(16, "big")), 100.1).answered


def test_a_mapping_older_than_an_hour_is_not_used() -> None:
    session = mapped(now_s=100.0)
    assert session.mapping(100.0 + MAPPING_AGE_S_MAX) is not None
    assert session.mapping(100.1 + MAPPING_AGE_S_MAX) is None


def test_a_session_the_car_called_over_is_forgotten_and_no_other() -> None:
    session = mapped()
    session.forget(b"session0")
    assert session.mapping(100.0) is not None
    session.forget(b"session1")
    assert session.mapping(100.0) is None


@pytest.mark.hazard("H93")
@pytest.mark.parametrize(
    ("second", "changes"),
    [
        (hello(OTHER_NONCE), set()),
        (hello(OTHER_NONCE, event_sequence=8), set()),
        (hello(OTHER_NONCE, sid=b"session2"), {Change.RESTARTED}),
        (hello(OTHER_NONCE, event_sequence=6), {Change.EVENTS_WENT_BACK}),
        (hello(OTHER_NONCE, store_id=b"store--2", event_sequence=0), {Change.STORE_CHANGED}),
        (
            hello(OTHER_NONCE, sid=b"session2", store_id=b"store--2"),
            {Change.RESTARTED, Change.STORE_CHANGED},
        ),
        (
            hello(OTHER_NONCE, sid=b"session2", event_sequence=6),
            {Change.RESTARTED, Change.EVENTS_WENT_BACK},
        ),
    ],
)
def test_what_changed_since_the_last_answer_is_noticed(second: Hello, changes: set[Change]) -> None:
    """H93 among them: numbers that go back in the same store."""
    session = mapped()
    session.ask(OTHER_NONCE, 101.0)
    assert session.receive(second, 101.1).changes == changes


def test_the_first_counter_is_above_the_cars_and_the_clock() -> None:
    assert mapped(counter=41).next_counter(unix_ms=7) == 42
    assert mapped(counter=41).next_counter(unix_ms=1000) == 1000
    assert mapped().next_counter(unix_ms=0) == 1


def test_a_later_hello_of_the_same_session_never_lowers_the_counter() -> None:
    session = mapped(counter=500)
    session.ask(OTHER_NONCE, 101.0)
    session.receive(hello(OTHER_NONCE, counter=3), 101.1)
    assert session.next_counter(unix_ms=0) == 501


def test_a_new_session_begins_with_its_own_counter() -> None:
    session = mapped(counter=COUNTER_MAX)
    session.ask(OTHER_NONCE, 101.0)
    session.receive(hello(OTHER_NONCE, sid=b"session2", counter=3), 101.1)
    assert session.next_counter(unix_ms=0) == 4


def test_a_counter_at_its_end_is_said_and_not_exceeded() -> None:
    with pytest.raises(SessionUsedUpError, match="restart the car's agent"):
        mapped(counter=COUNTER_MAX).next_counter(unix_ms=0)


@given(st.lists(st.integers(0, 2**41), min_size=1, max_size=20), st.integers(0, 2**41))
def test_counters_rise_strictly_whatever_the_wall_clock_does(clock_ms: list[int], heard: int) -> None:
    session = mapped(counter=heard)
    counters = [session.next_counter(unix_ms) for unix_ms in clock_ms]
    assert all(later > earlier for earlier, later in zip([heard, *counters], counters, strict=False))


@given(
    to_car_s=st.floats(0, 5),
    to_backend_s=st.floats(0, 5),
    age_s=st.floats(0, MAPPING_AGE_S_MAX),
    car_rate=st.floats(1 - 100e-6, 1 + 100e-6),
    our_rate=st.floats(1 - 100e-6, 1 + 100e-6),
    uptime_s=st.floats(0, 1e6),
    action=st.sampled_from(Action),
)
def test_a_deadline_never_lies_beyond_the_cap_whatever_the_delay(
    to_car_s: float,
    to_backend_s: float,
    age_s: float,
    car_rate: float,
    our_rate: float,
    uptime_s: float,
    action: Action,
) -> None:
    """A7, with both crystals off by up to 100 ppm. `_s` is true time, from the ping's sending."""
    session = asked(now_s=0.0)
    stamped_s = to_car_s
    received_s = stamped_s + to_backend_s
    signed_s = received_s + age_s
    session.receive(hello(NONCE, session_ms=int((uptime_s + stamped_s) * car_rate * 1000)), received_s * our_rate)
    mapping = session.mapping(signed_s * our_rate)
    if mapping is None:
        return  # too old by our fast clock
    car_now_ms = (uptime_s + signed_s) * car_rate * 1000
    assert mapping.deadline_ms(signed_s * our_rate, LIFETIME_S[action]) - car_now_ms <= LIFETIME_S[action] * 1000 + 1e-3


def test_a_deadline_is_the_lifetime_from_now_in_the_cars_time() -> None:
    mapping = SessionMapping(b"session1", 5000, 100.0)
    assert mapping.deadline_ms(100.0, 30.0) == 35_000
    assert 34_990 <= mapping.deadline_ms(100.0, 30.0) <= mapping.deadline_ms(110.0, 30.0) - 9_990


def test_lifetimes_keep_within_what_a_car_accepts() -> None:
    """Protocol section 2.3: 30 s to open or to enable driving, 120 s for the rest; each action has one."""
    assert set(LIFETIME_S) == set(Action)
    assert LIFETIME_S[Action.UNLOCK] == 30.0
    assert LIFETIME_S[Action.LOCK] == 120.0
    assert all(
        lifetime_s <= (30.0 if action in (Action.UNLOCK, Action.ENABLE_DRIVE) else 120.0)
        for action, lifetime_s in LIFETIME_S.items()
    )
