"""The kernel's watch and the reading of every frame tell the same of any traffic, for every vehicle of `dbc/`.

Up to two things, which are declared: the throttle, left out here, gathers changes; and nobody sees the counter of what
the kernel leaves out, so that the traffic here counts rightly.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.adapters.can_bus import CanBus
from agent.decode.decoder import Decoder
from agent.loading import load_profile
from agent.model.frame import Frame
from agent.model.reading import Reading
from agent.model.reception import MessageId
from agent.profiles.schema import MessagePlan, Profile
from agent.profiles.watches import repeating, watches
from agent.state.tracker import Tracker
from agent.wiring import conflatable
from tests.support.can_listener import CanListener, running_bus
from tests.support.wire import EXTENDED, Wire

pytestmark = pytest.mark.vcan

DBC = Path(__file__).resolve().parents[2] / "dbc"
PROFILES = [load_profile(folder) for folder in sorted(DBC.iterdir()) if (folder / "profile.toml").exists()]
# On some buses the car only answers: nothing is broadcast there.
BUSES = [
    (profile, plan.name)
    for profile in PROFILES
    for plan in profile.buses
    if any(message.bus == plan.name for message in profile.messages)
]


class Receiver:
    """A car as one of the two ways of receiving shows it."""

    def __init__(self, profile: Profile) -> None:
        self._decoder = Decoder(profile)
        self._tracker = Tracker(profile)
        self._paths = profile.paths
        self.bus: CanBus | None = None

    def on_frame(self, frame: Frame) -> None:
        self._tracker.fold(self._decoder.receive(frame))

    def on_change(self, frame: Frame) -> None:
        """As `Engine.receive_watched` does."""
        self._tracker.hear(self._decoder.hear_change(frame), frame.received_at_s)
        message = self._decoder.message_of(frame)
        if message is not None and self._decoder.refused_last(message) and self.bus is not None:
            self.bus.watch_afresh(MessageId(frame.bus, frame.arbitration_id, frame.is_extended_id))

    def shows(self) -> dict[str, tuple[object, ...] | None]:
        return {path: _content(self._tracker.last_known(path)) for path in self._paths}


def _content(reading: Reading | None) -> tuple[object, ...] | None:
    return None if reading is None else (reading.value, reading.quality, reading.reason, reading.message)


class Sender:
    """Sends frames of a profile with the counters and checksums it asks for."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._counts: Counter[str] = Counter()

    def send(self, plan: MessagePlan, data: bytes, fault: str) -> None:
        """`corrupt`: with a wrong checksum, if it has one; `short`: a byte is missing."""
        if not fault:
            self._counts[plan.name] += 1
        if plan.counter is not None:
            data = plan.counter.field.insert(data, self._counts[plan.name])
        if plan.checksum is not None:
            data = plan.checksum.field.insert(data, plan.checksum.compute(data) ^ (fault == "corrupt"))
        can_id = plan.arbitration_id | (EXTENDED if plan.is_extended_id else 0)
        self._wire.send(can_id, data[:-1] if fault == "short" else data, is_fd=plan.is_fd)
        self._wire.settle()


@st.composite
def traffic(draw: st.DrawFn, profile: Profile, bus: str) -> list[tuple[MessagePlan, bytes, str]]:
    """Frames of some messages, each of which has few contents, so that they repeat, and come after corrupt ones."""
    plans = [plan for plan in profile.messages if plan.bus == bus]
    contents: list[tuple[MessagePlan, bytes]] = []
    for plan in draw(st.lists(st.sampled_from(plans), min_size=1, max_size=4, unique_by=lambda plan: plan.name)):
        for _ in range(3):
            payload = draw(st.binary(min_size=plan.length_bytes, max_size=plan.length_bytes))
            if plan.selector is not None:
                payload = plan.selector.insert(payload, draw(st.sampled_from(sorted(plan.selector_known or [0]))))
            contents.append((plan, payload))
    faults = st.sampled_from(["", "", "", "", "corrupt", "short"])
    return [
        (*draw(st.sampled_from(contents)), draw(faults)) for _ in range(draw(st.integers(min_value=1, max_value=40)))
    ]


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire("vcan0")
    yield wire
    wire.close()


async def compare(profile: Profile, bus_name: str, frames: list[tuple[MessagePlan, bytes, str]], wire: Wire) -> None:
    """Send frame by frame; after each both must show the same car."""
    whole, watched, kept = Receiver(profile), Receiver(profile), Receiver(profile)
    ids = [(plan.arbitration_id, plan.is_extended_id) for plan in profile.messages if plan.bus == bus_name]
    plain, picky, sieved = CanListener(), CanListener(), CanListener()
    patient = [(plan.arbitration_id, plan.is_extended_id) for plan in conflatable(profile) if plan.bus == bus_name]
    asked = [replace(watch, throttle_s=0.0) for watch in watches(profile, bus_name)]
    sender = Sender(wire)
    async with (
        running_bus(plain, interface="socketcan", channel="vcan0", wanted_ids=ids, bus=bus_name) as every,
        running_bus(
            picky, interface="socketcan", channel="vcan0", wanted_ids=ids, watches=asked, bus=bus_name
        ) as watching,
        running_bus(
            sieved,
            interface="socketcan",
            channel="vcan0",
            wanted_ids=ids,
            conflatable_ids=patient,
            repeating=repeating(profile, bus_name),
            bus=bus_name,
        ) as keeping,
    ):
        watched.bus = watching
        for plan, payload, fault in frames:
            sender.send(plan, payload, fault)
            every.take_what_came()
            watching.take_what_came()
            keeping.take_what_came()
            for frame in plain.frames_so_far():
                whole.on_frame(frame)
            for frame in picky.changes_so_far():
                watched.on_change(frame)
            for frame in picky.frames_so_far():
                watched.on_frame(frame)
            for frame in sieved.frames_so_far():
                kept.on_frame(frame)
            assert watched.shows() == whole.shows() == kept.shows()
        assert every.counts.received == len(frames) >= watching.counts.received
        # All but what is not due yet, at most one frame of each message.
        keeping.confirm()
        given = keeping.counts.received + keeping.left_out().total()
        assert len(frames) - len({plan.name for plan, _, _ in frames}) <= given <= len(frames)


@pytest.mark.parametrize(("profile", "bus"), BUSES, ids=[f"{profile.name}-{bus}" for profile, bus in BUSES])
def test_both_ways_of_receiving_show_the_same_car(profile: Profile, bus: str, wire: Wire) -> None:
    @settings(max_examples=25, database=None)
    @given(traffic(profile, bus))
    def holds(frames: list[tuple[MessagePlan, bytes, str]]) -> None:
        asyncio.run(compare(profile, bus, frames, wire))

    holds()
