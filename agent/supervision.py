"""The watchdog is fed as long as every part shows that it goes on (SR-10); a part that does not is named."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping

from agent.adapters.beat import beat
from agent.adapters.can_bus import CanBus
from agent.adapters.clock import boot_s
from agent.adapters.journal import write_log
from agent.adapters.store import Stores
from agent.adapters.supervisor import Supervisor
from agent.health import ProgressMarks
from agent.model.effects import Level, Log

# A part that shows nothing for so long beyond what it waits on purpose has stopped.
SILENCE_S_MAX = 60.0

# How often the store's thread is asked whether it is at work.
STORE_PROOF_S = 15.0

FEED_S_MAX = 10.0

# networkd brings the links up beside us. An interface that is not there after this is a fault that somebody has to be
# told of: by an agent that runs, not by a unit that fails to start and is killed while it may do what needs no CAN.
CAN_WAIT_S = 45.0


def parts_of(buses: Iterable[str], *, has_power_supervisor: bool) -> tuple[str, ...]:
    """The parts of an agent with these buses. Each is a task that goes on for as long as the agent runs.

    Not among them: the feeding itself, which systemd watches; the wait for the end, which does nothing; and the status
    socket, which only answers who asks.
    """
    power = ("power",) if has_power_supervisor else ()
    return ("engine", "clock", "store", "broker", *power, *(f"can.{name}" for name in buses))


class Supervision:
    """Marks of progress by part, and what becomes of them."""

    def __init__(self, supervisor: Supervisor, parts: Iterable[str]) -> None:
        self._supervisor = supervisor
        self.parts = tuple(parts)
        self._marks = ProgressMarks(dict.fromkeys(self.parts, SILENCE_S_MAX), boot_s())
        self.is_engine_ready = asyncio.Event()

    def progress(self, part: str, pause_s: float = 0.0) -> None:
        """`part` goes on, and means to wait for `pause_s` before it shows so again."""
        self._marks.mark(part, boot_s(), pause_s=pause_s)

    async def tell_ready(self, buses: Mapping[str, CanBus]) -> None:
        """Tell systemd, once the store and the path of commands work and every bus has been opened."""
        await self.is_engine_ready.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CAN_WAIT_S):
                for bus in buses.values():
                    await bus.has_worked.wait()
        if missing := [name for name, bus in buses.items() if not bus.has_worked.is_set()]:
            write_log(Log(Level.WARNING, "ready_without_can", {"buses": ", ".join(missing)}))
        self._supervisor.notify("READY=1")

    async def watch_store(self, stores: Stores) -> None:
        """Ask the store's thread again and again; a sync that does not end keeps it from answering."""
        while True:
            await stores.prove()
            self.progress("store", STORE_PROOF_S)
            await beat(STORE_PROOF_S)

    async def feed_watchdog(self) -> None:
        """Feed it at its interval, unless a part has stopped."""
        interval_s = min(self._supervisor.watchdog_interval_s or FEED_S_MAX, FEED_S_MAX)
        while True:
            if late := self._marks.late(boot_s()):
                write_log(Log(Level.ERROR, "part_stopped", {"parts": ", ".join(late)}))
            else:
                self._supervisor.notify("WATCHDOG=1")
            await beat(interval_s)
