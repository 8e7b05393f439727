"""Everything on one machine: broker, virtual car, agent and backend, started in order and ended in order."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from agent.backend.client import Backend
from agent.backend.settings import load_settings
from agent.bench.broker import BenchBroker
from agent.bench.broker_mosquitto import MosquittoBroker
from agent.bench.car import CarEvent, CarFault, VirtualCar
from agent.bench.car_can import CarOnBus
from agent.bench.choices import CanChoice, choose_can, mosquitto_program
from agent.bench.reported import Reported
from agent.bench.setup import CAR_NAME, BenchFolder, make_folder
from agent.bench.vehicle import load_vehicle
from agent.errors import ConfigurationError
from agent.model.quick_dataclass import dataclass
from agent.starting import run_agent

TIME_COMPRESSION = 20.0  # two kilometres of town in under 8 s
STOP_TIMEOUT_S = 12.0  # the agent gives a running command 8 s to end
FAREWELL_TIMEOUT_S = 1.0

Broker = BenchBroker | MosquittoBroker


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What a person asked for. `broker`: `auto`, `embedded` or `mosquitto`; `folder` is empty and private."""

    folder: Path
    profile: Path
    broker: str = "auto"
    faults: Sequence[CarFault] = ()


@dataclass(frozen=True, slots=True)
class Bench:
    """The running bench."""

    folder: BenchFolder
    can: CanChoice
    broker: Broker
    car: CarOnBus
    backend: Backend
    reported: Reported

    @property
    def broker_words(self) -> str:
        kind = "Mosquitto" if isinstance(self.broker, MosquittoBroker) else "the bench's embedded broker (tests only)"
        return f"{kind} on {self.broker.host}:{self.broker.port}"


@contextlib.asynccontextmanager
async def running_bench(options: BenchOptions) -> AsyncIterator[Bench]:
    """Start all of it; raises `AgentError` if a part cannot start, and an exception group if one fails later."""
    profile, databases = load_vehicle(options.profile)
    reported = Reported()
    can = choose_can(*(bus.name for bus in profile.buses))
    model = VirtualCar(profile, databases, now_s=CarOnBus.now_s(), time_compression=TIME_COMPRESSION)
    car = _car(model, can, reported)
    for fault in options.faults:
        car.do(f"fault {fault}")
    broker = _broker(options)
    await broker.start()
    try:
        folder = make_folder(
            options.folder, profile=options.profile, can=can, broker_host=broker.host, broker_port=broker.port
        )
        async with asyncio.TaskGroup() as tasks:
            stop = asyncio.Event()
            car_task = tasks.create_task(car.run(), name="bench-car")
            agent_task = tasks.create_task(run_agent(folder.agent_toml, stop), name="bench-agent")
            try:
                async with Backend(load_settings(folder.backend_toml)) as backend:
                    watcher = tasks.create_task(_follow(backend, reported), name="bench-watch")
                    try:
                        yield Bench(folder, can, broker, car, backend, reported)
                    finally:
                        # While the backend is still connected: it says goodbye to its subscriptions.
                        watcher.cancel()
                        await asyncio.wait((watcher,), timeout=FAREWELL_TIMEOUT_S)
            finally:
                stop.set()
                await asyncio.wait((agent_task,), timeout=STOP_TIMEOUT_S)
                agent_task.cancel()
                car_task.cancel()
    finally:
        await broker.stop()


def _car(car: VirtualCar, can: CanChoice, reported: Reported) -> CarOnBus:
    def note(event: CarEvent) -> None:
        fields = " ".join(f"{name}={value}" for name, value in event.fields.items())
        reported.note(f"car: {event.name.replace('_', ' ')} {fields}".rstrip())

    return CarOnBus(car, interface=can.interface, channels=can.channels, on_event=note)


def _broker(options: BenchOptions) -> Broker:
    program = mosquitto_program()
    if options.broker == "mosquitto" and program is None:
        raise ConfigurationError("Mosquitto is not installed: apt-get install mosquitto, or use --broker embedded")
    if options.broker == "embedded" or program is None:
        return BenchBroker()
    return MosquittoBroker(program, options.folder)


async def _follow(backend: Backend, reported: Reported) -> None:
    async with contextlib.aclosing(backend.watch(CAR_NAME)) as reports:
        await reported.follow(reports)
