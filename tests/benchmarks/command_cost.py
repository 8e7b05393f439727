"""What one accepted command costs, from its delivery to its first frame, against what it cannot cost less than.

    python -m tests.benchmarks.command_cost [--machine NAME] [--commands N] [--folder DIR] [--json]

The whole agent runs with its own adapters and stores, connected to a broker and on one bus with the bench's virtual
car (awake); unlock and lock are asked in turn. Before each command the floor is measured: one Ed25519 signature check,
one SQLite commit of a row of the same size (WAL, synchronous=FULL, same disk) and one send on the same bus, as bare
calls one after the other. The clock starts where the MQTT adapter hands over a delivery, and stops when the call that
sent the first frame has returned. Commands are handed in there, ready signed: an operator in this process would take
his share of it.
Exit status: 0 done, 1 a command was not accepted, 2 wrong use.
"""

# ruff: noqa: T201 - a command's own output
from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import secrets
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.adapters.files import read_key_file
from agent.app import App
from agent.backend.keys import key_id
from agent.bench.broker import BenchBroker
from agent.bench.broker_mosquitto import MosquittoBroker
from agent.bench.car import VirtualCar
from agent.bench.car_can import CarOnBus
from agent.bench.choices import CanChoice, choose_can, mosquitto_program
from agent.bench.setup import OPERATOR, make_folder
from agent.bench.vehicle import demo_folder, load_vehicle
from agent.command.envelope import CommandPayload, MessageKind, encode_command, seal
from agent.command.verify import KeyRecord
from agent.errors import EXIT_DONE, EXIT_FAILED, AgentError
from agent.loading import load_config
from agent.model.command import Action
from agent.model.effects import Effect, Persist
from agent.model.events import Delivery, FrameSent, LinkEvent, Stored
from agent.model.records import Intent
from agent.uplink.wire import Topics
from agent.wiring import new_identity
from tests.benchmarks.cost_report import machine_facts, summary, table
from tests.benchmarks.floor import Floor, FloorTimes
from tests.benchmarks.machine import add_machine_option, in_guest

COMMANDS_PER_KEY = 20
"""The car takes ten unlocks and ten locks at once from one key (amendment A8), so the operator has several."""

COMMANDS_MAX = 10_000
"""A command and its pause take two thirds of a second, and the journal holds twice as many."""

PAUSE_S = 0.25
"""Between commands: what the one before left to write is written, and a batch of telemetry (0.5 s) falls anywhere."""

START_S_MAX = 20.0
"""The agent and the car are there within a second; a board under load takes longer."""

LIFETIME_MS = 20_000


@dataclass(slots=True)
class CommandTimes:
    """When, by `perf_counter`, one command reached each step; 0 before it did."""

    delivered_s: float = 0.0
    decided_s: float = 0.0
    handed_over_s: float = 0.0
    stored_s: float = 0.0
    sent_s: float = 0.0

    @property
    def total_s(self) -> float:
        return self.sent_s - self.delivered_s


class TimedApp(App):
    """The agent, noting when a command comes to each step. `times` is the newest command's."""

    times = CommandTimes()

    async def carry_out(self, command: Delivery) -> CommandTimes:
        """Deliver a command and wait for its end."""
        self._idle.clear()
        self.times = CommandTimes(delivered_s=perf_counter())
        self._delivery(command)
        self.times.decided_s = perf_counter()
        await self._idle.wait()
        return self.times

    def session(self) -> tuple[bytes, int]:
        """Its id, and how many milliseconds old it is."""
        status = self._status_document()
        return bytes.fromhex(str(status["sid"])), round(float(str(status["uptime_s"])) * 1000)

    async def _perform(self, effect: Effect) -> None:
        if not (isinstance(effect, Persist) and any(isinstance(record, Intent) for record in effect.records)):
            await super()._perform(effect)
            return
        self.times.handed_over_s = perf_counter()
        await super()._perform(effect)

    def _link(self, event: LinkEvent) -> None:
        if isinstance(event, Stored) and self.times.handed_over_s and not self.times.stored_s:
            self.times.stored_s = perf_counter()
        if isinstance(event, FrameSent) and self.times.sent_s == 0.0:
            self.times.sent_s = perf_counter()
        super()._link(event)


