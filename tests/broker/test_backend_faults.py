"""The operator's end with faults that no real broker makes on request; the bench's broker does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from agent.backend import Backend
from agent.backend.connection import RefusedError
from agent.backend.reception import Ignored
from agent.bench.broker import BenchBroker
from agent.model.command import Executed
from tests.support.scripted_car import Answer, ReceivedCommand, ScriptedCar, connected, settings, topic, verifies


@pytest.fixture
async def broker() -> AsyncIterator[BenchBroker]:
    async with BenchBroker() as running:
        yield running


async def test_an_answer_does_not_wait_for_a_puback_that_was_lost(broker: BenchBroker) -> None:
    async with (
        connected(ScriptedCar(verifies), broker.host, broker.port),
        Backend(settings(port=broker.port)) as backend,
    ):
        broker.faults.pubacks_to_drop = 1
        result = await backend.unlock("demo")
    assert result.is_verified
    assert result.answered_in_s < 2.0


async def test_deliveries_made_twice_end_a_command_once(broker: BenchBroker) -> None:
    car = ScriptedCar(verifies)
    async with connected(car, broker.host, broker.port), Backend(settings(port=broker.port)) as backend:
        assert await backend.ping("demo") is not None
        broker.faults.deliveries_to_duplicate = 100
        result = await backend.unlock("demo")
        broker.faults.clear()
        assert await backend.ping("demo") is not None
    assert result.is_verified
    assert len({received.raw for received in car.received}) == 1
    assert backend.ignored[Ignored.UNASKED] >= 1


@pytest.mark.parametrize("kind", ["hello", "res"])
async def test_a_refused_subscription_is_an_error_and_leaves_the_link_usable(broker: BenchBroker, kind: str) -> None:
    async with (
        connected(ScriptedCar(verifies), broker.host, broker.port),
        Backend(settings(port=broker.port)) as backend,
    ):
        broker.faults.refused_topics.add(topic(kind))
        with pytest.raises(RefusedError, match=f"refused a subscription to {topic(kind)}"):
            await backend.unlock("demo")
        broker.faults.clear()
        assert (await backend.unlock("demo")).is_verified


async def test_a_command_the_broker_refuses_was_not_executed(broker: BenchBroker) -> None:
    car = ScriptedCar(verifies)
    async with connected(car, broker.host, broker.port), Backend(settings(port=broker.port)) as backend:
        broker.faults.refused_topics.add(topic("cmd"))
        with pytest.raises(RefusedError, match=f"refused a message to {topic('cmd')}"):
            await backend.unlock("demo")
    assert car.received == []


async def test_a_frozen_link_ends_in_no_answer_and_leaves_open_what_happened(broker: BenchBroker) -> None:
    car = ScriptedCar(verifies)
    async with connected(car, broker.host, broker.port), Backend(settings(port=broker.port)) as backend:
        assert await backend.ping("demo") is not None
        broker.faults.freeze()
        result = await backend.unlock("demo", timeout_s=1.0)
        broker.faults.thaw()
    assert (result.outcome, result.executed) == ("no_answer", Executed.UNKNOWN)


async def test_closing_over_a_frozen_link_does_not_hang(broker: BenchBroker) -> None:
    async with asyncio.timeout(5.0):
        async with Backend(settings(port=broker.port)):
            broker.faults.freeze()
    broker.faults.thaw()


async def test_closing_does_not_wait_for_a_puback_that_was_lost(broker: BenchBroker) -> None:
    async with (
        connected(ScriptedCar(verifies), broker.host, broker.port),
        asyncio.timeout(3.0),
        Backend(settings(port=broker.port)) as backend,
    ):
        broker.faults.pubacks_to_drop = 1
        assert await backend.ping("demo") is not None


async def test_after_a_cut_connection_the_answer_is_asked_for_at_once(broker: BenchBroker) -> None:
    """The third copy would be due six seconds after the first."""

    def answers_the_third_copy(car: ScriptedCar, received: ReceivedCommand) -> list[Answer]:
        if len(car.received) == 2:
            (backend,) = (client for client in broker.client_ids if client.startswith("backend-"))
            broker.cut(backend)
        return verifies(car, received) if len(car.received) == 3 else []

    car = ScriptedCar(answers_the_third_copy)
    async with connected(car, broker.host, broker.port), Backend(settings(port=broker.port)) as backend:
        result = await backend.unlock("demo")
    assert result.is_verified
    assert result.answered_in_s < 5.5
    assert len({received.raw for received in car.received}) == 1
