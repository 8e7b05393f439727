"""A week of one car in minutes: bus, link and command life, and what the process holds at the end of each day.

    python -m tests.soak.week [--days 7]

The whole agent with its own MQTT adapter and its own stores: TLS to a real Mosquitto, commands by the operator's
library, rentals with drives through tunnels, charging, nights asleep; the CAN interface goes down, is taken away and
comes back while the car drives and while it sleeps, and the link is lost in between. Time in which nothing happens is
leapt over (`tests/benchmarks/day_clock.py`), and frames come to the agent without a CAN driver (`full_load` is about
those). Progress on stderr, the account as one line of JSON on stdout; exit status 1 if a command failed, or memory or
open files grew.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.adapters.clock import boot_s
from agent.adapters.files import read_key_file
from agent.app import App
from agent.backend.client import Backend
from agent.backend.settings import load_settings
from agent.bench.car import VirtualCar
from agent.bench.choices import mosquitto_program
from agent.bench.setup import CAR_NAME
from agent.bench.vehicle import demo_folder, load_vehicle
from agent.loading import key_records
from agent.model.command import Action
from agent.model.events import BusChanged
from agent.model.frame import BusState
from agent.wiring import new_identity
from tests.benchmarks.car_day import ENERGY_AT_BEGIN, Site, prepared_site, shipped_config
from tests.benchmarks.day_clock import DayClock, DayLoop
from tests.benchmarks.day_script import HOUR_S, BusInProcess, NoisyBody, People, Plan, Traffic
from tests.soak.footprint import Footprint, footprint, growth, is_flat
from tests.support.fault_proxy import FaultProxy

DAY = Plan((7.0, 12.5, 18.0), leg_s=120.0, stop_s=30.0, charge_h=19.5, unplug_h=20.5, end_h=24.0, sleep_after_s=120.0)
"""Three short rentals: what is looked for grows with what happens, not with how long a drive takes."""

SHORT_DAY = Plan((0.02,), leg_s=45.0, stop_s=5.0, charge_h=0.1, unplug_h=0.11, end_h=0.13, sleep_after_s=20.0)
"""Eight minutes with all of it, for a test."""

COMMAND_WAIT_S = 20.0
TRIES_MAX = 3
"""A command that meets a lost link or a bus that is away is asked for again, as a person would."""

AWAY_S = 30.0
GROWN_BYTES_A_DAY_MAX = 0.5e6
"""After the first day: the journal of the commands is held in memory, and the allocator keeps what it once had."""

GROWN_BYTES_MIN = 3e6
"""Whatever the days: what a Python process moves by itself."""


class AgentOfTheWeek(App):
    """The agent with its bus in this process."""

    def take_bus(self, bus: BusInProcess) -> None:
        """Before `run`."""
        self._buses = dict.fromkeys(self._buses, bus)  # type: ignore[arg-type]

    @property
    def is_busy(self) -> bool:
        """Whether something is under way between it and the broker, the connection itself among it."""
        if (link := self._broker._link) is None:
            return True
        has_news = link.has_news.is_set() or not link.is_settled.is_set()
        return has_news or bool(link._client._ping_t) or bool(self._engine._link_watch._outstanding)


class Week:
    """One run: `live` is all of it, and its result the account."""

    def __init__(self, site: Site, plan: Plan, days: int, clock: DayClock) -> None:
        self._site, self._plan, self._days, self._clock = site, plan, days, clock
        self._counts: Counter[str] = Counter()
        self._prints: list[Footprint] = []
        self._chance = random.Random(5)  # noqa: S311 - a run that can be repeated
        self._is_up = asyncio.Event()
        self._is_up.set()

    async def live(self) -> dict[str, object]:
        profile, database = load_vehicle(demo_folder())
        async with FaultProxy(self._site.cars_port) as proxy:
            config = shipped_config(self._site, proxy.port)
            directory = self._site.files.agent_toml.parent
            key = Ed25519PrivateKey.from_private_bytes(read_key_file(directory / config.car.key_file))
            keys = key_records(config, "", source="")
            app = AgentOfTheWeek(config, profile, new_identity(key), keys, directory=directory, environ={})
            sleep_after_s = self._plan.sleep_after_s
            car = VirtualCar(profile, database, now_s=boot_s(), is_drive_enabled=False, sleep_after_s=sleep_after_s)
            car.body = NoisyBody()
            bus = BusInProcess(
                car,
                Traffic(car.body),
                on_frame=app._frame,
                on_taken=app._taken,
                on_state=lambda state, sign: app._link(BusChanged("body", state, sign)),
            )
            app.take_bus(bus)
            self._clock.is_busy = lambda: app.is_busy
            began_s, stop = boot_s(), asyncio.Event()
            async with asyncio.TaskGroup() as tasks:
                running = tasks.create_task(app.run(stop), name="agent")
                for day in range(self._days):
                    day_s = began_s + day * self._plan.end_h * HOUR_S
                    car.body.energy_wh = ENERGY_AT_BEGIN * car.body.capacity_wh
                    trouble = tasks.create_task(self._trouble(app, proxy), name="trouble")
                    await People(car, self._plan, self._ask, lambda: self._lose_link(proxy)).live(day_s)
                    trouble.cancel()
                    self._prints.append(footprint())
                    _show_progress(day + 1, self._days)
                with self._clock.real_time():
                    stop.set()
                    await asyncio.wait((running,))
            self._counts["frames"] = bus.counts.received
            return self._account(boot_s() - began_s)

    async def _ask(self, *actions: str) -> None:
        for action in actions:
            for _ in range(TRIES_MAX):
                await self._is_up.wait()
                with self._clock.real_time():
                    async with Backend(load_settings(self._site.files.backend_toml)) as backend:
                        result = await backend.command(CAR_NAME, Action[action.upper()], timeout_s=COMMAND_WAIT_S)
                if result.is_answered and result.outcome in ("verified", "executed_unverified"):
                    self._counts["commands"] += 1
                    break
                self._counts[f"tried again after {result.reason}"] += 1
            else:
                self._counts["commands failed"] += 1

    async def _trouble(self, app: AgentOfTheWeek, proxy: FaultProxy) -> None:
        """At times drawn anew: the interface goes and comes back, the link is lost while nobody drives."""
        while True:
            await asyncio.sleep(self._chance.uniform(0.02, 0.12) * self._plan.end_h * HOUR_S)
            if self._chance.random() < 0.5:
                self._lose_link(proxy)
                continue
            state = self._chance.choice((BusState.DOWN, BusState.GONE, BusState.BUS_OFF))
            self._counts[f"bus {state.value}"] += 1
            self._is_up.clear()
            app._link(BusChanged("body", state))
            try:
                await asyncio.sleep(AWAY_S)
            finally:
                app._link(BusChanged("body", BusState.UP))
                self._is_up.set()

    def _lose_link(self, proxy: FaultProxy) -> None:
        proxy.cut()
        self._counts["links lost"] += 1

    def _account(self, lived_s: float) -> dict[str, object]:
        bound = max(GROWN_BYTES_MIN, GROWN_BYTES_A_DAY_MAX * (self._days - 1))
        return {
            "hours": round(lived_s / HOUR_S, 2),
            **dict(sorted(self._counts.items())),
            "footprint": growth(self._prints),
            "is_right": not self._counts["commands failed"]
            and self._counts["links lost"] > 0
            and is_flat(self._prints, grown_bytes_max=bound),
        }


def soak(plan: Plan, days: int) -> dict[str, object]:
    """The whole run. In a process of its own: what has seen its clock lives in the future afterwards."""
    with tempfile.TemporaryDirectory(prefix="week-") as name:
        folder = Path(name)
        with (
            (folder / "agent.log").open("w") as log,
            contextlib.redirect_stderr(log),
            prepared_site(folder, folder / "store") as site,
        ):
            clock = DayClock()
            with clock.installed(), asyncio.Runner(loop_factory=lambda: DayLoop(clock)) as runner:
                return runner.run(Week(site, plan, days, clock).live())


def _show_progress(day: int, days: int) -> None:
    if sys.__stderr__ is not None and sys.__stderr__.isatty():
        sys.__stderr__.write(f"\r{day} of {days} days")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak.week",
        description="A week of one car, and what the agent's process holds day by day.",
        epilog="example:\n  python -m tests.soak.week --days 7\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--days", type=int, default=7, metavar="N", help="so many days, two at least (7)")
    parser.add_argument("--short", action="store_true", help="days of eight minutes, to try it")
    options = parser.parse_args(arguments)
    if options.days < 2:
        parser.error("argument --days: at least 2, for growth is looked for from one day to the next")
    if mosquitto_program() is None:
        sys.stderr.write("week: Mosquitto is not installed: apt-get install mosquitto\n")
        return 1
    account = soak(SHORT_DAY if options.short else DAY, options.days)
    sys.stdout.write(json.dumps(account) + "\n")
    return 0 if account["is_right"] else 1


if __name__ == "__main__":
    sys.exit(main())
