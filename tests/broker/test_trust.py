"""The whole agent at a real Mosquitto that keeps trust bundles for cars that were away."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.adapters.status_socket import read_status
from agent.app import App
from agent.command.envelope import (
    Hello,
    MessageKind,
    Ping,
    check_signature,
    decode_hello,
    encode_ping,
    open_unverified,
    seal,
)
from agent.command.trust import KeyEntry, OperatorEntry
from agent.errors import AgentError, ConfigurationError
from agent.loading import load_config, load_profile
from agent.wiring import new_identity
from tests.support.mosquitto import mosquitto
from tests.support.mqtt_wire import WireClient
from tests.support.rooted import RootedCar, rooted_car
from tests.support.roots import BUNDLE, EVERY_ACTION, ROOTS, private_key, public, sealed

pytestmark = pytest.mark.broker

WAIT_S = 15.0
NEW_KEY = private_key("key of the operator that comes")
NEW_ENTRY = KeyEntry(3, public(NEW_KEY), actions=EVERY_ACTION)
FIRST = replace(BUNDLE, version=1)
SECOND = replace(BUNDLE, version=2, operators=(OperatorEntry(1), OperatorEntry(3)), keys=(NEW_ENTRY,))


def app_of(car: RootedCar) -> App:
    config, _ = load_config(car.agent_toml)
    profile = load_profile(car.folder / config.car.profile)
    return App(config, profile, new_identity(car.vehicle_key), {}, directory=car.folder, environ={})


@asynccontextmanager
async def running(car: RootedCar) -> AsyncIterator[None]:
    app, stop = app_of(car), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(app.run(stop))
        yield
        stop.set()


async def hello(backend: WireClient, car: RootedCar, operator: int, version: int, nonce: bytes | None = None) -> Hello:
    """The first `hello` to that operator with that version of the bundle (and nonce), signed by the car."""
    async with asyncio.timeout(WAIT_S):
        while True:
            publication = await backend.receive_publish()
            if publication.topic != f"v1/{operator}/{car.car.hex()}/hello":
                continue
            envelope = open_unverified(MessageKind.HELLO, bytes(publication.payload or b""))
            assert envelope is not None
            assert check_signature(envelope, car.vehicle_key.public_key())
            found = decode_hello(envelope.payload)
            if found.versions == (version, 0) and found.nonce == nonce:
                return found


async def status_of(car: RootedCar) -> dict[str, Any]:
    """The status document, once the agent gives one."""
    async with asyncio.timeout(WAIT_S):
        while True:
            try:
                return await asyncio.to_thread(read_status, car.folder / "status.sock")
            except AgentError:
                await asyncio.sleep(0)


@asynccontextmanager
async def both_ends(folder: Path) -> AsyncIterator[tuple[RootedCar, WireClient, WireClient]]:
    """A car at a broker, a client that hears its greetings, and one that publishes."""
    with mosquitto(folder) as broker:
        car = rooted_car(folder / "car", sealed(FIRST), broker_port=broker.port, channel=f"trust-{uuid.uuid4()}")
        async with WireClient(broker.port) as listener, WireClient(broker.port) as publisher:
            await listener.connect("listener")
            await listener.subscribe(f"v1/+/{car.car.hex()}/hello")
            await publisher.connect("publisher")
            yield car, listener, publisher


async def test_a_bundle_that_the_broker_kept_is_taken_on_connecting_and_the_new_operator_is_served(
    tmp_path: Path,
) -> None:
    """Retained before the car came: it is taken, it is durable, and the topics of its operators are asked for."""
    async with both_ends(tmp_path) as (car, listener, publisher):
        await publisher.publish(f"v1/1/{car.car.hex()}/bundle", sealed(SECOND), is_retained=True)
        async with running(car):
            await hello(listener, car, 1, 1)
            await hello(listener, car, 3, 2)
            nonce = b"nonce of sixteen"
            ping = seal(MessageKind.PING, encode_ping(Ping(car.car, 3, nonce)), NEW_KEY, NEW_ENTRY.kid)
            answer = asyncio.create_task(hello(listener, car, 3, 2, nonce))
            while not answer.done():  # the first ones may come before the car has subscribed anew
                await publisher.publish(f"v1/3/{car.car.hex()}/ping", ping)
                await asyncio.wait({answer}, timeout=0.2)
            await answer
            assert (await status_of(car))["trust"]["version"] == 2
        assert (await asyncio.to_thread(car.found)).trust.version == 2


async def test_a_bundle_that_came_is_in_force_after_a_restart_and_a_forged_one_is_not(tmp_path: Path) -> None:
    async with both_ends(tmp_path) as (car, listener, publisher):
        topic = f"v1/1/{car.car.hex()}/bundle"
        async with running(car):
            await hello(listener, car, 1, 1)
            await publisher.publish(topic, sealed(SECOND))
            await hello(listener, car, 3, 2)
        await publisher.publish(topic, sealed(replace(SECOND, version=3), ROOTS[:1]), is_retained=True)
        async with running(car), asyncio.timeout(WAIT_S):
            await hello(listener, car, 3, 2)
            status = await status_of(car)
            while "bundle_signatures" not in status["commands"]["dropped"]:
                status = await status_of(car)
            assert (status["trust"]["version"], status["trust"]["operators"]) == (2, [1, 3])


def test_an_agent_with_nothing_to_believe_does_not_start(tmp_path: Path) -> None:
    car = rooted_car(tmp_path / "car", b"noise")
    with pytest.raises(
        ConfigurationError, match=r"bundle\.cbor: no trust bundle yet, and the bundle file is not sound"
    ):
        app_of(car)
    car.bundle_file.unlink()
    with pytest.raises(ConfigurationError, match=r"bundle\.cbor: no such file: no trust bundle yet"):
        app_of(car)
    car.bundle_file.write_bytes(sealed(FIRST))
    app_of(car)._stores.close()
