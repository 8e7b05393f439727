"""Laws of a bus's health over any signs at any times."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.model.bus import BusHealth, BusSign
from agent.state.bus_health import RANK, STAND_S, TABLE, HealthChange, HealthWatch

# Whole milliseconds, so that the sums below are exact enough to compare; many of them well within the time of standing.
STEPS_MS = st.one_of(st.integers(0, 400), st.integers(0, 8000))
MOMENTS = st.lists(st.tuples(STEPS_MS, st.one_of(st.none(), st.sampled_from(BusSign))), max_size=80)


def run(moments: list[tuple[int, BusSign | None]]) -> tuple[list[HealthChange], list[tuple[int, BusHealth, BusHealth]]]:
    """The changes, and at each moment (in ms) what was shown and the state."""
    bus, at_ms = HealthWatch(1e9, 0.0), 0
    changes, seen = [], []
    for step_ms, sign in moments:
        at_ms += step_ms
        now_s = at_ms / 1000
        change = bus.note(sign, now_s) if sign is not None else bus.handle_time(now_s, heard_at_s=None, is_in_use=True)
        if change is not None:
            changes.append(change)
        seen.append((at_ms, bus.shown, bus.state))
    return changes, seen


@given(MOMENTS)
def test_the_state_is_the_worst_that_was_shown_within_the_time_of_standing(
    moments: list[tuple[int, BusSign | None]],
) -> None:
    """It follows from the signs and their times alone: told here anew, from the whole history and the table."""
    _, seen = run(moments)
    shown, spans = BusHealth.UNKNOWN, []  # (until, what was shown until then)
    at_ms = 0
    for (step_ms, sign), (seen_ms, told_shown, state) in zip(moments, seen, strict=True):
        at_ms += step_ms
        assert at_ms == seen_ms
        if sign is not None and (after := TABLE[shown][sign]) is not shown:
            spans.append((at_ms, shown))
            shown = after
        recent = [before for until_ms, before in spans if at_ms / 1000 - until_ms / 1000 < STAND_S]
        assert told_shown is shown
        assert state is max([shown, *recent], key=RANK.__getitem__)


@given(MOMENTS)
def test_nothing_gets_better_sooner_than_it_has_stood(moments: list[tuple[int, BusSign | None]]) -> None:
    """So within the time of standing no bus is told worse and then better: it does not flap."""
    changes, _ = run(moments)
    for number, worse in enumerate(changes):
        for later in changes[number + 1 :]:
            if later.at_s - worse.at_s < STAND_S and RANK[worse.state] > RANK[worse.before]:
                assert RANK[later.state] > RANK[later.before]


@given(MOMENTS)
def test_each_change_begins_where_the_last_one_ended(moments: list[tuple[int, BusSign | None]]) -> None:
    changes, _ = run(moments)
    states = [BusHealth.UNKNOWN, *(change.state for change in changes)]
    assert [change.before for change in changes] == states[:-1]
    assert all(change.state is not change.before for change in changes)
    assert [change.at_s for change in changes] == sorted(change.at_s for change in changes)


@given(MOMENTS)
def test_what_is_worse_is_known_at_once(moments: list[tuple[int, BusSign | None]]) -> None:
    _, seen = run(moments)
    assert all(RANK[state] >= RANK[shown] for _, shown, state in seen)
