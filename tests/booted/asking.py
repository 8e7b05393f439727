"""A backend that asks the car again and again whether it is there, and says what it noticed; until it is ended.

One JSON object a line: `{"answered": true}`, or what changed in the car's answers.
"""

# ruff: noqa: T201 - a command's own output
from __future__ import annotations

import asyncio
import json
from pathlib import Path

from agent.backend.client import Backend
from agent.backend.settings import load_settings
from agent.backend.watching import ChangeReport

CAR = "demo"
PAUSE_S = 1.0


async def main() -> None:
    async with Backend(load_settings(Path("backend.toml"))) as backend, asyncio.TaskGroup() as group:
        group.create_task(note_changes(backend))
        while True:
            print(json.dumps({"answered": await backend.ping(CAR) is not None}), flush=True)
            await asyncio.sleep(PAUSE_S)


async def note_changes(backend: Backend) -> None:
    async for report in backend.watch(CAR):
        if isinstance(report, ChangeReport):
            print(json.dumps({"change": report.change.value}), flush=True)


asyncio.run(main())
