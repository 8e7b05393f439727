"""The bench of this run, its ports, the agent on it, and the report at the end.

python -m pytest hw-tests --bench hw-tests/bench.pi.toml
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import NoReturn

import pytest
from gpio_sim import SimulatedRelays

from agent.backend.client import Backend
from agent.backend.outcome import CommandResult
from agent.backend.settings import load_settings
from agent.bench.setup import CAR_NAME
from agent.model.command import Action, Reason
from tests.support.bench_car import BenchCar
from tests.support.installation import Installation, install
from tests.support.mosquitto import Mosquitto, mosquitto
from tests.support.process import Process, path

from bench_file import Bench, BenchFileError, Channel, read_bench
from devices import AdapterPeer, BrokerLink, ErrorFrames, VirtualIgnition, VirtualLock
from manual import ManualBusFault, ManualIgnition, ManualLink, ManualLockSensor, ManualPower, ManualRelayWatcher, Person
from ports import BusFault, BusPeer, Ignition, Link, LockSensor, Power, RelayWatcher
from report import OVERRUNS, Result, losses, write

ROOT = Path(__file__).resolve().parents[1]
REPORTS = ROOT / "build" / "hw"
TIMEOUT_S = 120.0
CAR_WITHIN_S = 20.0
RATE_TRIES, RATE_WAIT_S = 30, 5.0

BENCH = pytest.StashKey[Bench]()
RESULTS = pytest.StashKey[list[Result]]()

RunAgent = Callable[..., AbstractAsyncContextManager[tuple[Process, Backend]]]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--bench", type=Path, metavar="FILE", help="the bench these tests run on: hw-tests/bench.*.toml")
    parser.addoption("--reports", type=Path, metavar="FOLDER", default=REPORTS, help="where the report goes (build/hw)")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "disturbs_bus: errors on the bus are this test's own doing")
    file = config.getoption("--bench")
    if file is None:
        raise pytest.UsageError("which bench? --bench hw-tests/bench.vcan.toml, or a copy of bench.pi.toml")
    try:
        config.stash[BENCH] = read_bench(file)
    except BenchFileError as error:
        raise pytest.UsageError(str(error)) from error
    config.stash[RESULTS] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    bench = config.stash[BENCH]
    for item in items:
        item.add_marker(pytest.mark.timeout(TIMEOUT_S * bench.patience + 3600 * bench.soak_hours))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    results = item.config.stash[RESULTS]
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
    result = Result(
        number_of(item),
        item.name,
        report.outcome,
        round(report.duration, 2),
        reason.removeprefix("Skipped: "),
        dict(item.user_properties),
    )
    if report.when == "call" or report.outcome != "passed":
        # A failure after the test (the bus is not clean) takes the place of its success.
        results[:] = [each for each in results if each.name != result.name]
        results.append(result)
    return report


def number_of(item: pytest.Item) -> int:
    """`test_3_unlock.py` → 3."""
    found = re.match(r"test_(\d+)_", item.path.name)
    return int(found[1]) if found else 0


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.stash[RESULTS]:
        written = write(config.getoption("--reports"), config.stash[BENCH], config.stash[RESULTS])
        terminalreporter.write_line("report: " + ", ".join(map(str, written)))


# --- the bench ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def bench(pytestconfig: pytest.Config) -> Bench:
    return pytestconfig.stash[BENCH]


def lacks(port: str, bench: Bench) -> NoReturn:
    """Leave out the test, by name: there is nothing behind a port it needs."""
    pytest.skip(f"bench {bench.name!r} has no {port}: [ports] {port}")


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Callable[[str, object], None]:
    """Puts a figure into the report."""

    def put(name: str, value: object) -> None:
        request.node.user_properties.append((name, value))

    return put


@pytest.fixture(autouse=True)
def _clean_bus(bench: Bench, request: pytest.FixtureRequest) -> Iterator[None]:
    """Nothing is lost or garbled on any channel while a test runs, but where that is what it does."""
    channels = [bench.agent, *([bench.peer] if bench.peer else [])]
    before = {each.channel: losses(each) for each in channels}
    yield
    after = {each.channel: losses(each) for each in channels}
    grown = {
        f"{channel}.{name}": count - before.get(channel, {}).get(name, 0)
        for channel, counts in after.items()
        for name, count in counts.items()
        if count != before.get(channel, {}).get(name, 0) and not (bench.may_overrun and name in OVERRUNS)
    }
    if not request.node.get_closest_marker("disturbs_bus"):
        assert not grown, "frames were lost or garbled"


@pytest.fixture
def virtual_car(bench: Bench) -> Iterator[BenchCar | None]:
    """The virtual car on the peer's channel, awake and locked; None if the bench has a real one."""
    if not bench.has_virtual_car or bench.peer is None:
        yield None
        return
    arguments = ("--interface", bench.peer.interface, "--channel", bench.peer.channel, "--awake")
    with BenchCar(*arguments, timeout_s=CAR_WITHIN_S * bench.patience) as car:
        yield car


