"""The agent as installed, of which one part stops a moment after it was ready: what the watchdog is there for.

    frozen.py PART run --config FILE
    frozen.py --list

The times after which a part counts as stopped are a tenth of what they are, so that all parts take two minutes. That
each is missed `tests/e2e/test_parts.py` sees too, without systemd; that none is left out, `tests/unit/test_app.py`.
"""

# ruff: noqa: T201 - a command's own output
from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Any

import agent.adapters.broker
import agent.adapters.can_bus
import agent.app
import agent.supervision
import agent.wiring
from agent import cli
from agent.adapters.broker import Broker
from agent.adapters.can_bus import CanBus
from agent.adapters.power_supervisor import PowerSupervisor
from agent.adapters.store import Stores
from agent.adapters.supervisor import Supervisor

AT_WORK_S = 1.0
LOOK_S = 0.1

told_ready_at_s: list[float] = []
notify = Supervisor.notify


def notify_and_note(supervisor: Supervisor, line: str) -> bool:
    if line == "READY=1":
        told_ready_at_s.append(time.monotonic())
    return notify(supervisor, line)


def is_to_stop() -> bool:
    return bool(told_ready_at_s) and time.monotonic() > told_ready_at_s[0] + AT_WORK_S


def cut_short(method: Callable[..., Any]) -> Callable[..., Any]:
    """A coroutine that goes on for as long as the agent runs: it is ended in the middle of that."""

    async def stopped(*arguments: object) -> Any:
        work = asyncio.ensure_future(method(*arguments))
        while not is_to_stop():
            if work.done():
                return work.result()
            await asyncio.sleep(LOOK_S)
        work.cancel()
        return await asyncio.Event().wait()

    return stopped


def blocked_thread(method: Callable[..., Any]) -> Callable[..., Any]:
    """As a sync on a card that stalls."""

    async def blocked(stores: Any) -> None:
        if is_to_stop():
            stores._writer.submit(time.sleep, 3600)
        await method(stores)

    return blocked


PARTS: dict[str, tuple[type, str, Callable[..., Any]]] = {
    "engine": (agent.app.App, "_perform_all", cut_short),
    "clock": (agent.app.App, "_watch", cut_short),
    "store": (Stores, "prove", blocked_thread),
    "broker": (Broker, "_serve", cut_short),
    "power": (PowerSupervisor, "listen", cut_short),
    "can.body": (CanBus, "_watched", cut_short),
}
"""Every part of the demo car's agent with a power supervisor, and what of it stops."""


def main() -> int:
    part = sys.argv.pop(1)
    if part == "--list":
        print("\n".join(PARTS))
        return 0
    setattr(Supervisor, "notify", notify_and_note)  # noqa: B010 - to mypy it is no method
    owner, name, change = PARTS[part]
    setattr(owner, name, change(getattr(owner, name)))
    agent.supervision.SILENCE_S_MAX /= 10
    agent.supervision.STORE_PROOF_S /= 10
    agent.wiring.CLOCK_INTERVAL_S /= 10
    agent.adapters.broker.PROGRESS_S /= 10
    agent.adapters.can_bus.PROGRESS_S /= 10
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
