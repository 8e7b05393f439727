"""The broker link against brokers that lie, break off and flood; a real one: tests/broker."""

from __future__ import annotations

import asyncio
import itertools
import resource
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import mqtt5
import pytest

from agent.adapters.broker import Broker, BrokerSettings, Subscription, back_off_s
from agent.adapters.dial import dial, require_loopback, tls_context
from agent.adapters.mqtt_link import LOOSE_MAX, PUBLISHES_MAX, UNACKNOWLEDGED_MAX
from agent.errors import ConfigurationError, LinkError
from agent.model.effects import Publish
from agent.model.events import BrokerDown, BrokerUp, Delivery, LinkEnd, Published
from agent.uplink.wire import presence_document
from tests.support.link_listener import COMMANDS, PRESENCE, RESULTS, LinkListener, running_broker
from tests.support.mosquitto import Authority, free_port
from tests.support.scripted_broker import Peer, scripted_broker

Script = Callable[[Peer], Awaitable[None]]
OTHER = "v1/8/0011223344556677/cmd"


def to_port(port: int) -> BrokerSettings:
    return BrokerSettings("127.0.0.1", port)


def publication(number: int, *, qos: mqtt5.QoS = mqtt5.QoS.AT_LEAST_ONCE) -> mqtt5.PublishPacket:
    packet_id = None if qos is mqtt5.QoS.AT_MOST_ONCE else number
    return mqtt5.PublishPacket(COMMANDS, number.to_bytes(2), qos=qos, packet_id=packet_id)


async def detail_of(script: Script) -> str:
    """With which words the link ends when the broker behaves so."""
    listener = LinkListener()
    async with scripted_broker(script) as port, running_broker(listener, to_port(port), jitter=lambda: 1.0):
        event = await listener.event()
        return await listener.down() if isinstance(event, BrokerUp) else getattr(event, "detail", repr(event))


async def test_the_connection_is_asked_for_as_the_protocol_wants_it() -> None:
    asked: list[tuple[mqtt5.ConnectPacket, mqtt5.SubscribePacket]] = []

    async def script(peer: Peer) -> None:
        connect = await peer.expect(mqtt5.ConnectPacket)
        await peer.send(mqtt5.ConnAckPacket())
        subscribe = await peer.expect(mqtt5.SubscribePacket)
        asked.append((connect, subscribe))
        await peer.send(mqtt5.SubAckPacket(subscribe.packet_id, [mqtt5.SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE]))

    listener = LinkListener()
    async with scripted_broker(script) as port, running_broker(listener, to_port(port)):
        for _ in range(2):  # the second connection asks the same: clean start always, not only first
            await listener.up()
            await listener.down()
    for connect, subscribe in asked[:2]:
        assert connect.client_id == "0011223344556677"
        assert connect.clean_start
        assert connect.session_expiry_interval == 0
        assert connect.receive_max == 8
        assert connect.max_packet_size == 8192
        assert connect.topic_alias_max == 0
        assert connect.will is not None
        assert (connect.will.topic, connect.will.qos, connect.will.retain) == (PRESENCE, mqtt5.QoS.AT_LEAST_ONCE, True)
        (wish,) = subscribe.topic_filters
        assert wish.pattern == COMMANDS
        assert wish.max_qos is mqtt5.QoS.AT_LEAST_ONCE
        assert wish.retain_handling is mqtt5.RetainHandling.SEND_NEVER
        assert wish.retain_as_published


@pytest.mark.hazard("H62")
async def test_a_broker_that_kept_a_session_is_left_and_that_is_why() -> None:
    async def script(peer: Peer) -> None:
        await peer.expect(mqtt5.ConnectPacket)
        await peer.send(mqtt5.ConnAckPacket(session_present=True))
        assert await peer.receive() is None

    listener = LinkListener()
    async with scripted_broker(script) as port, running_broker(listener, to_port(port), jitter=lambda: 1.0):
        event = await listener.event()
    assert isinstance(event, BrokerDown)
    assert "kept a session" in event.detail
    assert event.end is LinkEnd.SESSION_KEPT


