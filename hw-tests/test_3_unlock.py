"""Test 3: from a command's delivery to the lock's motion, and whether the answer says what the lock did."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from statistics import median, quantiles

import pytest

from agent.backend.client import Backend
from agent.bench.reported import Reported
from agent.bench.setup import CAR_NAME
from agent.model.command import Action, Executed
from tests.support.bench_car import BenchCar

from bench_file import Bench
from conftest import RunAgent, obeyed
from ports import Ignition, LockSensor

MOVES_WITHIN_S = 10.0
TOLD_WITHIN_S = 10.0
IGNITION = "Vehicle.LowVoltageSystemState"


async def test_lock_moves_as_asked_and_the_answer_says_so(
    bench: Bench, lock_sensor: LockSensor, running_agent: RunAgent, measured: Callable[[str, object], None]
) -> None:
    """SR-04: verified, each time, and each time the lock itself had moved before the answer came."""
    latencies_ms: list[float] = []
    async with running_agent() as (_, backend):
        for run in range(2 * bench.unlock_runs):
            action, is_locked = (Action.LOCK, True) if run % 2 else (Action.UNLOCK, False)
            result = await obeyed(backend, action)
            answered_at_s = time.monotonic()
            sent_at_s = answered_at_s - result.answered_in_s
            moved_at_s = await asyncio.to_thread(lock_sensor.moved_at_s, MOVES_WITHIN_S * bench.patience)
            assert result.is_verified, result
            assert moved_at_s is not None
            assert lock_sensor.is_locked() is is_locked
            if lock_sensor.is_timed:
                assert sent_at_s < moved_at_s < answered_at_s
                latencies_ms.append((moved_at_s - sent_at_s) * 1000)
    measured("runs", 2 * bench.unlock_runs)
    if latencies_ms:
        cuts = quantiles(latencies_ms, n=20, method="inclusive")
        measured("delivery_to_motion_ms_median", round(median(latencies_ms)))
        measured("delivery_to_motion_ms_p95", round(cuts[-1]))
        measured("delivery_to_motion_ms_max", round(max(latencies_ms)))


async def test_lock_that_does_not_move_is_not_called_verified(
    virtual_car: BenchCar | None, lock_sensor: LockSensor, running_agent: RunAgent
) -> None:
    """SR-04: the lock unit goes on reporting "locked" and ignores every request."""
    if virtual_car is None:
        pytest.skip("only the virtual car's lock can be made to ignore requests")
    virtual_car.say("fault lock_ignores")
    async with running_agent() as (_, backend):
        result = await backend.command(CAR_NAME, Action.UNLOCK)
        assert not result.is_verified
        assert result.is_answered
        assert lock_sensor.is_locked()


async def test_driving_is_not_disabled_with_the_ignition_on(
    bench: Bench, ignition: Ignition, running_agent: RunAgent
) -> None:
    """SR-06: refused, and nothing was sent; asked once the car has told its own state, which takes a cycle or two."""
    async with running_agent() as (_, backend), told(backend) as reported:
        ignition.on()
        try:
            assert await reported.until(lambda: reported.value(IGNITION) == "ON", TOLD_WITHIN_S * bench.patience)
            result = await backend.command(CAR_NAME, Action.DISABLE_DRIVE)
        finally:
            ignition.off()
        assert (result.is_answered, result.executed) == (True, Executed.NO)


@asynccontextmanager
async def told(backend: Backend) -> AsyncIterator[Reported]:
    """What the backend is told of the car, kept up to date while the block runs."""
    reported = Reported()
    async with aclosing(backend.watch(CAR_NAME)) as reports:
        following = asyncio.create_task(reported.follow(reports))
        try:
            yield reported
        finally:
            following.cancel()
            await asyncio.wait((following,))
