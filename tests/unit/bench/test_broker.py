"""The bench broker as clients see it: aiomqtt for what a good client does, raw packets for what it must not do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import aiomqtt
import mqtt5
import pytest
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.bench.broker import CONNECTIONS_MAX, BenchBroker
from agent.bench.broker_wire import PACKET_BYTES_MAX
from tests.support.mqtt_wire import WireClient

TIMEOUT_S = 5.0


@pytest.fixture
async def broker() -> AsyncIterator[BenchBroker]:
    async with BenchBroker() as broker:
        yield broker


def _client(broker: BenchBroker, client_id: str, **options: object) -> aiomqtt.Client:
    return aiomqtt.Client(
        broker.host,
        broker.port,
        identifier=client_id,
        protocol=aiomqtt.ProtocolVersion.V5,
        timeout=TIMEOUT_S,
        **options,  # type: ignore[arg-type]
    )


async def _next(client: aiomqtt.Client) -> aiomqtt.Message:
    async with asyncio.timeout(TIMEOUT_S):
        return await anext(aiter(client.messages))


@pytest.mark.parametrize("qos", [0, 1])
async def test_a_message_reaches_the_subscriber_as_published(broker: BenchBroker, qos: int) -> None:
    async with _client(broker, "reader") as reader, _client(broker, "writer") as writer:
        await reader.subscribe("a/+", qos=1)
        await writer.publish("a/b", b"payload", qos=qos)
        message = await _next(reader)
    assert (str(message.topic), message.payload, message.qos, message.retain) == ("a/b", b"payload", qos, False)


async def test_properties_travel_with_the_message_and_the_expiry_counts_down(broker: BenchBroker) -> None:
    async with WireClient(broker.port) as reader, WireClient(broker.port) as writer:
        await reader.connect("reader")
        await reader.subscribe("a")
        await writer.connect("writer")
        await writer.send(
            mqtt5.PublishPacket(
                "a",
                b"x",
                message_expiry_interval=60,
                content_type="application/cbor",
                response_topic="answer",
                correlation_data=b"7",
                user_properties=[("k", "v")],
            )
        )
        got = await reader.receive_publish()
    assert (got.content_type, got.response_topic, got.correlation_data) == ("application/cbor", "answer", b"7")
    assert got.user_properties == [("k", "v")]
    assert got.message_expiry_interval is not None
    assert 0 < got.message_expiry_interval <= 60


async def test_the_qos_of_a_delivery_is_at_most_the_one_subscribed(broker: BenchBroker) -> None:
    async with _client(broker, "reader") as reader, _client(broker, "writer") as writer:
        await reader.subscribe("a", qos=0)
        await writer.publish("a", b"x", qos=1)
        assert (await _next(reader)).qos == 0


async def test_connack_says_what_the_broker_lacks(broker: BenchBroker) -> None:
    async with WireClient(broker.port) as wire:
        connack = await wire.connect("c", clean_start=False, session_expiry_interval=3600)
    assert not connack.session_present
    assert connack.session_expiry_interval == 0
    assert connack.max_qos == mqtt5.QoS.AT_LEAST_ONCE
    assert not connack.shared_subscription_available
    assert not connack.subscription_id_available
    assert "tests" in dict(connack.user_properties)["broker"]


async def test_a_message_for_an_absent_client_is_not_kept_for_it(broker: BenchBroker) -> None:
    async with WireClient(broker.port) as wire:
        await wire.connect("c", clean_start=True, session_expiry_interval=3600)
        await wire.subscribe("a")
    async with _client(broker, "writer") as writer:
        await writer.publish("a", b"x", qos=1)
    async with WireClient(broker.port) as wire:
        assert not (await wire.connect("c", clean_start=False)).session_present
        assert await wire.is_quiet()


async def test_a_retained_message_is_for_newcomers_until_an_empty_one_clears_it(broker: BenchBroker) -> None:
    async with (
        _client(broker, "writer") as writer,
        _client(broker, "reader") as reader,
        _client(broker, "late") as late,
    ):
        await writer.publish("state/car", b"1", qos=1, retain=True)
        await reader.subscribe("state/#", qos=1)
        message = await _next(reader)
        assert (message.payload, message.retain) == (b"1", True)
        await writer.publish("state/car", b"", qos=1, retain=True)
        await late.subscribe("state/#", qos=1)
        await writer.publish("state/next", b"2", qos=1)
        assert (await _next(late)).payload == b"2"


@pytest.mark.parametrize(("handling", "expected"), [(0, [True, True]), (1, [True, False]), (2, [False, False])])
async def test_retain_handling_decides_who_gets_retained_messages(
    broker: BenchBroker, handling: int, expected: list[bool]
) -> None:
    """H56: an agent subscribes with 2, so a retained command waiting there is not delivered."""
    async with _client(broker, "writer") as writer, _client(broker, "reader") as reader:
        await writer.publish("cmd", b"old", qos=1, retain=True)
        got = []
        for _ in range(2):
            await reader.subscribe("cmd", options=SubscribeOptions(qos=1, retainHandling=handling))
            await reader.publish("cmd", b"mark", qos=1)
            first = await _next(reader)
            got.append(first.payload == b"old")
            if got[-1]:
                assert (await _next(reader)).payload == b"mark"
    assert got == expected


@pytest.mark.parametrize("is_kept", [True, False])
async def test_retain_as_published_keeps_the_flag_of_a_live_message(broker: BenchBroker, is_kept: bool) -> None:
    """H57: only so can the agent tell a command that was published with the retain flag."""
    async with _client(broker, "writer") as writer, _client(broker, "reader") as reader:
        await reader.subscribe("cmd", options=SubscribeOptions(qos=1, retainAsPublished=is_kept, retainHandling=2))
        await writer.publish("cmd", b"x", qos=1, retain=True)
        assert (await _next(reader)).retain is is_kept


async def test_no_local_leaves_out_ones_own_messages(broker: BenchBroker) -> None:
    async with _client(broker, "me") as me, _client(broker, "other") as other:
        await me.subscribe("a", options=SubscribeOptions(qos=1, noLocal=True))
        await me.publish("a", b"mine", qos=1)
        await other.publish("a", b"theirs", qos=1)
        assert (await _next(me)).payload == b"theirs"


async def test_overlapping_subscriptions_bring_one_copy_at_the_higher_qos(broker: BenchBroker) -> None:
    async with _client(broker, "reader") as reader, _client(broker, "writer") as writer:
        await reader.subscribe("a/#", qos=0)
        await reader.subscribe("a/b", qos=1)
        await writer.publish("a/b", b"1", qos=1)
        await writer.publish("a/b", b"2", qos=1)
        messages = [await _next(reader), await _next(reader)]
    assert [(one.payload, one.qos) for one in messages] == [(b"1", 1), (b"2", 1)]


async def test_an_expired_retained_message_is_not_delivered(broker: BenchBroker) -> None:
    async with WireClient(broker.port) as wire:
        await wire.connect("c")
        await wire.send(mqtt5.PublishPacket("a", b"x", retain=True, message_expiry_interval=0))
        await wire.subscribe("a")
        assert await wire.is_quiet()


async def test_the_will_of_a_client_that_vanishes_is_published(broker: BenchBroker) -> None:
    will = aiomqtt.Will("presence", b"gone", qos=1, retain=True)
    async with _client(broker, "watcher") as watcher:
        await watcher.subscribe("presence", qos=1)
        with pytest.raises(aiomqtt.MqttError):
            async with _client(broker, "car", will=will) as car:
                assert broker.cut("car")
                await _next(car)
        assert (await _next(watcher)).payload == b"gone"


async def test_the_will_of_a_client_that_says_goodbye_is_not_published(broker: BenchBroker) -> None:
    async with _client(broker, "watcher") as watcher:
        await watcher.subscribe("#", qos=1)
        async with _client(broker, "car", will=aiomqtt.Will("presence", b"gone", qos=1)) as car:
            await car.publish("mark", b"1", qos=1)
        await watcher.publish("mark", b"2", qos=1)
        assert [(await _next(watcher)).payload for _ in range(2)] == [b"1", b"2"]


async def test_a_second_client_of_the_same_id_takes_over(broker: BenchBroker) -> None:
    """H61: the first hears why, and its will is published."""
    async with WireClient(broker.port) as first, WireClient(broker.port) as second:
        await first.connect("car", will=mqtt5.Will("presence", payload=b"gone"))
        async with _client(broker, "watcher") as watcher:
            await watcher.subscribe("presence", qos=1)
            await second.connect("car")
            assert (await _next(watcher)).payload == b"gone"
        packet = await first.receive()
        assert isinstance(packet, mqtt5.DisconnectPacket)
        assert packet.reason_code is mqtt5.DisconnectReasonCode.SESSION_TAKEN_OVER
        await second.subscribe("a")


async def test_receive_maximum_bounds_what_is_in_flight_to_a_client(broker: BenchBroker) -> None:
    async with WireClient(broker.port) as wire, _client(broker, "writer") as writer:
        await wire.connect("c", receive_max=2)
        await wire.subscribe("a")
        for number in range(4):
            await writer.publish("a", str(number), qos=1)
        first, second = await wire.receive_publish(), await wire.receive_publish()
        assert (first.payload, second.payload) == (b"0", b"1")
        assert await wire.is_quiet()
        await wire.acknowledge(first)
        assert (await wire.receive_publish()).payload == b"2"


async def test_a_packet_above_the_clients_maximum_is_left_out(broker: BenchBroker) -> None:
    async with WireClient(broker.port) as wire, _client(broker, "writer") as writer:
        await wire.connect("c", max_packet_size=100)
        await wire.subscribe("a")
        await writer.publish("a", bytes(200), qos=1)
        await writer.publish("a", b"small", qos=1)
        assert (await wire.receive_publish()).payload == b"small"


async def test_a_packet_above_the_brokers_maximum_ends_the_connection_by_its_header(broker: BenchBroker) -> None:
    """H18: the body is not waited for."""
    async with WireClient(broker.port) as wire:
        await wire.connect("c")
        whole = mqtt5.PublishPacket("a", bytes(PACKET_BYTES_MAX)).write()
        await wire.send_bytes(whole[:8])
        assert await wire.receive_disconnect() is mqtt5.DisconnectReasonCode.PACKET_TOO_LARGE


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the codec's panic, see broker_wire
@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (mqtt5.PublishPacket("a", b"", qos=mqtt5.QoS.EXACTLY_ONCE, packet_id=1).write(), "QOS_NOT_SUPPORTED"),
        (mqtt5.PublishPacket("a", b"", topic_alias=1).write(), "TOPIC_ALIAS_INVALID"),
        (mqtt5.PublishPacket("a/X", b"").write().replace(b"X", b"#"), "TOPIC_NAME_INVALID"),
        (mqtt5.PublishPacket("a", b"", response_topic="b/X").write().replace(b"X", b"#"), "TOPIC_NAME_INVALID"),
        (b"\x30\x06\x00\x03a\xff\xfe\x00", "MALFORMED_PACKET"),
        (b"\xf0\xff\xff\xff\xff", "MALFORMED_PACKET"),
        (mqtt5.ConnectPacket("again").write(), "PROTOCOL_ERROR"),
        (mqtt5.AuthPacket(authentication_method="x").write(), "PROTOCOL_ERROR"),
        (
            mqtt5.SubscribePacket(1, [mqtt5.TopicFilter("a")], subscription_id=1).write(),
            "SUBSCRIPTION_IDS_NOT_SUPPORTED",
        ),
    ],
)
async def test_a_breach_of_the_standard_is_answered_with_its_reason(broker: BenchBroker, raw: bytes, code: str) -> None:
    """H71 among them: a topic that is not UTF-8."""
    async with WireClient(broker.port) as wire:
        await wire.connect("c")
        await wire.send_bytes(raw)
        assert (await wire.receive_disconnect()).name == code
    async with _client(broker, "next") as client:
        await client.publish("a", b"still alive", qos=1)


async def test_a_client_of_another_protocol_is_cut_off(broker: BenchBroker) -> None:
    async with WireClient(broker.port) as wire:
        await wire.send_bytes(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00")
        assert await wire.receive() is None


async def test_a_client_silent_for_one_and_a_half_keep_alives_is_cut_off(broker: BenchBroker) -> None:
    async with WireClient(broker.port) as wire:
        await wire.connect("c", keep_alive=1)
        assert await wire.receive_disconnect() is mqtt5.DisconnectReasonCode.KEEP_ALIVE_TIMEOUT


async def test_connections_above_the_bound_are_refused(broker: BenchBroker) -> None:
    wires = [WireClient(broker.port) for _ in range(CONNECTIONS_MAX)]
    for number, wire in enumerate(wires):
        await wire.open()
        await wire.connect(f"c{number}")
    async with WireClient(broker.port) as one_more:
        assert await one_more.receive() is None
    for wire in wires:
        await wire.close()


async def test_a_shared_or_malformed_filter_is_refused_in_the_suback(broker: BenchBroker) -> None:
    async with WireClient(broker.port) as wire:
        await wire.connect("c")
        assert (await wire.subscribe("$share/group/a")).name == "SHARED_SUBSCRIPTIONS_NOT_SUPPORTED"
        malformed = mqtt5.SubscribePacket(9, [mqtt5.TopicFilter("a/X/b")]).write().replace(b"X", b"#")
        await wire.send_bytes(malformed)  # the codec would not write it
        packet = await wire.receive()
        assert isinstance(packet, mqtt5.SubAckPacket)
        assert [code.name for code in packet.reason_codes] == ["TOPIC_FILTER_INVALID"]
        assert (await wire.subscribe("a/#")).name == "GRANTED_QOS_AT_LEAST_ONCE"


async def test_a_client_that_unsubscribes_gets_no_more(broker: BenchBroker) -> None:
    async with _client(broker, "reader") as reader:
        await reader.subscribe("a", qos=1)
        assert broker.subscriptions("reader") == {"a"}
        await reader.unsubscribe("a")
        assert broker.subscriptions("reader") == frozenset()


async def test_publishing_where_nobody_listens_says_so(broker: BenchBroker) -> None:
    async with WireClient(broker.port) as wire:
        await wire.connect("c")
        assert await wire.publish("nobody", b"x") is mqtt5.PubAckReasonCode.NO_MATCHING_SUBSCRIBERS


async def test_a_stopped_broker_says_so_and_starts_again_on_the_same_port_with_nothing_kept(
    broker: BenchBroker,
) -> None:
    async with WireClient(broker.port) as wire:
        await wire.connect("c")
        await wire.publish("a", b"x", is_retained=True)
        port = broker.port
        await broker.stop()
        assert await wire.receive_disconnect() is mqtt5.DisconnectReasonCode.SERVER_SHUTTING_DOWN
    with pytest.raises(ConnectionError):
        await WireClient(port).open()
    await broker.start()
    assert broker.port == port
    async with WireClient(port) as wire:
        await wire.connect("c")
        await wire.subscribe("a")
        assert await wire.is_quiet()


async def test_fault_a_puback_is_lost_and_the_message_is_not(broker: BenchBroker) -> None:
    """H59."""
    broker.faults.pubacks_to_drop = 1
    async with WireClient(broker.port) as wire, _client(broker, "reader") as reader:
        await reader.subscribe("a", qos=1)
        await wire.connect("c")
        await wire.send(mqtt5.PublishPacket("a", b"1", qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=1))
        assert (await _next(reader)).payload == b"1"
        assert await wire.is_quiet()
        assert await wire.publish("a", b"2") is mqtt5.PubAckReasonCode.SUCCESS


async def test_fault_a_delivery_comes_twice_the_second_time_as_duplicate(broker: BenchBroker) -> None:
    broker.faults.deliveries_to_duplicate = 1
    async with WireClient(broker.port) as wire, _client(broker, "writer") as writer:
        await wire.connect("c")
        await wire.subscribe("a")
        await writer.publish("a", b"x", qos=1)
        first, second = await wire.receive_publish(), await wire.receive_publish()
        assert (first.duplicate, second.duplicate) == (False, True)
        assert (first.packet_id, first.payload) == (second.packet_id, second.payload)


async def test_fault_a_refused_topic_is_not_authorized_for_publishing_and_subscribing(broker: BenchBroker) -> None:
    """H64."""
    broker.faults.refused_topics.add("v1/1/+/res")
    async with WireClient(broker.port) as wire, _client(broker, "reader") as reader:
        await reader.subscribe("#", qos=1)
        await wire.connect("c")
        assert await wire.publish("v1/1/00/res", b"x") is mqtt5.PubAckReasonCode.NOT_AUTHORIZED
        assert await wire.subscribe("v1/1/+/res") is mqtt5.SubAckReasonCode.NOT_AUTHORIZED
        await wire.publish("other", b"y")
        assert (await _next(reader)).payload == b"y"


async def test_fault_a_swallowed_topic_is_acknowledged_and_goes_nowhere(broker: BenchBroker) -> None:
    """H69."""
    broker.faults.swallowed_topics.add("echo")
    async with WireClient(broker.port) as wire, _client(broker, "reader") as reader:
        await reader.subscribe("#", qos=1)
        await wire.connect("c")
        assert await wire.publish("echo", b"x") is mqtt5.PubAckReasonCode.SUCCESS
        await wire.publish("other", b"y")
        assert (await _next(reader)).payload == b"y"


async def test_fault_a_frozen_link_lets_nothing_through_and_loses_nothing(broker: BenchBroker) -> None:
    async with WireClient(broker.port) as wire, WireClient(broker.port) as other:
        await wire.connect("c", keep_alive=1)
        await wire.subscribe("a")
        await other.connect("d")
        broker.freeze()
        await other.send(mqtt5.PublishPacket("a", b"x"))
        assert await wire.is_quiet(2.0)  # longer than its keep-alive allows: a frozen broker does not cut off either
        broker.thaw()
        assert (await wire.receive_publish()).payload == b"x"


async def test_fault_a_frozen_link_holds_back_what_others_cause(broker: BenchBroker) -> None:
    async with WireClient(broker.port) as watcher, WireClient(broker.port) as car:
        await watcher.connect("watcher")
        await watcher.subscribe("presence")
        await car.connect("car", will=mqtt5.Will("presence", payload=b"gone"))
        broker.freeze()
        broker.cut("car")
        assert await watcher.is_quiet()
        broker.thaw()
        assert (await watcher.receive_publish()).payload == b"gone"


async def test_a_client_that_does_not_read_is_cut_off() -> None:
    cut_off = asyncio.Event()

    def watch(event: str, _fields: Mapping[str, object]) -> None:
        if event == "client_too_slow":
            cut_off.set()

    async with (
        BenchBroker(on_event=watch) as broker,
        WireClient(broker.port, is_reading=False) as wire,
        _client(broker, "writer") as writer,
    ):
        await wire.connect("slow")
        await wire.subscribe("a")
        for _ in range(400):  # 24 MB: more than the kernel holds for a socket that is not read
            await writer.publish("a", bytes(60_000), qos=1)
            if cut_off.is_set():
                break
        assert cut_off.is_set()
        await writer.publish("a", b"others go on", qos=1)


async def test_a_lost_connection_shows_as_an_error_in_aiomqtt(broker: BenchBroker) -> None:
    with pytest.raises(aiomqtt.MqttError):
        async with _client(broker, "car") as car:
            broker.cut("car")
            await _next(car)
