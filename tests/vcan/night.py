"""A car that sleeps for ten hours on vcan0 beside the whole agent, and what was heard there of the agent (SR-08).

    python -m tests.vcan.night [--hours 10]

The agent as shipped, with its own CAN and MQTT adapters and its own stores; TLS to a real Mosquitto; an unlock and a
lock by the operator's library. A raw socket of its own hears the bus. Time in which nothing happens is leapt over
(`tests/benchmarks/day_clock.py`), in steps of a minute while the car sleeps and none while a command runs or the
car is awake. The kernel's clock is not leapt: by its time stamps every frame is older than the agent's last look at the
bus, as which it then counts. The account is one line of JSON on stdout.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.adapters.clock import boot_s
from agent.adapters.files import read_key_file
from agent.backend.client import Backend
from agent.backend.settings import load_settings
from agent.bench.car import VirtualCar
from agent.bench.car_can import CarOnBus
from agent.bench.choices import CanChoice
from agent.bench.setup import CAR_NAME
from agent.bench.vehicle import demo_folder, load_vehicle
from agent.loading import key_records
from agent.model.command import Action
from agent.model.effects import Effect, Persist, Publish
from agent.model.records import Intent, Record
from agent.wiring import new_identity
from tests.benchmarks.car_day import Site, WatchedApp, prepared_site, shipped_config
from tests.benchmarks.day_clock import DayClock, DayLoop
from tests.support.wire import EXTENDED

CHANNEL = "vcan0"
HOUR_S = 3600.0
ASKED_AT = ((0.25, Action.UNLOCK), (0.6, Action.LOCK))
"""Parts of the night."""

STRIDE_S = 60.0
"""Leaps of half a second, which an agent looks at its car by, would take minutes; what is due comes so late at most."""

COMMAND_WAIT_S = 20.0


class Listener:
    """Everything that anybody puts on the bus, as (second of the night, id)."""

    def __init__(self, began_s: float) -> None:
        self.frames: list[tuple[float, int]] = []
        self._began_s = began_s
        self._socket = socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FD_FRAMES, 1)
        self._socket.bind((CHANNEL,))
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._hear)

    def _hear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                can_id = int.from_bytes(self._socket.recv(72)[:4], sys.byteorder)
                self.frames.append((boot_s() - self._began_s, can_id))

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()


class AgentAtNight(WatchedApp):
    """The agent, with what it publishes and when it has an intent noted; what it does is not changed."""

    def take_clock(self, clock: DayClock, began_s: float) -> None:
        """Before `run`."""
        self._began_s = began_s
        self.messages: list[tuple[float, str]] = []
        self.intents_s: list[float] = []
        write = self._stores.write

        async def write_in_real_time(records: Sequence[Record]) -> None:
            with clock.real_time():
                await write(records)

        self._stores.write = write_in_real_time  # type: ignore[method-assign]

    async def _perform(self, effect: Effect) -> None:
        second = boot_s() - self._began_s
        match effect:
            case Publish():
                self.messages.append((second, effect.topic.rsplit("/", 1)[-1]))
            case Persist(records) if any(isinstance(record, Intent) for record in records):
                self.intents_s.append(second)
        await super()._perform(effect)

    @property
    def is_at_rest(self) -> bool:
        """No command, and a car that sleeps as far as the agent knows."""
        return not self._engine.is_commanding and self._engine._telemetry.is_asleep("body", boot_s())


async def live_night(site: Site, clock: DayClock, hours: float) -> dict[str, object]:
    """The night, and the account of it."""
    profile, database = load_vehicle(demo_folder())
    config = shipped_config(site, site.cars_port)
    directory = site.files.agent_toml.parent
    key = Ed25519PrivateKey.from_private_bytes(read_key_file(directory / config.car.key_file))
    keys = key_records(config, "", source="")
    app = AgentAtNight(config, profile, new_identity(key), keys, directory=directory, environ={})
    virtual = VirtualCar(profile, database, now_s=CarOnBus.now_s())
    events: list[str] = []
    car = CarOnBus(
        virtual, interface="socketcan", channels={"body": CHANNEL}, on_event=lambda one: events.append(one.name)
    )
    began_s, stop = boot_s(), asyncio.Event()
    app.take_clock(clock, began_s)
    listener = Listener(began_s)
    clock.is_busy = lambda: app.is_waiting_for_broker or not virtual.is_asleep
    clock.stride_s = lambda: STRIDE_S
    commands: list[dict[str, object]] = []

    async def ask(action: Action) -> None:
        intents = len(app.intents_s)
        with clock.real_time():
            async with Backend(load_settings(site.files.backend_toml)) as backend:
                result = await backend.command(CAR_NAME, action, timeout_s=COMMAND_WAIT_S)
            results_s = [second for second, kind in app.messages if kind == "res" and second > app.intents_s[intents]]
            commands.append({"outcome": result.outcome, "intent_s": app.intents_s[intents:], "result_s": results_s[-1]})
            car.do("sleep")  # an unlocked one would stay awake
            while not app.is_at_rest:  # noqa: ASYNC110 - a condition nobody announces
                await asyncio.sleep(0.1)

    async with asyncio.TaskGroup() as tasks:
        driving = tasks.create_task(car.run(), name="car")
        running = tasks.create_task(app.run(stop), name="agent")
        for part, action in ASKED_AT:
            await asyncio.sleep(began_s + part * hours * HOUR_S - boot_s())
            await ask(action)
        await asyncio.sleep(began_s + hours * HOUR_S - boot_s())
        slept_s = boot_s() - began_s
        with clock.real_time():
            stop.set()
            await asyncio.wait((running,))
        driving.cancel()
    listener.close()
    own_ids = {message.arbitration_id | (EXTENDED * message.is_extended_id) for message in profile.messages}
    own_ids -= {rule.arbitration_id | (EXTENDED * rule.is_extended_id) for rule in profile.send_list}
    return {
        "night_s": slept_s,
        "commands": commands,
        "agents_frames_s": [second for second, can_id in listener.frames if can_id not in own_ids],
        "cars_frames_heard": sum(can_id in own_ids for _, can_id in listener.frames),
        "cars_frames_sent": virtual.frames_sent,
        "agent_sent": sum(bus.counts.sent for bus in app._buses.values()),
        "car_events": events,
        "messages": app.messages,
    }


def night(hours: float) -> dict[str, object]:
    """The whole run. In a process of its own: what has seen its clock lives in the future afterwards."""
    can = CanChoice("body", "socketcan", CHANNEL, "")
    with tempfile.TemporaryDirectory(prefix="night-") as name:
        folder = Path(name)
        with (
            (folder / "agent.log").open("w") as log,
            contextlib.redirect_stderr(log),
            prepared_site(folder, folder / "store", can) as site,
        ):
            clock = DayClock()
            with clock.installed(), asyncio.Runner(loop_factory=lambda: DayLoop(clock)) as runner:
                return runner.run(live_night(site, clock, hours))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.vcan.night",
        description="A night of a sleeping car on vcan0: each frame the agent sent, each message it published.",
        epilog="example:\n  python -m tests.vcan.night --hours 10\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--hours", type=float, default=10.0, metavar="H", help="how long the night is (10)")
    sys.stdout.write(json.dumps(night(parser.parse_args(arguments).hours)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