class Operator:
    """Signs commands to one car, with a new key whenever the old one has asked for all it may."""

    def __init__(self, car: bytes, commands: int) -> None:
        self._car = car
        self._count = 0
        self._keys = [Ed25519PrivateKey.generate() for _ in range(0, commands, COMMANDS_PER_KEY)]

    def records(self) -> dict[bytes, KeyRecord]:
        """What the car knows of the keys."""
        public = {key_id(key.public_key()): key.public_key() for key in self._keys}
        return {kid: KeyRecord(kid, OPERATOR, key, frozenset(Action), 0, 2**40) for kid, key in public.items()}

    def command(self, action: Action, session: tuple[bytes, int]) -> Delivery:
        """The next command, signed, as the broker would deliver it."""
        key = self._keys[self._count // COMMANDS_PER_KEY]
        self._count += 1
        sid, now_ms = session
        payload = CommandPayload(
            car=self._car,
            cid=secrets.token_bytes(16),
            operator=OPERATOR,
            sid=sid,
            counter=self._count,
            deadline_ms=now_ms + LIFETIME_MS,
            action=action,
        )
        raw = seal(MessageKind.CMD, encode_command(payload), key, key_id(key.public_key()))
        return Delivery(Topics(self._car).of(OPERATOR, "cmd"), raw, False, self._count)


class NotAcceptedError(AgentError):
    """A command moved nothing: its cost means nothing."""


@contextlib.asynccontextmanager
async def running_agent(
    folder: Path, store: Path, can: CanChoice, commands: int
) -> AsyncIterator[tuple[TimedApp, Operator]]:
    """Broker, car and agent, and an operator who may ask for so many commands; all ended on the way out."""
    profile, database = load_vehicle(demo_folder())
    program = mosquitto_program()
    broker = BenchBroker() if program is None else MosquittoBroker(program, folder)
    await broker.start()
    try:
        files = make_folder(folder, profile=demo_folder(), can=can, broker_host=broker.host, broker_port=broker.port)
        config, _ = load_config(files.agent_toml)
        config = replace(config, store=replace(config.store, directory=str(store)))
        operator = Operator(bytes.fromhex(config.car.id), commands)
        car = CarOnBus(
            VirtualCar(profile, database, now_s=CarOnBus.now_s(), is_asleep=False, sleep_after_s=1e9),
            interface=can.interface,
            channels=can.channels,
            on_event=lambda event: None,
        )
        directory = files.agent_toml.parent
        vehicle_key = Ed25519PrivateKey.from_private_bytes(read_key_file(directory / config.car.key_file))
        app = TimedApp(config, profile, new_identity(vehicle_key), operator.records(), directory=directory, environ={})
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            car_task = tasks.create_task(car.run(), name="car")
            agent_task = tasks.create_task(app.run(stop), name="agent")
            try:
                yield app, operator
            finally:
                stop.set()
                await asyncio.wait((agent_task,))
                car_task.cancel()
    finally:
        await broker.stop()


async def measure(folder: Path, store: Path, can: CanChoice, commands: int) -> list[tuple[CommandTimes, FloorTimes]]:
    """Ask for so many commands, one after the other, each with the floor measured before it."""
    pairs: list[tuple[CommandTimes, FloorTimes]] = []
    async with running_agent(folder, store, can, COMMANDS_PER_KEY + commands) as (app, operator):
        await warm_up(app, operator)
        with Floor(store, interface=can.interface, channel=can.channel) as floor:
            for number in range(commands):
                await asyncio.sleep(PAUSE_S)
                floor_times = floor.measure()
                await asyncio.sleep(PAUSE_S)
                action = Action.LOCK if number % 2 else Action.UNLOCK
                times = await app.carry_out(operator.command(action, app.session()))
                if times.sent_s == 0.0:
                    raise NotAcceptedError(f"{action.name.lower()}, command {number + 1}, sent no frame")
                pairs.append((times, floor_times))
                _show_progress(len(pairs), commands)
    return pairs


async def warm_up(app: TimedApp, operator: Operator) -> None:
    """Unlock and lock; a car that has just started says nothing of its speed yet, and is asked again a bit later."""
    for action in (Action.UNLOCK, Action.LOCK):
        for _ in range(COMMANDS_PER_KEY // 2):
            if (await app.carry_out(operator.command(action, app.session()))).sent_s:
                break
            await asyncio.sleep(START_S_MAX / COMMANDS_PER_KEY)
        else:
            raise NotAcceptedError(f"the car's state allows no {action.name.lower()}")


def _show_progress(done: int, commands: int) -> None:
    if sys.__stderr__ is not None and sys.__stderr__.isatty():
        print(f"\r{done} of {commands}", end="\n" if done == commands else "", file=sys.__stderr__, flush=True)


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= COMMANDS_MAX:
        raise ValueError(text)
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.command_cost",
        description="The cost of one accepted command, from delivery to first frame, against its floor.",
        epilog="example:\n  python -m tests.benchmarks.command_cost --folder /var/tmp --json\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--commands",
        type=_count,
        default=COMMANDS_MAX,
        metavar="N",
        help=f"how many (default and at most: {COMMANDS_MAX})",
    )
    parser.add_argument(
        "--folder", type=Path, default=Path(), metavar="DIR", help="the disk of the stores (default: this folder's)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    add_machine_option(parser, default="here, on python-can's virtual bus if this kernel has no vcan0")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    words = sys.argv[1:] if arguments is None else arguments
    if (
        options.machine
        and (status := in_guest("tests.benchmarks.command_cost", words, machine=options.machine)) is not None
    ):
        return status
    can = choose_can("body")
    pairs: list[tuple[CommandTimes, FloorTimes]] = []
    problem: BaseException | None = None
    with (
        tempfile.TemporaryDirectory(prefix="command-cost-") as folder,
        tempfile.TemporaryDirectory(prefix=".command-cost-", dir=options.folder) as store,
        (Path(folder) / "agent.log").open("w") as log,
    ):
        disk = Path(store).resolve()
        try:
            with contextlib.redirect_stderr(log):
                pairs = asyncio.run(measure(Path(folder), disk, can, options.commands))
        except* AgentError as group:
            problem = group.exceptions[0]
        facts = machine_facts(disk, can.words)
    if problem is not None:
        print(f"command_cost: {problem}", file=sys.stderr)
        return EXIT_FAILED
    document = summary(pairs) | {"machine": facts}
    print(json.dumps(document) if options.json else table(document))
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
