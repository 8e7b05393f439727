"""The kernel watches: what changes is given, what does not change is known to be there, what is lost is counted."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agent.adapters import bcm_socket, can_broadcast, can_port
from agent.adapters.bcm_message import Watched
from agent.adapters.can_bus import CanBus
from agent.adapters.clock import boot_s
from agent.model.frame import BusState
from agent.model.reception import GoesOn, MessageId, Watch
from tests.support.can_listener import CanListener, running_bus, until
from tests.support.wire import ERROR, EXTENDED, Wire, ip

pytestmark = pytest.mark.vcan

SPEED = MessageId("body", 0x123, False)
FAR = MessageId("body", 0x18DAF110, True)
PAGED = MessageId("body", 0x200, False)
RAW_ID = 0x300

TIMEOUT_S = 0.2
FIRST_BYTE = b"\xff" + bytes(7)


def watch(message: MessageId = SPEED) -> Watch:
    return Watch(message, False, (FIRST_BYTE,), TIMEOUT_S)


def ids(*watches: Watch) -> list[tuple[int, bool]]:
    return [(each.message.arbitration_id, each.message.is_extended_id) for each in watches] + [(RAW_ID, False)]


def seen(bus: CanBus, listener: CanListener, message: MessageId = SPEED) -> Callable[[], bool]:
    """Whether the message is now said to go on."""

    def is_seen() -> bool:
        bus.confirm()
        return any(each.message == message for each in listener.going_on)

    return is_seen


async def confirming(bus: CanBus, *, until_s: float) -> None:
    """Ask over and over what is there, as the application does."""

    def is_over() -> bool:
        bus.confirm()
        return boot_s() > until_s

    await until(is_over)


async def test_only_what_changes_a_wanted_bit_is_given(wire: Wire) -> None:
    listener, watched = CanListener(), (watch(), watch(FAR))
    async with running_bus(
        listener, interface="socketcan", channel="vcan0", watches=watched, wanted_ids=ids(*watched)
    ) as bus:
        before_s = boot_s()
        for data in (b"\x01\x00", b"\x01\x01", b"\x01\x02", b"\x02\x02", b"\x02\x03", b"\x02"):
            wire.send(0x123, data)
            wire.send(EXTENDED | 0x18DAF110, b"\x07")
        wire.send(EXTENDED | 0x123, b"\x09")
        wire.send(0x124, b"\x09")
        wire.send(RAW_ID, b"\x05")
        assert (await listener.frame()).data == b"\x05"
        wire.settle()
        bus.confirm()
        changes = listener.changes_so_far()
        # The last one is shorter: another length is a change, for a frame cut short is to be refused.
        assert [each.data for each in changes if not each.is_extended_id] == [b"\x01\x00", b"\x02\x02", b"\x02"]
        assert [each.data for each in changes if each.is_extended_id] == [b"\x07"]
        assert all(before_s - 1e-3 <= each.received_at_s <= boot_s() for each in changes)
        assert (bus.counts.received, bus.counts.changes, bus.counts.unwanted, bus.counts.lost) == (5, 4, 0, 0)
        assert bus.statistics()[0x123, False] == Watched(came=6, told=3)
        assert bus.statistics()[0x18DAF110, True] == Watched(came=6, told=1)


async def test_what_the_kernel_tells_is_understood_whatever_it_has_told_before(wire: Wire) -> None:
    """More kinds of messages than are kept: of every length, and each of them twice."""
    listener, said = CanListener(), [bytes([turn, *range(length)]) for turn in range(2) for length in range(8)]
    async with running_bus(
        listener, interface="socketcan", channel="vcan0", watches=[watch()], wanted_ids=ids(watch())
    ) as bus:
        for data in said:
            wire.send(0x123, data)
        wire.settle()
        bus.confirm()
        assert [each.data for each in listener.changes_so_far()] == said


async def test_an_unchanged_message_is_seen_until_it_falls_silent_and_is_given_when_it_resumes_sr_05(
    wire: Wire,
) -> None:
    listener = CanListener()
    async with running_bus(
        listener, interface="socketcan", channel="vcan0", watches=[watch()], wanted_ids=ids(watch())
    ) as bus:
        for _ in range(10):
            wire.send(0x123, b"\x01")
            sent_s = boot_s()
            await confirming(bus, until_s=sent_s + 0.25 * TIMEOUT_S)
        assert [each.data for each in listener.changes_so_far()] == [b"\x01"]
        assert listener.going_on == [GoesOn(SPEED, TIMEOUT_S)]
        listener.news.clear()
        await confirming(bus, until_s=sent_s + TIMEOUT_S + 0.3)
        # It is never said to have been there at a time at which it was not any more.
        silent = next(number for number, news in enumerate(listener.news) if news.silent)
        assert list(listener.news[silent].silent) == [SPEED] and listener.going_on == []
        known_s = [news.known_at_s - TIMEOUT_S for news in listener.news[:silent] if news.known_at_s is not None]
        assert sent_s - TIMEOUT_S < max(known_s) <= sent_s
        wire.send(0x123, b"\x01")
        assert (await listener.change()).data == b"\x01"
        await until(seen(bus, listener))


async def test_pages_of_a_multiplexed_message_are_compared_each_with_its_own_kind_and_come_again(wire: Wire) -> None:
    masks = (FIRST_BYTE, b"\x01\xff" + bytes(6), b"\x02\xff" + bytes(6))
    paged = Watch(PAGED, False, masks, 0.0, refresh_s=0.3)
    listener = CanListener()
    async with running_bus(
        listener, interface="socketcan", channel="vcan0", watches=[paged], wanted_ids=ids(paged)
    ) as bus:
        for data in (b"\x01\x05", b"\x02\x05", b"\x01\x05", b"\x02\x06", b"\x03\x07", b"\x01\x05", b"\x02\x06"):
            wire.send(0x200, data)
        wire.settle()
        bus.confirm()
        assert [each.data for each in listener.changes_so_far()] == [b"\x01\x05", b"\x02\x05", b"\x02\x06"]
        assert not seen(bus, listener, PAGED)()
        assert not listener.changes_so_far()

        def comes_again() -> bool:
            wire.send(0x200, b"\x01\x05")
            wire.settle()
            bus.confirm()
            return bool(listener.changes_so_far())

        await until(comes_again)


async def test_fd_frames_are_watched_over_all_their_bytes(link: str) -> None:
    watched = Watch(SPEED, True, (bytes(63) + b"\xff",), TIMEOUT_S)
    listener = CanListener()
    wire = Wire(link, is_fd=True)
    async with running_bus(
        listener, interface="socketcan", channel=link, watches=[watched], wanted_ids=ids(watched), is_fd=True
    ) as bus:
        for data in (bytes(64), b"\x01" + bytes(63), bytes(63) + b"\x01"):
            wire.send(0x123, data, is_fd=True)
        wire.settle()
        bus.confirm()
        changes = listener.changes_so_far()
        assert [(each.data[-1], each.is_fd) for each in changes] == [(0, True), (1, True)]
    wire.close()


async def test_changes_are_gathered_by_the_throttle_and_the_last_one_is_given(wire: Wire) -> None:
    watched = Watch(SPEED, False, (FIRST_BYTE,), TIMEOUT_S, throttle_s=TIMEOUT_S)
    listener = CanListener()
    async with running_bus(
        listener, interface="socketcan", channel="vcan0", watches=[watched], wanted_ids=ids(watched)
    ):
        for value in range(20):
            wire.send(0x123, bytes([value]))
        assert (await listener.change()).data == b"\x00"
        assert (await listener.change()).data == b"\x13"


async def test_a_change_that_was_held_back_is_as_old_as_its_frame_sr_05(wire: Wire) -> None:
    """The kernel gives it at the end of the throttle's time; meanwhile the socket was seen empty over and over."""
    watched = Watch(SPEED, False, (FIRST_BYTE,), TIMEOUT_S, throttle_s=TIMEOUT_S)
    listener = CanListener()
    async with running_bus(
        listener, interface="socketcan", channel="vcan0", watches=[watched], wanted_ids=ids(watched)
    ) as bus:
        wire.send(0x123, b"\x00")
        await listener.change()
        wire.send(0x123, b"\x01")
        wire.settle()
        sent_s = boot_s()
        await confirming(bus, until_s=sent_s + 1.5 * TIMEOUT_S)
        (held_back,) = listener.changes_so_far()
        assert held_back.data == b"\x01" and held_back.received_at_s <= sent_s


