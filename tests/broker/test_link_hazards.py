"""Hazards H56 to H72 done to the whole agent: what a broker and a network may do, and what must come of it.

Those of one part of the agent stand with that part, under the same marks.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import mqtt5
import pytest

from agent.backend.reception import Ignored
from agent.bench.broker import BenchBroker
from agent.bench.setup import CAR_NAME
from agent.model.command import Action
from tests.support.fault_proxy import FaultProxy, Way, packet_types
from tests.support.live_car import LiveCar, live_car, soon, told
from tests.support.mosquitto import Authority, Mosquitto, free_port, mosquitto, tls_options
from tests.support.mqtt_tap import MqttTap, mqtt_tap
from tests.support.mqtt_wire import WireClient

pytestmark = pytest.mark.broker

CONNACK, PUBACK = 2, 4


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with mosquitto(tmp_path) as broker:
        yield broker


@pytest.fixture
def tap(broker: Mosquitto) -> Iterator[MqttTap]:
    with mqtt_tap(broker.port) as tap:
        yield tap


@pytest.fixture
async def proxy(broker: Mosquitto) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(broker.port) as proxy:
        yield proxy


@pytest.fixture
async def live(tmp_path: Path, broker: Mosquitto, proxy: FaultProxy) -> AsyncIterator[LiveCar]:
    async with live_car(tmp_path, car_port=proxy.port, backend_port=broker.port) as live:
        yield live


async def is_working(live: LiveCar) -> bool:
    """Whether an operator's command is carried out now."""
    return (await live.backend.lock(CAR_NAME)).is_verified


async def lost_and_found(live: LiveCar, proxy: FaultProxy, connections: int) -> None:
    await soon(lambda: proxy.connections > connections, what="a new connection")
    await live.connected()


# --- commands -----------------------------------------------------------------------------------------------------


@pytest.mark.hazard("H56")
async def test_a_command_retained_while_the_car_was_away_moves_nothing(
    live: LiveCar, proxy: FaultProxy, tap: MqttTap
) -> None:
    command = await live.signed(Action.UNLOCK, counter=1)
    connections = proxy.connections
    proxy.is_refusing = True
    proxy.cut()
    await soon(lambda: not live.app._engine._link_watch.is_connected, what="the car is away")
    await asyncio.to_thread(tap.publish, live.installed.topic("cmd"), command, is_retained=True)
    proxy.resume()
    await lost_and_found(live, proxy, connections)
    assert await live.backend.ping(CAR_NAME) is not None
    assert live.lock_requests == 0
    # It was a good one: sent as commands are sent, it is obeyed.
    await asyncio.to_thread(tap.publish, live.installed.topic("cmd"), command)
    await soon(lambda: live.lock_requests == 1, what="the command is obeyed")


@pytest.mark.hazard("H57")
async def test_a_live_command_with_the_retain_flag_moves_nothing(live: LiveCar, tap: MqttTap) -> None:
    command = await live.signed(Action.UNLOCK, counter=1)
    await asyncio.to_thread(tap.publish, live.installed.topic("cmd"), command, is_retained=True)
    assert await live.backend.ping(CAR_NAME) is not None
    assert await live.dropped("retained") == 1
    assert live.lock_requests == 0


@pytest.mark.hazard("H58")
async def test_commands_of_every_quality_of_service_are_treated_alike(live: LiveCar, tap: MqttTap) -> None:
    for qos, action in enumerate((Action.UNLOCK, Action.LOCK, Action.UNLOCK)):
        command = await live.signed(action, counter=qos + 1)
        await asyncio.to_thread(tap.publish, live.installed.topic("cmd"), command, qos=qos)
        await soon(lambda: live.app._engine.is_commanding, what="it is begun")
        await soon(lambda: not live.app._engine.is_commanding, what="it is ended")
        assert live.lock_requests == qos + 1
        assert live.car.car.lock.is_locked is (action is Action.LOCK)