@pytest.fixture(scope="session")
def person() -> Person:
    return Person()


@pytest.fixture
def bus_peer(bench: Bench) -> Iterator[BusPeer]:
    if bench.ports.bus_peer == "none" or bench.peer is None:
        lacks("bus_peer", bench)
    peer = AdapterPeer(bench.peer)
    yield peer
    peer.close()


@pytest.fixture
def lock_sensor(bench: Bench, virtual_car: BenchCar | None, person: Person) -> LockSensor:
    if bench.ports.lock_sensor == "virtual" and virtual_car is not None:
        return VirtualLock(virtual_car)
    if bench.ports.lock_sensor == "none":
        lacks("lock_sensor", bench)
    return ManualLockSensor(person)


@pytest.fixture
def ignition(bench: Bench, virtual_car: BenchCar | None, person: Person) -> Ignition:
    if bench.ports.ignition == "virtual" and virtual_car is not None:
        return VirtualIgnition(virtual_car)
    if bench.ports.ignition == "none":
        lacks("ignition", bench)
    return ManualIgnition(person)


@pytest.fixture
def power(bench: Bench, person: Person) -> Power:
    if bench.ports.power == "none":
        lacks("power", bench)
    return ManualPower(person)


@pytest.fixture
def bus_fault(bench: Bench, person: Person) -> BusFault:
    if bench.ports.bus_fault == "none":
        lacks("bus_fault", bench)
    return ErrorFrames(bench.agent) if bench.ports.bus_fault == "error_frame" else ManualBusFault(person)


@pytest.fixture
def link(bench: Bench, broker: Mosquitto, person: Person) -> Link:
    if bench.ports.link == "none":
        lacks("link", bench)
    return BrokerLink(broker) if bench.ports.link == "broker" else ManualLink(person)


@pytest.fixture
def relay_watcher(bench: Bench, person: Person) -> Iterator[RelayWatcher]:
    if bench.ports.relay_watcher == "none" or not bench.relays:
        lacks("relay_watcher", bench)
    if bench.ports.relay_watcher == "manual":
        yield ManualRelayWatcher(person)
        return
    relays = SimulatedRelays(bench.relays)
    yield relays
    relays.close()


# --- the agent on it ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    if shutil.which("mosquitto", path=path()) is None:
        pytest.skip("no Mosquitto here: apt-get install mosquitto")
    with mosquitto(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture
def installation(bench: Bench, broker: Mosquitto, tmp_path: Path) -> Installation:
    folder = tmp_path / "agent"
    folder.mkdir(mode=0o700)
    return install(
        folder,
        broker_port=broker.port,
        interface=bench.agent.interface,
        channel=bench.agent.channel,
        profile=bench.profile_folder,
    )


@pytest.fixture
def running_agent(installation: Installation, bench: Bench) -> RunAgent:
    """Starts the agent, as often as asked, on the one installation; it answers the backend when the block begins."""

    @asynccontextmanager
    async def run(environ: dict[str, str] | None = None) -> AsyncIterator[tuple[Process, Backend]]:
        with installation.agent(environ) as agent:
            async with Backend(load_settings(installation.files.backend_toml)) as backend:
                await until_answers(backend, agent, tries=int(20 * bench.patience))
                yield agent, backend

    return run


async def until_answers(backend: Backend, agent: Process, *, tries: int) -> None:
    """Ask until the car answers; AssertionError after so many tries of 2 s, or when the agent has ended."""
    for _ in range(tries):
        if await backend.ping(CAR_NAME, timeout_s=2.0) is not None:
            return
        assert agent.is_running(), agent.said()
    raise AssertionError(f"the agent does not answer\n{agent.said()}")


async def obeyed(backend: Backend, action: Action) -> CommandResult:
    """The answer to a command, given again while the car says that commands come too quickly (PROTOCOL.md, A8)."""
    for _ in range(RATE_TRIES):
        result = await backend.command(CAR_NAME, action)
        if result.reason is not Reason.RATE_LIMITED:
            return result
        await asyncio.sleep(RATE_WAIT_S)
    raise AssertionError(f"{RATE_TRIES} times in a row: {result}")


def set_link(channel: Channel, *words: str) -> None:
    """`ip link set` on a channel; skips where that is not allowed."""
    command = ["ip", "link", "set", channel.channel, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    if "not permitted" in done.stderr:
        pytest.skip(f"setting {channel.channel} takes root")
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
