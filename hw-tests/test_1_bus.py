"""Test 1: the wire. Frames both ways at each bit rate, filters, a link that goes, bus-off and recovery."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import can
import pytest

from agent.model.frame import BusState
from tests.support.can_listener import CanListener, running_bus

from bench_file import Bench, Channel
from conftest import lacks, set_link
from devices import AdapterPeer
from ports import BusFault, BusPeer

WAIT_S = 5.0


def frames() -> list[can.Message]:
    """Every length, of standard and extended ids, with bits that all change."""
    return [
        can.Message(
            arbitration_id=0x18DA0000 + number if is_extended else 0x700 + number,
            is_extended_id=is_extended,
            data=bytes((number * 37 + place * 85) % 256 for place in range(number % 9)),
        )
        for is_extended in (False, True)
        for number in range(36)
    ]


def carried(sender: BusPeer, receiver: BusPeer, bench: Bench) -> int:
    """Send all frames one way; how many arrived, each compared."""
    sent = frames()
    for begin in range(0, len(sent), bench.burst):
        burst = sent[begin : begin + bench.burst]
        for message in burst:
            sender.send(message)
        for message in burst:
            got = receiver.receive(WAIT_S * bench.patience)
            assert got is not None, f"id {message.arbitration_id:#x} did not arrive"
            assert (got.arbitration_id, got.is_extended_id, bytes(got.data)) == (
                message.arbitration_id,
                message.is_extended_id,
                bytes(message.data),
            )
    return len(sent)


@pytest.fixture
def ours(bench: Bench) -> Iterator[BusPeer]:
    bus = AdapterPeer(bench.agent)
    yield bus
    bus.close()


def test_frames_arrive_both_ways(
    ours: BusPeer, bus_peer: BusPeer, bench: Bench, measured: Callable[[str, object], None]
) -> None:
    count = carried(ours, bus_peer, bench) + carried(bus_peer, ours, bench)
    measured("frames", count)


def set_bitrate(channel: Channel, bitrate_bps: int) -> None:
    set_link(channel, "down")
    set_link(channel, "type", "can", "bitrate", str(bitrate_bps), "restart-ms", "1000", "listen-only", "off")
    set_link(channel, "up")


@pytest.mark.disturbs_bus
def test_frames_arrive_both_ways_at_each_bit_rate(bench: Bench, measured: Callable[[str, object], None]) -> None:
    if not bench.bitrates_bps or bench.peer is None:
        pytest.skip(f"bench {bench.name!r} has no bit rates to be set: bitrates_bps")
    channels = bench.agent, bench.peer
    try:
        for bitrate_bps in bench.bitrates_bps:
            for channel in channels:
                set_bitrate(channel, bitrate_bps)
            ours, peer = map(AdapterPeer, channels)
            try:
                carried(ours, peer, bench)
                carried(peer, ours, bench)
            finally:
                ours.close()
                peer.close()
    finally:
        for channel in channels:
            set_bitrate(channel, bench.bitrate_bps)
    measured("bitrates_bps", " ".join(map(str, bench.bitrates_bps)))


async def test_agent_hears_only_what_it_wants(bench: Bench, bus_peer: BusPeer) -> None:
    """The kernel's filters: what the agent did not ask for never reaches its process."""
    wanted = [(0x123, False), (0x18DAF110, True)]
    listener = CanListener()
    async with running_bus(
        listener, interface=bench.agent.interface, channel=bench.agent.channel, wanted_ids=wanted
    ) as bus:
        for number in range(6):
            bus_peer.send(can.Message(arbitration_id=0x100 + number, is_extended_id=False, data=b"\1"))
        bus_peer.send(can.Message(arbitration_id=0x123, is_extended_id=True, data=b"\2"))
        bus_peer.send(can.Message(arbitration_id=0x123, is_extended_id=False, data=b"\3"))
        assert (await listener.frame()).data == b"\3"
        bus_peer.send(can.Message(arbitration_id=0x18DAF110, is_extended_id=True, data=b"\4"))
        assert (await listener.frame()).data == b"\4"
        assert bus.counts.dropped == 0
        if bench.agent.interface == "socketcan":  # other adapters hand everything over, and the agent picks
            assert bus.counts.unwanted == 0


@pytest.mark.disturbs_bus
async def test_link_that_was_down_is_used_again(bench: Bench) -> None:
    """The agent says so while it is down, and hears the bus again afterwards without a restart."""
    if bench.ports.bus_peer == "none" or bench.peer is None:
        lacks("bus_peer", bench)
    if bench.agent.interface != "socketcan":
        pytest.skip(f"a link of {bench.agent.interface} cannot be taken down")
    listener = CanListener()
    async with running_bus(listener, interface=bench.agent.interface, channel=bench.agent.channel):
        try:
            set_link(bench.agent, "down")
            await listener.until(BusState.DOWN)
        finally:
            set_link(bench.agent, "up")
        await listener.until(BusState.UP)
        peer = AdapterPeer(bench.peer)  # a socket of the time before is told of the fall first
        try:
            peer.send(can.Message(arbitration_id=0x123, is_extended_id=False, data=b"\5"))
            assert (await listener.frame()).data == b"\5"
        finally:
            peer.close()


@pytest.mark.disturbs_bus
async def test_bus_off_is_told_and_recovered_from(bench: Bench, bus_fault: BusFault, bus_peer: BusPeer) -> None:
    listener = CanListener()
    async with running_bus(listener, interface=bench.agent.interface, channel=bench.agent.channel):
        bus_fault.begin()
        await listener.until(BusState.BUS_OFF)
        bus_fault.end()
        await listener.until(BusState.UP)
        bus_peer.send(can.Message(arbitration_id=0x123, is_extended_id=False, data=b"\6"))
        assert (await listener.frame()).data == b"\6"