@pytest.mark.hazard("H59")
async def test_a_command_delivered_again_gets_the_stored_result_and_is_done_once(tmp_path: Path) -> None:
    """No real broker makes a redelivery with DUP on request, and none into a clean session; the bench's does."""
    async with BenchBroker() as broker, live_car(tmp_path, car_port=broker.port, backend_port=broker.port) as live:
        broker.faults.deliveries_to_duplicate = 100
        assert (await live.backend.unlock(CAR_NAME)).is_verified
        broker.faults.clear()
        assert live.lock_requests == 1


@pytest.mark.hazard("H59")
@pytest.mark.hazard("H60")
@pytest.mark.parametrize("is_cut", [False, True])
async def test_a_command_whose_puback_was_lost_is_done_once(live: LiveCar, proxy: FaultProxy, is_cut: bool) -> None:
    """The link is cut at the acknowledgement, which comes behind the decision; or loses it, and is cut later."""
    lost = 0

    def lose(way: Way, chunk: bytes) -> bytes:
        nonlocal lost
        if way is Way.TO_BROKER and lost == 0 and PUBACK in packet_types(chunk):
            lost += 1
            if is_cut:
                proxy.cut()
            return b""
        return chunk

    assert await live.backend.ping(CAR_NAME) is not None
    connections = proxy.connections
    proxy.rewrite = lose
    unlocking = asyncio.create_task(live.backend.unlock(CAR_NAME))
    await soon(lambda: lost, what="an acknowledgement is lost")
    if not is_cut:
        await soon(lambda: live.lock_requests, what="it is begun")
        proxy.cut()
    result = await unlocking
    assert result.is_verified
    assert live.lock_requests == 1
    assert proxy.connections > connections


@pytest.mark.hazard("H61")
async def test_a_second_client_with_the_cars_id_is_told_as_flapping_and_causes_no_double(
    live: LiveCar, broker: Mosquitto, proxy: FaultProxy, tap: MqttTap
) -> None:
    assert await live.backend.ping(CAR_NAME) is not None
    unlocking = asyncio.create_task(live.backend.unlock(CAR_NAME))
    for _ in range(4):
        connections = proxy.connections
        async with WireClient(broker.port) as intruder:
            await intruder.connect(live.installed.car)
        await lost_and_found(live, proxy, connections)
    events = live.installed.topic("evt")
    await soon(lambda: told(tap.payloads(events), "flapping"), what="flapping is told")
    assert (await unlocking).is_verified
    assert live.lock_requests == 1


# --- a broker that lies -------------------------------------------------------------------------------------------


@pytest.mark.hazard("H62")
async def test_a_session_kept_after_a_clean_start_is_left_and_told(
    live: LiveCar, proxy: FaultProxy, tap: MqttTap
) -> None:
    lies = 0

    def keep(way: Way, chunk: bytes) -> bytes:
        nonlocal lies
        if way is Way.FROM_BROKER and lies == 0 and packet_types(chunk)[:1] == [CONNACK]:
            lies += 1
            return chunk[:2] + bytes([chunk[2] | 1]) + chunk[3:]
        return chunk

    proxy.rewrite = keep
    connections = proxy.connections
    proxy.cut()
    await soon(lambda: proxy.connections >= connections + 2, what="the lie is left")
    await soon(lambda: told(tap.payloads(live.installed.topic("evt")), "session_kept"), what="it is told")
    assert lies == 1
    assert await is_working(live)


@pytest.mark.hazard("H63")
async def test_messages_on_topics_not_subscribed_and_topic_aliases_move_nothing(
    live: LiveCar, proxy: FaultProxy
) -> None:
    command = await live.signed(Action.UNLOCK, counter=1)
    car = live.installed.car
    for topic in (f"v1/1/{car}/command", f"v1/all/{car}/cmd", f"v1/1/{'0' * 16}/cmd", "$SYS/cmd", f"v1/1/{car}/cmd/x"):
        proxy.inject(mqtt5.PublishPacket(topic, command, qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=900).write())
    await soon(lambda: live.app._engine._commanding.dropped["topic"] == 5, what="all are dropped")
    for topic in (live.installed.topic("cmd"), ""):
        proxy.inject(mqtt5.PublishPacket(topic, b"", topic_alias=7).write())
    assert live.lock_requests == 0
    assert await is_working(live)


