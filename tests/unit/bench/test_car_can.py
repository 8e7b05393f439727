"""The virtual car in real time on python-can's virtual bus, with a peer on the same channel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import can
import pytest

from agent.bench.car import CarEvent, VirtualCar
from agent.bench.car_body import CarRefusesError
from agent.bench.car_can import CarOnBus
from agent.bench.vehicle import demo_folder, load_vehicle
from agent.errors import BusError
from agent.model.command import Action

PROFILE, DATABASES = load_vehicle(demo_folder())
DATABASE = DATABASES["body"]
CHANNEL = "test-car-can"
TIMEOUT_S = 5.0


@pytest.fixture
def peer() -> Iterator[can.BusABC]:
    with can.Bus(channel=CHANNEL, interface="virtual") as bus:
        yield bus


@asynccontextmanager
async def on_bus(car: VirtualCar, events: list[CarEvent]) -> AsyncIterator[CarOnBus]:
    on_bus = CarOnBus(car, interface="virtual", channels={"body": CHANNEL}, on_event=events.append)
    task = asyncio.create_task(on_bus.run())
    await asyncio.wait_for(on_bus.opened.wait(), TIMEOUT_S)
    yield on_bus
    task.cancel()
    await asyncio.wait((task,))


async def received(peer: can.BusABC) -> can.Message:
    message = await asyncio.to_thread(peer.recv, TIMEOUT_S)
    assert message is not None
    return message


async def test_a_sleeping_car_wakes_on_the_request_and_sends_its_frames(peer: can.BusABC) -> None:
    car = VirtualCar(PROFILE, DATABASES, now_s=CarOnBus.now_s())
    wake = PROFILE.recipes[Action.UNLOCK].wake
    assert wake is not None
    events: list[CarEvent] = []
    async with on_bus(car, events):
        assert await asyncio.to_thread(peer.recv, 0.05) is None
        frame = wake.frames[0]
        peer.send(can.Message(arbitration_id=frame.arbitration_id, data=frame.data, is_extended_id=True))
        seen = {(await received(peer)).arbitration_id for _ in range(12)}
    assert seen == {spec.arbitration_id for spec in DATABASE.messages.values() if spec.cycle_time_s is not None}
    assert [event.name for event in events] == ["woke"]


async def test_what_a_person_does_is_done_at_once_and_told(peer: can.BusABC) -> None:
    car = VirtualCar(PROFILE, DATABASES, now_s=CarOnBus.now_s(), is_asleep=False)
    events: list[CarEvent] = []
    async with on_bus(car, events) as running:
        await received(peer)
        running.do("open trunk")
        with pytest.raises(CarRefusesError, match="locked"):
            running.do("drive 1")
        await received(peer)
    assert [event.name for event in events] == ["woke", "opened"]


async def test_an_error_frame_is_not_for_the_car_whatever_it_holds(peer: can.BusABC) -> None:
    car = VirtualCar(PROFILE, DATABASES, now_s=CarOnBus.now_s(), is_asleep=False)
    template = PROFILE.recipes[Action.UNLOCK].frames[0]
    assert template.checksum is not None
    data = template.checksum.field.insert(template.data, template.checksum.compute(template.data))
    async with on_bus(car, []):
        for is_error_frame, frames_seen in ((True, 0), (False, 1)):
            peer.send(
                can.Message(
                    arbitration_id=template.arbitration_id,
                    data=data,
                    is_extended_id=False,
                    is_error_frame=is_error_frame,
                )
            )
            while (await received(peer)).arbitration_id != DATABASE.messages["BodyStatus"].arbitration_id:
                pass
            assert car.lock.frames_seen == frames_seen


async def test_a_bus_that_cannot_be_opened_is_told_with_its_name() -> None:
    car = VirtualCar(PROFILE, DATABASES)
    with pytest.raises(BusError, match="no_such_interface:vcan7"):
        await CarOnBus(
            car, interface="no_such_interface", channels={"body": "vcan7"}, on_event=lambda _event: None
        ).run()
