"""Records through a night of bad network: every one arrives exactly once, or a gap record counts it.

    python -m tests.soak.nothing_lost --records 1000000 --faults 200

An agent, a real Mosquitto and a backend that keeps a session, with link cuts, stalls, black holes, half-open
connections, restarts of the broker, `kill -9` of the agent, and outages so long that the outbox overflows, half of
them with a `kill -9` while records give way. Faults come at even shares of the records. Progress on stderr, the
account as one line of JSON on stdout; exit status 1 if it is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.soak.backend_side import BackendSide
from tests.soak.ledger import Ledger
from tests.support.fault_proxy import FaultProxy, Way
from tests.support.installation import Installation, install
from tests.support.mosquitto import Mosquitto
from tests.support.process import Process

ROOT = Path(__file__).resolve().parents[2]

BROKER_OPTIONS = (
    "persistence true",
    "persistence_location ./",
    "max_queued_messages 0",  # what the broker has acknowledged it must not drop while the backend is away
    "max_inflight_messages 1000",
)

WAITING_MAX = 500
"""How many records may wait in fair weather; in an outage that is to overflow the outbox: without end."""

FORCED_OUT_MIN = 50
PATIENCE_S = 120.0
"""Longest time without one more record or fault: a half-open link is noticed after two keep-alives of five seconds."""

POLL_S = 0.05

WEIGHTS = {"cut": 30, "stall": 10, "black_hole": 10, "half_open": 2, "broker_restart": 20, "kill": 25, "overflow": 3}
"""How often each fault comes, of a hundred; each at least once."""


@dataclass(frozen=True, slots=True)
class Options:
    records: int
    faults: int
    outbox: int
    seed: int


class Soak:
    """One run; `go` is all of it, `account` its result."""

    def __init__(self, options: Options, folder: Path, broker: Mosquitto, proxy: FaultProxy) -> None:
        self._options = options
        self._chance = random.Random(options.seed)  # noqa: S311 - a run that can be repeated
        self._folder, self._broker, self._proxy = folder, broker, proxy
        self._installed = installation(folder, proxy.port, options.outbox)
        self._ledger_path, self._control = folder / "ledger", folder / "control"
        self._ledger = Ledger()
        self._backend = BackendSide(broker.port, self._installed.topic("evt"))
        self._agent: Process | None = None
        self._done: Counter[str] = Counter()
        self._done_in_overflow = 0
        self._began_s = time.monotonic()

    async def go(self) -> dict[str, object]:
        plan = fault_plan(self._options.faults, self._chance)
        # After the last fault so many records are left that an outage can still overflow the outbox.
        span = self._options.records - self._options.outbox - 2 * FORCED_OUT_MIN
        with self._backend:
            self._allow(WAITING_MAX)
            self._start_agent()
            try:
                for number, name in enumerate(plan, 1):
                    due = number * span // len(plan)
                    await self._until(lambda due=due: len(self._ledger.stored) >= due, f"record {due}")  # type: ignore[misc]
                    await self._faults()[name]()
                    self._done[name] += 1
                await self._until(lambda: len(self._ledger.stored) >= self._options.records, "the last record")
                await self._until(lambda: not self._missing(), "every record at the backend")
                await self._until(lambda: self._told() >= len(self._ledger.forced_out), "every gap told")
            except TimeoutError as error:
                sys.stderr.write(f"{error}\n{self._agent_said()}\n")
            finally:
                self._kill_agent()
        self._ledger.read_on(self._ledger_path)
        return self._account()

    # --- faults -------------------------------------------------------------------------------------------------

    def _faults(self) -> dict[str, Callable[[], Awaitable[None]]]:
        return {
            "cut": self._cut,
            "stall": self._stall,
            "black_hole": self._black_hole,
            "half_open": self._half_open,
            "broker_restart": self._restart_broker,
            "kill": self._kill,
            "overflow": self._overflow,
        }

    async def _cut(self) -> None:
        self._proxy.cut()

    async def _stall(self) -> None:
        """What was sent meanwhile arrives late, or never if the cut comes first."""
        self._proxy.stall()
        await asyncio.sleep(self._chance.uniform(0.1, 1.0))
        if self._chance.random() < 0.5:
            self._proxy.cut()
        self._proxy.resume()

    async def _black_hole(self) -> None:
        """One way is swallowed: records that never arrive, or acknowledgements that never do."""
        self._proxy.swallowed.add(self._chance.choice(list(Way)))
        await asyncio.sleep(self._chance.uniform(0.1, 1.0))
        self._proxy.cut()
        self._proxy.resume()

    async def _half_open(self) -> None:
        connections = self._proxy.connections
        self._proxy.cut_from_broker()
        await self._until(lambda: self._proxy.connections > connections, "a new connection")
        self._proxy.resume()
        self._proxy.cut()

    async def _restart_broker(self) -> None:
        await asyncio.to_thread(self._broker.end)
        await asyncio.sleep(self._chance.uniform(0.0, 0.5))
        await asyncio.to_thread(self._broker.start)

    async def _kill(self) -> None:
        self._kill_agent()
        self._start_agent()

    async def _overflow(self) -> None:
        """An outage in which the bound forces records out."""
        self._ledger.read_on(self._ledger_path)
        before = len(self._ledger.forced_out)
        self._proxy.is_refusing = True
        self._proxy.cut()
        self._allow(10 * self._options.outbox)
        await self._until(lambda: len(self._ledger.forced_out) > before, "the first record forced out")
        if self._chance.random() < 0.5:
            # What is counted of the gap so far must be as durable as the records that are left.
            await self._kill()
            self._done_in_overflow += 1
        await self._until(lambda: len(self._ledger.forced_out) >= before + FORCED_OUT_MIN, "records forced out")
        # Nothing new meanwhile: what waited is told first, and the gap when there is little left to tell.
        self._allow(0)
        self._proxy.resume()
        await self._until(lambda: self._told() >= len(self._ledger.forced_out), "the gap told")
        await self._until(lambda: not self._missing(), "what waited in the outage")
        self._allow(WAITING_MAX)

    # --- the agent ----------------------------------------------------------------------------------------------

    def _allow(self, waiting: int) -> None:
        new = self._control.with_suffix(".new")
        new.write_text(str(waiting))
        new.replace(self._control)

    def _start_agent(self) -> None:
        left = max(0, self._options.records - len(self._ledger.stored))
        paths = (self._installed.files.agent_toml, self._ledger_path, self._control)
        command = [sys.executable, "-m", "tests.soak.car", *map(str, paths), str(left)]
        self._agent = Process("car", command, self._folder, {"PYTHONPATH": str(ROOT)})

    def _kill_agent(self) -> None:
        if self._agent is not None:
            self._agent.kill()
        self._ledger.read_on(self._ledger_path)

    def _agent_said(self) -> str:
        return "" if self._agent is None else self._agent.said()[-3000:]

    # --- the judge ----------------------------------------------------------------------------------------------

    def _missing(self) -> set[int]:
        # A kill between commit and ledger leaves what gave way unnoted there: the gap record names it.
        given_up = self._ledger.forced_out | self._backend.given_up
        return self._ledger.stored - given_up - self._backend.received.keys()

    def _told(self) -> int:
        return sum(self._backend.gaps.values())

    async def _until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait; TimeoutError if nothing moves for too long."""
        moved_s, moved = time.monotonic(), (-1, -1)
        while True:
            self._ledger.read_on(self._ledger_path)
            if condition():
                return
            now = (len(self._ledger.stored), len(self._backend.received))
            if now != moved:
                moved_s, moved = time.monotonic(), now
                self._show(now)
            if time.monotonic() - moved_s > PATIENCE_S:
                raise TimeoutError(f"gave up waiting for: {what}")
            await asyncio.sleep(POLL_S)

    def _show(self, now: tuple[int, int]) -> None:
        if sys.stderr.isatty():
            faults = sum(self._done.values())
            sys.stderr.write(f"\r{now[0]} records made, {now[1]} arrived, {faults} faults ")

    def _account(self) -> dict[str, object]:
        kills = self._done["kill"] + self._done_in_overflow + 1
        unnoted = self._backend.received.keys() - self._ledger.stored
        told, forced_out = self._told(), len(self._ledger.forced_out)
        account: dict[str, object] = {
            "records": len(self._ledger.stored),
            "arrived": len(self._backend.received),
            "duplicates_removed": self._backend.duplicates,
            "forced_out": forced_out,
            "told_in_gaps": told,
            "missing": len(self._missing()),
            "missing_though_acknowledged": len(self._missing() & self._ledger.acknowledged),
            "unflagged_duplicates": self._backend.unflagged,
            "numbers_with_two_contents": len(self._backend.changed) + len(self._ledger.given_twice),
            "unnoted": len(unnoted),
            "faults": dict(self._done) | {"kill_in_overflow": self._done_in_overflow},
            "seconds": round(time.monotonic() - self._began_s),
        }
        wrong = ("missing", "unflagged_duplicates", "numbers_with_two_contents")
        # A kill between a commit and its entry in the ledger leaves one record unnoted, and one that gave way for it.
        account["is_right"] = (
            len(self._ledger.stored) >= self._options.records
            and sum(self._done.values()) == self._options.faults
            and not any(account[name] for name in wrong)
            and len(unnoted) <= kills
            and forced_out <= told <= forced_out + kills
        )
        return account


