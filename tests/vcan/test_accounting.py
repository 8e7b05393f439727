"""Every frame on the bus is accounted for: our counters and the kernel's own add up to what was sent."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from agent.adapters import can_port
from agent.adapters.bcm_message import Watched
from agent.adapters.can_bus import CanBus
from agent.adapters.clock import boot_s
from agent.decode.decoder import Decoder
from agent.model.frame import BitField, BusState
from agent.model.reading import Quality
from agent.model.reception import MessageId, Watch
from agent.profiles.watches import watches
from agent.state.tracker import Tracker
from tests.support.can_listener import CanListener, running_bus, until
from tests.support.plans import IS_LOCKED, SPEED, message_plan, profile_of, signal_plan
from tests.support.wire import Wire, ip

pytestmark = pytest.mark.vcan

FIRST_BYTE = b"\xff" + bytes(7)
RAW_ID, STRANGE_ID = 0x300, 0x400
WATCHES = tuple(
    Watch(MessageId("body", number, False), False, (FIRST_BYTE,), 0.0, throttle_s=throttle_s)
    for number, throttle_s in ((0x101, 0.0), (0x102, 0.0), (0x103, 0.2))
)
IDS = [(each.message.arbitration_id, False) for each in WATCHES] + [(RAW_ID, False)]


def frames_on(channel: str) -> int:
    """What the interface itself counted as received."""
    return int(Path("/sys/class/net", channel, "statistics/rx_packets").read_text())


def burst(wire: Wire, sent: Counter[int], frames: int) -> None:
    """Frames of every kind: one that changes with every frame, one with every fourth, one that is throttled, …"""
    for number in range(frames):
        for can_id, value in ((0x101, number), (0x102, number // 4), (0x103, number), (RAW_ID, 0), (STRANGE_ID, 0)):
            wire.send(can_id, bytes([value % 251]))
            sent[can_id] += 1
    wire.settle()
    sent[0x7FF] += 1


def watched_sum(bus: CanBus) -> Watched:
    return sum(bus.statistics().values(), Watched(0, 0))


@pytest.mark.parametrize("stall_s", [can_port.STALL_S, 0.001], ids=["roomy", "cramped"])
async def test_delivered_suppressed_and_lost_frames_add_up_by_the_kernels_own_count(
    link: str, stall_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read in time and not, watched and read one by one, with a command in between and a link that goes down."""
    monkeypatch.setattr(can_port, "STALL_S", stall_s)
    listener, sent = CanListener(), Counter[int]()
    wire = Wire(link)
    before = frames_on(link)
    async with running_bus(listener, interface="socketcan", channel=link, watches=WATCHES, wanted_ids=IDS) as bus:
        burst(wire, sent, 40)
        bus.confirm()
        bus.attend([WATCHES[0].message])
        attended_from = sent[0x101]
        burst(wire, sent, 10)
        bus.confirm()
        one_by_one = sent[0x101] - attended_from
        bus.attend([])
        burst(wire, sent, 40)
        # What the throttle holds is told when its time is over, and may come in while we ask.
        await until(lambda: _is_told_all(bus))
        assert frames_on(link) - before == sent.total()
        for each in WATCHES:
            assert bus.statistics()[each.message.arbitration_id, False].came == sent[each.message.arbitration_id]
        watched, counts = watched_sum(bus), bus.counts
        assert watched.told < watched.came
        # Frames given one by one: those of the raw id, and of what was attended to; the kernel told of those as well.
        read = counts.received - counts.changes
        assert (counts.lost > 0) is (stall_s < 0.1)
        assert watched.told == counts.changes + counts.doubled + counts.lost_changes
        assert sent[RAW_ID] + one_by_one == read + counts.lost - counts.lost_changes
        assert (counts.unwanted, counts.garbled, counts.dropped) == (0, 0, 0)
        ip("set", link, "down")
        await listener.until(BusState.DOWN)
        ip("set", link, "up")
        await listener.until(BusState.UP)
        assert watched_sum(bus) == watched
        wire.close()
        wire = Wire(link)
        burst(wire, sent, 1)
        bus.confirm()
        assert watched_sum(bus).came == watched.came + 3
    wire.close()


def _is_told_all(bus: CanBus) -> bool:
    """Whether nothing waits any more: not in the sockets, and not in the throttle."""
    before = watched_sum(bus), bus.counts.received
    bus.confirm()
    quiet_from_s = boot_s()
    while boot_s() - quiet_from_s < 1.5 * WATCHES[2].throttle_s:
        bus.confirm()
    return before == (watched_sum(bus), bus.counts.received)


async def test_a_page_that_comes_no_more_is_stale_in_time_while_the_others_go_on_sr_05(wire: Wire) -> None:
    """The kernel has no time-out for one page, so each is asked for anew; what is not given again grows old."""
    selector = BitField(0, 8, is_little_endian=True, size_bytes=1)
    pages = tuple(
        replace(signal_plan(path, byte=1, freshness_s=1.0), selector_values=frozenset({value}))
        for path, value in ((SPEED, 1), (IS_LOCKED, 2))
    )
    plan = replace(message_plan(*pages), selector=selector, selector_known=frozenset({1, 2}))
    profile = profile_of(plan)
    (watch,) = watches(profile, "body")
    assert (watch.timeout_s, len(watch.masks)) == (0.0, 3)
    decoder, tracker, listener = Decoder(profile), Tracker(profile), CanListener()

    def take_in(bus: CanBus) -> None:
        bus.confirm()
        for frame in listener.changes_so_far():
            tracker.hear(decoder.hear(frame), frame.received_at_s)
        assert not listener.going_on and not listener.frames_so_far()

    def is_fresh(path: str) -> bool:
        return tracker.reading(path, boot_s()).quality is Quality.OK

    async with running_bus(
        listener,
        interface="socketcan",
        channel="vcan0",
        watches=[watch],
        wanted_ids=[(plan.arbitration_id, False)],
    ) as bus:
        begun_s, stale_at_s, other_was_fresh = boot_s(), None, True
        last_s = begun_s + 1.5

        def both_then_one() -> bool:
            nonlocal stale_at_s, other_was_fresh
            now_s = boot_s()
            wire.send(plan.arbitration_id, b"\x02\x05")
            if now_s < last_s:
                wire.send(plan.arbitration_id, b"\x01\x07")
            wire.settle()
            take_in(bus)
            other_was_fresh = other_was_fresh and is_fresh(IS_LOCKED)
            if now_s < last_s:
                assert is_fresh(SPEED)
            elif stale_at_s is None and not is_fresh(SPEED):
                stale_at_s = boot_s()
            return now_s > last_s + 2.0

        await until(both_then_one)
        assert stale_at_s is not None and stale_at_s - last_s <= 1.0 + 0.1
        assert other_was_fresh
