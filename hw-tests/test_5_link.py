"""Test 5: the antenna is off from a command's acceptance to its end; the answer comes when it is on again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agent.bench.setup import CAR_NAME
from agent.model.command import Action

from bench_file import Bench
from conftest import RunAgent
from ports import Link, LockSensor

MOVES_WITHIN_S = 15.0
ANSWER_WITHIN_S = 60.0


async def test_command_under_way_is_finished_and_answered_though_the_link_goes(
    bench: Bench,
    lock_sensor: LockSensor,
    link: Link,
    running_agent: RunAgent,
    measured: Callable[[str, object], None],
) -> None:
    """SR-02, SR-04: moved once, said when it can be said."""
    async with running_agent() as (_, backend):
        accepted = asyncio.Event()
        asking = asyncio.create_task(
            backend.command(
                CAR_NAME,
                Action.UNLOCK,
                timeout_s=ANSWER_WITHIN_S * bench.patience,
                on_progress=lambda _: accepted.set(),
            )
        )
        async with asyncio.timeout(ANSWER_WITHIN_S * bench.patience):
            await accepted.wait()
        await asyncio.to_thread(link.down)
        moved_at_s = await asyncio.to_thread(lock_sensor.moved_at_s, MOVES_WITHIN_S * bench.patience)
        await asyncio.to_thread(link.up)
        result = await asking
        assert moved_at_s is not None
        assert result.is_verified, result
        measured("answer_after_s", round(result.answered_in_s, 1))
