"""Freshness as tables: every row says why its verdict is what it is."""

from __future__ import annotations

import pytest

from agent.command.replay import (
    COUNTER_MAX,
    LIFETIME_HARD_MAX_MS,
    JournalVerdict,
    TokenBucket,
    command_bucket,
    inbound_bucket,
    is_state_changing,
    judge_freshness,
    judge_journal,
    lifetime_max_ms,
)
from agent.model.command import Action, Command, Reason

SID = bytes(7) + b"\x01"
STALE, COUNTER, EXPIRED, TTL, BAD = (
    Reason.STALE_SESSION,
    Reason.COUNTER,
    Reason.EXPIRED,
    Reason.TTL_TOO_LONG,
    Reason.BAD_PARAMS,
)


def command(*, sid: bytes = SID, counter: int = 10, deadline_ms: int = 60_000, action: int = Action.UNLOCK) -> Command:
    return Command(bytes(8), bytes(16), 7, sid, counter, deadline_ms, action, kid=bytes(4), digest=bytes(32))


@pytest.mark.hazard("H43", "H53")
@pytest.mark.parametrize(
    ("counter_last", "counter", "reason"),
    [
        (None, 0, None),  # the first counter of a session may be any
        (None, 10, None),
        (9, 10, None),  # the next one
        (3, 10, None),  # a gap: commands are lost, not held back; only the order matters
        (10, 10, COUNTER),  # the same again with another cid (H43, H54): a copy, or two senders with one key
        (11, 10, COUNTER),  # older than what was done: a lock overtook this unlock (H44)
        (None, 9_007_199_254_740_991, None),  # the last number every JSON reader keeps exact
        (None, 9_007_199_254_740_992, BAD),  # beyond it (H53): taken, it would shut out everything after
        (COUNTER_MAX, 10, COUNTER),  # a sender who used the last number waits for a new session (H53)
        (10, COUNTER_MAX + 1, BAD),  # the number is wrong in itself, whatever came before
    ],
)
def test_counter_only_rises(counter_last: int | None, counter: int, reason: Reason | None) -> None:
    """SR-03."""
    assert judge_freshness(SID, counter_last, command(counter=counter), 50_000) is reason


@pytest.mark.hazard("H45", "H46", "H47", "H50")
@pytest.mark.parametrize(
    ("now_ms", "reason"),
    [
        (30_000, None),  # 30 s ahead: as far as an unlock may reach
        (29_999, TTL),  # 1 ms further (H46): such a command could be kept for a better moment
        (59_999, None),  # 1 ms before the deadline (H45)
        (60_000, None),  # at the deadline (H45)
        (60_001, EXPIRED),  # 1 ms after (H45): the user may have walked on
        (59_900, None),  # held by the broker for 29.9 s (H47)
        (60_100, EXPIRED),  # held for 30.1 s (H47)
        (3_660_000, EXPIRED),  # delivered after an hour of suspend, which boot time counts (H50)
        (0, TTL),  # the session has just begun and somebody already has a command for its second minute
    ],
)
def test_deadline_is_neither_past_nor_far(now_ms: int, reason: Reason | None) -> None:
    """SR-03."""
    assert judge_freshness(SID, None, command(deadline_ms=60_000), now_ms) is reason


@pytest.mark.parametrize(
    ("action", "lifetime_ms"),
    [
        (Action.UNLOCK, 30_000),  # opens a car its user may have left
        (Action.ENABLE_DRIVE, 30_000),  # likewise
        (Action.LOCK, 120_000),  # late, but still what was wanted
        (Action.DISABLE_DRIVE, 120_000),  # likewise; the preconditions keep it off a moving car
        (Action.LOCATE, 120_000),  # lights and horn: late is a nuisance, no danger
        (Action.REPORT, 120_000),  # moves nothing
        (Action.CHECK_RETURN, 120_000),  # moves nothing
    ],
)
def test_each_action_has_its_lifetime(action: Action, lifetime_ms: int) -> None:
    asked = command(action=action, deadline_ms=500_000)
    assert lifetime_max_ms(action) == lifetime_ms <= LIFETIME_HARD_MAX_MS == 300_000
    assert judge_freshness(SID, None, asked, 500_000 - lifetime_ms) is None
    assert judge_freshness(SID, None, asked, 500_000 - lifetime_ms - 1) is TTL


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sid": bytes(8)}, STALE),  # another start's session (H48)
        ({"sid": bytes(8), "counter": COUNTER_MAX + 1}, STALE),  # first things first: the rest is of that session
        ({"sid": bytes(8), "deadline_ms": 0}, STALE),  # its milliseconds mean nothing here
        ({"counter": 5, "deadline_ms": 0}, COUNTER),  # order before time: an old copy is an old copy
        ({"counter": COUNTER_MAX + 1, "deadline_ms": 0}, BAD),
        ({}, None),
    ],
)
def test_session_comes_before_counter_and_counter_before_deadline(
    changes: dict[str, object], reason: Reason | None
) -> None:
    asked = command(**changes)  # type: ignore[arg-type]
    assert judge_freshness(SID, 5, asked, 50_000) is reason