@pytest.mark.hazard("H66")
def test_a_refused_certificate_is_tried_again_slowly_h66() -> None:
    assert back_off_s(0, 0.0, LinkEnd.CERTIFICATE_REFUSED) == 150.0
    assert back_off_s(0, 1.0, LinkEnd.CERTIFICATE_REFUSED) == 300.0
    assert back_off_s(0, 1.0, LinkEnd.SESSION_KEPT) == 1.0


async def test_a_refused_connection_says_why() -> None:
    async def script(peer: Peer) -> None:
        await peer.expect(mqtt5.ConnectPacket)
        await peer.send(mqtt5.ConnAckPacket(reason_code=mqtt5.ConnAckReasonCode.NOT_AUTHORIZED))
        await peer.until_closed()

    assert "Not authorized" in await detail_of(script)


async def test_a_connection_closed_before_its_acceptance_is_noticed_at_once() -> None:
    async def script(peer: Peer) -> None:
        await peer.expect(mqtt5.ConnectPacket)

    assert "before accepting it" in await asyncio.wait_for(detail_of(script), 5)


@pytest.mark.hazard("H67")
async def test_a_captive_portal_is_no_broker_h67() -> None:
    async def script(peer: Peer) -> None:
        await peer.expect(mqtt5.ConnectPacket)
        await peer.send_bytes(b"HTTP/1.1 302 Found\r\nLocation: http://portal/\r\n\r\n<html>")

    assert "before accepting it" in await detail_of(script)


@pytest.mark.hazard("H67")
async def test_a_captive_portal_is_asked_ever_more_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.adapters.broker.BACK_OFF_S_MIN", 0.01)
    loop = asyncio.get_running_loop()
    tries_s: list[float] = []
    enough = asyncio.Event()

    async def script(peer: Peer) -> None:
        tries_s.append(loop.time())
        if len(tries_s) == 6:
            enough.set()
        await peer.expect(mqtt5.ConnectPacket)
        await peer.send_bytes(b"HTTP/1.1 302 Found\r\nLocation: http://portal/\r\n\r\n<html>")

    listener = LinkListener()
    async with scripted_broker(script) as port, running_broker(listener, to_port(port), jitter=lambda: 1.0):
        await asyncio.wait_for(enough.wait(), 10)
    waits_s = [later - earlier for earlier, later in itertools.pairwise(tries_s)]
    assert all(wait_s >= 0.01 * 2**number for number, wait_s in enumerate(waits_s)), waits_s


@pytest.mark.hazard("H18")
async def test_a_packet_larger_than_announced_is_refused_before_it_is_read_h18() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.send_bytes(bytes([0x30, 0xFF, 0xFF, 0xFF, 0x7F]))  # a PUBLISH of 256 MiB
        for _ in range(256):
            await peer.send_bytes(bytes(1 << 20))

    memory_before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    detail = await detail_of(script)
    assert "packet of 268435455 bytes" in detail
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory_before < 64 * 1024


@pytest.mark.hazard("H71")
async def test_user_properties_of_60_kib_end_the_connection_and_not_the_agent_h71() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.send(mqtt5.PublishPacket(COMMANDS, b"", user_properties=[("k" * 30_000, "v" * 30_000)]))
        await peer.until_closed()

    assert "8192 were allowed" in await detail_of(script)


@pytest.mark.hazard("H71")
async def test_a_topic_that_is_not_utf_8_ends_the_connection_for_both_and_not_the_agent_h71() -> None:
    closed = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.send_bytes(b"\x30\x05\x00\x02\xff\xfe\x00")
        await peer.until_closed()
        closed.set()

    listener = LinkListener()
    async with scripted_broker(script) as port, running_broker(listener, to_port(port), jitter=lambda: 1.0):
        await listener.up()
        assert "not UTF-8" in await listener.down()
        await asyncio.wait_for(closed.wait(), 10)


