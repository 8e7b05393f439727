"""Beats: what may wait a little is done when something else is."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from agent.adapters.beat import beat, next_beat_s

EVERY_S = st.sampled_from((0.01, 0.04, 0.1, 0.5, 1.0, 7.5, 10.0, 15.0))
NOW_S = st.floats(0.0, 1e8)


@given(NOW_S, EVERY_S)
def test_the_next_beat_is_ahead_and_no_farther_than_one_interval(now_s: float, every_s: float) -> None:
    at_s = next_beat_s(now_s, every_s)
    assert now_s < at_s <= now_s + every_s * (1 + 1e-6)


@given(NOW_S, st.floats(0.0, 1.0, exclude_max=True), EVERY_S)
def test_who_begins_to_wait_between_two_beats_waits_for_the_same(now_s: float, share: float, every_s: float) -> None:
    at_s = next_beat_s(now_s, every_s)
    between_s = now_s + share * (at_s - now_s)
    assert between_s >= at_s or next_beat_s(between_s, every_s) == at_s


@given(NOW_S)
def test_long_beats_fall_on_short_ones(now_s: float) -> None:
    at_s = next_beat_s(now_s, 10.0)
    assert next_beat_s(at_s - 0.25, 0.5) == at_s


async def test_waiting_ends_at_the_beat() -> None:
    loop, ends_s = asyncio.get_running_loop(), []

    async def wait() -> None:
        await beat(0.05)
        ends_s.append(loop.time())

    begun_s = loop.time()
    await asyncio.gather(*(wait() for _ in range(5)))
    assert min(ends_s) > begun_s and len({end_s // 0.05 for end_s in ends_s}) == 1
