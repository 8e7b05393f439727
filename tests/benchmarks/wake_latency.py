"""From the first frame of a waking car to "ready for commands": the preconditions of an unlock hold on fresh frames.

    python -m tests.benchmarks.wake_latency [--machine NAME] [--wakes N] [--json]

The whole agent runs with its own adapters and stores on one bus with the bench's virtual car, which is put to sleep and
woken by a person again and again. The clock starts with the time of receipt of the first frame after the silence, and
stops when the preconditions, asked after each frame as a command would, hold on frames of this waking alone. What is
the car's (its messages have periods, its sensors take time to measure) is told apart from what is the agent's: from the
receipt of the frame that decided it to the answer.
Exit status: 0 done, 1 the car did not become ready, 2 wrong use.
"""

# ruff: noqa: T201 - a command's own output
from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.adapters.clock import boot_s
from agent.adapters.files import read_key_file
from agent.app import App
from agent.bench.broker import BenchBroker
from agent.bench.car import VirtualCar
from agent.bench.car_can import CarOnBus
from agent.bench.choices import CanChoice, choose_can
from agent.bench.setup import make_folder
from agent.bench.vehicle import demo_folder, load_vehicle
from agent.errors import EXIT_DONE, EXIT_FAILED, AgentError
from agent.loading import load_config
from agent.model.command import Action
from agent.model.frame import Frame
from agent.model.reception import WatchNews
from agent.policy.permits import permit
from agent.wiring import new_identity
from tests.benchmarks.cost_report import spread_ms
from tests.benchmarks.machine import add_machine_option, in_guest

WAKES_MAX = 200
"""A waking and the silence before it take some three seconds."""

READY_S_MAX = 20.0
"""The car's sensors have measured within two seconds; a board under load takes longer."""

SILENCE_MARGIN_S = 0.3
"""Beyond the profile's time of silence, so that the bus counts as asleep."""


class NotReadyError(AgentError):
    """The car did not wake, or never became ready."""


@dataclass(slots=True)
class Waking:
    """Boot times of one waking: its first frame, the frame on which the preconditions held, and the answer."""

    first_s: float | None = None
    deciding_s: float = 0.0
    ready_s: float = 0.0
    frames: int = 0


class WakingApp(App):
    """The agent, asking after each frame what a command would ask."""

    waking: Waking | None = None

    def begin(self) -> Waking:
        """Watch for the next waking."""
        self.ready = asyncio.Event()
        self.waking = Waking()
        return self.waking

    def _frame(self, frame: Frame) -> None:
        super()._frame(frame)
        self._look(frame)

    def _watched(self, news: WatchNews) -> None:
        super()._watched(news)
        for frame in news.changes:
            self._look(frame)

    def _look(self, frame: Frame) -> None:
        if (waking := self.waking) is None or self.ready.is_set():
            return
        waking.frames += 1
        waking.first_s = frame.received_at_s if waking.first_s is None else waking.first_s
        now_s = boot_s()
        telemetry = self._engine._telemetry
        recipe = telemetry._profile.recipes[Action.UNLOCK]
        reason, _ = permit(recipe.preconditions, lambda path: telemetry.reading(path, now_s), now_s, waking.first_s)
        if reason is None:
            waking.deciding_s, waking.ready_s = frame.received_at_s, boot_s()
            self.ready.set()


@contextlib.asynccontextmanager
async def running_agent(folder: Path, can: CanChoice) -> AsyncIterator[tuple[WakingApp, CarOnBus, float]]:
    """Broker, car and agent, and the seconds after which the bus counts as asleep; all ended on the way out."""
    profile, database = load_vehicle(demo_folder())
    async with BenchBroker() as broker:
        files = make_folder(folder, profile=demo_folder(), can=can, broker_host=broker.host, broker_port=broker.port)
        config, _ = load_config(files.agent_toml)
        car = CarOnBus(
            VirtualCar(profile, database, now_s=CarOnBus.now_s(), is_asleep=True, sleep_after_s=1e9),
            interface=can.interface,
            channels=can.channels,
            on_event=lambda event: None,
        )
        directory = files.agent_toml.parent
        key = Ed25519PrivateKey.from_private_bytes(read_key_file(directory / config.car.key_file))
        app = WakingApp(config, profile, new_identity(key), {}, directory=directory, environ={})
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            car_task = tasks.create_task(car.run(), name="car")
            agent_task = tasks.create_task(app.run(stop), name="agent")
            try:
                await car.opened.wait()
                yield app, car, max(bus.silent_after_s for bus in profile.buses) + SILENCE_MARGIN_S
            finally:
                stop.set()
                await asyncio.wait((agent_task,))
                car_task.cancel()


async def measure(folder: Path, can: CanChoice, wakes: int) -> list[Waking]:
    """Wake the car so many times."""
    found: list[Waking] = []
    async with running_agent(folder, can) as (app, car, silence_s):
        for number in range(wakes):
            await asyncio.sleep(silence_s)
            waking = app.begin()
            car.do("wake")
            try:
                await asyncio.wait_for(app.ready.wait(), READY_S_MAX)
            except TimeoutError:
                raise NotReadyError(
                    f"waking {number + 1}: not ready within {READY_S_MAX:g} s, after {waking.frames} frames"
                ) from None
            found.append(waking)
            car.do("sleep")
            if sys.stderr.isatty():
                print(
                    f"\r{number + 1} of {wakes}", end="\n" if number + 1 == wakes else "", file=sys.stderr, flush=True
                )
    return found


def summary(wakings: Sequence[Waking]) -> dict[str, object]:
    """Milliseconds by share of the wakings."""
    return {
        "wakes": len(wakings),
        "ready": spread_ms([each.ready_s - (each.first_s or 0.0) for each in wakings]),
        "car": spread_ms([each.deciding_s - (each.first_s or 0.0) for each in wakings]),
        "agent": spread_ms([each.ready_s - each.deciding_s for each in wakings]),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.wake_latency",
        description="From the first frame of a waking car to ready for commands.",
        epilog="example:\n  python -m tests.benchmarks.wake_latency --wakes 20 --json\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--wakes", type=int, default=20, metavar="N", help=f"how many, 1 to {WAKES_MAX} (default: 20)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    add_machine_option(parser, default="here, on python-can's virtual bus if this kernel has no vcan0")
    options = parser.parse_args(arguments)
    if not 1 <= options.wakes <= WAKES_MAX:
        parser.error(f"argument --wakes: {options.wakes} is not between 1 and {WAKES_MAX}")
    words = sys.argv[1:] if arguments is None else arguments
    if (
        options.machine
        and (status := in_guest("tests.benchmarks.wake_latency", words, machine=options.machine)) is not None
    ):
        return status
    can = choose_can("body")
    try:
        with tempfile.TemporaryDirectory() as folder:
            document = summary(asyncio.run(measure(Path(folder) / "bench", can, options.wakes)))
    except AgentError as error:
        print(f"wake_latency: {error}", file=sys.stderr)
        return EXIT_FAILED
    if options.json:
        print(json.dumps(document))
    else:
        print(f"milliseconds, {options.wakes} wakings on {can.interface} {can.channel}: 10 %, median, 90 %")
        for name in ("ready", "car", "agent"):
            spread = document[name]
            assert isinstance(spread, dict)
            print(f"{name:<8}" + "".join(f"{spread[key]:>10.2f}" for key in ("p10_ms", "median_ms", "p90_ms")))
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