async def test_what_is_attended_to_comes_frame_by_frame_and_from_the_kernel_no_more_sr_04(wire: Wire) -> None:
    listener = CanListener()
    async with running_bus(
        listener, interface="socketcan", channel="vcan0", watches=[watch()], wanted_ids=ids(watch())
    ) as bus:
        wire.send(0x123, b"\x01")
        wire.settle()
        bus.attend([SPEED])
        assert [each.data for each in listener.changes_so_far()] == [b"\x01"]  # what came before is given before
        for data in (b"\x01", b"\x01", b"\x02"):
            wire.send(0x123, data)
        assert [(await listener.frame()).data for _ in range(3)] == [b"\x01", b"\x01", b"\x02"]
        assert not seen(bus, listener)() and listener.changes_so_far() == []
        bus.attend([])
        for _ in range(3):
            wire.send(0x123, b"\x02")
        wire.settle()
        bus.confirm()
        assert [each.data for each in listener.changes_so_far()] == [b"\x02"]
        assert listener.frames_so_far() == []


async def test_a_message_watched_afresh_is_given_though_nothing_changed(wire: Wire) -> None:
    units = Watch(FAR, False, (FIRST_BYTE,), TIMEOUT_S, units_of=(SPEED,))
    listener = CanListener()
    async with running_bus(
        listener, interface="socketcan", channel="vcan0", watches=[watch(), units], wanted_ids=ids(watch(), units)
    ) as bus:
        wire.send(0x123, b"\x01")
        await listener.change()
        await until(seen(bus, listener))
        bus.watch_afresh(SPEED)
        assert not seen(bus, listener)()
        await confirming(bus, until_s=boot_s() + 0.5 * TIMEOUT_S)
        assert listener.going_on == []  # nobody knows before its next frame
        wire.send(0x123, b"\x01")
        assert (await listener.change()).data == b"\x01"
        wire.send(EXTENDED | 0x18DAF110, b"\x07")  # what it holds changes what the other one means
        await listener.change()
        wire.send(0x123, b"\x01")
        assert (await listener.change()).data == b"\x01"