@pytest.mark.hazard("H64")
async def test_refused_subscriptions_are_reported_and_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.adapters.broker.RESUBSCRIBE_S_MIN", 0.1)
    async with (
        BenchBroker() as broker,
        live_car(tmp_path, car_port=broker.port, backend_port=broker.port) as live,
    ):
        watch, topic = live.app._engine._link_watch, live.installed.topic("cmd")
        broker.faults.refused_topics.add(topic)
        broker.cut(live.installed.car)
        await soon(
            lambda: watch.status()["subscriptions_refused"] == [f"{topic}: Not authorized"], what="it is reported"
        )
        broker.faults.clear()
        await soon(lambda: watch.status()["subscriptions_refused"] == [], what="it is granted")
        assert await is_working(live)


@pytest.mark.hazard("H69")
async def test_a_broker_that_takes_everything_and_passes_on_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mosquitto without read rights: it grants the subscription, acknowledges the echo, and that was that."""
    monkeypatch.setattr("agent.link_watch.ECHO_WAIT_S", 0.2)
    (tmp_path / "acl").write_text("topic write v1/#\ntopic read v1/+/+/evt\n")
    with mosquitto(tmp_path, ["acl_file acl"]) as broker, mqtt_tap(broker.port) as tap:
        async with (
            FaultProxy(broker.port) as proxy,
            live_car(tmp_path, car_port=proxy.port, backend_port=broker.port) as live,
        ):
            await soon(lambda: proxy.connections >= 3, what="it is left twice")
            await soon(lambda: told(tap.payloads(live.installed.topic("evt")), "echo_lost"), what="it is told")


@pytest.mark.hazard("H69")
async def test_a_link_that_is_dead_and_looks_alive_is_left_and_nothing_is_lost(
    live: LiveCar, proxy: FaultProxy, tap: MqttTap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.link_watch.ECHO_WAIT_S", 0.2)
    monkeypatch.setattr("agent.link_watch.ECHO_IN_USE_S", 0.5)
    connections = proxy.connections
    proxy.stall()
    engine = live.app._engine
    await soon(lambda: proxy.connections > connections, what="it is left")
    for number in range(50):
        fields = {"version": number + 1, "operators": [1]}
        engine._telemetry.tell("trust", fields, engine._session.started_s)
    proxy.resume()
    await live.connected()

    def numbers() -> list[int]:
        records = [json.loads(payload) for payload in tap.payloads(live.installed.topic("evt"))]
        return [record["version"] - 1 for record in records if record["kind"] == "trust"]

    await soon(lambda: sorted(set(numbers())) == list(range(50)), what="all that waited arrived")


@pytest.mark.hazard("H70")
async def test_results_and_greetings_the_broker_forges_are_not_believed(live: LiveCar, tap: MqttTap) -> None:
    assert await is_working(live)
    for topic in (live.installed.topic("res"), live.installed.topic("hello")):
        genuine = tap.payloads(topic)[-1]
        await asyncio.to_thread(tap.publish, topic, genuine[:-1] + bytes([genuine[-1] ^ 1]))
    await soon(lambda: live.backend.ignored[Ignored.FORGED] >= 2, what="both are refused")


@pytest.mark.hazard("H71")
@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(
            mqtt5.PublishPacket("v1/x", b"", user_properties=[("k" * 30_000, "v" * 30_000)]).write(), id="properties"
        ),
        pytest.param(b"\x30\x05\x00\x02\xff\xfe\x00", id="utf-8"),
    ],
)
async def test_a_packet_no_broker_should_send_ends_the_connection_and_not_the_agent(
    live: LiveCar, proxy: FaultProxy, raw: bytes
) -> None:
    connections = proxy.connections
    proxy.inject(raw)
    await lost_and_found(live, proxy, connections)
    assert await is_working(live)


# --- TLS ----------------------------------------------------------------------------------------------------------


def tls_lines(authority: Authority, name: str) -> str:
    return f'ca_file = "{authority.ca_file}"\ncertificate_file = "{name}.pem"\nkey_file = "{name}.key"\n'


@pytest.mark.hazard("H65")
async def test_a_broker_that_is_not_ours_gets_no_connection_and_the_local_path_works(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    car = authority.issue("car")
    server = stranger.issue("broker", is_server=True, host="127.0.0.1")
    lines = tls_lines(authority, str(car.certificate_file.with_suffix("")))
    options = [*tls_options(server, authority.ca_file), f"listener {(plain := free_port())} 127.0.0.1"]
    with mosquitto(tmp_path, options) as broker:
        async with live_car(
            tmp_path, car_port=broker.port, backend_port=plain, broker_lines=lines, is_awaited=False
        ) as live:
            document = await asyncio.to_thread(live.status)
            assert document["is_connected"] is False
            assert document["readings"]


@pytest.mark.hazard("H66")
async def test_an_expired_certificate_of_our_own_is_told_once_there_is_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.adapters.broker.BACK_OFF_S_MAX", 0.5)  # a refused certificate is tried again slowly
    authority = Authority(tmp_path)
    server = authority.issue("broker", is_server=True, host="127.0.0.1")
    authority.issue("car", begins_s=-7200, ends_s=-3600)
    options = [*tls_options(server, authority.ca_file), f"listener {(plain := free_port())} 127.0.0.1"]
    with mosquitto(tmp_path, options) as broker, mqtt_tap(plain) as tap:
        lines = tls_lines(authority, str(tmp_path / "car"))
        async with live_car(
            tmp_path, car_port=broker.port, backend_port=plain, broker_lines=lines, is_awaited=False
        ) as live:
            watch = live.app._engine._link_watch
            await soon(lambda: watch.status()["problems"], what="the refusal is noticed")
            assert (await asyncio.to_thread(live.status))["link"]["problems"].keys() == {"certificate_refused"}
            authority.issue("car")
            await live.connected()
            events = live.installed.topic("evt")
            await soon(lambda: told(tap.payloads(events), "certificate_refused"), what="it is told")
            assert "EXPIRED" in told(tap.payloads(events), "certificate_refused")[0]["detail"]


# --- load ---------------------------------------------------------------------------------------------------------


@pytest.mark.hazard("H68")
async def test_ten_thousand_messages_a_second_fill_a_bucket_and_then_a_command_is_obeyed(
    live: LiveCar, broker: Mosquitto
) -> None:
    """First noise, then signed commands: half a second of each. The local path answers meanwhile."""
    topic = live.installed.topic("cmd")
    command = await live.signed(Action.REPORT, counter=1)
    async with WireClient(broker.port) as attacker:
        await attacker.connect("attacker")
        for payload in (b"noise", command):
            burst = mqtt5.PublishPacket(topic, payload).write() * 500
            for _ in range(10):
                await attacker.send_bytes(burst)
            async with asyncio.timeout(5.0):
                await asyncio.to_thread(live.status)
            await attacker.arrivals_before_pong()
    assert live.lock_requests == 0
    assert (await live.backend.unlock(CAR_NAME)).is_verified
    assert live.lock_requests == 1
    document = await asyncio.to_thread(live.status)
    counted = sum(document["commands"]["dropped"].values()) + document["broker"]["dropped"]
    assert document["commands"]["dropped"]["flood"] + document["broker"]["dropped"] > counted / 2
    assert counted > 1000
