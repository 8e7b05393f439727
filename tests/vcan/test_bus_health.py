"""The health of a bus on a real kernel: one agent through everything that may happen to its link, and never restarted.

Each test leaves the bus as it found it, and the agent has to find that out by itself.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.adapters.can_controller import INTERFACES, KernelFiles
from agent.adapters.status_socket import read_status
from agent.model.frame import BusState
from tests.support.can_listener import CanListener, running_bus
from tests.support.installation import Installation, install
from tests.support.mosquitto import mosquitto
from tests.support.mqtt_tap import MqttTap, mqtt_tap
from tests.support.process import Process, until
from tests.support.wire import ERROR, Wire, ip

pytestmark = [pytest.mark.vcan, pytest.mark.broker]

LINK = "vcanhealth"

SOON_S = 60.0
"""Two looks at the interface, a wait of some seconds before it is opened again, and the time that it has to stand."""

SOUND = ("awake", "asleep")


class Health:
    """One agent at work, as its status and its records tell of the bus."""

    def __init__(self, installation: Installation, agent: Process, tap: MqttTap) -> None:
        self._installation = installation
        self._agent = agent
        self._tap = tap
        self._told = 0

    def status(self) -> dict[str, Any]:
        return read_status(self._installation.files.agent_toml.parent / "status.sock", wait_s=20.0)

    def counters(self) -> dict[str, Any]:
        """What is counted of the bus, as of the last look."""
        counters: dict[str, Any] = self.status()["bus_health"]["body"]["counters"]
        return counters

    def counts(self, sign: str, wanted: int) -> None:
        """A change is counted at once only if the last look is a second ago, else with the next."""
        words = f"it counts {wanted} of {sign}"
        self._agent.until(lambda: self.counters()["errors"].get(sign) == wanted, within_s=SOON_S, what=words)

    def word(self) -> str:
        """The agent's word for the bus now."""
        return str(self.status()["buses"]["body"])

    def becomes(self, *words: str) -> None:
        self._agent.until(lambda: self.word() in words, within_s=SOON_S, what=f"the bus is {' or '.join(words)}")

    def told(self) -> list[tuple[str, str, str]]:
        """State, state before and cause of each record about it since this was asked last."""
        records = [json.loads(payload) for payload in self._tap.payloads(self._installation.topic("evt"))]
        found = [(each["state"], each["before"], each["cause"]) for each in records if each["kind"] == "bus_health"]
        news, self._told = found[self._told :], len(found)
        return news

    def told_until_sound(self) -> list[tuple[str, str, str]]:
        """What is told from then on up to the bus being sound again."""
        news: list[tuple[str, str, str]] = []

        def has_come() -> bool:
            news.extend(self.told())
            return bool(news) and news[-1][0] == "error_active"

        self._agent.until(has_come, within_s=SOON_S, what="it tells that the bus is sound")
        return news

    def tells(self, *wanted: tuple[str, str, str]) -> None:
        assert self.told_until_sound() == list(wanted)

    def ask(self, verb: str) -> tuple[object, object, object]:
        """The end of a command by the operator's own program."""
        with self._installation.backend(verb) as backend:
            backend.wait(SOON_S)
            document = json.loads(backend.stdout().splitlines()[-1])
        return document["outcome"], document["reason"], document["executed"]


@contextmanager
def virtual() -> Iterator[None]:
    ip("add", "dev", LINK, "type", "vcan")
    try:
        yield
    finally:
        if (INTERFACES / LINK).exists():
            ip("delete", LINK)


@pytest.fixture(scope="module")
def health(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Health]:
    with mosquitto(tmp_path_factory.mktemp("broker")) as broker, mqtt_tap(broker.port) as tap, virtual():
        ip("set", LINK, "up")
        installation = install(tmp_path_factory.mktemp("car"), broker_port=broker.port, channel=LINK)
        with installation.agent() as agent:
            agent.until(lambda: tap.payloads(installation.topic("hello")), within_s=SOON_S, what="the agent's hello")
            made = Health(installation, agent, tap)
            made.tells(("error_active", "unknown", "link_up"))
            yield made
            assert agent.is_running()


@pytest.fixture
def wire(health: Health) -> Iterator[Wire]:
    wire = Wire(LINK)
    yield wire
    wire.close()


@contextmanager
def car(folder: Path, does: str = "") -> Iterator[Process]:
    """A virtual car on the link that is awake, and does what the lines say."""
    script = folder / "does"
    script.write_text(does)
    command = f"exec carshare-bench car --interface socketcan --channel {LINK} --awake --sleep-after 3600 <{script}"
    with Process("car", ["sh", "-c", command], folder) as process:
        yield process