@pytest.mark.parametrize("action", list(Action))
def test_counter_orders_what_changes_the_car_and_nothing_else(action: Action) -> None:
    """A report that arrives late is as true as one in time; it must not shut out the unlock it overtook either."""
    asked = command(action=action, counter=10)
    expected = COUNTER if action not in (Action.REPORT, Action.CHECK_RETURN) else None
    assert judge_freshness(SID, 10, asked, 50_000) is expected
    assert is_state_changing(action) == (expected is COUNTER)


@pytest.mark.parametrize(
    ("digest_known", "verdict"),
    [
        (None, JournalVerdict.NEW),  # never seen
        (bytes(32), JournalVerdict.REPEATED),  # the very same bytes (H39, H40): the result again, no frame
        (b"\x01" + bytes(31), JournalVerdict.CID_CONFLICT),  # the id for another command (H42)
        (bytes(8), JournalVerdict.CID_CONFLICT),  # a shortened hash is no proof of sameness
    ],
)
def test_journal_tells_new_repeated_and_conflicting(digest_known: bytes | None, verdict: JournalVerdict) -> None:
    """SR-02."""
    assert judge_journal(digest_known, command()) is verdict


def taken(bucket: TokenBucket, times_s: list[float]) -> list[bool]:
    verdicts = []
    for now_s in times_s:
        bucket, is_allowed = bucket.take(now_s)
        verdicts.append(is_allowed)
    return verdicts


def test_h55_fifty_commands_in_a_second_leave_ten() -> None:
    times_s = [100.0 + number * 0.02 for number in range(50)]
    assert taken(command_bucket(100.0), times_s) == [True] * 10 + [False] * 40


def test_command_bucket_gives_ten_a_minute_in_the_long_run() -> None:
    verdicts = taken(command_bucket(0.0), [number * 1.0 for number in range(3600)])
    assert 600 <= sum(verdicts) <= 610


def test_emptied_bucket_gives_the_next_token_after_six_seconds() -> None:
    bucket = command_bucket(0.0)
    for _ in range(10):
        bucket, _ = bucket.take(0.0)
    assert not bucket.take(5.99)[1]
    assert bucket.take(6.01)[1]


def test_a_day_of_rest_saves_up_no_more_than_the_first_minute_had() -> None:
    """SR-09."""
    assert sum(taken(command_bucket(0.0), [86_400.0] * 100)) == 10
    assert sum(taken(inbound_bucket(0.0), [86_400.0] * 100)) == 40


def test_inbound_bucket_gives_forty_at_once_and_twenty_a_second() -> None:
    assert sum(taken(inbound_bucket(5.0), [5.0] * 100)) == 40
    assert sum(taken(inbound_bucket(5.0), [5.0 + number / 1000 for number in range(10_000)])) == pytest.approx(
        240, abs=1
    )


def test_refusal_leaves_the_bucket_as_it_was() -> None:
    bucket, _ = TokenBucket(1.0, 1.0, 1.0, 0.0).take(0.0)
    assert bucket.take(0.5) == (bucket, False)


def test_time_going_back_neither_fills_nor_empties() -> None:
    bucket, _ = TokenBucket(2.0, 1.0, 2.0, 100.0).take(100.0)
    bucket, is_allowed = bucket.take(50.0)
    assert is_allowed and not bucket.take(50.0)[1]
    assert not bucket.take(100.5)[1], "the half token since the newest time seen, not fifty since the oldest"
