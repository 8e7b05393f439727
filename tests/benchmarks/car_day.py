"""What a car that is used four hours a day costs: bytes on the wire and bytes written to its card, in 24 hours.

    python -m tests.benchmarks.car_day [--short] [--folder DIR] [--json]

The whole agent runs with the settings it is shipped with, its own MQTT adapter and its own stores: TLS 1.3 with client
certificates to a real Mosquitto, SQLite on an ext4 of its own (a loop device; wants root), commands by the operator's
library. Four rentals of an hour are unlocked, driven in traffic, locked; in the evening the car is charged; a
tunnel takes the connection once each leg. Then the day is told again over the same TLS as OVMS would tell it and as one
JSON message a change.

What is not as on the road: time in which nothing happens is leapt over (day_clock.py), frames come to the agent without
a CAN driver, the network between is this machine's loopback with the segment size of a mobile one, and each packet of
data counts as acknowledged by a packet of its own. Every five seconds in which the store wrote, the file system is
asked to write what it holds back, as it does by itself in real time.
Exit status: 0 done, 1 a command was not carried out, or no broker, 2 wrong use.
"""

# ruff: noqa: T201 - a command's own output
from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.adapters.clock import boot_s
from agent.adapters.files import read_key_file
from agent.app import App
from agent.backend.client import Backend
from agent.backend.settings import load_settings
from agent.bench.car import VirtualCar
from agent.bench.choices import CanChoice, mosquitto_program
from agent.bench.setup import CAR_NAME, BenchFolder, make_folder
from agent.bench.vehicle import demo_folder, load_vehicle
from agent.config import BrokerTable, Config, StoreTable
from agent.config_table import ReportingTable
from agent.errors import EXIT_DONE, EXIT_FAILED, AgentError
from agent.loading import key_records, load_config
from agent.model.command import Action
from agent.model.events import BusChanged
from agent.model.frame import Frame
from agent.model.reading import Heard, Quality, Reading, Value
from agent.model.records import Record
from agent.model.use import VehicleUse
from agent.wiring import new_identity
from tests.benchmarks.cost_report import machine_facts
from tests.benchmarks.day_card import Card, Written, mounted_card
from tests.benchmarks.day_clock import DayClock, DayLoop
from tests.benchmarks.day_others import JSON, OVMS, Seen, Told, json_sendings, ovms_sendings, tell
from tests.benchmarks.day_report import document_of, table
from tests.benchmarks.day_script import (
    FULL_DAY,
    HOUR_S,
    SHORT,
    BusInProcess,
    NoisyBody,
    People,
    Plan,
    Traffic,
)
from tests.benchmarks.wire_count import CountingProxy, PacketTally, WireCount
from tests.support.mosquitto import Authority, Certificate, free_port, mosquitto, tls_options

SETTLE_INTERVAL_S = 5.0
"""ext4 commits its journal so often (mount option `commit`)."""

COMMAND_WAIT_S = 20.0

ENERGY_AT_BEGIN = 0.92


class NotCarriedOutError(AgentError):
    """A command of the day was refused or failed: it would be no day as an operator knows it."""


@dataclass(slots=True)
class DayCount:
    """All that was counted of one day."""

    wire: WireCount = field(default_factory=WireCount)
    tally: PacketTally = field(default_factory=PacketTally)
    seen: list[Seen] = field(default_factory=list)
    uses: list[tuple[float, VehicleUse]] = field(default_factory=list)
    wire_in_use: dict[str, int] = field(default_factory=dict)
    losses_s: list[float] = field(default_factory=list)
    commits: int = 0
    frames: int = 0
    driven_m: float = 0.0
    commands: int = 0
    card: Written | None = None
    ended_s: float = 0.0


class WatchedApp(App):
    """The agent, with its bus in this process and its doings noted; what it does is not changed."""

    def watch(self, bus: BusInProcess, count: DayCount) -> None:
        """Before `run`."""
        self._buses = dict.fromkeys(self._buses, bus)  # type: ignore[arg-type]
        receive = self._engine._telemetry.receive_frame
        last: dict[str, Value | None] = {}

        def receive_and_note(frame: Frame, now_s: float) -> Heard:
            received = receive(frame, now_s)
            for reading in received[1]:
                if reading.quality is Quality.OK and last.get(reading.path) != reading.value:
                    last[reading.path] = reading.value
                    count.seen.append(_seen(reading, now_s, self.use))
            return received

        self._engine._telemetry.receive_frame = receive_and_note  # type: ignore[method-assign]
        write = self._stores.write

        async def write_and_note(records: Sequence[Record]) -> None:
            count.commits += 1
            await write(records)

        self._stores.write = write_and_note  # type: ignore[method-assign]

    @property
    def use(self) -> VehicleUse:
        return self._engine._telemetry.use

    @property
    def is_waiting_for_broker(self) -> bool:
        """Whether something is under way between it and the broker, the connection itself among it."""
        if (link := self._broker._link) is None:
            return True
        has_news = link.has_news.is_set() or not link.is_settled.is_set()
        return has_news or bool(link._client._ping_t) or bool(self._engine._link_watch._outstanding)