@pytest.mark.parametrize(
    "raw",
    [
        bytes([0xF0, 0x00]),  # AUTH, which nobody asked for
        bytes([0x30, 0x01, 0x00]),  # PUBLISH without a whole topic
        bytes([0x90, 0x03, 0x00, 0x01, 0x00]),  # SUBACK to nothing
        bytes([0x40, 0x03, 0x00, 0x09, 0x55]),  # PUBACK with a reason that does not exist
        bytes([0xE0, 0x01, 0x55]),  # DISCONNECT with a reason that does not exist
        bytes([0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]),  # a length of five bytes
    ],
)
async def test_malformed_packets_do_not_end_the_agent(raw: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.send_bytes(raw)

    assert await detail_of(script)


async def test_a_delivery_of_qos_2_which_was_not_asked_for_ends_the_connection() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.send(publication(1, qos=mqtt5.QoS.EXACTLY_ONCE))
        await peer.expect(mqtt5.PubRecPacket)
        await peer.send(mqtt5.PubRelPacket(1))
        await peer.until_closed()

    assert "QoS 2" in await detail_of(script)


async def test_a_broker_that_ignores_receive_maximum_is_left() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        for number in range(UNACKNOWLEDGED_MAX + 1):
            await peer.send(publication(number + 1))
        await peer.until_closed()

    assert f"more than {UNACKNOWLEDGED_MAX} deliveries" in await detail_of(script)


async def test_the_brokers_reason_for_a_disconnect_is_told() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        reason = mqtt5.DisconnectReasonCode.ADMINISTRATIVE_ACTION
        # With properties: paho 2.1 overlooks a reason that stands alone.
        await peer.send(mqtt5.DisconnectPacket(reason_code=reason, reason_str="maintenance"))
        await peer.until_closed()

    assert "Administrative action" in await detail_of(script)


@pytest.mark.hazard("H64")
async def test_some_refused_subscriptions_are_told_and_the_link_is_used_h64() -> None:
    async def script(peer: Peer) -> None:
        await peer.expect(mqtt5.ConnectPacket)
        await peer.send(mqtt5.ConnAckPacket())
        subscribe = await peer.expect(mqtt5.SubscribePacket)
        codes = [mqtt5.SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE, mqtt5.SubAckReasonCode.NOT_AUTHORIZED]
        await peer.send(mqtt5.SubAckPacket(subscribe.packet_id, codes))
        await peer.send(publication(1))
        await peer.until_closed()

    listener = LinkListener()
    wishes = [Subscription(COMMANDS), Subscription(OTHER)]
    async with scripted_broker(script) as port, running_broker(listener, to_port(port), subscriptions=wishes):
        assert (await listener.up()).refused == (f"{OTHER}: Not authorized",)
        assert (await listener.delivery()).topic == COMMANDS


@pytest.mark.hazard("H64")
async def test_refused_subscriptions_are_asked_for_again_until_they_are_granted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A link without any is used all the same: what it cannot be told it can still tell."""
    monkeypatch.setattr("agent.adapters.broker.RESUBSCRIBE_S_MIN", 0.01)

    async def script(peer: Peer) -> None:
        await peer.expect(mqtt5.ConnectPacket)
        await peer.send(mqtt5.ConnAckPacket())
        refused = mqtt5.SubAckReasonCode.NOT_AUTHORIZED
        for reason in (refused, refused, mqtt5.SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE):
            subscribe = await peer.expect(mqtt5.SubscribePacket)
            assert [wish.pattern for wish in subscribe.topic_filters] == [COMMANDS]
            await peer.send(mqtt5.SubAckPacket(subscribe.packet_id, [reason]))
        await peer.send(publication(1))
        await peer.until_closed()

    listener = LinkListener()
    async with scripted_broker(script) as port, running_broker(listener, to_port(port)):
        assert (await listener.up()).refused == (f"{COMMANDS}: Not authorized",)
        assert (await listener.up()).refused == ()
        assert (await listener.delivery()).topic == COMMANDS


async def test_a_connection_that_is_given_up_ends_as_a_lost_one_does() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.until_closed()

    listener = LinkListener()
    async with scripted_broker(script) as port, running_broker(listener, to_port(port)) as broker:
        broker.reconnect("nothing to give up yet")
        await listener.up()
        broker.publish(Publish(RESULTS, b"never answered", token=3))
        broker.reconnect("the echo did not come back")
        assert await listener.published() == Published(3, "connection lost")
        assert await listener.down() == "the echo did not come back"
        await listener.up()


async def test_other_topics_are_asked_for_on_a_new_connection_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundle brought other operators: nothing failed, so nothing is waited for but the jitter of a first try."""
    asked: list[list[str]] = []
    failures: list[int] = []

    def at_once(failure_count: int, share: float, end: LinkEnd) -> float:
        failures.append(failure_count)
        return 0.0

    monkeypatch.setattr("agent.adapters.broker.back_off_s", at_once)

    async def script(peer: Peer) -> None:
        await peer.expect(mqtt5.ConnectPacket)
        if len(failures) < 2:
            return  # this one fails
        await peer.send(mqtt5.ConnAckPacket())
        subscribe = await peer.expect(mqtt5.SubscribePacket)
        asked.append([wish.pattern for wish in subscribe.topic_filters])
        granted = [mqtt5.SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE] * len(subscribe.topic_filters)
        await peer.send(mqtt5.SubAckPacket(subscribe.packet_id, granted))
        await peer.until_closed()

    listener = LinkListener()
    async with scripted_broker(script) as port, running_broker(listener, to_port(port)) as broker:
        for _ in range(2):
            await listener.down()
        await listener.up()
        broker.subscribe_to([Subscription(COMMANDS)])  # as before: no reason to go
        broker.subscribe_to([Subscription(OTHER), Subscription(COMMANDS)])
        assert "other topics" in await listener.down()
        await listener.up()
    assert asked == [[COMMANDS], [OTHER, COMMANDS]]
    assert failures == [0, 1, 0]


async def test_topics_that_change_while_they_are_asked_for_are_asked_for_again() -> None:
    """With one refused, so that the link goes on asking for it and nothing else wakes it up."""
    asked: list[list[str]] = []
    changed = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.expect(mqtt5.ConnectPacket)
        await peer.send(mqtt5.ConnAckPacket())
        subscribe = await peer.expect(mqtt5.SubscribePacket)
        asked.append([wish.pattern for wish in subscribe.topic_filters])
        broker.subscribe_to([Subscription(OTHER)])
        granted = [mqtt5.SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE, mqtt5.SubAckReasonCode.NOT_AUTHORIZED]
        await peer.send(mqtt5.SubAckPacket(subscribe.packet_id, granted[: len(subscribe.topic_filters)]))
        if len(asked) == 2:
            changed.set()
        await peer.until_closed()

    listener = LinkListener()
    wishes = [Subscription(COMMANDS), Subscription(OTHER)]
    async with (
        scripted_broker(script) as port,
        running_broker(listener, to_port(port), subscriptions=wishes) as broker,
    ):
        await asyncio.wait_for(changed.wait(), 5)
    assert asked == [[COMMANDS, OTHER], [OTHER]]


async def test_an_end_during_the_subscription_is_noticed_at_once() -> None:
    async def script(peer: Peer) -> None:
        await peer.expect(mqtt5.ConnectPacket)
        await peer.send(mqtt5.ConnAckPacket())
        await peer.expect(mqtt5.SubscribePacket)

    assert await asyncio.wait_for(detail_of(script), 5)


async def test_a_delivery_is_acknowledged_only_when_it_is_said_and_only_once() -> None:
    acknowledged = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.send(publication(11))
        await peer.send(publication(12))
        # The second is acknowledged first; were the first acknowledged by itself, it would come now.
        assert (await peer.expect(mqtt5.PubAckPacket)).packet_id == 12
        assert (await peer.expect(mqtt5.PubAckPacket)).packet_id == 11
        acknowledged.set()
        assert isinstance(await peer.receive(), mqtt5.DisconnectPacket)

    listener = LinkListener()
    async with scripted_broker(script) as port, running_broker(listener, to_port(port)) as broker:
        await listener.up()
        first, second = await listener.delivery(), await listener.delivery()
        broker.acknowledge(second.delivery_id)
        broker.acknowledge(second.delivery_id)
        broker.acknowledge(first.delivery_id)
        broker.acknowledge(999)
        await asyncio.wait_for(acknowledged.wait(), 10)


async def test_an_acknowledgement_never_reaches_another_connection() -> None:
    connections = 0
    done = asyncio.Event()

    async def script(peer: Peer) -> None:
        nonlocal connections
        connections += 1
        await peer.accept()
        await peer.send(publication(1))
        if connections == 2:
            assert (await peer.expect(mqtt5.PubAckPacket)).packet_id == 1
            assert isinstance(await peer.receive(), mqtt5.PublishPacket)
            done.set()
            await peer.until_closed()

    listener = LinkListener()
    async with scripted_broker(script) as port, running_broker(listener, to_port(port)) as broker:
        await listener.up()
        old = await listener.delivery()
        await listener.down()
        await listener.up()
        new = await listener.delivery()
        broker.acknowledge(old.delivery_id)
        broker.acknowledge(new.delivery_id)
        broker.publish(Publish(RESULTS, b"after the one acknowledgement"))
        await asyncio.wait_for(done.wait(), 10)


async def test_what_floods_in_at_qos_0_before_anybody_listens_is_dropped_and_counted_sr_09() -> None:
    async def script(peer: Peer) -> None:
        await peer.expect(mqtt5.ConnectPacket)
        await peer.send(mqtt5.ConnAckPacket())
        subscribe = await peer.expect(mqtt5.SubscribePacket)
        await peer.send_bytes(publication(7, qos=mqtt5.QoS.AT_MOST_ONCE).write() * 5000)
        await peer.send(mqtt5.SubAckPacket(subscribe.packet_id, [mqtt5.SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE]))
        await peer.send(publication(1))
        await peer.until_closed()

    listener = LinkListener()
    async with scripted_broker(script) as port, running_broker(listener, to_port(port)) as broker:
        await listener.up()
        for _ in range(LOOSE_MAX):
            assert (await listener.delivery()).payload == b"\x00\x07"
        assert (await listener.delivery()).payload == b"\x00\x01"
        assert broker.dropped_count == 5000 - LOOSE_MAX


@pytest.mark.hazard("H68")
async def test_a_flood_at_qos_0_while_we_listen_is_taken_as_it_comes_h68() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.send_bytes(publication(7, qos=mqtt5.QoS.AT_MOST_ONCE).write() * 5000)
        await peer.until_closed()

    listener = LinkListener()
    async with scripted_broker(script) as port, running_broker(listener, to_port(port)) as broker:
        await listener.up()
        for _ in range(5000):
            await listener.delivery()
        assert broker.dropped_count == 0


async def test_no_more_is_in_flight_than_the_broker_takes_and_no_more_taken_than_the_bound() -> None:
    counted = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.expect(mqtt5.ConnectPacket)
        await peer.send(mqtt5.ConnAckPacket(receive_max=5))
        subscribe = await peer.expect(mqtt5.SubscribePacket)
        await peer.send(mqtt5.SubAckPacket(subscribe.packet_id, [mqtt5.SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE]))
        in_flight = [await peer.expect(mqtt5.PublishPacket) for _ in range(5)]
        # A sixth in flight would come before the answer to this.
        await peer.send(publication(1))
        await peer.expect(mqtt5.PubAckPacket)
        for number in range(5, PUBLISHES_MAX):
            packet_id = in_flight.pop(0).packet_id
            assert packet_id is not None
            await peer.send(mqtt5.PubAckPacket(packet_id))
            in_flight.append(await peer.expect(mqtt5.PublishPacket))
            assert in_flight[-1].payload == number.to_bytes(2)
        for packet in in_flight:
            assert packet.packet_id is not None
            await peer.send(mqtt5.PubAckPacket(packet.packet_id))
        counted.set()
        await peer.until_closed()

    listener = LinkListener()
    async with scripted_broker(script) as port, running_broker(listener, to_port(port)) as broker:
        await listener.up()
        answers = [broker.publish(Publish(RESULTS, n.to_bytes(2), token=n)) for n in range(PUBLISHES_MAX + 1)]
        assert answers == [None] * PUBLISHES_MAX + ["busy"]
        broker.acknowledge((await listener.delivery()).delivery_id)
        assert await broker.flush(10)
        await asyncio.wait_for(counted.wait(), 10)
        assert [await listener.published() for _ in range(PUBLISHES_MAX)] == [
            Published(n, None) for n in range(PUBLISHES_MAX)
        ]


async def test_a_lost_connection_answers_what_was_under_way_and_nothing_is_sent_again() -> None:
    connections = 0
    second = asyncio.Event()

    async def script(peer: Peer) -> None:
        nonlocal connections
        connections += 1
        await peer.accept()
        if connections == 1:
            await peer.expect(mqtt5.PublishPacket)
            return
        await peer.send(publication(1))
        # Had the library kept the lost publication, it would come before this acknowledgement.
        await peer.expect(mqtt5.PubAckPacket)
        second.set()
        await peer.until_closed()

    listener = LinkListener()
    async with scripted_broker(script) as port, running_broker(listener, to_port(port)) as broker:
        await listener.up()
        assert broker.publish(Publish(RESULTS, b"lost", token=5)) is None
        assert broker.publish(Publish(RESULTS, b"lost, and nobody asks")) is None
        assert await listener.published() == Published(5, "connection lost")
        await listener.down()
        assert broker.publish(Publish(RESULTS, b"too early", token=6)) == "not connected"
        await listener.up()
        broker.acknowledge((await listener.delivery()).delivery_id)
        await asyncio.wait_for(second.wait(), 10)


async def test_a_message_larger_than_the_broker_takes_is_refused_here_and_the_connection_stays() -> None:
    async def script(peer: Peer) -> None:
        await peer.expect(mqtt5.ConnectPacket)
        await peer.send(mqtt5.ConnAckPacket(max_packet_size=256))
        subscribe = await peer.expect(mqtt5.SubscribePacket)
        await peer.send(mqtt5.SubAckPacket(subscribe.packet_id, [mqtt5.SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE]))
        fits = await peer.expect(mqtt5.PublishPacket)
        assert len(fits.write()) <= 256
        assert fits.packet_id is not None
        await peer.send(mqtt5.PubAckPacket(fits.packet_id))
        await peer.until_closed()

    listener = LinkListener()
    overhead = len(RESULTS) + 15
    async with scripted_broker(script) as port, running_broker(listener, to_port(port)) as broker:
        await listener.up()
        refusal = broker.publish(Publish(RESULTS, bytes(257 - overhead), expiry_s=30, token=1))
        assert refusal == "larger than the 256 bytes the broker takes"
        assert broker.publish(Publish(RESULTS, bytes(256 - overhead), expiry_s=30, token=2)) is None
        assert await listener.published() == Published(2, None)


@pytest.mark.hazard("H64")
async def test_a_refusal_that_nobody_waits_for_is_counted_and_told_once_a_type_and_connection_h64() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        for _ in range(4):
            packet_id = (await peer.expect(mqtt5.PublishPacket)).packet_id
            assert packet_id is not None
            await peer.send(mqtt5.PubAckPacket(packet_id, reason_code=mqtt5.PubAckReasonCode.NOT_AUTHORIZED))

    listener = LinkListener()
    state, caps = RESULTS.replace("/res", "/state"), RESULTS.replace("/res", "/caps")
    async with scripted_broker(script) as port, running_broker(listener, to_port(port)) as broker:
        for _ in range(2):
            await listener.up()
            for topic in (state, state, caps):
                assert broker.publish(Publish(topic, b"")) is None
            broker.publish(Publish(RESULTS, b"", token=1))
            assert await listener.published() == Published(1, "Not authorized")
            await listener.down()
        assert listener.refusals == [("state", "Not authorized"), ("caps", "Not authorized")] * 2
        assert broker.refused_counts == {"state": 4, "caps": 2}


async def test_what_is_not_even_sent_and_nobody_waits_for_is_told_too() -> None:
    async def script(peer: Peer) -> None:
        await peer.expect(mqtt5.ConnectPacket)
        await peer.send(mqtt5.ConnAckPacket(max_packet_size=256))
        subscribe = await peer.expect(mqtt5.SubscribePacket)
        await peer.send(mqtt5.SubAckPacket(subscribe.packet_id, [mqtt5.SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE]))
        await peer.until_closed()

    listener = LinkListener()
    async with scripted_broker(script) as port, running_broker(listener, to_port(port)) as broker:
        await listener.up()
        assert broker.publish(Publish(PRESENCE, bytes(300))) is not None
        assert broker.publish(Publish(PRESENCE, bytes(300), token=1)) is not None
        assert listener.refusals == [("presence", "larger than the 256 bytes the broker takes")]
        assert broker.refused_counts == {"presence": 1}


async def test_the_link_ends_with_its_will_spoken() -> None:
    ended: list[mqtt5.Packet | None] = []

    async def script(peer: Peer) -> None:
        await peer.accept()
        ended.append(await peer.receive())

    listener = LinkListener()
    async with scripted_broker(script) as port:
        async with running_broker(listener, to_port(port)):
            await listener.up()
        (packet,) = ended
        assert isinstance(packet, mqtt5.DisconnectPacket)
        assert packet.reason_code is mqtt5.DisconnectReasonCode.DISCONNECT_WITH_WILL_MESSAGE


async def test_what_a_listener_raises_ends_run() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.send(publication(1))
        await peer.until_closed()

    def refuse(delivery: Delivery) -> None:
        raise AssertionError("engine is broken")

    listener = LinkListener()
    async with scripted_broker(script) as port:
        broker = Broker(
            to_port(port),
            client_id="0011223344556677",
            will=(PRESENCE, presence_document(b"session1", is_online=False)),
            subscriptions=[Subscription(COMMANDS)],
            on_delivery=refuse,
            on_event=listener.on_event,
            on_refused=listener.on_refused,
        )
        with pytest.raises(AssertionError, match="engine is broken"):
            await asyncio.wait_for(broker.run(), 10)


async def test_a_port_nobody_listens_on_is_told_and_tried_again() -> None:
    listener = LinkListener()
    port = free_port()
    async with running_broker(listener, to_port(port)):
        for _ in range(3):
            assert await listener.down() == f"127.0.0.1 port {port}: Connection refused"


@pytest.mark.hazard("H67")
async def test_a_name_that_does_not_exist_is_told_h67(tmp_path: Path) -> None:
    listener = LinkListener()
    settings = BrokerSettings("no-such-broker.invalid", ca_file=Authority(tmp_path).ca_file)
    async with running_broker(listener, settings):
        assert "no-such-broker.invalid: the name cannot be looked up" in await listener.down()


def test_the_back_off_doubles_under_full_jitter_up_to_five_minutes() -> None:
    assert [back_off_s(failures, 1.0) for failures in range(10)] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]
    assert back_off_s(10_000, 1.0) == 300
    assert back_off_s(5, 0.5) == 16
    assert back_off_s(5, 0.0) == 0


