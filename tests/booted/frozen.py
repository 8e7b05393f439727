"""The agent as installed, of which one part stops a moment after the start: what the watchdog is there for.

    frozen.py PART run --config FILE

The times after which a part counts as stopped are a tenth of what they are, so that five parts take two minutes.
"""

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
from agent import cli
from agent.adapters.broker import Broker
from agent.adapters.can_bus import CanBus
from agent.adapters.store import Stores

AT_WORK_S = 3.0

begun_s = time.monotonic()


def is_to_stop() -> bool:
    return time.monotonic() > begun_s + AT_WORK_S


def stopping(method: Callable[..., Any]) -> Callable[..., Any]:
    """The coroutine as it is at first; then it comes to no end."""

    async def stopped(*arguments: object) -> Any:
        if is_to_stop():
            await asyncio.Event().wait()
        return await method(*arguments)

    return stopped


def stopped_at_once(_: Callable[..., Any]) -> Callable[..., Any]:
    async def stopped(*_: object) -> None:
        await asyncio.Event().wait()

    return stopped


def blocked_thread(method: Callable[..., Any]) -> Callable[..., Any]:
    """As a sync on a card that stalls."""

    async def blocked(stores: Any) -> None:
        if is_to_stop():
            stores._writer.submit(time.sleep, 3600)
        await method(stores)

    return blocked


PARTS: dict[str, tuple[type, str, Callable[..., Any]]] = {
    "engine": (agent.app.App, "_perform", stopping),
    "clock": (agent.app.App, "_watch_clock", stopped_at_once),
    "store": (Stores, "prove", blocked_thread),
    "broker": (Broker, "_serve", stopped_at_once),
    "can.body": (CanBus, "_watched", stopped_at_once),
}

owner, name, change = PARTS[sys.argv.pop(1)]
setattr(owner, name, change(getattr(owner, name)))
agent.supervision.SILENCE_S_MAX /= 10
agent.supervision.STORE_PROOF_S /= 10
agent.app.CLOCK_INTERVAL_S /= 10
agent.adapters.broker.PROGRESS_S /= 10
agent.adapters.can_bus.PROGRESS_S /= 10
sys.exit(cli.main())