@pytest.mark.hazard("H98")
def test_a_link_that_goes_down_is_told_refuses_commands_and_recovers_h98(health: Health) -> None:
    ip("set", LINK, "down")
    health.becomes("down")
    assert health.ask("unlock") == ("failed", "can_down", "no")
    ip("set", LINK, "up")
    health.becomes(*SOUND)
    health.tells(("down", "error_active", "link_down"), ("error_active", "down", "link_up"))


@pytest.mark.hazard("H98")
def test_an_interface_that_is_removed_and_added_again_is_used_again_h98(health: Health) -> None:
    ip("delete", LINK)
    health.becomes("removed")
    # Without a command in between: the longer it is away, the longer it is until somebody looks.
    ip("add", "dev", LINK, "type", "vcan")
    ip("set", LINK, "up")
    health.becomes(*SOUND)
    told = health.told_until_sound()
    # The kernel takes an interface down before it takes it away.
    assert [state for state, _, _ in told if state != "down"] == ["removed", "error_active"]


def test_a_controller_says_what_becomes_of_it_in_error_frames(health: Health, wire: Wire) -> None:
    before = health.counters()
    wire.send(ERROR | 0x008, bytes(8))
    wire.send(ERROR | 0x004, bytes([0, 0x20, 0, 0, 0, 0, 0, 0]))
    health.becomes("error_passive")
    wire.send(ERROR | 0x004, bytes([0, 0x08, 0, 0, 0, 0, 0, 0]))
    health.becomes(*SOUND)
    health.tells(
        ("error_passive", "error_active", "controller_passive"),
        ("error_active", "error_passive", "controller_warning"),
    )
    health.counts("controller_warning", before["errors"].get("controller_warning", 0) + 1)
    after = health.counters()
    assert after["errors"]["controller_passive"] == before["errors"].get("controller_passive", 0) + 1
    assert after["errors"]["protocol_error"] == before["errors"].get("protocol_error", 0) + 1
    assert after["link"]["rx_packets"] >= before["link"]["rx_packets"] + 2


def test_bus_off_refuses_an_unlock_until_the_restart_has_stood(health: Health, wire: Wire) -> None:
    """SR-06. The kernel's restart is only seen; a virtual interface has none, and keeps its carrier."""
    wire.send(ERROR | 0x040, bytes(8))
    wire.send(ERROR | 0x100, bytes(8))
    health.becomes("bus_off")
    health.becomes(*SOUND)
    health.tells(("bus_off", "error_active", "controller_off"), ("error_active", "bus_off", "controller_restarted"))


def test_bus_off_whose_end_nobody_told_ends_by_the_kernels_files(health: Health, wire: Wire) -> None:
    wire.send(ERROR | 0x040, bytes(8))
    health.becomes("bus_off")
    health.becomes(*SOUND)
    health.tells(("bus_off", "error_active", "controller_off"), ("error_active", "bus_off", "carrier"))


def test_silence_of_a_car_that_was_driving_is_told_and_over_when_it_is_heard_again(
    health: Health, tmp_path: Path
) -> None:
    """SR-10. A car that stands is asleep when it falls silent."""
    with car(tmp_path, "ignition on\n"):
        health.becomes("awake")
        until(lambda: health.status()["use"] == "driving", within_s=SOON_S, what="the ignition is on")
    health.becomes("silent")
    with car(tmp_path):
        health.becomes("awake")
        until(lambda: health.status()["use"] == "awake", within_s=SOON_S, what="the ignition is off")
        silent, sound = health.told_until_sound()
        assert silent == ("silent", "error_active", "silence")
        # The frame itself may be first, or the interface's count of frames, which is looked at every few seconds.
        assert sound in (("error_active", "silent", "heard"), ("error_active", "silent", "traffic"))
    health.becomes("asleep")
    assert health.told() == []


@pytest.fixture
def pair_of_links() -> Iterator[tuple[str, str]]:
    """Two ends of one wire: each has a carrier while the other one is up."""
    ours, other = "vxours", "vxother"
    try:
        ip("add", "dev", ours, "type", "vxcan", "peer", "name", other)
    except subprocess.CalledProcessError:
        pytest.skip("this kernel has no vxcan")
    yield ours, other
    ip("delete", ours)


async def test_an_interface_without_a_carrier_is_off_from_the_start_and_is_found_back(
    pair_of_links: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the kernel shows a controller that was bus-off before the agent began; no error frame tells of it."""
    ours, other = pair_of_links
    monkeypatch.setattr("agent.adapters.can_bus.PROGRESS_S", 0.2)
    ip("set", ours, "up")
    assert KernelFiles(INTERFACES / ours).has_carrier() is False
    listener = CanListener()
    async with running_bus(listener, interface="socketcan", channel=ours, first=BusState.BUS_OFF):
        ip("set", other, "up")
        assert await listener.state() is BusState.UP
        ip("set", other, "down")
        assert await listener.state() is BusState.BUS_OFF
        ip("set", other, "up")
        assert await listener.state() is BusState.UP
    assert KernelFiles(INTERFACES / ours).counts() is not None
