"""Test 7: hours of commands; each verified, and the process is in the end no larger than after the first hundred."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from agent.model.command import Action

from bench_file import Bench
from conftest import RunAgent, obeyed
from ports import LockSensor

WARM_UP_RUNS = 100
GROWTH_MAX_BYTES = 8 * 2**20
"""Python's allocator keeps what a peak took; a leak of a kilobyte a command is beyond this within a night."""


async def test_nothing_grows_over_hours_of_commands(
    bench: Bench, lock_sensor: LockSensor, running_agent: RunAgent, measured: Callable[[str, object], None]
) -> None:
    """SR-09"""
    if not bench.soak_hours:
        pytest.skip(f"bench {bench.name!r} is not to be run for hours: soak_hours")
    ends_at_s, runs, warm_bytes = time.monotonic() + 3600 * bench.soak_hours, 0, 0
    async with running_agent() as (agent, backend):
        while time.monotonic() < ends_at_s:
            action, is_locked = (Action.LOCK, True) if runs % 2 else (Action.UNLOCK, False)
            result = await obeyed(backend, action)
            assert result.is_verified, result
            assert lock_sensor.is_locked() is is_locked
            runs += 1
            if runs == WARM_UP_RUNS:
                warm_bytes = agent.memory_bytes()
        measured("runs", runs)
        if warm_bytes:
            grown = agent.memory_bytes() - warm_bytes
            measured("grown_bytes", grown)
            assert grown < GROWTH_MAX_BYTES