def _seen(reading: Reading, now_s: float, use: VehicleUse) -> Seen:
    value: Value = reading.value if reading.value is not None else False
    return Seen(now_s, reading.path, value, reading.unit, use)


@dataclass(frozen=True, slots=True)
class Site:
    """Where the day happens: folders, ports and certificates."""

    files: BenchFolder
    store: Path
    operator_port: int
    cars_port: int
    ca_file: Path
    certificate: Certificate

    @property
    def tls_files(self) -> tuple[Path, Path, Path]:
        return self.ca_file, self.certificate.certificate_file, self.certificate.key_file


IN_PROCESS = CanChoice("body", "virtual", "car-day", "frames handed over in this process")


@contextlib.contextmanager
def prepared_site(folder: Path, store: Path, can: CanChoice = IN_PROCESS) -> Iterator[Site]:
    """A broker with a listener for cars (TLS, certificates) and one for the operator, and the files of both sides."""
    authority = Authority(folder)
    cars_port = free_port()
    server = authority.issue("broker", is_server=True, host="127.0.0.1")
    with mosquitto(
        folder,
        [f"listener {cars_port} 127.0.0.1", "set_tcp_nodelay true", *tls_options(server, authority.ca_file)],
    ) as broker:
        (folder / "sides").mkdir()
        files = make_folder(
            folder / "sides", profile=demo_folder(), can=can, broker_host="127.0.0.1", broker_port=broker.port
        )
        config, _ = load_config(files.agent_toml)
        yield Site(files, store, broker.port, cars_port, authority.ca_file, authority.issue(config.car.id))


def shipped_config(site: Site, port: int) -> Config:
    """The bench's car with the settings of a new `agent.toml`: its reporting, its keep-alive."""
    config, _ = load_config(site.files.agent_toml)
    ca_file, certificate_file, key_file = map(str, site.tls_files)
    broker = BrokerTable(
        host="127.0.0.1", port=port, ca_file=ca_file, certificate_file=certificate_file, key_file=key_file
    )
    store = StoreTable(directory=str(site.store))
    return replace(config, broker=broker, reporting=ReportingTable(), store=store)


async def live_day(site: Site, plan: Plan, clock: DayClock, card: Card | None) -> DayCount:
    """The day from its first minute to the agent's orderly end."""
    count = DayCount()
    profile, database = load_vehicle(demo_folder())
    async with CountingProxy(site.cars_port) as proxy:
        config = shipped_config(site, proxy.port)
        directory = site.files.agent_toml.parent
        vehicle_key = Ed25519PrivateKey.from_private_bytes(read_key_file(directory / config.car.key_file))
        app = WatchedApp(
            config,
            profile,
            new_identity(vehicle_key),
            key_records(config, "", source=""),
            directory=directory,
            environ={},
        )
        car = VirtualCar(profile, database, now_s=boot_s(), is_drive_enabled=False, sleep_after_s=plan.sleep_after_s)
        car.body = NoisyBody()
        car.body.energy_wh = ENERGY_AT_BEGIN * car.body.capacity_wh
        begun_m = car.body.odometer_m
        bus = BusInProcess(
            car,
            Traffic(car.body),
            on_frame=app._frame,
            on_taken=app._taken,
            on_state=lambda state, sign: app._link(BusChanged("body", state, sign)),
        )
        app.watch(bus, count)
        clock.is_busy = lambda: app.is_waiting_for_broker

        async def ask(*actions: str) -> None:
            with clock.real_time():
                async with Backend(load_settings(site.files.backend_toml)) as backend:
                    for action in actions:
                        result = await backend.command(CAR_NAME, Action[action.upper()], timeout_s=COMMAND_WAIT_S)
                        if not result.is_answered or result.outcome not in ("verified", "executed_unverified"):
                            raise NotCarriedOutError(f"{action}: {result.outcome}, {result.reason}")
                        count.commands += 1

        def lose_link() -> None:
            count.losses_s.append(boot_s())
            count.tally.cut()
            proxy.cut()

        began_s = boot_s()
        stop = asyncio.Event()
        with count.tally.listening():
            async with asyncio.TaskGroup() as tasks:
                agent_task = tasks.create_task(app.run(stop), name="agent")
                watching = tasks.create_task(_watch(app, proxy, card, count, began_s, plan), name="watch")
                await People(car, plan, ask, lose_link).live(began_s)
                watching.cancel()
                with clock.real_time():
                    stop.set()
                    await asyncio.wait((agent_task,))
        count.ended_s = boot_s()
        count.frames, count.driven_m = bus.counts.received, car.body.odometer_m - begun_m
    count.wire = proxy.count
    if card is not None:
        card.settle()
        count.card = card.written()
    return count


