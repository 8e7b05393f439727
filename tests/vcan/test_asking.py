"""The agent asks a control unit on a real kernel's bus, one question at a time, and stops when the bus falls silent."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import can
import pytest

from agent.model.frame import Frame
from tests.profiles.shipped import files, profile_text
from tests.support.control_unit import CYCLES, PERIOD_S, POLL, REQUEST, REQUEST_ID, RESPONSE_ID, ControlUnit
from tests.support.installation import Installation, install
from tests.support.mqtt_tap import MqttTap
from tests.support.process import Process, until

pytestmark = [pytest.mark.vcan, pytest.mark.broker]

ANSWERS_AFTER_S = 0.3
"""A second request in flight would come within that."""


@dataclass
class OnTheBus:
    """What was seen of the conversation."""

    requests_s: list[float] = field(default_factory=list)
    in_flight_max: int = 0


@contextmanager
def control_unit() -> Iterator[OnTheBus]:
    """A thread that answers late, and counts how many questions waited at once."""
    seen, unit, is_ending = OnTheBus(), ControlUnit(4711), threading.Event()
    filters: list[can.typechecking.CanFilter] = [{"can_id": REQUEST_ID, "can_mask": 0x7FF, "extended": False}]

    def serve(bus: can.BusABC) -> None:
        waiting: list[tuple[float, Frame]] = []
        while not is_ending.is_set():
            message = bus.recv(0.02)
            if message is not None:
                seen.requests_s += [time.monotonic()] if bytes(message.data) == REQUEST else []
                frame = Frame("body", message.arbitration_id, bytes(message.data))
                waiting += [(time.monotonic() + ANSWERS_AFTER_S, answer) for answer in unit.hear(frame, 0.0)]
                seen.in_flight_max = max(seen.in_flight_max, len(waiting))
            while waiting and waiting[0][0] <= time.monotonic():
                _, answer = waiting.pop(0)
                bus.send(can.Message(arbitration_id=RESPONSE_ID, data=answer.data, is_extended_id=False))

    with can.Bus(interface="socketcan", channel="vcan0", can_filters=filters) as bus:
        thread = threading.Thread(target=serve, args=(bus,), daemon=True)
        thread.start()
        yield seen
        is_ending.set()
        thread.join(5)


@pytest.fixture
def installation(tmp_path: Path, broker_port: int) -> Installation:
    profile = tmp_path / "asked"
    profile.mkdir()
    (profile / "profile.toml").write_text(profile_text("demo_hatchback") + POLL)
    for name, content in files("demo_hatchback").items():
        (profile / name).write_bytes(content)
    return install(tmp_path / "car", broker_port=broker_port, profile=profile)


@contextmanager
def car(folder: Path) -> Iterator[Process]:
    command = ["carshare-bench", "car", "--interface", "socketcan", "--channel", "vcan0", "--awake"]
    with Process("car", command, folder) as process:
        process.until(process.stdout, within_s=30, what="the car says that it is there")
        yield process


def reading(installation: Installation, tap: MqttTap) -> dict[str, object]:
    states = tap.payloads(installation.topic("state"))
    found: dict[str, object] = json.loads(states[-1])["readings"].get(CYCLES, {}) if states else {}
    return found


def test_sr08_a_control_unit_is_asked_one_question_at_a_time_until_the_bus_falls_silent(
    installation: Installation, tap: MqttTap
) -> None:
    with control_unit() as seen, installation.agent():
        with car(installation.files.path):
            until(lambda: reading(installation, tap).get("value") == 4711, within_s=60, what="the value asked for")
            until(lambda: len(seen.requests_s) >= 2, within_s=60, what="it is asked for again")
        time.sleep(3)  # the bus's own time of silence, and a question that was in flight
        asked = len(seen.requests_s)
        time.sleep(2 * PERIOD_S)
        assert len(seen.requests_s) == asked
        assert seen.in_flight_max == 1


def test_sr01_on_a_link_that_only_listens_nothing_is_asked(installation: Installation, tap: MqttTap) -> None:
    text = installation.files.agent_toml.read_text()
    assert text.count('channel = "vcan0"') == 1
    installation.files.agent_toml.write_text(text.replace('channel = "vcan0"', 'channel = "vcan0"\nlisten_only = true'))
    with control_unit() as seen, installation.agent(), car(installation.files.path):
        until(lambda: reading(installation, tap).get("reason") == "listen_only", within_s=60, what="the reason")
        time.sleep(2 * PERIOD_S)
        assert not seen.requests_s