async def test_dialling_turns_nagle_off_and_can_be_cancelled() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        connection = await dial("127.0.0.1", server.getsockname()[1], None)
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert not connection.getblocking()
        connection.close()


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "no..name", "sp\u00e4t..example"])
async def test_a_host_that_is_no_name_at_all_is_a_link_error_at_once(host: str) -> None:
    """Python tells it by an error of another kind, in the thread that asks; nobody would hear of it."""
    async with asyncio.timeout(5):
        with pytest.raises(LinkError, match="no host name"):
            await dial(host, 1883, None)


async def test_a_peer_that_never_finishes_the_handshake_can_be_given_up(tmp_path: Path) -> None:
    context = tls_context(Authority(tmp_path).ca_file, None, None)
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await dial("127.0.0.1", server.getsockname()[1], context)


async def test_a_peer_that_speaks_no_tls_is_told(tmp_path: Path) -> None:
    async def script(peer: Peer) -> None:
        await peer.send_bytes(b"SSH-2.0-OpenSSH_9.2\r\n")

    context = tls_context(Authority(tmp_path).ca_file, None, None)
    async with scripted_broker(script) as port:
        with pytest.raises(LinkError, match=r"no TLS 1\.3 connection"):
            await dial("127.0.0.1", port, context)


@pytest.mark.hazard("H65")
async def test_a_broker_without_tls_1_3_is_refused_h65(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server = authority.issue("broker", is_server=True, host="127.0.0.1")
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    old.load_cert_chain(server.certificate_file, server.key_file)
    listening = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0, ssl=old)
    async with listening:
        with pytest.raises(LinkError, match=r"no TLS 1\.3 connection"):
            await dial("127.0.0.1", listening.sockets[0].getsockname()[1], tls_context(authority.ca_file, None, None))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "::1", "localhost"])
