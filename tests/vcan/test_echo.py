"""Our own frames seen back: what the kernel gives, to whom, and when it does not."""

from __future__ import annotations

import pytest

from agent.adapters.can_echo import gives_echoes
from agent.adapters.clock import boot_s
from agent.model.frame import BusState, Frame, SendRule
from agent.model.reception import MessageId, Watch
from tests.support.can_listener import CanListener, running_bus, until
from tests.support.wire import Wire, administer, ip

pytestmark = pytest.mark.vcan

UNLOCK = Frame("body", 0x4A0, b"\x02")
SEND_LIST = [SendRule("body", 0x4A0, False, False, value=b"\x02", mask=b"\xff")]
SPEED = MessageId("body", 0x123, False)
WATCHED = Watch(SPEED, False, (b"\xff" + bytes(7),), 0.2)
WANTED = [(0x123, False), (0x4A0, False)]


@pytest.mark.parametrize("watches", [(WATCHED,), ()], ids=["kernel", "frames"])
async def test_a_frame_is_seen_back_and_never_taken_for_one_of_the_car_sr_04(
    link: str, watches: tuple[Watch, ...]
) -> None:
    """The id we send is also one that is wanted, and another program on this computer sends the very same frame."""
    listener, echoes = CanListener(), list[float]()
    wire = Wire(link)
    async with running_bus(
        listener, interface="socketcan", channel=link, send_list=SEND_LIST, watches=watches, wanted_ids=WANTED
    ) as bus:
        assert bus.echoes.are_due is gives_echoes(link)
        bus.attend([SPEED])
        wire.send(0x4A0, b"\x02")
        assert (await listener.frame()).arbitration_id == 0x4A0
        assert (echoes, bus.counts.echoed) == ([], 0)
        before_s = boot_s()
        at_s = bus.send(UNLOCK, not_after_s=before_s + 5, on_echo=echoes.append)
        wire.settle()
        if bus.echoes.are_due:
            await until(lambda: bool(echoes))
            assert before_s <= echoes[0] <= boot_s() and at_s <= boot_s()
        wire.send(0x4A0, b"\x02")
        assert (await listener.frame()).received_at_s >= at_s
        assert listener.frames_so_far() == [] and listener.changes_so_far() == []
        told = (bus.counts.sent, bus.counts.echoed, bus.counts.unconfirmed)
        assert told == ((1, 1, 0) if bus.echoes.are_due else (1, 0, 1))
    wire.close()


async def test_own_frames_come_back_only_while_a_command_runs(link: str) -> None:
    listener = CanListener()
    wire = Wire(link)
    async with running_bus(
        listener,
        interface="socketcan",
        channel=link,
        send_list=SEND_LIST,
        watches=[WATCHED],
        wanted_ids=[(0x123, False)],
    ) as bus:
        for messages in ([], [MessageId("other", 0x1, False)], []):
            wire.send(0x4A0, b"\x02")
            wire.settle()
            bus.attend(messages)
            bus.take_what_came()
            before = bus.counts.unwanted
            wire.send(0x4A0, b"\x02")
            wire.settle()
            bus.take_what_came()
            assert bus.counts.unwanted - before == int(bool(messages) and bus.echoes.are_due)
    wire.close()


async def test_a_frame_that_stays_in_the_queue_is_not_seen_back_until_it_leaves(link: str) -> None:
    """As on a bus on which nobody acknowledges: the kernel took it, and that is all."""
    administer("tc", "qdisc", "add", "dev", link, "root", "netem", "delay", "300ms")
    listener, echoes = CanListener(), list[float]()
    async with running_bus(listener, interface="socketcan", channel=link, send_list=SEND_LIST) as bus:
        bus.attend([SPEED])
        at_s = bus.send(UNLOCK, not_after_s=boot_s() + 5, on_echo=echoes.append)
        bus.take_what_came()
        assert (echoes, bus.counts.sent, bus.counts.echoed) == ([], 1, 0)
        if bus.echoes.are_due:
            await until(lambda: bool(echoes))
            assert echoes[0] >= at_s + 0.25


async def test_what_was_sent_before_the_link_went_is_not_waited_for_after_it(link: str) -> None:
    administer("tc", "qdisc", "add", "dev", link, "root", "netem", "delay", "60s")
    listener, echoes = CanListener(), list[float]()
    async with running_bus(listener, interface="socketcan", channel=link, send_list=SEND_LIST) as bus:
        bus.attend([SPEED])
        bus.send(UNLOCK, not_after_s=boot_s() + 5, on_echo=lambda at_s: echoes.append(-1.0))
        ip("delete", link)
        await listener.until(BusState.GONE)
        ip("add", "dev", link, "type", "vcan")
        ip("set", link, "up")
        await listener.until(BusState.UP)
        wire = Wire(link)
        bus.send(UNLOCK, not_after_s=boot_s() + 5, on_echo=echoes.append)
        wire.settle()
        bus.take_what_came()
        assert -1.0 not in echoes and len(echoes) == int(bus.echoes.are_due)
        wire.close()


def test_an_interface_that_is_not_there_gives_no_echoes() -> None:
    assert not gives_echoes("vcannone")
