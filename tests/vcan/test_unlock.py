"""The whole agent on a real kernel: a virtual car on vcan0, Mosquitto, and the operator's command line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import can
import pytest

from agent.adapters.bcm_socket import KERNEL_STATISTICS
from agent.adapters.can_echo import gives_echoes
from agent.bench.vehicle import demo_folder
from agent.loading import load_profile
from agent.model.command import Action
from tests.support.installation import Installation, install
from tests.support.mqtt_tap import MqttTap
from tests.support.process import Process, until

pytestmark = [pytest.mark.vcan, pytest.mark.broker]

RunAgent = Callable[[], AbstractContextManager[Process]]

ANSWER_S = 60.0
"""An unlock lives 30 s, and processes start slowly in user-mode Linux."""

LOCK_PATH = "Vehicle.Carshare.CentralLock.IsLocked"
UNLOCK = load_profile(demo_folder()).recipes[Action.UNLOCK]
assert UNLOCK.wake is not None
REQUEST_ID = UNLOCK.frames[0].arbitration_id
WAKE_ID = UNLOCK.wake.frames[0].arbitration_id


class SentFrames:
    """What the agent sends: nobody else on the bus uses these two ids."""

    def __init__(self, bus: can.BusABC) -> None:
        self._bus = bus
        self._ids: list[int] = []

    def _count(self, arbitration_id: int) -> int:
        while (message := self._bus.recv(timeout=0)) is not None:
            self._ids.append(message.arbitration_id)
        return self._ids.count(arbitration_id)

    @property
    def requests(self) -> int:
        return self._count(REQUEST_ID)

    @property
    def wakes(self) -> int:
        return self._count(WAKE_ID)


@pytest.fixture
def sent() -> Iterator[SentFrames]:
    filters: list[can.typechecking.CanFilter] = [
        {"can_id": REQUEST_ID, "can_mask": 0x7FF, "extended": False},
        {"can_id": WAKE_ID, "can_mask": 0x1FFFFFFF, "extended": True},
    ]
    with can.Bus(interface="socketcan", channel="vcan0", can_filters=filters) as bus:
        yield SentFrames(bus)


@pytest.fixture
def installation(tmp_path: Path, broker_port: int) -> Installation:
    return install(tmp_path, broker_port=broker_port)


@pytest.fixture
def running_agent(installation: Installation, tap: MqttTap) -> RunAgent:
    """Starts the agent, as often as asked, on the one installation; it is connected when the block begins."""

    @contextmanager
    def run() -> Iterator[Process]:
        hellos = len(tap.payloads(installation.topic("hello")))
        with installation.agent() as agent:
            agent.until(
                lambda: len(tap.payloads(installation.topic("hello"))) > hellos, within_s=30, what="the agent's hello"
            )
            yield agent

    return run


@contextmanager
def car(folder: Path, *options: str) -> Iterator[Process]:
    command = ["carshare-bench", "car", "--interface", "socketcan", "--channel", "vcan0", *options]
    with Process("car", command, folder) as process:
        process.until(process.stdout, within_s=30, what="the car says that it is there")
        yield process


def kernel_watches() -> list[str]:
    """The kernel's lines about messages that some process has it watch, and of which a frame came."""
    return [line for file in KERNEL_STATISTICS.iterdir() for line in file.read_text().splitlines()]


def asked(installation: Installation, verb: str) -> tuple[int, dict[str, object]]:
    """Exit status and JSON result of `carshare-backend VERB`."""
    with installation.backend(verb) as backend:
        return answer(backend)


def answer(backend: Process) -> tuple[int, dict[str, object]]:
    status = backend.wait(ANSWER_S)
    document: dict[str, object] = json.loads(backend.stdout())
    return status, document


def end_of(document: dict[str, object]) -> tuple[object, object, object]:
    return document["outcome"], document["reason"], document["executed"]


def test_unlock_of_a_sleeping_car_is_verified(
    installation: Installation, running_agent: RunAgent, sent: SentFrames, tap: MqttTap
) -> None:
    """SR-04, SR-08: woken for the command and not before; "verified" after the lock unit reported it."""
    with car(installation.files.path), running_agent():
        assert (sent.wakes, sent.requests) == (0, 0)
        status, document = asked(installation, "unlock")
        assert end_of(document) == ("verified", "ok", "yes")
        assert status == 0
        assert [piece["value"] for piece in evidence(document) if piece["path"] == LOCK_PATH] == [False]
        assert any(line.startswith("rx_op: 1F1 vcan0") for line in kernel_watches())
        assert sent.wakes >= 1
        assert sent.requests >= 1
        until(lambda: told_of_command(tap, installation), within_s=20, what="the record of the command")
        frames = "acknowledged" if gives_echoes("vcan0") else "handed_over"
        assert told_of_command(tap, installation) == [frames]


@pytest.mark.hazard("H95")
def test_lock_unit_that_ignores_requests_and_reports_gives_no_state_change(
    installation: Installation, running_agent: RunAgent, sent: SentFrames
) -> None:
    """SR-04, H95"""
    with car(installation.files.path, "--fault", "lock_ignores"), running_agent():
        status, document = asked(installation, "unlock")
        assert end_of(document) == ("failed", "no_state_change", "no")
        assert status == 1
        assert sent.requests > 1


