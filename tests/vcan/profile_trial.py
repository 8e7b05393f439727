"""The whole agent beside the virtual car of one profile: what becomes of an unlock, a relock, a lock with an open door,
and of the polls once the bus sleeps.

Agent, car and operator's library run in one process and one loop, each on its own sockets: CAN interfaces, one a bus of
the profile, and a broker. Commands are signed, and the agent takes its keys and settings from files, as installed.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent.backend.client import Backend
from agent.backend.outcome import CommandResult
from agent.backend.settings import load_settings
from agent.backend.watching import EventReport, StateReport
from agent.bench.car import VirtualCar
from agent.bench.car_body import Opening
from agent.bench.car_can import CarOnBus
from agent.bench.choices import CanChoice
from agent.bench.setup import CAR_NAME, make_folder
from agent.bench.vehicle import load_vehicle
from agent.model.frame import Frame
from agent.profiles.database import MessageDatabase
from agent.profiles.schema import Profile
from agent.starting import run_agent
from tests.profiles.shipped import folder as shipped_folder

POLL_PERIOD_S = 1.0
"""In place of a minute: what is asked too late is seen sooner."""

WAIT_S = 30.0
COMMAND_S = 25.0
TELLING_S = 10.0
"""An event is told within a second of its frame on a machine with nothing else to do."""

LOCKED_WORDS = ("locked", "door_locked", "locked_beside_driver")
UNLOCKED_WORDS = ("unlocked", "door_unlocked", "unlocked_beside_driver")
LOCK_ENDINGS = (".IsLocked", ".IsLockedBesideDriver")


@dataclass
class Trial:
    """What came of it. `None`: the profile tells nothing of the kind."""

    unlock: tuple[str, str] = ("", "")
    unlocked_really: bool = False
    lock_with_door_open: tuple[str, str] = ("", "")
    locate: tuple[str, str] = ("", "")
    locked_by: str | None = None
    door_told: bool = False
    polls_awake: int = 0
    polls_asleep: int = 0
    wakes: int = 0
    strangers: list[str] = field(default_factory=list)
    """Frames of the agent that are neither a poll nor on the list of what the profile sends for its actions."""


class HeardCar(VirtualCar):
    """The car, with what others put on its buses kept."""

    def __init__(self, profile: Profile, databases: Mapping[str, MessageDatabase], *, now_s: float) -> None:
        self.heard: list[Frame] = []
        super().__init__(profile, databases, now_s=now_s, sleep_after_s=60.0, is_leisurely=True)

    def receive(self, frame: Frame, now_s: float) -> None:
        self.heard.append(frame)
        super().receive(frame, now_s)


def quick_profile(name: str, folder: Path) -> Path:
    """The profile as shipped, or with the polls of it coming every second."""
    text = (shipped_folder(name) / "profile.toml").read_text()
    quick, count = re.subn(r"(?m)^period_s = [\d._]+", f"period_s = {POLL_PERIOD_S}", text)
    if not count:
        return shipped_folder(name)
    shutil.copytree(shipped_folder(name), folder)
    (folder / "profile.toml").write_text(quick)
    return folder


async def live_trial(
    name: str, folder: Path, *, interface: str, channels: Sequence[str], broker_port: int, start: asyncio.Barrier
) -> Trial:
    """All of it, in about eight seconds from `start` on, at which everybody in this loop has read what takes long."""
    profile_folder = quick_profile(name, folder / "profile")
    profile, databases = load_vehicle(profile_folder)
    first, *others = (bus.name for bus in profile.buses)
    can = CanChoice(first, interface, channels[0], "", dict(zip(others, channels[1:], strict=False)))
    (folder / "sides").mkdir()
    files = make_folder(
        folder / "sides", profile=profile_folder, can=can, broker_host="127.0.0.1", broker_port=broker_port
    )
    car = HeardCar(profile, databases, now_s=CarOnBus.now_s())
    on_bus = CarOnBus(car, interface=interface, channels=can.channels, on_event=lambda _: None)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        driving = tasks.create_task(on_bus.run(), name="car")
        await on_bus.opened.wait()
        running = tasks.create_task(run_agent(files.agent_toml, stop), name="agent")
        try:
            async with Backend(load_settings(files.backend_toml)) as backend, _told(backend) as told:
                await _online(backend)
                await start.wait()
                return await _trial(profile, car, on_bus, backend, told)
        finally:
            stop.set()
            await asyncio.wait((running,), timeout=WAIT_S)
            driving.cancel()


async def _trial(
    profile: Profile,
    car: HeardCar,
    on_bus: CarOnBus,
    backend: Backend,
    told: Told,
) -> Trial:
    trial = Trial()
    trial.unlock = _end(await backend.unlock(CAR_NAME, timeout_s=COMMAND_S))
    trial.wakes, trial.unlocked_really = car.wake_frames_seen, not car.lock.is_locked
    if not trial.unlocked_really:
        on_bus.do("wake")
        await _soon(lambda: told.knows(LOCK_ENDINGS) or not _tells_lock(profile), TELLING_S)
        on_bus.do("fob unlock")
    await _soon(lambda: told.of(*UNLOCKED_WORDS) or not _tells_lock(profile), TELLING_S)
    on_bus.do("relock")
    await _soon(lambda: told.of(*LOCKED_WORDS) or not _tells_lock(profile), TELLING_S)
    trial.locked_by = next((str(event["by"]) for event in told.of(*LOCKED_WORDS)), None)

    await _soon(lambda: told.knows((".IsOpen",)), TELLING_S)
    on_bus.do(f"open {Opening.DRIVER_DOOR}")
    trial.door_told = await _soon(lambda: told.of("door_opened"), TELLING_S)
    trial.lock_with_door_open = _end(await backend.lock(CAR_NAME, timeout_s=COMMAND_S))
    trial.locate = _end(await backend.locate(CAR_NAME, timeout_s=COMMAND_S))
    on_bus.do(f"close {Opening.DRIVER_DOOR}")

    asked = [poll for poll in profile.polls if not poll.is_silent]
    requests = {(poll.bus, poll.request_id, poll.is_extended_id) for poll in asked}

    def polls() -> int:
        return sum((frame.bus, frame.arbitration_id, frame.is_extended_id) in requests for frame in car.heard)

    if asked:
        await _soon(polls, WAIT_S)
    on_bus.do("sleep")
    trial.polls_awake = polls()
    if asked:
        await asyncio.sleep(max(bus.silent_after_s for bus in profile.buses))
        before = polls()
        await asyncio.sleep(2.5 * POLL_PERIOD_S)
        trial.polls_asleep = polls() - before
    trial.strangers = [
        f"{frame.bus} {frame.arbitration_id:x}" for frame in car.heard if not _is_allowed(frame, profile)
    ]
    return trial


async def _online(backend: Backend) -> None:
    async with asyncio.timeout(WAIT_S):
        while await backend.ping(CAR_NAME, timeout_s=1.0) is None:
            pass


def _end(result: CommandResult) -> tuple[str, str]:
    reason = "none" if result.reason is None else result.reason.name.lower()
    return result.outcome, reason


def _tells_lock(profile: Profile) -> bool:
    return any(path.endswith(LOCK_ENDINGS) for path in profile.paths)


def _is_allowed(frame: Frame, profile: Profile) -> bool:
    return any(
        (rule.bus, rule.arbitration_id, rule.is_extended_id, len(rule.value))
        == (frame.bus, frame.arbitration_id, frame.is_extended_id, len(frame.data))
        and all(
            (have ^ wanted) & mask == 0 for have, wanted, mask in zip(frame.data, rule.value, rule.mask, strict=True)
        )
        for rule in profile.send_list
    )


async def _soon(condition: Callable[[], object], within_s: float) -> bool:
    """Whether the condition came to hold in time."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + within_s
    while not (found := condition()) and loop.time() < until_s:  # noqa: ASYNC110 - conditions nobody announces
        await asyncio.sleep(0.05)
    return bool(found)


class Told:
    """What the operator is told, as it comes."""

    def __init__(self) -> None:
        self._events: list[Mapping[str, object]] = []
        self._readings: Mapping[str, Mapping[str, object]] = {}

    def of(self, *words: str) -> list[Mapping[str, object]]:
        """The events with these words."""
        return [event for event in self._events if event.get("event") in words]

    def knows(self, endings: tuple[str, ...]) -> bool:
        """Whether the last snapshot has a value for a path that ends so."""
        return any(path.endswith(endings) and row["quality"] == "ok" for path, row in self._readings.items())

    async def follow(self, backend: Backend) -> None:
        async with contextlib.aclosing(backend.watch(CAR_NAME)) as reports:
            async for report in reports:
                match report:
                    case EventReport(_, document) if document.get("kind") == "event":
                        self._events.append(document)
                    case StateReport(_, document):
                        readings = document["readings"]
                        assert isinstance(readings, dict)
                        self._readings = readings


@contextlib.asynccontextmanager
async def _told(backend: Backend) -> AsyncIterator[Told]:
    told = Told()
    task = asyncio.create_task(told.follow(backend))
    try:
        yield told
    finally:
        task.cancel()
        await asyncio.wait((task,))
