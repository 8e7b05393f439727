"""The sample configuration of Mosquitto as it is shipped, but for its folder and ports: who can do what to whom."""

from __future__ import annotations

import os
import re
import shutil
import ssl
from collections.abc import Iterator
from pathlib import Path

import mqtt5
import pytest

from agent.adapters.broker import BrokerSettings, Subscription
from agent.adapters.dial import tls_context
from agent.model.effects import Publish
from agent.model.events import Published
from tests.support.link_listener import LinkListener, running_broker
from tests.support.mosquitto import Authority, Certificate, Mosquitto, free_port
from tests.support.mqtt_wire import WireClient

pytestmark = pytest.mark.broker

SYSTEMD = Path(__file__).resolve().parents[2] / "systemd"
CAR, OTHER_CAR = "0011223344556677", "8899aabbccddeeff"
TO_CAR = ("cmd", "ping", "bundle", "revset")
FROM_CAR = ("hello", "res", "evt", "state", "caps")


class SampleBroker:
    """Mosquitto under the sample, with certificates of both authorities."""

    def __init__(self, folder: Path) -> None:
        self.cars, self.operators = Authority(folder, "cars-ca"), Authority(folder, "operators-ca")
        self._made: dict[tuple[str, bool], Certificate] = {}
        self._folder = folder
        server = Authority(folder, "broker-ca")
        self.server_ca_file = server.ca_file
        server.issue("broker", is_server=True, host="127.0.0.1")
        shutil.copy(SYSTEMD / "mosquitto.acl.example", folder)
        (folder / "mosquitto.acl.example").chmod(0o600)
        self.broker = Mosquitto(folder)
        self.cars_port, self.operators_port = self.broker.port, free_port()
        text = (SYSTEMD / "mosquitto.conf.example").read_text()
        text = text.replace("/etc/mosquitto/carshare/", f"{folder}/").replace("/var/lib/mosquitto/", f"{folder}/")
        text = text.replace("listener 8883\n", f"listener {self.cars_port} 127.0.0.1\n")
        text = text.replace("listener 8884\n", f"listener {self.operators_port} 127.0.0.1\n")
        if os.geteuid() == 0:  # it would become `mosquitto`, and then could not read what the test wrote
            text = "user root\n" + text
        (folder / "mosquitto.conf").write_text(text)

    def car(self, name: str = CAR) -> WireClient:
        return WireClient(self.cars_port, context=self._context(self.cars, name))

    def operator(self, number: int) -> WireClient:
        return WireClient(self.operators_port, context=self._context(self.operators, f"operator-{number}"))

    def settings(self, name: str) -> BrokerSettings:
        made = self._issued(self.cars, name)
        return BrokerSettings(
            "127.0.0.1",
            self.cars_port,
            ca_file=self.server_ca_file,
            certificate_file=made.certificate_file,
            key_file=made.key_file,
        )

    def context_of_a_car(self, name: str = CAR) -> ssl.SSLContext:
        return self._context(self.cars, name)

    def context_of_an_operator(self, number: int) -> ssl.SSLContext:
        return self._context(self.operators, f"operator-{number}")

    def _context(self, authority: Authority, name: str) -> ssl.SSLContext:
        made = self._issued(authority, name)
        return tls_context(self.server_ca_file, made.certificate_file, made.key_file)

    def _issued(self, authority: Authority, name: str) -> Certificate:
        key = (name, authority is self.cars)
        if key not in self._made:
            self._made[key] = authority.issue(name)
        return self._made[key]


@pytest.fixture
def sample(tmp_path: Path) -> Iterator[SampleBroker]:
    sample = SampleBroker(tmp_path)
    sample.broker.start()
    try:
        yield sample
    finally:
        sample.broker.stop()


async def heard(listener: WireClient, sender: WireClient, topic: str) -> tuple[mqtt5.PubAckReasonCode, bool]:
    """The broker's answer to a publication of `sender`, and whether `listener` got it."""
    answer = await sender.publish(topic, b"x")
    # What was routed to the listener before its own request was answered stands before that answer.
    arrived = await listener.arrivals_before_pong()
    return answer, topic in arrived


SUCCESS, DENIED = mqtt5.PubAckReasonCode.SUCCESS, mqtt5.PubAckReasonCode.NOT_AUTHORIZED


async def test_a_car_and_its_operator_reach_each_other_on_every_topic(sample: SampleBroker) -> None:
    async with sample.car() as car, sample.operator(1) as operator:
        await car.connect(CAR)
        await operator.connect("backend-1")
        for kind in (*TO_CAR, "echo"):
            await car.subscribe(f"v1/{'all' if kind == 'echo' else 1}/{CAR}/{kind}")
        for kind in (*FROM_CAR, "presence"):
            await operator.subscribe(f"v1/{'all' if kind == 'presence' else 1}/+/{kind}")
        for kind in TO_CAR:
            assert await heard(car, operator, f"v1/1/{CAR}/{kind}") == (SUCCESS, True), kind
        for kind in FROM_CAR:
            assert await heard(operator, car, f"v1/1/{CAR}/{kind}") == (SUCCESS, True), kind
        assert await heard(operator, car, f"v1/all/{CAR}/presence") == (SUCCESS, True)
        await car.publish(f"v1/all/{CAR}/echo", b"to itself", is_answer_awaited=False)
        assert f"v1/all/{CAR}/echo" in await car.arrivals_before_pong()


