"""Test 4: the board's plug is pulled while commands run; what was told before holds after.

The suite runs on the board that goes dark, so this test has two halves: the first ends with the cut, the second is the
same command after the boot, which finds what the first has left in `build/hw/power` and judges it.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.backend.client import Backend
from agent.backend.settings import load_settings
from agent.model.command import Action
from tests.support.installation import install
from tests.support.mosquitto import Mosquitto
from tests.support.process import Process

from bench_file import Bench
from conftest import ROOT, obeyed, until_answers
from ports import LockSensor, Power

KEPT = ROOT / "build" / "hw" / "power"
"""Outlives the boot, which a temporary folder does not."""

CUT_WITHIN_S = 300.0


@pytest.mark.timeout(0)
async def test_what_was_told_before_a_power_cut_holds_after_it(
    bench: Bench, broker: Mosquitto, power: Power, lock_sensor: LockSensor
) -> None:
    """SR-02, SR-07: the store opens, no number is given twice, and the next command is verified."""
    told = KEPT / "told.jsonl"
    if not told.exists():
        await _until_dark(bench, broker, power, told)
        pytest.fail("the power was not cut")
    before = [json.loads(line) for line in told.read_text().splitlines() if line.endswith("}")]
    async with _agent(bench, broker) as backend:
        action = Action.LOCK if not lock_sensor.is_locked() else Action.UNLOCK
        result = await obeyed(backend, action)
        assert result.is_verified, result
        assert not result.is_degraded
        assert result.event_sequence is not None
        assert all(result.event_sequence > each["event_sequence"] for each in before)
    shutil.rmtree(KEPT)


async def _until_dark(bench: Bench, broker: Mosquitto, power: Power, told: Path) -> None:
    """Command after command, each answer kept on the card before the next is asked, until the lights go out."""
    async with _agent(bench, broker) as backend:
        cutting = asyncio.create_task(asyncio.to_thread(power.cut))
        with told.open("w") as file:
            number = 0
            while not cutting.done():
                result = await obeyed(backend, Action.LOCK if number % 2 else Action.UNLOCK)
                assert result.is_answered, result
                file.write(json.dumps({"event_sequence": result.event_sequence}) + "\n")
                file.flush()
                os.fsync(file.fileno())
                number += 1
        await cutting
    shutil.rmtree(KEPT)


@asynccontextmanager
async def _agent(bench: Bench, broker: Mosquitto) -> AsyncIterator[Backend]:
    """The agent on the installation that is kept; made if there is none."""
    agent, operator = KEPT / "car" / "agent.toml", KEPT / "operator" / "backend.toml"
    if not agent.exists():
        shutil.rmtree(KEPT, ignore_errors=True)
        KEPT.mkdir(parents=True, mode=0o700)
        install(
            KEPT,
            broker_port=broker.port,
            interface=bench.agent.interface,
            channel=bench.agent.channel,
            profile=bench.profile_folder,
        )
        (KEPT / "port").write_text(str(broker.port))
    else:  # the broker of this boot listens elsewhere
        old = (KEPT / "port").read_text()
        for file in (agent, operator):
            file.write_text(file.read_text().replace(f"port = {old}", f"port = {broker.port}"))
        (KEPT / "port").write_text(str(broker.port))
    with Process("agent", ["carshare-agent", "run", "--config", agent], KEPT) as running:
        async with Backend(load_settings(operator)) as backend:
            await until_answers(backend, running, tries=int(20 * bench.patience))
            yield backend
