"""Laws of freshness over whole conversations."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.command.replay import COUNTER_MAX, TokenBucket, judge_freshness, lifetime_max_ms
from agent.model.command import Action, Command, Reason

SID = b"\x01" * 8

commands = st.builds(
    Command,
    car=st.just(bytes(8)),
    cid=st.binary(min_size=16, max_size=16),
    operator=st.just(7),
    sid=st.sampled_from([SID, SID, SID, bytes(8)]),
    counter=st.one_of(st.integers(0, 20), st.integers(COUNTER_MAX - 2, COUNTER_MAX + 2)),
    deadline_ms=st.integers(0, 200_000),
    action=st.sampled_from(Action),
    kid=st.just(bytes(4)),
    digest=st.just(bytes(32)),
)
arrivals = st.lists(st.tuples(commands, st.integers(0, 5_000)), max_size=30)


@settings(max_examples=300, deadline=None)
@given(arrivals)
def test_sr_03_no_counter_is_accepted_twice_and_none_after_a_higher_one(arrivals: list[tuple[Command, int]]) -> None:
    counter_last: int | None = None
    accepted: list[int] = []
    now_ms = 0
    for command, pause_ms in arrivals:
        now_ms += pause_ms
        reason = judge_freshness(SID, counter_last, command, now_ms)
        if reason is None and command.action not in (Action.REPORT, Action.CHECK_RETURN):
            counter_last = command.counter
            accepted.append(command.counter)
    assert accepted == sorted(set(accepted))
    assert all(counter <= COUNTER_MAX for counter in accepted)


@settings(max_examples=300, deadline=None)
@given(commands, st.integers(0, 400_000), st.none() | st.integers(0, 30))
def test_sr_03_what_is_accepted_is_of_this_session_and_within_its_lifetime(
    command: Command, now_ms: int, counter_last: int | None
) -> None:
    reason = judge_freshness(SID, counter_last, command, now_ms)
    is_fresh = command.sid == SID and 0 <= command.deadline_ms - now_ms <= lifetime_max_ms(command.action)
    if reason is None:
        assert is_fresh
    else:
        assert not is_fresh or reason in (Reason.COUNTER, Reason.BAD_PARAMS)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(0, 10), max_size=200), st.integers(1, 20), st.floats(0.1, 20))
def test_bucket_never_gives_more_than_its_capacity_and_rate(pauses_s: list[float], capacity: int, per_s: float) -> None:
    bucket = TokenBucket(capacity, per_s, capacity, 0.0)
    now_s = 0.0
    given_at_s: list[float] = []
    for pause_s in pauses_s:
        now_s += pause_s
        bucket, is_allowed = bucket.take(now_s)
        if is_allowed:
            given_at_s.append(now_s)
    for first, start_s in enumerate(given_at_s):
        for last in range(first, len(given_at_s)):
            assert last - first + 1 <= capacity + (given_at_s[last] - start_s) * per_s + 1e-6