def fault_plan(count: int, chance: random.Random) -> list[str]:
    """So many faults in random order, each kind at least once if there are enough."""
    plan = list(WEIGHTS)[:count]
    plan += chance.choices(list(WEIGHTS), list(WEIGHTS.values()), k=count - len(plan))
    chance.shuffle(plan)
    return plan


def installation(folder: Path, port: int, outbox: int) -> Installation:
    installed = install(folder / "installed", broker_port=port, interface="virtual", channel="body")
    path = installed.files.agent_toml
    path.write_text(path.read_text().replace("[reporting]\n", f"[reporting]\noutbox_records_max = {outbox}\n"))
    return installed


@contextmanager
def own_folder() -> Iterator[Path]:
    """In memory where the machine has it: `kill -9` asks nothing of a disk, and the syncs of a million commits do."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="soak-", dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


async def soak(options: Options) -> dict[str, object]:
    """Run it; the account, with `is_right`."""
    with own_folder() as folder:
        broker = Mosquitto(folder, BROKER_OPTIONS)
        broker.start()
        try:
            async with FaultProxy(broker.port) as proxy:
                return await Soak(options, folder, broker, proxy).go()
        finally:
            broker.stop()


def main() -> int:
    summary = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m tests.soak.nothing_lost", description=summary)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--outbox", type=int, default=10_000, help="records the outbox holds (default: 10000)")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends it wants its processes ended too
    account = asyncio.run(soak(Options(chosen.records, chosen.faults, chosen.outbox, chosen.seed)))
    sys.stdout.write(json.dumps(account) + "\n")
    return 0 if account["is_right"] else 1


if __name__ == "__main__":
    sys.exit(main())