def test_plain_connections_may_go_to_this_machine(host: str) -> None:
    require_loopback(host)


@pytest.mark.parametrize("host", ["10.0.0.1", "broker.example.com", "localhost.example.com", "2001:db8::1"])
def test_plain_connections_may_not_leave_this_machine(host: str) -> None:
    with pytest.raises(ConfigurationError, match="must be TLS"):
        require_loopback(host)


def test_a_plain_link_that_would_leave_this_machine_is_made_only_if_that_is_allowed_in_so_many_words() -> None:
    listener = LinkListener()

    def make(settings: BrokerSettings) -> Broker:
        return Broker(
            settings,
            client_id="0011223344556677",
            will=(PRESENCE, presence_document(b"session1", is_online=False)),
            subscriptions=[],
            on_delivery=listener.on_delivery,
            on_event=listener.on_event,
            on_refused=listener.on_refused,
        )

    with pytest.raises(ConfigurationError, match="allow_unencrypted_network = true"):
        make(BrokerSettings("broker.example.com"))
    assert make(BrokerSettings("broker.example.com", is_unencrypted_network_allowed=True))


def test_tls_files_that_are_wrong_are_named(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, other = authority.issue("car"), authority.issue("other")
    with pytest.raises(ConfigurationError, match=r"nowhere\.pem"):
        tls_context(tmp_path / "nowhere.pem", None, None)
    with pytest.raises(ConfigurationError, match="go together"):
        tls_context(authority.ca_file, certificate.certificate_file, None)
    with pytest.raises(ConfigurationError, match=r"no matching certificate and key"):
        tls_context(authority.ca_file, certificate.certificate_file, other.key_file)
    certificate.key_file.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        tls_context(authority.ca_file, certificate.certificate_file, certificate.key_file)
