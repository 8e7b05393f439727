"""Test 2: a recording, played onto the bus by the peer and heard by the agent's adapter, decodes to what it must."""

from __future__ import annotations

import json
from collections.abc import Callable

import can

from agent.loading import load_profile
from agent.model.frame import Frame
from agent.replay import Replay
from tests.profiles import candump
from tests.support.can_listener import CanListener, running_bus

from bench_file import Bench
from ports import BusPeer


async def test_recording_on_the_wire_decodes_to_what_it_must(
    bench: Bench, bus_peer: BusPeer, measured: Callable[[str, object], None]
) -> None:
    """SR-05: value, quality and reason of each reading; of the recording only the times are kept."""
    folder = bench.profile_folder
    profile = load_profile(folder)
    wanted = [(plan.arbitration_id, plan.is_extended_id) for plan in profile.messages]
    recorded = list(candump.frames((folder / "drive.log").read_text().splitlines()))
    played = [frame for frame in recorded if (frame.arbitration_id, frame.is_extended_id) in wanted]
    heard: list[Frame] = []
    listener = CanListener()
    async with running_bus(
        listener, interface=bench.agent.interface, channel=bench.agent.channel, wanted_ids=wanted
    ) as bus:
        for begin in range(0, len(played), bench.burst):
            burst = played[begin : begin + bench.burst]
            for frame in burst:
                bus_peer.send(
                    can.Message(
                        arbitration_id=frame.arbitration_id, is_extended_id=frame.is_extended_id, data=frame.data
                    )
                )
            arrived: list[Frame] = []
            while len(arrived) < len(burst):
                arrived += [await listener.frame(), *listener.frames_so_far()]
            heard += [
                got._replace(bus=frame.bus, received_at_s=frame.received_at_s)
                for got, frame in zip(arrived, burst, strict=True)
            ]
        assert bus.counts.dropped == 0
    replay = Replay(profile, bus=None, is_every_reading=False)
    found = sorted(replay.run(heard), key=lambda line: (line["time_s"], line["path"]))
    assert [json.loads(json.dumps(line)) for line in found] == [
        json.loads(line) for line in (folder / "expected.jsonl").read_text().splitlines()
    ]
    measured("frames", len(heard))
    measured("readings", len(found))