async def test_after_a_suspend_everything_is_asked_for_again_sr_05(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's time-outs stand still in a suspend, so its silence says nothing. No test can do one."""
    listener = CanListener()
    async with running_bus(
        listener, interface="socketcan", channel="vcan0", watches=[watch()], wanted_ids=ids(watch())
    ) as bus:
        wire.send(0x123, b"\x01")
        await listener.change()
        await until(seen(bus, listener))
        slept_s = can_broadcast.suspended_s(boot_s()) + 3600.0
        monkeypatch.setattr(can_broadcast, "suspended_s", lambda now_s: slept_s)
        before_s = boot_s()
        bus.confirm()
        assert listener.going_on == [] and (listener.news[-1].known_at_s or 0.0) < before_s
        await confirming(bus, until_s=boot_s() + 0.5 * TIMEOUT_S)
        assert listener.going_on == []
        wire.send(0x123, b"\x01")
        assert (await listener.change()).data == b"\x01"


async def test_a_link_down_and_up_a_link_gone_and_back_is_watched_again(link: str) -> None:
    listener = CanListener()
    async with running_bus(
        listener, interface="socketcan", channel=link, watches=[watch()], wanted_ids=ids(watch())
    ) as bus:
        for words, state in ((("set", link, "down"), BusState.DOWN), (("delete", link), BusState.GONE)):
            wire = Wire(link)
            wire.send(0x123, b"\x01")
            assert (await listener.change()).data == b"\x01"
            wire.close()
            ip(*words)
            await listener.until(state)
            assert not seen(bus, listener)()
            if state is BusState.GONE:
                ip("add", "dev", link, "type", "vcan")
            ip("set", link, "up")
            await listener.until(BusState.UP)
        wire = Wire(link)
        wire.send(0x123, b"\x01")
        assert (await listener.change()).data == b"\x01"
        wire.close()


async def test_error_frames_are_heard_beside_the_watch(wire: Wire) -> None:
    listener = CanListener()
    async with running_bus(
        listener, interface="socketcan", channel="vcan0", watches=[watch()], wanted_ids=[(0x123, False)]
    ):
        wire.send(ERROR | 0x040, bytes(8))
        assert await listener.state() is BusState.BUS_OFF


async def test_every_frame_lost_for_want_of_room_is_counted_and_what_it_said_is_asked_for_again(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader stands still, its buffer is small, and a burst comes: delivered, lost and suppressed add up."""
    monkeypatch.setattr(can_port, "STALL_S", 0.001)
    listener = CanListener()
    async with running_bus(
        listener, interface="socketcan", channel="vcan0", watches=[watch()], wanted_ids=ids(watch())
    ) as bus:
        sent = 200
        for number in range(sent):
            wire.send(0x123, bytes([number // 2]))  # every other one changes nothing
        wire.settle()
        bus.confirm()
        delivered = len(listener.changes_so_far())
        lost = listener.lost
        assert lost > 0 and lost == bus.counts.lost
        assert delivered + lost == sent // 2
        assert bus.statistics() == {(0x123, False): Watched(came=sent, told=sent // 2)}
        assert listener.going_on == []  # what was lost may be a change
        wire.send(0x123, bytes([sent // 2 - 1]))
        assert (await listener.change()).data == bytes([sent // 2 - 1])


@pytest.mark.parametrize("watched", [(watch(),), ()], ids=["kernel", "frames"])
async def test_frames_lost_by_the_raw_socket_are_counted_and_add_up(
    wire: Wire, watched: tuple[Watch, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(can_port, "STALL_S", 0.001)
    listener = CanListener()
    async with running_bus(
        listener, interface="socketcan", channel="vcan0", watches=watched, wanted_ids=ids(*watched)
    ) as bus:
        for _ in range(200):
            wire.send(RAW_ID, b"\x01")
        wire.settle()
        bus.confirm()
        assert bus.counts.lost > 0
        assert len(listener.frames_so_far()) + bus.counts.lost == 200


async def test_without_a_broadcast_manager_every_frame_is_read(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bcm_socket, "PROTOCOL", 3)  # CAN_TP16, which no kernel has ever had
    listener = CanListener()
    async with running_bus(
        listener, interface="socketcan", channel="vcan0", watches=[watch()], wanted_ids=ids(watch())
    ) as bus:
        for _ in range(2):
            wire.send(0x123, b"\x01")
            assert (await listener.frame()).data == b"\x01"
        bus.confirm()
        assert (bus.counts.unwatched, bus.statistics()) == (1, {})
    assert "kernel_does_not_watch" in "".join(capsys.readouterr())
