"""The second check of a pulse (SR-01), and that a line is opened whatever happens; lines by a fake, time by itself."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest

from agent.adapters.relays import CLOSED_S_LIMIT, PulseRefused, Relays
from agent.model.command import Reason
from agent.model.pulse import PULSE_S_MAX, Pulse
from tests.support.relay_lines import Lines

UNLOCK = Pulse("fob_unlock", 0.3, 0.2)
LOCK = Pulse("fob_lock", 0.5, 0.1)
LATER_S = 1e9


def relays(lines: Lines) -> Relays:
    return Relays([UNLOCK, LOCK], lines, now_s=lambda: lines.now_s, wait=lines.wait)


async def refused(lines: Lines, pulse: Pulse, *, not_after_s: float = LATER_S, is_wanted: bool = True) -> Reason:
    with pytest.raises(PulseRefused) as refusal:
        await relays(lines).pulse(pulse, not_after_s, lambda: is_wanted)
    return refusal.value.reason


async def test_line_is_closed_for_the_pulse_and_the_time_told_is_that_of_opening() -> None:
    lines = Lines()
    assert await relays(lines).pulse(UNLOCK, LATER_S, lambda: True) == pytest.approx(100.3)
    assert lines.log == [(100.0, "hold"), (100.0, "close fob_unlock"), (100.3, "open_all")]
    assert lines.now_s == pytest.approx(100.5)  # the pause is over


@pytest.mark.parametrize(
    "pulse",
    [
        replace(UNLOCK, line="fob_panic"),
        replace(UNLOCK, line=""),
        replace(UNLOCK, pulse_s=0.31),
        replace(UNLOCK, pulse_s=0.0),
        replace(UNLOCK, pulse_s=-1.0),
        replace(UNLOCK, pulse_s=float("nan")),
        replace(UNLOCK, pulse_s=float("inf")),
        replace(UNLOCK, pause_s=0.1),
        replace(UNLOCK, pause_s=float("nan")),
        replace(UNLOCK, pulse_s=LOCK.pulse_s),
    ],
    ids=str,
)
async def test_pulse_that_no_recipe_asks_for_is_refused_and_touches_no_line_sr_01(pulse: Pulse) -> None:
    lines = Lines()
    assert await refused(lines, pulse) is Reason.INTERNAL
    assert lines.log == []


async def test_no_line_is_closed_beyond_the_limit_whatever_the_list_says() -> None:
    lines = Lines()
    stuck = Pulse("door", CLOSED_S_LIMIT + 0.1, 0.1)
    with pytest.raises(PulseRefused):
        await Relays([stuck], lines, now_s=lambda: lines.now_s, wait=lines.wait).pulse(stuck, LATER_S, lambda: True)
    assert lines.log == []
    assert PULSE_S_MAX <= CLOSED_S_LIMIT


async def test_pulse_that_is_late_or_no_longer_wanted_closes_nothing_sr_03() -> None:
    lines = Lines()
    assert await refused(lines, UNLOCK, not_after_s=99.9) is Reason.EXPIRED
    assert await refused(lines, UNLOCK, is_wanted=False) is Reason.EXPIRED
    assert "close fob_unlock" not in {what for _, what in lines.log}


async def test_lines_that_cannot_be_had_move_nothing() -> None:
    lines = Lines()
    lines.failing = {"hold"}
    assert await refused(lines, UNLOCK) is Reason.CAN_DOWN
    assert [what for _, what in lines.log] == ["hold"]


@pytest.mark.parametrize(("failing", "last"), [("close", "release"), ("open_all", "release")])
async def test_line_that_fails_is_given_back_and_what_happened_is_not_claimed(failing: str, last: str) -> None:
    lines = Lines()
    lines.failing = {failing}
    assert await refused(lines, UNLOCK) is Reason.INTERNAL
    assert [what for _, what in lines.log][-2:] == ["open_all", last]


async def test_two_pulses_asked_for_at_once_follow_each_other_with_the_pause_between() -> None:
    lines = Lines()
    both = relays(lines)
    await asyncio.gather(*(both.pulse(pulse, LATER_S, lambda: True) for pulse in (UNLOCK, LOCK)))
    changes = [entry for entry in lines.log if entry[1] != "hold"]
    assert changes == [
        (100.0, "close fob_unlock"),
        (100.3, "open_all"),
        (100.5, "close fob_lock"),
        (101.0, "open_all"),
    ]


async def test_second_pulse_waits_for_the_first_ones_pause_and_is_not_carried_out_if_nobody_waits_for_it() -> None:
    """Interlock: with threads that really wait. The fake line complains of two that are closed at once."""
    lines = Lines()
    is_waiting, may_go_on = threading.Semaphore(0), threading.Semaphore(0)

    def wait(seconds: float) -> None:
        is_waiting.release()
        assert may_go_on.acquire(timeout=5.0)

    both = Relays([UNLOCK, LOCK], lines, now_s=lambda: lines.now_s, wait=wait)
    first, second = (asyncio.create_task(both.pulse(pulse, LATER_S, lambda: True)) for pulse in (UNLOCK, LOCK))
    for _ in ("pulse", "pause"):
        assert await asyncio.to_thread(is_waiting.acquire, timeout=5.0)
        assert "close fob_lock" not in {what for _, what in lines.log}
        if lines.closed:
            may_go_on.release()
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    may_go_on.release()
    await first
    # Had it been left in the row, it would come before this one.
    third = asyncio.create_task(both.pulse(UNLOCK, LATER_S, lambda: True))
    for _ in ("pulse", "pause"):
        may_go_on.release()
    await third
    assert [what for _, what in lines.log if what.startswith("close")] == ["close fob_unlock"] * 2


async def test_line_is_opened_though_whoever_waited_for_it_is_gone() -> None:
    lines = Lines()
    is_closed, may_go_on, is_open = threading.Event(), threading.Event(), threading.Event()

    def wait(seconds: float) -> None:
        if lines.closed:
            is_closed.set()
            may_go_on.wait(5.0)
        else:
            is_open.set()

    waiting = asyncio.create_task(
        Relays([UNLOCK], lines, now_s=lambda: lines.now_s, wait=wait).pulse(UNLOCK, LATER_S, lambda: True)
    )
    await asyncio.to_thread(is_closed.wait, 5.0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert lines.closed == {"fob_unlock"}
    may_go_on.set()
    assert await asyncio.to_thread(is_open.wait, 5.0)
    assert lines.closed == set()