async def _watch(
    app: WatchedApp, proxy: CountingProxy, card: Card | None, count: DayCount, began_s: float, plan: Plan
) -> None:
    """Once a second: how the car is used, what crossed the wire meanwhile, the card, and the progress shown."""
    settled_at_s, settled_commits, crossed = began_s, 0, 0
    while True:
        now_s, use = boot_s(), app.use
        if not count.uses or count.uses[-1][1] is not use:
            count.uses.append((now_s, use))
        count.wire_in_use[use.value] = count.wire_in_use.get(use.value, 0) + proxy.count.tls_bytes - crossed
        crossed = proxy.count.tls_bytes
        if card is not None and now_s - settled_at_s >= SETTLE_INTERVAL_S:
            settled_at_s = now_s
            if count.commits != settled_commits:
                settled_commits = count.commits
                card.settle()
        _show_progress(now_s - began_s, plan.end_h * HOUR_S)
        await asyncio.sleep(1.0)


def measure(folder: Path, plan: Plan, card: Card | None) -> tuple[DayCount, dict[str, Told]]:
    """The day, and the same day told in the two other ways."""
    store = (folder if card is None else card.mount) / "store"
    with prepared_site(folder, store) as site:
        clock = DayClock()
        with clock.installed(), asyncio.Runner(loop_factory=lambda: DayLoop(clock)) as runner:
            count = runner.run(live_day(site, plan, clock, card))
        config, _ = load_config(site.files.agent_toml)
        told = {
            way.name: asyncio.run(
                tell(
                    way,
                    sendings,
                    broker_port=site.cars_port,
                    files=site.tls_files,
                    losses_s=count.losses_s,
                )
            )
            for way, sendings in (
                (OVMS, ovms_sendings(count.seen, count.uses, count.ended_s)),
                (JSON, json_sendings(count.seen, config.car.id)),
            )
        }
    return count, told


def _show_progress(done_s: float, all_s: float) -> None:
    if sys.__stderr__ is not None and sys.__stderr__.isatty():
        print(f"\r{done_s / HOUR_S:.1f} of {all_s / HOUR_S:g} hours", end="", file=sys.__stderr__, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.car_day",
        description="Bytes on the wire and bytes written to the card in a day of a car used four hours.",
        epilog="example:\n  python -m tests.benchmarks.car_day --folder /var/tmp --json\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--short", action="store_true", help="the better part of an hour with one short rental, to try it"
    )
    parser.add_argument(
        "--folder", type=Path, default=None, metavar="DIR", help="where the card's image is made (default: /tmp)"
    )
    parser.add_argument("--json", action="store_true", help="only the JSON line, without the table")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.folder is not None and not options.folder.is_dir():
        _parser().error(f"argument --folder: {options.folder}: no such folder")
    if mosquitto_program() is None:
        print("car_day: Mosquitto is not installed: apt-get install mosquitto", file=sys.stderr)
        return EXIT_FAILED
    plan = SHORT if options.short else FULL_DAY
    problem: BaseException | None = None
    with tempfile.TemporaryDirectory(prefix="car-day-", dir=options.folder) as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        card_words = ""
        card: Card | None = None
        try:
            card = stack.enter_context(mounted_card(folder))
        except OSError as error:
            card_words = f"not measured: {error}"
        try:
            with (folder / "agent.log").open("w") as log, contextlib.redirect_stderr(log):
                count, told = measure(folder, plan, card)
        except* AgentError as group:
            problem = group.exceptions[0]
        facts = machine_facts(folder if card is None else card.mount, "in process")
    if problem is not None:
        print(f"car_day: {problem}", file=sys.stderr)
        return EXIT_FAILED
    document = document_of(count, told, plan) | {"card_words": card_words, "machine": facts}
    if not options.json:
        print(table(document))
    print(json.dumps(document))
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
