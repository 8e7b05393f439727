"""The journal in memory: what is found in it, what is forgotten, and what may be said of what it does not hold."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from agent.ledger import JOURNAL_AGE_S, JOURNAL_KEPT, JOURNAL_MAX, REJECTIONS_MAX, Key, Ledger, Rejection
from agent.model.command import Executed, Reason, Stage
from agent.model.records import Done, Intent, JournalEntry, Recovered, ResultDelivered

SID = b"session2"
OLD_SID = b"session1"
NOW_S = 2_000_000_000


def intent(number: int, *, sid: bytes = OLD_SID, at_s: int | None = NOW_S) -> Intent:
    return Intent(
        operator=1,
        cid=number.to_bytes(16),
        digest=bytes(32),
        kid=bytes(4),
        action=1,
        sid=sid,
        counter=number,
        deadline_ms=30_000,
        accepted_at_unix_s=at_s,
    )


def done(number: int) -> Done:
    return Done(1, number.to_bytes(16), Stage.VERIFIED, Reason.OK, Executed.YES, b"result", number)


def delivered(numbers: Iterable[int], *, at_s: int | None = NOW_S, sid: bytes = OLD_SID) -> tuple[JournalEntry, ...]:
    return tuple(
        JournalEntry(intent(number, at_s=at_s, sid=sid), done(number), is_delivered=True) for number in numbers
    )


def key(number: int) -> Key:
    return 1, number.to_bytes(16)


def ledger(*journal: JournalEntry) -> Ledger:
    return Ledger(Recovered(b"store--1", journal, sessions=frozenset({OLD_SID})), SID)


def test_command_is_found_by_operator_and_id() -> None:
    """A2: another operator's command of the same id is another command."""
    entries = ledger(JournalEntry(intent(1)))
    found = entries.find(key(1))
    assert found is not None
    assert found.intent == intent(1)
    assert entries.find((2, key(1)[1])) is None
    assert entries.find(key(2)) is None


def test_command_goes_from_begun_to_finished_to_delivered() -> None:
    entries = ledger()
    entries.begin(intent(1))
    assert entries.unfinished() == (intent(1),)
    entries.finish(done(1))
    assert entries.unfinished() == ()
    assert entries.undelivered() == (done(1),)
    assert entries.delivered(key(1)) == ResultDelivered(1, key(1)[1])
    assert entries.undelivered() == ()
    assert entries.find(key(1)) == JournalEntry(intent(1), done(1), is_delivered=True)


def test_interrupted_and_undelivered_commands_are_found_again_at_start() -> None:
    """SR-02, H77: what a crash interrupted, and results that nobody has yet."""
    entries = ledger(JournalEntry(intent(1)), JournalEntry(intent(2), done(2)), *delivered([3]))
    assert entries.unfinished() == (intent(1),)
    assert entries.undelivered() == (done(2),)
    assert len(entries) == 3


def test_command_that_could_not_be_made_durable_was_never_begun() -> None:
    entries = ledger()
    entries.begin(intent(1))
    entries.forget_begun(key(1))
    assert entries.find(key(1)) is None
    entries.forget_begun(key(1))


# --- pruning ------------------------------------------------------------------------------------------------------


def test_nothing_is_forgotten_while_there_are_few() -> None:
    """Amendment A8, L-R2: a thousand commands are kept however old they are."""
    entries = ledger(*delivered(range(JOURNAL_KEPT), at_s=0))
    assert entries.prune(NOW_S) is None


def test_oldest_are_forgotten_after_a_day_down_to_a_thousand() -> None:
    entries = ledger(*delivered(range(JOURNAL_KEPT + 3), at_s=NOW_S - JOURNAL_AGE_S - 1))
    pruned = entries.prune(NOW_S)
    assert pruned is not None
    assert pruned.keys == (key(0), key(1), key(2))
    assert len(entries) == JOURNAL_KEPT
    assert entries.find(key(2)) is None
    assert entries.prune(NOW_S) is None


def test_command_of_the_last_day_is_kept() -> None:
    entries = ledger(*delivered(range(JOURNAL_KEPT + 3), at_s=NOW_S - JOURNAL_AGE_S))
    assert entries.prune(NOW_S) is None


@pytest.mark.parametrize(("at_s", "now_s"), [(None, NOW_S), (0, None)])
def test_age_that_is_not_known_forgets_nothing(at_s: int | None, now_s: int | None) -> None:
    entries = ledger(*delivered(range(JOURNAL_KEPT + 3), at_s=at_s))
    assert entries.prune(now_s) is None


