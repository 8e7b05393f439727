"""The CAN adapter against the kernel: filters, time stamps, controller states, links that go down and away."""

from __future__ import annotations

import tracemalloc
from random import Random

import pytest

from agent.adapters.can_sending import FrameRefused
from agent.adapters.clock import boot_s
from agent.model.command import Reason
from agent.model.frame import BusState, Frame, SendRule
from tests.support.can_listener import CanListener, running_bus
from tests.support.wire import ERROR, EXTENDED, Wire, administer, ip

pytestmark = pytest.mark.vcan


UNLOCK = Frame("body", 0x4A0, bytes.fromhex("02"))
SEND_LIST = [SendRule("body", 0x4A0, False, False, value=b"\x02", mask=b"\xff")]


async def test_a_frame_carries_the_boot_time_of_its_arrival_not_of_its_reading(wire: Wire) -> None:
    listener = CanListener()
    async with running_bus(listener, interface="socketcan", channel="vcan0"):
        before_s = boot_s()
        wire.send(0x123, b"\xca\xfe")
        after_s = boot_s()
        busy_until_s = after_s + 0.2
        while boot_s() < busy_until_s:
            pass  # the event loop does not run: the frame lies in the socket
        frame = await listener.frame()
        assert frame == Frame("body", 0x123, b"\xca\xfe", frame.received_at_s)
        assert before_s - 1e-3 <= frame.received_at_s <= after_s + 1e-3


async def test_the_kernel_gives_only_the_wanted_ids(wire: Wire) -> None:
    listener = CanListener()
    wanted = [(0x123, False), (0x18DAF110, True)]
    async with running_bus(listener, interface="socketcan", channel="vcan0", wanted_ids=wanted) as bus:
        for arbitration_id in range(0x100, 0x180):
            wire.send(arbitration_id, b"\x01")
        wire.send(EXTENDED | 0x123, b"\x02")
        wire.send(EXTENDED | 0x18DAF110, b"\x03")
        frames = [await listener.frame(), await listener.frame()]
        assert [(frame.arbitration_id, frame.is_extended_id) for frame in frames] == wanted
        assert bus.counts.unwanted == 0


async def test_what_the_agent_sends_others_hear_and_it_does_not_sr_04(wire: Wire) -> None:
    listener = CanListener()
    wanted = [(0x4A0, False), (0x123, False)]
    async with running_bus(
        listener, interface="socketcan", channel="vcan0", send_list=SEND_LIST, wanted_ids=wanted
    ) as bus:
        before_s = boot_s()
        at_s = bus.send(UNLOCK, not_after_s=before_s + 5)
        assert before_s <= at_s <= boot_s()
        assert wire.receive() == (0x4A0, b"\x02")
        wire.send(0x123, b"\x01")
        assert (await listener.frame()).arbitration_id == 0x123
        assert listener.frames_so_far() == []


@pytest.mark.hazard("H97")
async def test_a_frame_sent_before_ours_is_given_before_it_and_older_than_it_h97(wire: Wire) -> None:
    listener = CanListener()
    async with running_bus(listener, interface="socketcan", channel="vcan0", send_list=SEND_LIST) as bus:
        witness = Wire("vcan0")
        wire.send(0x123, b"\x01")
        assert witness.receive() == (0x123, b"\x01")  # so it has reached every socket
        witness.close()
        at_s = bus.send(UNLOCK, not_after_s=boot_s() + 5)
        (before,) = listener.frames_so_far()
        assert before.received_at_s < at_s
        wire.send(0x123, b"\x02")
        assert (await listener.frame()).received_at_s > at_s


async def test_nothing_unlisted_reaches_the_bus_sr_01(wire: Wire) -> None:
    listener = CanListener()
    async with running_bus(listener, interface="socketcan", channel="vcan0", send_list=SEND_LIST) as bus:
        for frame in (Frame("body", 0x4A0, b"\x03"), Frame("body", 0x4A1, b"\x02"), Frame("drive", 0x4A0, b"\x02")):
            with pytest.raises(FrameRefused) as refusal:
                bus.send(frame, not_after_s=boot_s() + 5)
            assert refusal.value.reason is Reason.INTERNAL
        assert wire.is_silent()


@pytest.mark.hazard("H99")
async def test_error_frames_tell_the_controllers_state_h99(wire: Wire) -> None:
    listener = CanListener()
    async with running_bus(listener, interface="socketcan", channel="vcan0", send_list=SEND_LIST) as bus:
        wire.send(ERROR | 0x004, bytes([0, 0x20, 0, 0, 0, 0, 0, 0]))
        assert await listener.state() is BusState.ERROR_PASSIVE
        wire.send(ERROR | 0x040, bytes(8))
        assert await listener.state() is BusState.BUS_OFF
        with pytest.raises(FrameRefused) as refusal:
            bus.send(UNLOCK, not_after_s=boot_s() + 5)
        assert refusal.value.reason is Reason.BUS_OFF
        wire.send(ERROR | 0x100, bytes(8))
        assert await listener.state() is BusState.UP


