"""Commands that come late, twice, out of order or with a clock gone mad, through the whole engine (SR-02, SR-03)."""

from __future__ import annotations

import pytest

from agent.bench.car import CarFault
from agent.command.replay import COUNTER_MAX
from agent.model.command import Action, Executed, Reason, Stage
from agent.model.events import ClockSet, ClockTrust
from tests.support.disk import Disk
from tests.support.pair import Pair

VERIFIED = (Stage.VERIFIED, Reason.OK, Executed.YES)
TEN_YEARS_S = 10 * 365.25 * 86_400
NOW_UNIX_S = 1_790_000_000.0
STARTED_S = 1000.0


def awake() -> Pair:
    pair = Pair()
    assert pair.now_s == STARTED_S
    pair.run(2.0)
    return pair


def last_end(pair: Pair) -> tuple[Stage, Reason, Executed]:
    result = pair.final_results()[-1]
    return result.stage, result.reason, result.executed


def rejected(reason: Reason) -> tuple[Stage, Reason, Executed]:
    return Stage.REJECTED, reason, Executed.NO


# --- the same again ---------------------------------------------------------------------------------------------------


@pytest.mark.hazard("H39")
@pytest.mark.parametrize("apart_s", [0.0, 0.1], ids=["at once", "in time"])
def test_same_bytes_a_thousand_times_move_nothing(apart_s: float) -> None:
    """Answered as long as the bucket for all deliveries lets them in, always with the stored result."""
    pair = awake()
    raw = pair.command(Action.UNLOCK)
    pair.deliver("cmd", raw)
    pair.run(5.0, until=lambda: bool(pair.final_results()))
    sent, journal = len(pair.sent), dict(pair.disk.journal)
    stored = next(iter(pair.disk.journal.values())).done
    pair.published.clear()
    for _ in range(1000):
        pair.now_s += apart_s
        pair.deliver("cmd", raw)
    answers = [publish.payload for publish in pair.published if publish.topic.endswith("/res")]
    assert stored is not None and set(answers) == {stored.result}
    assert len(answers) == 1000 if apart_s else len(answers) <= 40
    assert (len(pair.sent), pair.disk.journal, pair.car.lock_requests_seen) == (sent, journal, 1)


@pytest.mark.hazard("H41")
def test_same_bytes_after_the_journal_was_lost_are_not_said_to_be_unexecuted() -> None:
    """SR-02: the store is another one, and says so; whether the car obeyed the old one nobody can tell."""
    pair = awake()
    raw = pair.command(Action.UNLOCK)
    pair.deliver("cmd", raw)
    pair.run(5.0, until=lambda: bool(pair.final_results()))
    sent = len(pair.sent)
    pair.disk = Disk()
    pair.restart()
    pair.run(2.0)
    pair.deliver("cmd", raw)
    pair.run(2.0)
    assert last_end(pair) == (Stage.REJECTED, Reason.STALE_SESSION, Executed.UNKNOWN)
    assert len(pair.sent) == sent


# --- order ------------------------------------------------------------------------------------------------------------


@pytest.mark.hazard("H43")
@pytest.mark.parametrize("counter", [0, 6, 7])
def test_lower_or_equal_counter_is_refused(counter: int) -> None:
    pair = awake()
    pair.deliver("cmd", pair.command(Action.UNLOCK, counter=7))
    pair.run(5.0)
    assert last_end(pair) == VERIFIED
    sent = len(pair.sent)
    pair.deliver("cmd", pair.command(Action.UNLOCK, counter=counter))
    pair.run(2.0)
    assert last_end(pair) == rejected(Reason.COUNTER)
    assert len(pair.sent) == sent


@pytest.mark.hazard("H54")
def test_of_two_senders_with_one_key_and_counter_the_first_is_obeyed() -> None:
    pair = awake()
    first, second = (
        pair.command(Action.UNLOCK, cid=cid, counter=7) for cid in (b"first-----------", b"second----------")
    )
    pair.deliver("cmd", first)
    pair.deliver("cmd", second)
    pair.run(5.0)
    ends = {result.cid: (result.stage, result.reason, result.executed) for result in pair.final_results()}
    assert ends == {b"first-----------": VERIFIED, b"second----------": rejected(Reason.COUNTER)}
    assert pair.car.lock_requests_seen == 1


