"""`carshare-backend watch` with a person at it, on a real broker: cars and broker come and go."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.backend.keys import CarRequest, car_table, make_key, raw_public
from agent.uplink import wire
from tests.support.mosquitto import Mosquitto, mosquitto
from tests.support.person import Person
from tests.support.scripted_car import CAR, ScriptedCar, connected, is_silent, topic

pytestmark = pytest.mark.broker


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with mosquitto(tmp_path) as running:
        yield running


@pytest.fixture
def person(tmp_path: Path, broker: Mosquitto) -> Iterator[Person]:
    make_key(tmp_path / "operator-1.key")
    configuration = tmp_path / "backend.toml"
    configuration.write_text(
        f'[operator]\nnumber = 1\nkey_file = "operator-1.key"\n\n[broker]\nhost = "127.0.0.1"\nport = {broker.port}\n\n'
        + car_table("demo", CarRequest(CAR.id.hex(), raw_public(CAR.public_key).hex()))
    )
    command = [sys.executable, "-m", "agent.backend.cli", "--config", str(configuration), "watch"]
    person = Person(tmp_path, command)
    yield person
    person.close()


async def sees(person: Person, pattern: str) -> None:
    await asyncio.to_thread(person.sees, pattern)


async def test_a_person_watches_while_cars_and_broker_come_and_go(person: Person, broker: Mosquitto) -> None:
    await sees(person, r"demo .*never seen")
    car = ScriptedCar(is_silent)
    async with connected(car, "127.0.0.1", broker.port) as client:
        presence = wire.presence_document(car.sid, is_online=True)
        await client.publish(f"v1/all/{CAR.id.hex()}/presence", presence, qos=1, retain=True)
        await sees(person, r"demo .* online")
        for payload in (b"\x1b[2J", b"[" * 60_000, b'{"seq": "\\u001b[2J"}'):
            await client.publish(topic("evt"), payload, qos=1)
        await sees(person, "2 messages could not be read")
        moment = wire.Moment(1, None, 0)
        end = {"command": "lo\x1b]0;ck", "cid": "00", "stage": "failed", "reason": "x", "executed": "no"}
        await client.publish(topic("evt"), wire.named_record("command", 2, moment, {**end, "result_seq": 1}), qos=1)
        await sees(person, r"lo\?\]0;ck failed: x")
    await asyncio.to_thread(broker.stop)
    await sees(person, "NOT CONNECTED, what is shown is old")
    await asyncio.to_thread(broker.start)
    await sees(person, "connected to the broker")
    person.press("q")
    assert await asyncio.to_thread(person.leaves) == 0
    assert person.modes == person.modes_before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order(person: Person, number: signal.Signals) -> None:
    person.sees("1 cars?: 0 online")
    person.process.send_signal(number)
    assert person.leaves() == 0
    assert person.modes == person.modes_before
    assert person.seen.rstrip().endswith("\x1b[?25h\x1b[?1049l")