@pytest.mark.hazard("H105")
async def test_an_error_frame_storm_gives_no_frames_and_leaves_the_bus_usable_h105(wire: Wire) -> None:
    listener = CanListener()
    async with running_bus(listener, interface="socketcan", channel="vcan0", send_list=SEND_LIST) as bus:
        for _ in range(2000):
            wire.send(ERROR | 0x008, bytes(8))
        bus.send(UNLOCK, not_after_s=boot_s() + 5)
        assert listener.frames_so_far() == []
        wire.send(0x123, b"\x01")
        await listener.frame()


@pytest.mark.hazard("H105")
async def test_a_full_bus_of_random_ids_and_errors_is_kept_out_and_holds_up_no_frame_h105(wire: Wire) -> None:
    """A quarter of a second of a full bus at 500 kbit/s. No time measured in user-mode Linux means anything; what
    the whole engine makes of thirty seconds of it is in `tests/simulation/test_vehicle_hazards.py`.
    """
    chance = Random(1)  # noqa: S311 - to be repeated, not to be secret
    listener = CanListener()
    async with running_bus(listener, interface="socketcan", channel="vcan0", send_list=SEND_LIST) as bus:
        tracemalloc.start()
        for number in range(1000):
            can_id = EXTENDED | chance.getrandbits(29) if number % 2 else chance.getrandbits(11)
            wire.send(0x123 if number % 100 == 0 else can_id, chance.randbytes(chance.randrange(9)))
            if number % 4 == 0:
                wire.send(ERROR | 0x008, bytes(8))
            if number % 100 == 0:
                bus.send(UNLOCK, not_after_s=boot_s() + 60)
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        heard = listener.frames_so_far()
        assert (bus.counts.sent, bus.counts.unwanted, bus.counts.dropped) == (10, 0, 0)
        assert len(heard) >= 9 and {frame.arbitration_id for frame in heard} == {0x123}
        assert peak_bytes < 1_000_000


async def test_fd_frames_pass_both_ways(link: str) -> None:
    listener = CanListener()
    rule = SendRule("body", 0x4A0, False, True, value=bytes(64), mask=bytes(64))
    wire = Wire(link, is_fd=True)
    async with running_bus(listener, interface="socketcan", channel=link, send_list=[rule], is_fd=True) as bus:
        wire.send(0x123, bytes(range(64)), is_fd=True)
        frame = await listener.frame()
        assert (frame.is_fd, frame.data) == (True, bytes(range(64)))
        bus.send(Frame("body", 0x4A0, bytes(64), is_fd=True), not_after_s=boot_s() + 5)
        assert wire.receive() == (0x4A0, bytes(64))
    wire.close()


@pytest.mark.hazard("H98")
async def test_a_link_taken_down_is_told_and_comes_back_by_itself_h98(link: str) -> None:
    listener = CanListener()
    async with running_bus(listener, interface="socketcan", channel=link, send_list=SEND_LIST) as bus:
        ip("set", link, "down")
        assert await listener.state() is BusState.DOWN
        with pytest.raises(FrameRefused) as refusal:
            bus.send(UNLOCK, not_after_s=boot_s() + 5)
        assert refusal.value.reason is Reason.CAN_DOWN
        ip("set", link, "up")
        assert await listener.state() is BusState.UP
        bus.send(UNLOCK, not_after_s=boot_s() + 5)


@pytest.mark.hazard("H98")
async def test_a_send_is_the_first_to_notice_a_link_that_went_down_h98(link: str) -> None:
    listener = CanListener()
    async with running_bus(listener, interface="socketcan", channel=link, send_list=SEND_LIST) as bus:
        ip("set", link, "down")
        with pytest.raises(FrameRefused) as refusal:
            bus.send(UNLOCK, not_after_s=boot_s() + 5)
        assert refusal.value.reason is Reason.CAN_DOWN
        assert await listener.state() is BusState.DOWN


@pytest.mark.hazard("H98")
async def test_an_interface_taken_away_is_gone_and_is_found_again_h98(link: str) -> None:
    listener = CanListener()
    async with running_bus(listener, interface="socketcan", channel=link, send_list=SEND_LIST) as bus:
        ip("delete", link)
        await listener.until(BusState.GONE)
        ip("add", "dev", link, "type", "vcan")
        ip("set", link, "up")
        await listener.until(BusState.UP)
        bus.send(UNLOCK, not_after_s=boot_s() + 5)


@pytest.mark.hazard("H100")
async def test_a_full_send_queue_is_tried_again_and_then_refused_h100(link: str) -> None:
    administer("tc", "qdisc", "add", "dev", link, "root", "pfifo", "limit", "0")
    listener = CanListener()
    async with running_bus(listener, interface="socketcan", channel=link, send_list=SEND_LIST) as bus:
        before_s = boot_s()
        with pytest.raises(FrameRefused) as refusal:
            bus.send(UNLOCK, not_after_s=before_s + 5)
        assert refusal.value.reason is Reason.TIMEOUT
        assert boot_s() - before_s < 2.0