def test_unfinished_and_undelivered_commands_are_never_forgotten() -> None:
    """SR-02: an intent without an end must be found by whatever asks for it."""
    unfinished = JournalEntry(intent(1, at_s=0))
    undelivered = JournalEntry(intent(2, at_s=0), done(2))
    entries = ledger(unfinished, undelivered, *delivered(range(3, JOURNAL_KEPT + 3), at_s=0))
    pruned = entries.prune(NOW_S)
    assert pruned is not None
    assert pruned.keys == (key(3), key(4))
    assert entries.find(key(1)) == unfinished
    assert entries.find(key(2)) == undelivered


def test_journal_never_exceeds_its_limit() -> None:
    """Amendment A8, SR-09: with no clock at all the oldest give way, one for each that comes."""
    entries = ledger(*delivered(range(JOURNAL_MAX), at_s=None))
    for number in range(JOURNAL_MAX, JOURNAL_MAX + 3):
        pruned = entries.prune(None)
        assert pruned is not None
        assert pruned.keys == (key(number - JOURNAL_MAX),)
        entries.begin(intent(number, at_s=None))
        assert len(entries) == JOURNAL_MAX


# --- what may be said of a command the journal does not hold ------------------------------------------------------


def test_command_of_a_known_session_was_not_carried_out() -> None:
    """Amendment A2: this session and those in the store's table."""
    entries = ledger()
    assert entries.executed_in(SID) is Executed.NO
    assert entries.executed_in(OLD_SID) is Executed.NO


def test_of_a_session_nobody_knows_nothing_is_said() -> None:
    """H41: the store may have been made anew since."""
    assert ledger().executed_in(b"unknown-") is Executed.UNKNOWN


def test_of_a_session_with_forgotten_commands_nothing_is_said() -> None:
    """Amendment A2: "not carried out" cannot be told from "forgotten" any more; of other sessions it can."""
    entries = ledger(
        *delivered([1], at_s=0),
        *delivered(range(2, JOURNAL_KEPT + 2), sid=SID),
    )
    assert entries.prune(NOW_S) is not None
    assert entries.executed_in(OLD_SID) is Executed.UNKNOWN
    assert entries.executed_in(SID) is Executed.NO


# --- rejections ---------------------------------------------------------------------------------------------------


def test_rejection_is_known_until_its_deadline() -> None:
    """H45 for what was refused: at the deadline still, a millisecond later no more."""
    entries = ledger()
    rejection = Rejection(bytes(32), b"refused", forget_at_ms=1000)
    entries.remember_rejection(key(1), rejection, 0)
    assert entries.rejection(key(1), 1000) == rejection
    assert entries.rejection(key(1), 1001) is None
    assert entries.rejection(key(2), 0) is None
    assert entries.find(key(1)) is None


def test_rejections_are_bounded_and_the_live_ones_are_kept() -> None:
    """Amendment A8, SR-09."""
    entries = ledger()
    for number in range(REJECTIONS_MAX):
        assert entries.may_reject(0)
        entries.remember_rejection(key(number), Rejection(bytes(32), b"", forget_at_ms=1000), 0)
    assert not entries.may_reject(1000)
    entries.remember_rejection(key(REJECTIONS_MAX), Rejection(bytes(32), b"", forget_at_ms=2000), 1000)
    assert entries.rejection(key(REJECTIONS_MAX), 1000) is None
    assert entries.rejection(key(0), 1000) is not None


def test_rejections_past_their_deadline_make_room() -> None:
    entries = ledger()
    for number in range(REJECTIONS_MAX):
        entries.remember_rejection(key(number), Rejection(bytes(32), b"", forget_at_ms=number), 0)
    late = Rejection(bytes(32), b"late", forget_at_ms=9000)
    entries.remember_rejection(key(REJECTIONS_MAX), late, 10)
    assert entries.rejection(key(REJECTIONS_MAX), 10) == late
    assert entries.rejection(key(REJECTIONS_MAX - 1), 10) is not None


def test_what_is_never_asked_for_again_does_not_fill_the_memory() -> None:
    """SR-09: answers to `report` are remembered too, and nothing else may come for weeks."""
    entries = ledger()
    for number in range(3 * REJECTIONS_MAX):
        entries.remember_rejection(key(number), Rejection(bytes(32), b"", forget_at_ms=number + 9), number)
        assert entries.rejection(key(number), number) is not None
    assert sum(entries.rejection(key(number), 0) is not None for number in range(3 * REJECTIONS_MAX)) <= REJECTIONS_MAX


def test_of_a_store_made_anew_the_sessions_since_are_known() -> None:
    """Amendment A2: older ones do not stand in its table, so of them nothing is said (H41)."""
    entries = Ledger(Recovered(b"store--2"), SID)
    assert entries.executed_in(SID) is Executed.NO
    assert entries.executed_in(OLD_SID) is Executed.UNKNOWN
