"""The CAN adapter on python-can's in-process bus, and on a real serial line (a pty); the kernel: tests/vcan."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import struct
import tty
import uuid
from collections.abc import Iterator

import can
import pytest

from agent.adapters import can_source, can_thread
from agent.adapters.can_bus import FRAMES_PER_S_MAX, CanBus
from agent.adapters.can_port import receive_buffer_bytes
from agent.adapters.can_raw import kernel_filters
from agent.adapters.can_sending import FrameRefused
from agent.adapters.clock import boot_s
from agent.errors import ConfigurationError
from agent.model.command import Reason
from agent.model.frame import BusState, Frame, SendRule
from agent.model.reception import MessageId, Repeating
from tests.support.can_listener import CanListener, running_bus, until
from tests.support.failing_bus import INTERFACE, trip

UNLOCK = Frame("body", 0x4A0, bytes.fromhex("02"))
SEND_LIST = [SendRule("body", 0x4A0, False, False, value=b"\x02", mask=b"\xff")]


@pytest.fixture
def channel() -> str:
    return f"test-{uuid.uuid4()}"


@pytest.fixture
def car(channel: str) -> Iterator[can.BusABC]:
    """The other end of the in-process bus."""
    with can.Bus(interface="virtual", channel=channel) as bus:
        yield bus


def status(arbitration_id: int = 0x123, data: bytes = b"\x01") -> can.Message:
    return can.Message(arbitration_id=arbitration_id, data=data, is_extended_id=False)


async def test_a_wanted_frame_is_given_with_bus_and_time(car: can.BusABC, channel: str) -> None:
    listener = CanListener()
    async with running_bus(listener, interface="virtual", channel=channel):
        before_s = boot_s()
        car.send(status(data=b"\xca\xfe"))
        frame = await listener.frame()
        assert frame == Frame("body", 0x123, b"\xca\xfe", frame.received_at_s)
        assert before_s - 1e-3 <= frame.received_at_s <= boot_s()


async def test_of_frames_that_come_together_it_is_told_once_that_they_came(car: can.BusABC, channel: str) -> None:
    listener = CanListener()
    async with running_bus(listener, interface="virtual", channel=channel) as bus:
        for _ in range(3):
            car.send(status())
        car.send(status(0x124))
        # The loop does not run meanwhile.
        deadline_s = boot_s() + 10.0
        while bus.counts.unwanted == 0 and boot_s() < deadline_s:
            pass
        bus.take_what_came()
        bus.take_what_came()
        assert listener.taken == [3]


async def test_unwanted_ids_formats_and_remote_frames_are_counted_and_not_given(car: can.BusABC, channel: str) -> None:
    listener = CanListener()
    async with running_bus(listener, interface="virtual", channel=channel) as bus:
        car.send(status(0x124))
        car.send(can.Message(arbitration_id=0x123, is_extended_id=True, data=b"\x01"))
        car.send(can.Message(arbitration_id=0x123, is_extended_id=False, is_remote_frame=True, dlc=1))
        car.send(can.Message(arbitration_id=0x123, is_extended_id=False, dlc=8, data=b"\x01"))
        car.send(status(data=b"\x02"))
        assert (await listener.frame()).data == b"\x02"
        assert (bus.counts.received, bus.counts.unwanted, bus.counts.garbled) == (1, 3, 1)


async def test_frames_keep_their_order(car: can.BusABC, channel: str) -> None:
    listener = CanListener()
    async with running_bus(listener, interface="virtual", channel=channel):
        for number in range(1000):
            car.send(status(data=number.to_bytes(2)))
        frames = [await listener.frame() for _ in range(1000)]
        assert [int.from_bytes(frame.data) for frame in frames] == list(range(1000))
        times = [frame.received_at_s for frame in frames]
        assert times == sorted(times)


def accounted(bus: CanBus) -> int:
    """Every frame that came is in one of these."""
    counts = bus.counts
    return counts.received + counts.unwanted + counts.garbled + counts.dropped + sum(bus.left_out().values())


async def test_of_frames_that_wait_together_the_newest_is_given_and_the_sum_of_all_counters_is_what_was_sent(
    car: can.BusABC, channel: str
) -> None:
    listener = CanListener()
    ids = [(0x123, False), (0x124, False)]
    async with running_bus(
        listener, interface="virtual", channel=channel, wanted_ids=ids, conflatable_ids=ids[:1]
    ) as bus:
        sent = 12_000
        for number in range(sent // 3):
            # The loop does not run meanwhile, and no buffer holds as many as these.
            car.send(status(data=number.to_bytes(2)))
            car.send(status(0x124, number.to_bytes(2)))
            car.send(status(0x125))
        await until(lambda: accounted(bus) == sent)
        frames = listener.frames_so_far()
        assert bus.left_out().keys() == {(0x123, False)}
        assert frames[-2].data == frames[-1].data == (sent // 3 - 1).to_bytes(2)
        assert bus.counts.received == len(frames)
        for arbitration_id in (0x123, 0x124):
            numbers = [int.from_bytes(frame.data) for frame in frames if frame.arbitration_id == arbitration_id]
            assert numbers == sorted(numbers)


async def test_nothing_is_conflated_while_every_frame_counts_sr_04(car: can.BusABC, channel: str) -> None:
    listener = CanListener()
    ids = [(0x123, False)]
    async with running_bus(
        listener, interface="virtual", channel=channel, conflatable_ids=ids, may_conflate=lambda: False
    ) as bus:
        for number in range(1000):
            car.send(status(data=number.to_bytes(2)))
        await until(lambda: accounted(bus) == 1000)
        assert len(listener.frames_so_far()) == 1000


REPEATING = [Repeating(MessageId("body", 0x123, False), b"\xff", every_s=0.0)]


async def test_frames_that_repeat_the_last_are_given_when_asked_for_and_all_are_accounted_for(
    car: can.BusABC, channel: str
) -> None:
    listener = CanListener()
    async with running_bus(
        listener, interface="virtual", channel=channel, conflatable_ids=[(0x123, False)], repeating=REPEATING
    ) as bus:
        car.send(status())
        await listener.frame()
        before_s = boot_s()
        for _ in range(1000):
            car.send(status())
            car.send(status(0x125))
        await until(lambda: bus.counts.unwanted == 1000)
        assert listener.frames_so_far() == []
        bus.confirm()
        (frame,) = listener.frames_so_far()
        # As old as when the bus was last seen to have nothing more.
        assert before_s - 0.5 <= frame.received_at_s <= boot_s()
        assert (bus.counts.received, bus.left_out()) == (2, {(0x123, False): 999})
        bus.confirm()
        assert listener.frames_so_far() == []


@pytest.mark.parametrize("has_stamps", [True, False])
async def test_on_a_bus_that_is_never_still_a_repetition_has_an_age_too_sr_05(channel: str, has_stamps: bool) -> None:
    listener = CanListener()
    with can.Bus(interface="virtual", channel=channel, preserve_timestamps=not has_stamps) as car:
        async with running_bus(
            listener, interface="virtual", channel=channel, conflatable_ids=[(0x123, False)], repeating=REPEATING
        ) as bus:
            car.send(status())
            first_s = (await listener.frame()).received_at_s
            end_s = sent_s = boot_s() + 5 * can_thread.LOOK_INTERVAL_S
            while (now_s := boot_s()) < end_s:
                if now_s - sent_s > 0.01 or sent_s == end_s:
                    car.send(status())
                    sent_s = now_s
                await asyncio.sleep(0)
            bus.confirm()
            (frame,) = listener.frames_so_far()
            assert first_s + 2 * can_thread.LOOK_INTERVAL_S < frame.received_at_s <= boot_s()


async def test_what_says_something_new_is_given_without_asking_in_the_end_the_newest(
    car: can.BusABC, channel: str
) -> None:
    listener = CanListener()
    async with running_bus(
        listener, interface="virtual", channel=channel, conflatable_ids=[(0x123, False)], repeating=REPEATING
    ) as bus:
        for number in range(256):
            car.send(status(data=bytes([number])))
            await asyncio.sleep(0)
        while (await listener.frame()).data != b"\xff":
            pass
        assert accounted(bus) == 256


async def test_what_cannot_wait_wakes_the_loop_at_once(
    car: can.BusABC, channel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(can_thread, "PAUSE_S", 3600.0)
    listener = CanListener()
    wanted = [(0x123, False), (0x124, False)]
    async with running_bus(
        listener,
        interface="virtual",
        channel=channel,
        wanted_ids=wanted,
        conflatable_ids=wanted[:1],
        repeating=REPEATING,
    ):
        car.send(status())
        await listener.frame()
        car.send(status(data=b"\x02"))
        car.send(status(0x124))
        assert [(await listener.frame()).arbitration_id, (await listener.frame()).arbitration_id] == [0x123, 0x124]


async def test_what_can_wait_does_so_no_longer_than_a_repetition_may_sr_05(
    car: can.BusABC, channel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(can_thread, "PAUSE_S", 3600.0)
    listener, repeating = CanListener(), [Repeating(MessageId("body", 0x123, False), b"\xff", every_s=0.1)]
    async with running_bus(
        listener, interface="virtual", channel=channel, conflatable_ids=[(0x123, False)], repeating=repeating
    ):
        for number in range(5):
            car.send(status(data=bytes([number])))
            assert (await listener.frame()).data == bytes([number])


async def test_what_can_wait_wakes_the_loop_no_oftener_than_a_repetition_has_to(
    car: can.BusABC, channel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(can_thread, "PAUSE_S", 3600.0)
    every_s, count = 0.2, 5
    listener, repeating = CanListener(), [Repeating(MessageId("body", 0x123, False), b"\xff", every_s=every_s)]
    async with running_bus(
        listener, interface="virtual", channel=channel, conflatable_ids=[(0x123, False)], repeating=repeating
    ):
        end_s, sent_s, number = boot_s() + count * every_s, 0.0, 0
        while (now_s := boot_s()) < end_s:
            if now_s - sent_s > 0.005:
                car.send(status(data=bytes([number := (number + 1) % 256])))
                sent_s = now_s
            await asyncio.sleep(0)
        # The first at once, and at the beats from then on, one of which may fall on the end.
        assert len(listener.taken) <= count + 2


async def test_after_a_silence_the_first_frame_is_given_at_once_whatever_it_says(
    car: can.BusABC, channel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(can_thread, "SILENT_POLLS", 1)
    listener = CanListener()
    async with running_bus(
        listener, interface="virtual", channel=channel, conflatable_ids=[(0x123, False)], repeating=REPEATING
    ):
        car.send(status())
        await listener.frame()
        silent_until_s = boot_s() + 2.5 * can_thread.POLL_S
        await until(lambda: boot_s() > silent_until_s)
        car.send(status())
        await listener.frame()


async def test_what_waited_through_a_pause_counts_as_no_younger_than_it_may_be(
    adapter: SerialAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(can_source, "PAUSE_S", 3600.0)
    listener = CanListener()
    async with running_bus(listener, interface="slcan", channel=adapter.port) as bus:
        adapter.say(b"t123101\r")
        assert (await listener.frame()).received_at_s >= boot_s() - 1.0
        said_s = boot_s()
        adapter.say(b"t123102\r")
        adapter.wait_until_there()
        bus.confirm()
        (frame,) = listener.frames_so_far()
        assert frame.received_at_s <= said_s


@pytest.mark.parametrize("interface", ["virtual", "slcan"])
async def test_when_a_command_attends_what_came_is_given_and_from_then_on_every_frame_at_once_sr_04(
    car: can.BusABC, channel: str, adapter: SerialAdapter, interface: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (can_thread, can_source):
        monkeypatch.setattr(module, "PAUSE_S", 3600.0)
    listener, is_commanding = CanListener(), False

    def say() -> None:
        if interface == "virtual":
            car.send(status())
            car.send(status(0x125))
        else:
            adapter.say(b"t123101\rt125101\r")

    async with running_bus(
        listener,
        interface=interface,
        channel=channel if interface == "virtual" else adapter.port,
        conflatable_ids=[(0x123, False)],
        repeating=REPEATING,
        may_conflate=lambda: not is_commanding,
    ) as bus:
        say()
        await listener.frame()
        say()
        if interface == "virtual":
            await until(lambda: bus.counts.unwanted == 2)
        else:
            adapter.wait_until_there()
        assert listener.frames_so_far() == []
        begun_s, is_commanding = boot_s(), True
        bus.attend([])
        (frame,) = listener.frames_so_far()
        assert frame.received_at_s <= begun_s
        for _ in range(3):
            said_s = boot_s()
            say()
            assert (await listener.frame()).received_at_s >= said_s - 1e-3
        is_commanding = False
        bus.attend([])
        say()
        await listener.frame()
        await until(lambda: accounted(bus) == 12)
        assert bus.counts.received == 6


async def test_a_permitted_frame_is_sent_not_heard_and_the_time_after_is_returned(
    car: can.BusABC, channel: str
) -> None:
    listener = CanListener()
    wanted = [(0x4A0, False), (0x123, False)]
    async with running_bus(
        listener, interface="virtual", channel=channel, send_list=SEND_LIST, wanted_ids=wanted
    ) as bus:
        before_s = boot_s()
        at_s = bus.send(UNLOCK, not_after_s=before_s + 5)
        assert before_s <= at_s <= boot_s()
        message = car.recv(1.0)
        assert message is not None
        assert (message.arbitration_id, bytes(message.data), message.is_extended_id) == (0x4A0, b"\x02", False)
        car.send(status())
        assert (await listener.frame()).arbitration_id == 0x123


async def test_a_frame_that_is_not_listed_is_refused_and_the_bus_stays_silent_sr_01(
    car: can.BusABC, channel: str
) -> None:
    listener = CanListener()
    async with running_bus(listener, interface="virtual", channel=channel, send_list=SEND_LIST) as bus:
        with pytest.raises(FrameRefused) as refusal:
            bus.send(Frame("body", 0x4A0, b"\x03"), not_after_s=boot_s() + 5)
        assert refusal.value.reason is Reason.INTERNAL
        assert car.recv(0) is None
        assert bus.counts.refused == 1


async def test_a_frame_is_not_sent_after_its_time_sr_03(car: can.BusABC, channel: str) -> None:
    listener = CanListener()
    async with running_bus(listener, interface="virtual", channel=channel, send_list=SEND_LIST) as bus:
        with pytest.raises(FrameRefused) as refusal:
            bus.send(UNLOCK, not_after_s=boot_s() - 0.001)
        assert refusal.value.reason is Reason.EXPIRED
        assert car.recv(0) is None


async def test_no_more_frames_leave_in_a_second_than_the_cap_allows(car: can.BusABC, channel: str) -> None:
    listener = CanListener()
    async with running_bus(listener, interface="virtual", channel=channel, send_list=SEND_LIST) as bus:
        for _ in range(FRAMES_PER_S_MAX):
            bus.send(UNLOCK, not_after_s=boot_s() + 5)
        with pytest.raises(FrameRefused) as refusal:
            bus.send(UNLOCK, not_after_s=boot_s() + 5)
        assert refusal.value.reason is Reason.EXPIRED
        assert sum(1 for _ in iter(lambda: car.recv(0), None)) == FRAMES_PER_S_MAX


@pytest.mark.hazard("H98")
async def test_nothing_can_be_sent_on_a_bus_that_is_not_open_h98(channel: str) -> None:
    listener = CanListener()
    async with running_bus(listener, interface="virtual", channel=channel, send_list=SEND_LIST) as bus:
        pass
    with pytest.raises(FrameRefused) as refusal:
        bus.send(UNLOCK, not_after_s=boot_s() + 5)
    assert refusal.value.reason is Reason.CAN_DOWN


@pytest.mark.hazard("H99")
async def test_bus_off_is_told_and_refuses_frames_until_the_controller_restarts_h99(
    car: can.BusABC, channel: str
) -> None:
    listener = CanListener()
    async with running_bus(listener, interface="virtual", channel=channel, send_list=SEND_LIST) as bus:
        car.send(can.Message(arbitration_id=0x040, is_extended_id=False, is_error_frame=True, data=bytes(8)))
        assert await listener.state() is BusState.BUS_OFF
        with pytest.raises(FrameRefused) as refusal:
            bus.send(UNLOCK, not_after_s=boot_s() + 5)
        assert refusal.value.reason is Reason.BUS_OFF
        car.send(can.Message(arbitration_id=0x100, is_extended_id=False, is_error_frame=True, data=bytes(8)))
        assert await listener.state() is BusState.UP
        bus.send(UNLOCK, not_after_s=boot_s() + 5)


async def test_a_frame_heard_after_bus_off_means_the_controller_is_back(car: can.BusABC, channel: str) -> None:
    listener = CanListener()
    async with running_bus(listener, interface="virtual", channel=channel):
        car.send(can.Message(arbitration_id=0x040, is_extended_id=False, is_error_frame=True, data=bytes(8)))
        car.send(status())
        assert [await listener.state(), await listener.state()] == [BusState.BUS_OFF, BusState.UP]
        await listener.frame()


async def test_what_a_listener_raises_ends_run(car: can.BusABC, channel: str) -> None:
    def refuse(frame: Frame) -> None:
        raise AssertionError("engine is broken")

    bus = CanBus(
        "body",
        interface="virtual",
        channel=channel,
        bitrate_bps=500_000,
        is_fd=False,
        send_list=[],
        wanted_ids=[(0x123, False)],
        on_frame=refuse,
        on_state=lambda state, sign: None,
    )
    await bus.open()
    car.send(status())
    with pytest.raises(AssertionError, match="engine is broken"):
        await asyncio.wait_for(bus.run(), 10)


async def test_a_reading_thread_that_trips_over_a_driver_is_a_failure_of_the_bus_which_is_opened_again_h98(
    channel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(can.interfaces.BACKENDS, "failing", INTERFACE)
    listener = CanListener()
    async with running_bus(listener, interface="failing", channel=channel) as bus:
        trip.set()
        assert await listener.state() is BusState.DOWN
        assert await listener.state() is BusState.UP
        assert bus.counts.reopened == 1


async def test_an_interface_python_can_does_not_know_is_a_fault_of_the_configuration(channel: str) -> None:
    bus = CanBus(
        "body",
        interface="no_such_interface",
        channel=channel,
        bitrate_bps=500_000,
        is_fd=False,
        send_list=[],
        wanted_ids=[],
        on_frame=lambda frame: None,
        on_state=lambda state, sign: None,
    )
    with pytest.raises(ConfigurationError, match="no_such_interface"):
        await asyncio.wait_for(bus.run(), 10)


def test_kernel_filters_name_each_wanted_id_and_nothing_else() -> None:
    standard, extended = (0x123, 0x8000_07FF), (0x98DA_F110, 0x9FFF_FFFF)
    assert kernel_filters([(0x123, False), (0x18DAF110, True)]) == struct.pack("=4I", *standard, *extended)
    assert kernel_filters([]) == b"", "which lets nothing in"
    assert kernel_filters([(number, False) for number in range(513)]) == bytes(8), "which lets everything in"


class SerialAdapter:
    """An slcan adapter played on the master side of a pty."""

    def __init__(self) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.port = os.ttyname(self._slave)

    def say(self, text: bytes) -> None:
        os.write(self._master, text)

    def wait_until_there(self) -> None:
        """Block until what was said can be read at the agent's end, without letting the agent read it."""
        poll = select.poll()
        poll.register(self._slave, select.POLLIN)
        assert poll.poll(10_000)

    async def heard(self, ending: bytes) -> bytes:
        """What the agent wrote so far, once it ends so."""
        loop = asyncio.get_running_loop()
        heard = b""
        while not heard.endswith(ending):
            readable = asyncio.Event()
            loop.add_reader(self._master, readable.set)
            try:
                await asyncio.wait_for(readable.wait(), 10)
            finally:
                loop.remove_reader(self._master)
            heard += os.read(self._master, 4096)
        return heard

    def stop_listening(self) -> None:
        """Fill the line, so that it takes no byte of the agent's."""
        os.set_blocking(self._slave, False)
        poll = select.poll()
        poll.register(self._slave, select.POLLOUT)
        # The kernel moves what is written on in the background; the line is full when it has nowhere to move it to.
        while poll.poll(200):
            with contextlib.suppress(BlockingIOError):
                os.write(self._slave, b"x" * 4096)

    def unplug(self) -> None:
        for descriptor in (self._master, self._slave):
            if descriptor >= 0:
                os.close(descriptor)
        self._master = self._slave = -1


