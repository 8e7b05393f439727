"""The broker link against a real Mosquitto: each thing the library leaves out, and TLS."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import mqtt5
import pytest

from agent.adapters.broker import BrokerSettings, Subscription
from agent.model.effects import Publish
from agent.model.events import BrokerDown, BrokerUp, Published
from agent.uplink.wire import presence_document
from tests.support.link_listener import COMMANDS, PRESENCE, RESULTS, LinkListener, running_broker
from tests.support.mosquitto import Authority, Certificate, Mosquitto, mosquitto, tls_options
from tests.support.mqtt_wire import WireClient

pytestmark = pytest.mark.broker

CAR = "0011223344556677"
OTHER = f"v1/8/{CAR}/cmd"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with mosquitto(tmp_path) as broker:
        yield broker


def plain(broker: Mosquitto) -> BrokerSettings:
    return BrokerSettings("127.0.0.1", broker.port)


async def test_a_command_arrives_and_a_result_leaves(broker: Mosquitto) -> None:
    listener = LinkListener()
    async with WireClient(broker.port) as backend, running_broker(listener, plain(broker)) as link:
        await backend.connect("backend")
        await backend.subscribe(RESULTS)
        await listener.up()
        await backend.publish(COMMANDS, b"\x01\x02")
        delivery = await listener.delivery()
        assert (delivery.topic, delivery.payload, delivery.is_retained) == (COMMANDS, b"\x01\x02", False)
        link.acknowledge(delivery.delivery_id)
        assert link.publish(Publish(RESULTS, b"done", expiry_s=30, token=1)) is None
        result = await backend.receive_publish()
        assert (result.topic, result.payload, result.qos) == (RESULTS, b"done", mqtt5.QoS.AT_LEAST_ONCE)
        assert result.message_expiry_interval is not None
        assert 28 <= result.message_expiry_interval <= 30
        assert await listener.published() == Published(1, None)


@pytest.mark.hazard("H56")
async def test_a_retained_command_waiting_at_the_broker_is_not_delivered_h56(broker: Mosquitto) -> None:
    listener = LinkListener()
    async with WireClient(broker.port) as backend:
        await backend.connect("backend")
        await backend.publish(COMMANDS, b"old", is_retained=True)
        async with running_broker(listener, plain(broker)):
            await listener.up()
            await backend.publish(COMMANDS, b"new")
            assert (await listener.delivery()).payload == b"new"


@pytest.mark.hazard("H57")
async def test_the_retain_flag_of_a_live_command_is_visible_h57(broker: Mosquitto) -> None:
    listener = LinkListener()
    async with WireClient(broker.port) as backend, running_broker(listener, plain(broker)):
        await backend.connect("backend")
        await listener.up()
        await backend.publish(COMMANDS, b"keep me", is_retained=True)
        assert (await listener.delivery()).is_retained


async def test_the_broker_holds_back_what_is_beyond_receive_maximum_until_we_acknowledge(broker: Mosquitto) -> None:
    listener = LinkListener()
    async with WireClient(broker.port) as backend, running_broker(listener, plain(broker)) as link:
        await backend.connect("backend")
        await listener.up()
        for number in range(12):
            await backend.publish(COMMANDS, bytes([number]))
        deliveries = [await listener.delivery() for _ in range(8)]
        # Four more wait at the broker. Were a delivery acknowledged by itself, they would have come by the time the
        # broker has answered something else.
        link.publish(Publish(RESULTS, b"", token=1))
        await listener.published()
        assert not listener.has_deliveries()
        link.acknowledge(deliveries[3].delivery_id)
        # Mosquitto 2.0.11 now sends all four, a later one just the first; either way they come in order.
        assert (await listener.delivery()).payload == bytes([8])
        for delivery in deliveries:
            link.acknowledge(delivery.delivery_id)
        assert [(await listener.delivery()).payload for _ in range(3)] == [bytes([9]), bytes([10]), bytes([11])]


async def test_no_command_is_kept_for_a_car_that_was_away_or_had_not_acknowledged_it(broker: Mosquitto) -> None:
    listener = LinkListener()
    async with WireClient(broker.port) as backend:
        await backend.connect("backend")
        async with running_broker(listener, plain(broker)):
            await listener.up()
            await backend.publish(COMMANDS, b"not acknowledged")
            assert (await listener.delivery()).payload == b"not acknowledged"
        await backend.publish(COMMANDS, b"while away")
        async with running_broker(listener, plain(broker)):
            await listener.up()
            await backend.publish(COMMANDS, b"live")
            assert (await listener.delivery()).payload == b"live"


async def test_a_refused_publication_is_told_as_refused(tmp_path: Path) -> None:
    (tmp_path / "acl").write_text(f"topic read {COMMANDS}\ntopic write {RESULTS}\n")
    listener = LinkListener()
    with mosquitto(tmp_path, ["acl_file acl"]) as broker:
        async with running_broker(listener, plain(broker)) as link:
            await listener.up()
            link.publish(Publish(f"v1/9/{CAR}/res", b"not mine", token=1))
            assert await listener.published() == Published(1, "Not authorized")
            link.publish(Publish(RESULTS, b"mine", token=2))
            assert await listener.published() == Published(2, None)


@pytest.mark.hazard("H64")
async def test_a_refused_subscription_is_told_and_the_others_work_h64(tmp_path: Path) -> None:
    with mosquitto(tmp_path, [*allowing(tmp_path, COMMANDS)]) as broker:
        listener = LinkListener()
        wishes = [Subscription(COMMANDS), Subscription(OTHER)]
        async with (
            WireClient(broker.port) as backend,
            running_broker(listener, plain(broker), subscriptions=wishes),
        ):
            assert (await listener.up()).refused == (f"{OTHER}: Not authorized",)
            await backend.connect("backend")
            await backend.publish(COMMANDS, b"x")
            assert (await listener.delivery()).topic == COMMANDS
        async with running_broker(listener, plain(broker), subscriptions=[Subscription(OTHER)]) as link:
            assert (await listener.up()).refused == (f"{OTHER}: Not authorized",)
            link.publish(Publish(COMMANDS, b"said all the same", token=1))
            await listener.published()


async def test_the_end_of_the_broker_is_told_and_its_return_is_found(broker: Mosquitto) -> None:
    listener = LinkListener()
    async with running_broker(listener, plain(broker)) as link:
        await listener.up()
        broker.stop()
        assert await listener.down()
        assert link.publish(Publish(RESULTS, b"into the void", token=1)) == "not connected"
        broker.start()
        while not isinstance(event := await listener.event(), BrokerUp):
            assert isinstance(event, BrokerDown)
        link.publish(Publish(RESULTS, b"heard", token=2))
        assert await listener.published() == Published(2, None)


async def test_what_was_said_while_down_is_never_sent_later(broker: Mosquitto) -> None:
    listener = LinkListener()
    async with running_broker(listener, plain(broker)) as link:
        await listener.up()
        broker.stop()
        await listener.down()
        link.publish(Publish(RESULTS, b"while down"))
        broker.start()
        async with WireClient(broker.port) as backend:
            await backend.connect("backend")
            await backend.subscribe(RESULTS)
            while not isinstance(await listener.event(), BrokerUp):
                pass
            link.publish(Publish(RESULTS, b"after"))
            assert (await backend.receive_publish()).payload == b"after"


async def test_sixty_four_publications_at_once_are_all_answered_and_the_next_is_refused(broker: Mosquitto) -> None:
    listener = LinkListener()
    async with running_broker(listener, plain(broker)) as link:
        await listener.up()
        taken = [link.publish(Publish(RESULTS, bytes(100), token=number)) for number in range(65)]
        assert taken == [None] * 64 + ["busy"]
        assert await link.flush(10)
        answers = [await listener.published() for _ in range(64)]
        assert {answer.refusal for answer in answers} == {None}
        assert sorted(answer.token for answer in answers) == list(range(64))


async def test_the_will_is_retained_and_spoken_however_the_link_ends_sr_10(broker: Mosquitto) -> None:
    listener = LinkListener()
    async with WireClient(broker.port) as backend:
        await backend.connect("backend")
        await backend.subscribe(PRESENCE)
        async with running_broker(listener, plain(broker)):
            await listener.up()
        will = await backend.receive_publish()
        assert (will.payload, will.topic) == (presence_document(b"session1", is_online=False), PRESENCE)
    async with WireClient(broker.port) as late:
        await late.connect("late")
        await late.subscribe(PRESENCE)
        assert (await late.receive_publish()).retain


@pytest.mark.hazard("H61")
async def test_a_second_client_with_the_same_id_cuts_us_off_and_we_come_back_h61(broker: Mosquitto) -> None:
    listener = LinkListener()
    async with running_broker(listener, plain(broker)):
        await listener.up()
        async with WireClient(broker.port) as intruder:
            await intruder.connect(CAR)
            await listener.down()
            await listener.up()


@pytest.mark.hazard("H72")
async def test_many_reconnects_leak_neither_descriptors_nor_tasks_nor_threads_h72(broker: Mosquitto) -> None:
    listener = LinkListener()
    async with running_broker(listener, plain(broker), jitter=lambda: 0.0):
        await listener.up()
        before = (descriptor_count(), len(asyncio.all_tasks()))
        for _ in range(1000):
            async with WireClient(broker.port) as intruder:
                await intruder.connect(CAR)
                await listener.down()
                await listener.up()
        after = (descriptor_count(), len(asyncio.all_tasks()))
    assert after <= (before[0] + 2, before[1] + 1)
    assert sum(thread.name == "broker-lookup" for thread in threading.enumerate()) <= 1


def descriptor_count() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


class TestTls:
    """TLS 1.3, a pinned CA, host name checked, a certificate for the car (H65, H66)."""

    @pytest.fixture
    def authority(self, tmp_path: Path) -> Authority:
        return Authority(tmp_path)

    @pytest.fixture
    def car(self, authority: Authority) -> Certificate:
        return authority.issue(CAR)

    async def outcome(self, folder: Path, server: Certificate, ca_file: Path, settings: BrokerSettings) -> str:
        """`up`, or with which words there is no connection."""
        listener = LinkListener()
        with mosquitto(folder, tls_options(server, ca_file)) as broker:
            async with running_broker(listener, replace(settings, port=broker.port)):
                event = await listener.event()
                return event.detail if isinstance(event, BrokerDown) else "up"

    async def test_a_car_and_a_broker_of_one_authority_connect(
        self, tmp_path: Path, authority: Authority, car: Certificate
    ) -> None:
        server = authority.issue("broker", is_server=True, host="127.0.0.1")
        assert await self.outcome(tmp_path, server, authority.ca_file, settings(authority, car)) == "up"

    async def test_commands_and_results_cross_tls(self, tmp_path: Path, authority: Authority, car: Certificate) -> None:
        server = authority.issue("broker", is_server=True, host="127.0.0.1")
        listener = LinkListener()
        with mosquitto(tmp_path, tls_options(server, authority.ca_file)) as broker:
            async with running_broker(
                listener, replace(settings(authority, car), port=broker.port), subscriptions=[Subscription(RESULTS)]
            ) as link:
                await listener.up()
                for number in range(100):  # large enough to fill more than one TLS record
                    assert link.publish(Publish(RESULTS, bytes([number]) * 1000, token=number)) is None
                    link.acknowledge((await listener.delivery()).delivery_id)
                    assert await listener.published() == Published(number, None)

    @pytest.mark.parametrize(
        ("host", "begins_s", "ends_s", "words"),
        [
            ("127.0.0.2", -3600, 3600, "certificate is not accepted: IP address mismatch"),
            ("broker.example", -3600, 3600, "certificate is not accepted: IP address mismatch"),
            ("127.0.0.1", -7200, -3600, "certificate is not accepted: certificate has expired"),
            ("127.0.0.1", 3600, 7200, "certificate is not accepted: certificate is not yet valid"),
        ],
    )
    @pytest.mark.hazard("H65")
    async def test_a_broker_with_a_certificate_for_another_name_or_time_is_refused_h65(
        self,
        tmp_path: Path,
        authority: Authority,
        car: Certificate,
        host: str,
        begins_s: float,
        ends_s: float,
        words: str,
    ) -> None:
        server = authority.issue("broker", is_server=True, host=host, begins_s=begins_s, ends_s=ends_s)
        assert words in await self.outcome(tmp_path, server, authority.ca_file, settings(authority, car))

    @pytest.mark.hazard("H65")
    async def test_a_broker_of_another_authority_is_refused_h65(
        self, tmp_path: Path, authority: Authority, car: Certificate
    ) -> None:
        other = Authority(tmp_path, "other")
        server = other.issue("broker", is_server=True, host="127.0.0.1")
        words = await self.outcome(tmp_path, server, authority.ca_file, settings(authority, car))
        assert "certificate is not accepted" in words

    @pytest.mark.hazard("H66")
    async def test_a_car_with_an_expired_certificate_is_told_so_h66(self, tmp_path: Path, authority: Authority) -> None:
        server = authority.issue("broker", is_server=True, host="127.0.0.1")
        expired = authority.issue("expired", begins_s=-7200, ends_s=-3600)
        words = await self.outcome(tmp_path, server, authority.ca_file, settings(authority, expired))
        assert "EXPIRED" in words

    @pytest.mark.hazard("H66")
    async def test_a_car_without_a_certificate_is_told_so_h66(self, tmp_path: Path, authority: Authority) -> None:
        server = authority.issue("broker", is_server=True, host="127.0.0.1")
        words = await self.outcome(
            tmp_path, server, authority.ca_file, BrokerSettings("127.0.0.1", ca_file=authority.ca_file)
        )
        assert "CERTIFICATE_REQUIRED" in words


def settings(authority: Authority, car: Certificate) -> BrokerSettings:
    return BrokerSettings(
        "127.0.0.1", ca_file=authority.ca_file, certificate_file=car.certificate_file, key_file=car.key_file
    )


def allowing(folder: Path, topic: str) -> list[str]:
    """Mosquitto's lines to let everybody subscribe to `topic` alone; its ACL files cannot refuse a subscription."""
    libraries = Path("/usr/lib")
    plugin = next(libraries.glob("*/mosquitto_dynamic_security.so"), libraries / "mosquitto_dynamic_security.so")
    (folder / "security.json").write_text(
        json.dumps(
            {
                "defaultACLAccess": {
                    "publishClientSend": True,
                    "publishClientReceive": True,
                    "subscribe": False,
                    "unsubscribe": True,
                },
                "clients": [],
                "groups": [{"groupname": "all", "roles": [{"rolename": "car"}]}],
                "anonymousGroup": "all",
                "roles": [
                    {"rolename": "car", "acls": [{"acltype": "subscribeLiteral", "topic": topic, "allow": True}]}
                ],
            }
        )
    )
    return [f"plugin {plugin}", f"plugin_opt_config_file {folder / 'security.json'}"]