@pytest.mark.hazard("H53")
def test_last_counter_shuts_the_door_until_the_next_session_which_the_car_offers() -> None:
    pair = awake()
    pair.deliver("cmd", pair.command(Action.UNLOCK, counter=COUNTER_MAX))
    pair.run(5.0)
    assert last_end(pair) == VERIFIED
    assert COUNTER_MAX in pair.ping().counters.values(), "the car tells its counters"
    for counter, reason in ((COUNTER_MAX, Reason.COUNTER), (COUNTER_MAX + 1, Reason.BAD_PARAMS)):
        pair.deliver("cmd", pair.command(Action.LOCK, counter=counter))
        assert last_end(pair) == rejected(reason)
    pair.restart()
    pair.run(2.0)
    assert pair.hellos()[-1].counters == {}
    assert pair.ask(Action.LOCK).stage is Stage.VERIFIED


# --- time -------------------------------------------------------------------------------------------------------------


@pytest.mark.hazard("H45")
@pytest.mark.parametrize(("late_ms", "end"), [(-1, VERIFIED), (0, VERIFIED), (1, rejected(Reason.EXPIRED))])
def test_deadline_counts_to_the_millisecond(late_ms: int, end: object) -> None:
    pair = awake()
    raw = pair.command(Action.UNLOCK, lifetime_ms=1000)
    deadline_s = STARTED_S + (pair.hellos()[-1].session_ms + 1000) / 1000
    pair.run(0.98)
    pair.now_s = deadline_s + late_ms / 1000
    pair.deliver("cmd", raw)
    sent = len(pair.sent)
    assert bool(sent) is (end == VERIFIED)
    pair.run(5.0)
    assert last_end(pair) == end
    assert len(pair.sent) == sent, "and no frame after the deadline"


@pytest.mark.hazard("H47")
@pytest.mark.parametrize(("held_s", "end"), [(29.9, VERIFIED), (30.1, rejected(Reason.EXPIRED))])
def test_broker_that_holds_a_command_back(held_s: float, end: object) -> None:
    pair = awake()
    raw = pair.command(Action.UNLOCK, lifetime_ms=30_000)
    pair.run(held_s)
    pair.deliver("cmd", raw)
    pair.run(5.0)
    assert last_end(pair) == end
    assert bool(pair.sent) is (end == VERIFIED)


@pytest.mark.hazard("H46")
@pytest.mark.parametrize(("action", "lifetime_ms"), [(Action.UNLOCK, 30_000), (Action.LOCK, 120_000)])
def test_deadline_further_ahead_than_the_action_allows_is_refused(action: Action, lifetime_ms: int) -> None:
    pair = awake()
    pair.deliver("cmd", pair.command(action, lifetime_ms=lifetime_ms + 1))
    pair.run(2.0)
    assert last_end(pair) == rejected(Reason.TTL_TOO_LONG)
    assert pair.sent == []
    pair.deliver("cmd", pair.command(action, lifetime_ms=lifetime_ms))
    pair.run(5.0)
    assert last_end(pair) == VERIFIED


@pytest.mark.hazard("H50")
def test_command_that_was_on_its_way_while_the_computer_slept_is_too_late() -> None:
    """Boot time counts the suspend; the event loop's clock would not."""
    pair = awake()
    raw = pair.command(Action.UNLOCK)
    pair.now_s += 3600.0
    pair.deliver("cmd", raw)
    pair.run(2.0)
    assert last_end(pair) == rejected(Reason.EXPIRED)
    assert pair.sent == []


@pytest.mark.hazard("H49")
@pytest.mark.parametrize("jump_s", [TEN_YEARS_S, -TEN_YEARS_S])
def test_wall_clock_that_jumps_in_the_middle_of_a_command_changes_nothing(jump_s: float) -> None:
    """Compared with the same command without the jump: the same frames at the same times, and the same end."""

    def lived(offset_s: float) -> list[object]:
        pair = awake()
        pair.engine.receive_link(ClockSet(NOW_UNIX_S, ClockTrust.ESTIMATED), pair.now_s)
        pair.car.set_fault(CarFault.LOCK_SLOW, pair.now_s, is_on=True)
        later = pair.command(Action.LOCK)
        pair.deliver("cmd", pair.command(Action.UNLOCK))
        pair.run(0.5)
        pair.engine.receive_link(ClockSet(NOW_UNIX_S + offset_s, ClockTrust.ESTIMATED), pair.now_s)
        pair.run(8.0)
        assert last_end(pair) == VERIFIED
        pair.deliver("cmd", later)  # signed before the jump, with the lower counter
        pair.run(5.0)
        return [*((result.stage, result.reason, result.session_ms) for result in pair.results()), *pair.sent]

    assert lived(jump_s) == lived(0.0)