@pytest.fixture
def adapter() -> Iterator[SerialAdapter]:
    adapter = SerialAdapter()
    yield adapter
    adapter.unplug()


async def test_slcan_frames_cross_a_serial_line_both_ways_and_noise_on_it_does_no_harm(adapter: SerialAdapter) -> None:
    listener = CanListener()
    async with running_bus(listener, interface="slcan", channel=adapter.port, send_list=SEND_LIST) as bus:
        assert b"S6\r" in await adapter.heard(b"O\r")
        adapter.say(b"\xff\xfe\x80\r")  # noise that is no text
        await until(lambda: bus.counts.garbled == 1)
        # An adapter's OK, a line that is no frame, a frame that lacks bytes, half a frame.
        adapter.say(b"\r" + b"thello\r" + b"t1238AABB\r" + b"t1232")
        await until(lambda: bus.counts.garbled == 3)
        adapter.say(b"CAFE\r")
        frame = await listener.frame()
        assert (frame.arbitration_id, frame.data) == (0x123, b"\xca\xfe")
        bus.send(UNLOCK, not_after_s=boot_s() + 5)
        assert await adapter.heard(b"t4A0102\r") == b"t4A0102\r"


async def test_the_sum_of_all_counters_is_what_crossed_the_serial_line(adapter: SerialAdapter) -> None:
    listener = CanListener()
    async with running_bus(listener, interface="slcan", channel=adapter.port, conflatable_ids=[(0x123, False)]) as bus:
        adapter.say(b"t123101\r" * 40 + b"t124101\r" * 30 + b"t1238AABB\r" * 20 + b"thello\r" * 10 + b"t123102\r")
        await until(lambda: accounted(bus) == 101)
        assert (bus.counts.unwanted, bus.counts.garbled) == (30, 30)
        assert bus.counts.received + bus.left_out()[0x123, False] == 41
        assert listener.frames_so_far()[-1].data == b"\x02"