@pytest.mark.parametrize("kind", [*TO_CAR, *FROM_CAR])
async def test_a_car_can_neither_read_nor_write_anothers_topics(sample: SampleBroker, kind: str) -> None:
    topic = f"v1/1/{OTHER_CAR}/{kind}"
    async with sample.car(OTHER_CAR) as victim, sample.car() as car, sample.operator(1) as operator:
        await victim.connect(OTHER_CAR)
        await car.connect(CAR)
        await operator.connect("backend-1")
        for pattern in (topic, f"v1/+/+/{kind}", "#", "v1/#"):
            await car.subscribe(pattern)
        await victim.subscribe(topic)
        await operator.subscribe(topic)
        assert await car.publish(topic, b"not mine") is DENIED
        assert topic not in await victim.arrivals_before_pong() + await operator.arrivals_before_pong()
        rightful = operator if kind in TO_CAR else victim
        assert await heard(car, rightful, topic) == (SUCCESS, False)


@pytest.mark.parametrize("kind", ["presence", "echo"])
async def test_a_car_can_neither_read_nor_write_what_another_says_to_all(sample: SampleBroker, kind: str) -> None:
    topic = f"v1/all/{OTHER_CAR}/{kind}"
    async with sample.car(OTHER_CAR) as victim, sample.car() as car:
        await victim.connect(OTHER_CAR)
        await car.connect(CAR)
        await car.subscribe(topic)
        await car.subscribe(f"v1/all/+/{kind}")
        assert await heard(car, victim, topic) == (SUCCESS, False)
        assert await car.publish(topic, b"not mine") is DENIED


async def test_an_operator_can_neither_read_nor_write_anothers_topics(sample: SampleBroker) -> None:
    async with sample.car() as car, sample.operator(1) as operator, sample.operator(2) as other:
        await car.connect(CAR)
        await operator.connect("backend-1")
        await other.connect("backend-2")
        for kind in TO_CAR:
            await car.subscribe(f"v1/2/{CAR}/{kind}")
        for pattern in ("#", "v1/2/#", "v1/+/+/res", f"v1/2/{CAR}/res"):
            await operator.subscribe(pattern)
        for kind in TO_CAR:
            topic = f"v1/2/{CAR}/{kind}"
            assert await heard(car, operator, topic) == (DENIED, False), kind
            assert await heard(operator, other, topic) == (SUCCESS, False), kind
        assert await car.arrivals_before_pong() == [f"v1/2/{CAR}/{TO_CAR[-1]}"]
        for kind in FROM_CAR:
            topic = f"v1/2/{CAR}/{kind}"
            assert await operator.publish(topic, b"I am the car") is DENIED
            assert await heard(operator, car, topic) == (SUCCESS, False), kind


async def test_the_client_id_of_a_car_is_that_of_its_certificate(sample: SampleBroker) -> None:
    """Otherwise any car could cut off any other (H61)."""
    async with sample.car(OTHER_CAR) as victim, sample.car() as car:
        await victim.connect(OTHER_CAR)
        await car.connect(OTHER_CAR)
        assert await victim.arrivals_before_pong() == []


async def test_no_car_comes_in_by_the_operators_door_and_no_operator_by_the_cars(sample: SampleBroker) -> None:
    for port, context in (
        (sample.operators_port, sample.context_of_a_car()),
        (sample.cars_port, sample.context_of_an_operator(1)),
    ):
        async with WireClient(port, context=context) as client:
            assert await client.is_turned_away(CAR)


async def test_nobody_comes_in_without_a_certificate(sample: SampleBroker) -> None:
    for port in (sample.cars_port, sample.operators_port):
        async with WireClient(port, context=tls_context(sample.server_ca_file, None, None)) as client:
            assert await client.is_turned_away("nobody")


async def test_the_agent_itself_works_under_these_rights(sample: SampleBroker) -> None:
    listener = LinkListener()
    wishes = [Subscription(f"v1/1/{CAR}/cmd"), Subscription(f"v1/all/{CAR}/echo")]
    async with running_broker(
        listener, sample.settings(CAR), subscriptions=wishes, client_id=CAR, presence=f"v1/all/{CAR}/presence"
    ) as link:
        assert (await listener.up()).refused == ()
        link.publish(Publish(f"v1/all/{CAR}/echo", b"anybody there?", token=1))
        assert await listener.published() == Published(1, None)
        assert (await listener.delivery()).payload == b"anybody there?"


def test_everything_the_sample_names_is_beside_it_or_explained() -> None:
    text = (SYSTEMD / "mosquitto.conf.example").read_text()
    named = set(re.findall(r"/etc/mosquitto/carshare/(\S+)", text))
    readme = (SYSTEMD / "README.md").read_text()
    assert {name for name in named if name not in readme} == set()