@pytest.mark.hazard("H94")
def test_silent_lock_unit_leaves_open_what_happened(installation: Installation, running_agent: RunAgent) -> None:
    """SR-04, H94"""
    with car(installation.files.path, "--fault", "lock_silent"), running_agent():
        status, document = asked(installation, "unlock")
        assert end_of(document) == ("executed_unverified", "timeout", "unknown")
        assert status == 3


@pytest.mark.hazard("H39")
def test_same_bytes_sent_twice_reach_the_lock_unit_once(
    installation: Installation, running_agent: RunAgent, sent: SentFrames, tap: MqttTap
) -> None:
    """SR-02, H39: whoever repeats the operator's message gets the same answer, and nothing moves."""
    with car(installation.files.path), running_agent() as agent:
        status, _ = asked(installation, "unlock")
        assert status == 0
        frames = sent.wakes, sent.requests
        command = tap.payloads(installation.topic("cmd"))[-1]
        answers = tap.payloads(installation.topic("res"))
        tap.publish(installation.topic("cmd"), command)
        agent.until(
            lambda: tap.payloads(installation.topic("res"))[len(answers) :] == [answers[-1]],
            within_s=20,
            what="the same answer again",
        )
        assert (sent.wakes, sent.requests) == frames


@pytest.mark.hazard("H74")
def test_agent_killed_between_intent_and_frame_reports_interrupted_and_sends_nothing(
    installation: Installation, running_agent: RunAgent, sent: SentFrames
) -> None:
    """SR-02, H74: the intent is durable before the first wake frame; a car that stays asleep keeps it at that."""
    with running_agent() as agent, installation.backend("unlock") as backend:
        agent.until(lambda: sent.wakes, within_s=30, what="the first wake frame")
        agent.kill()
        wakes = sent.wakes
        with car(installation.files.path, "--awake"), running_agent():
            status, document = answer(backend)
            assert end_of(document) == ("interrupted", "ok", "unknown")
            assert status == 3
            assert (sent.wakes, sent.requests) == (wakes, 0)


@pytest.mark.hazard("H92")
def test_agent_asked_to_end_during_a_command_ends_it_first(
    installation: Installation, running_agent: RunAgent, sent: SentFrames
) -> None:
    """SIGTERM once the request is on the bus; the motors of this lock take two of the eight seconds there are."""
    with car(installation.files.path, "--awake", "--fault", "lock_slow"), running_agent() as agent:
        with installation.backend("unlock") as backend:
            agent.until(lambda: sent.requests, within_s=30, what="the first request")
            assert agent.end() == 0
            status, document = answer(backend)
        assert end_of(document) == ("verified", "ok", "yes")
        assert status == 0


def test_recording_played_onto_the_bus_is_published_as_state(
    installation: Installation, running_agent: RunAgent, tap: MqttTap, tmp_path: Path
) -> None:
    """SR-05: what canplayer sends is what the backend is told; when it ends every value is stale, which is no value."""
    wanted = last_values(demo_folder() / "expected.jsonl")
    end = tmp_path / "end.log"
    end.write_text(last_seconds(demo_folder() / "drive.log", 6.0))

    def readings() -> dict[str, dict[str, object]]:
        states = tap.payloads(installation.topic("state"))
        found: dict[str, dict[str, object]] = json.loads(states[-1])["readings"] if states else {}
        return found

    def values() -> dict[str, object]:
        return {path: reading["value"] for path, reading in readings().items() if reading["quality"] == "ok"}

    with running_agent(), Process("canplayer", ["canplayer", "-I", end, "vcan0=body"], tmp_path) as player:
        until(lambda: values() == wanted, within_s=30, what="the recording's last values")
        assert player.wait(30) == 0
        until(lambda: readings() and not values(), within_s=30, what="every value is stale")
        assert readings()[LOCK_PATH] == {**readings()[LOCK_PATH], "value": None, "quality": "stale", "last_value": True}


def told_of_command(tap: MqttTap, installation: Installation) -> list[object]:
    """How far the frames of each command came, in the records of their ends."""
    records = [json.loads(payload) for payload in tap.payloads(installation.topic("evt"))]
    return [record["frames"] for record in records if record["kind"] == "command"]


def evidence(document: dict[str, object]) -> list[dict[str, object]]:
    pieces = document["evidence"]
    assert isinstance(pieces, list)
    return pieces


def last_seconds(log: Path, seconds: float) -> str:
    """The end of a candump log."""
    lines = log.read_text().splitlines(keepends=True)
    times = [float(line[1 : line.index(")")]) for line in lines]
    return "".join(line for time, line in zip(times, lines, strict=True) if time > times[-1] - seconds)


def last_values(expected: Path) -> dict[str, object]:
    """Path → value of the last reading, for the paths that have one at the end of the recording."""
    last = {row["path"]: row for row in map(json.loads, expected.read_text().splitlines())}
    return {path: row["value"] for path, row in last.items() if row["quality"] == "ok"}