async def test_what_arrived_before_a_send_is_given_before_it_sr_04(adapter: SerialAdapter) -> None:
    listener = CanListener()
    async with running_bus(listener, interface="slcan", channel=adapter.port, send_list=SEND_LIST) as bus:
        adapter.say(b"z\r" + b"t123101\r" * 3 + b"z\r" + b"t123102\r")
        adapter.wait_until_there()
        at_s = bus.send(UNLOCK, not_after_s=boot_s() + 5)
        frames = listener.frames_so_far()
        assert [frame.data for frame in frames] == [b"\x01"] * 3 + [b"\x02"]
        assert all(frame.received_at_s < at_s for frame in frames)


async def test_an_unplugged_serial_adapter_is_gone_and_nothing_spins_h124(adapter: SerialAdapter) -> None:
    listener = CanListener()
    async with running_bus(listener, interface="slcan", channel=adapter.port, send_list=SEND_LIST) as bus:
        adapter.unplug()
        assert await listener.state() in (BusState.GONE, BusState.DOWN)
        with pytest.raises(FrameRefused) as refusal:
            bus.send(UNLOCK, not_after_s=boot_s() + 5)
        assert refusal.value.reason is Reason.CAN_DOWN


async def test_giving_up_while_an_adapter_boots_leaves_it_closed(adapter: SerialAdapter) -> None:
    bus = CanBus(
        "body",
        interface="slcan",
        channel=adapter.port,
        bitrate_bps=500_000,
        is_fd=False,
        send_list=[],
        wanted_ids=[],
        on_frame=lambda frame: None,
        on_state=lambda state, sign: None,
    )
    running = asyncio.create_task(bus.run())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (await adapter.heard(b"O\rC\r")).count(b"C\r") == 2


