"""What changes in quick succession is taken together, each with its own time; alone, or for a command, it is not."""

from __future__ import annotations

import asyncio

import pytest

from agent.adapters import can_broadcast
from agent.adapters.can_edge import GATHER_S
from agent.adapters.clock import boot_s
from agent.model.reception import MessageId, Watch
from tests.support.can_listener import CanListener, running_bus, until
from tests.support.wire import Wire

pytestmark = pytest.mark.vcan

MOTION, OTHER = MessageId("body", 0x123, False), MessageId("body", 0x124, False)
WATCHES = tuple(Watch(message, False, (b"\xff" + bytes(7),), 2 * GATHER_S) for message in (MOTION, OTHER))
IDS = [(0x123, False), (0x124, False)]
STAMP_S = 0.01
"""The kernel's stamp is wall time, and no clock is read at the same moment as another."""
FLOOD_S = 60.0
"""Some two where nothing holds it up; if something is lost it never ends."""


def together(listener: CanListener) -> list[int]:
    """How many changes came each time."""
    return [len(news.changes) for news in listener.news if news.changes]


async def flood(wire: Wire, listener: CanListener, count: int) -> None:
    """As fast as this goes, and no more than fourfold faster from one time that changes are taken to the next: where
    the machine is held up in between a trickle would become a flood at once, which no buffer has room for.
    """
    async with asyncio.timeout(FLOOD_S):
        for number in range(count):
            while number % 4 == 0:
                await asyncio.sleep(0.001)
                taken = together(listener)
                if number - sum(taken) < 4 * max([25, *taken[-1:]]):
                    break
            wire.send(0x123, bytes([number % 256]))


async def test_changes_of_a_moving_car_are_taken_together_each_with_its_own_time_sr_05(wire: Wire) -> None:
    listener, sent_s, count = CanListener(), [], 60
    async with running_bus(listener, interface="socketcan", channel="vcan0", watches=WATCHES, wanted_ids=IDS):
        for number in range(count):
            before_s = boot_s()
            wire.send(0x123, bytes([number]))
            sent_s.append((before_s, boot_s()))
            await asyncio.sleep(0.03)
        await until(lambda: sum(together(listener)) == count)
        assert len(together(listener)) <= count / 4
        for number, (before_s, after_s) in enumerate(sent_s):
            change = await listener.change()
            assert change.data == bytes([number])
            assert before_s - STAMP_S <= change.received_at_s <= after_s + STAMP_S


async def test_a_change_that_comes_alone_does_not_wait(wire: Wire) -> None:
    listener, waited_s = CanListener(), []
    async with running_bus(listener, interface="socketcan", channel="vcan0", watches=WATCHES, wanted_ids=IDS):
        for number in range(4):
            await asyncio.sleep(1.2 * GATHER_S)
            sent_s = boot_s()
            wire.send(0x123, bytes([number]))
            await listener.change()
            waited_s.append(boot_s() - sent_s)
    assert min(waited_s) < 0.1 * GATHER_S


async def test_while_a_command_is_under_way_nothing_waits_sr_04(wire: Wire) -> None:
    listener = CanListener()
    async with running_bus(listener, interface="socketcan", channel="vcan0", watches=WATCHES, wanted_ids=IDS) as bus:
        for number in range(10):  # as much as has others gathered
            wire.send(0x123, bytes([number]))
            await asyncio.sleep(0.01)
        bus.attend([OTHER])
        listener.changes_so_far()
        begun_s = boot_s()
        for number in range(10, 30):
            wire.send(0x123, bytes([number]))
            assert (await listener.change()).data == bytes([number])
        assert boot_s() - begun_s < 10 * GATHER_S
        assert together(listener)[-20:] == [1] * 20


async def test_a_flood_of_changes_is_taken_before_there_is_no_room_for_it(wire: Wire) -> None:
    listener, count = CanListener(), 4000
    async with running_bus(listener, interface="socketcan", channel="vcan0", watches=WATCHES, wanted_ids=IDS) as bus:
        await flood(wire, listener, count)
        await until(lambda: sum(together(listener)) == count)
        assert bus.counts.lost == 0
        assert len(together(listener)) < count / 8


async def test_how_much_there_will_be_is_not_told_by_a_part_of_the_time_sr_09(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However near the next beat is: what little comes until then would have the next gathering last twice as long."""
    monkeypatch.setattr(can_broadcast, "next_beat_s", lambda now_s, every_s: now_s + 0.001)
    listener, count = CanListener(), 1000
    async with running_bus(listener, interface="socketcan", channel="vcan0", watches=WATCHES, wanted_ids=IDS):
        await flood(wire, listener, count)
        await until(lambda: sum(together(listener)) == count)
        assert len(together(listener)) < count / 8