async def test_a_serial_adapter_that_takes_no_byte_does_not_hold_up_the_agent(adapter: SerialAdapter) -> None:
    listener = CanListener()
    async with running_bus(listener, interface="slcan", channel=adapter.port, send_list=SEND_LIST) as bus:
        adapter.stop_listening()
        before_s = boot_s()
        with pytest.raises(FrameRefused) as refusal:
            bus.send(UNLOCK, not_after_s=before_s + 5)
        assert boot_s() - before_s < 2.0
        # Part of it may have got through: not `can_down`, which would say that the car did nothing (csa1 A4).
        assert refusal.value.reason is Reason.TIMEOUT
        assert await listener.state() is BusState.DOWN


async def test_a_hung_serial_adapter_does_not_hold_up_the_end(adapter: SerialAdapter) -> None:
    async with running_bus(CanListener(), interface="slcan", channel=adapter.port):
        adapter.stop_listening()
        before_s = boot_s()
    assert boot_s() - before_s < 2.0


async def test_a_line_that_never_ends_does_not_fill_the_memory(adapter: SerialAdapter) -> None:
    listener = CanListener()
    async with running_bus(listener, interface="slcan", channel=adapter.port) as bus:
        while bus.counts.garbled < 3:
            with contextlib.suppress(BlockingIOError):
                adapter.say(b"x" * 1024)
            await asyncio.sleep(0)
        async with asyncio.timeout(10):
            while not (frames := listener.frames_so_far()):
                with contextlib.suppress(BlockingIOError):
                    adapter.say(b"\rt123107\r")
                await asyncio.sleep(0)
        assert frames[0].data == b"\x07"


@pytest.mark.parametrize(
    ("bitrate_bps", "is_fd", "frames"), [(500_000, False, 1127), (125_000, False, 282), (500_000, True, 9010)]
)
def test_the_receive_buffer_holds_a_quarter_of_a_second_of_a_full_bus(
    bitrate_bps: int, is_fd: bool, frames: int
) -> None:
    assert receive_buffer_bytes(bitrate_bps, is_fd=is_fd) == 768 * frames
