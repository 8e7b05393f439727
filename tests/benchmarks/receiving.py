"""What the portable path costs a frame above python-can's own receive, beside what cantools takes to decode it.

    python -m tests.benchmarks.receiving [--rounds N] [--json]

Frames of the bus of `tests/benchmarks/traffic.py` (80 % unchanged, all 480 signals wanted) cross python-can's
in-process bus: once to a loop that only receives, once to the agent's adapter, decoder and state. In both a burst is
sent and taken in, and the difference of the two is the agent's own. Processor time; the fastest of the rounds.
Exit status: 0 done, 2 wrong use.
"""

# ruff: noqa: T201 - a command's own output
from __future__ import annotations

import argparse
import asyncio
import json
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from time import process_time

import can
import cantools.database
from cantools.database.can import Database

from agent.adapters.can_bus import CanBus
from agent.decode.decoder import Decoder
from agent.errors import EXIT_DONE
from agent.model.bus import BusSign
from agent.model.frame import BusState, Frame
from agent.state.tracker import Tracker
from tests.benchmarks.decoding import BUS, profile
from tests.benchmarks.full_bus import positive
from tests.benchmarks.traffic import dbc_text, frames

FRAMES = 8000
"""A burst: what the adapter's reading thread may have waiting, two seconds of a full bus."""

BOUND = 1 / 4
"""At most this share of cantools' decoding."""


@dataclass(slots=True)
class Spent:
    """Processor seconds of the fastest round of each."""

    receive_s: float = float("inf")
    agent_s: float = float("inf")
    cantools_s: float = float("inf")


def _bare(messages: Sequence[can.Message]) -> float:
    channel = str(uuid.uuid4())
    with can.Bus(interface="virtual", channel=channel) as car, can.Bus(interface="virtual", channel=channel) as bus:
        begun_s = process_time()
        for message in messages:
            car.send(message)
        while bus.recv(0) is not None:
            pass
        return process_time() - begun_s


async def _agent(messages: Sequence[can.Message]) -> float:
    plan, channel, is_up = profile(), str(uuid.uuid4()), asyncio.Event()
    decoder, tracker = Decoder(plan), Tracker(plan)
    ids = [(message.arbitration_id, message.is_extended_id) for message in plan.messages]

    def on_frame(frame: Frame) -> None:
        tracker.hear(decoder.hear(frame), frame.received_at_s)

    def on_state(state: BusState, sign: BusSign) -> None:
        is_up.set()

    bus = CanBus(
        BUS,
        interface="virtual",
        channel=channel,
        bitrate_bps=500_000,
        is_fd=False,
        send_list=(),
        wanted_ids=ids,
        on_frame=on_frame,
        on_state=on_state,
        conflatable_ids=ids,
    )
    running = asyncio.create_task(bus.run())
    await is_up.wait()
    try:
        with can.Bus(interface="virtual", channel=channel) as car:
            begun_s = process_time()
            for message in messages:
                car.send(message)
            while _accounted(bus) < len(messages):  # noqa: ASYNC110 - a sum nobody announces
                await asyncio.sleep(0.001)
            return process_time() - begun_s
    finally:
        running.cancel()
        await asyncio.wait([running])


def _accounted(bus: CanBus) -> int:
    return bus.counts.received + sum(bus.conflation.counts.values()) + bus.counts.dropped


def measure(rounds: int) -> dict[str, float]:
    """Nanoseconds a frame of each, and the share."""
    database = cantools.database.load_string(dbc_text(), "dbc")
    assert isinstance(database, Database)
    sent = list(islice(frames(0.8), FRAMES))
    messages = [can.Message(arbitration_id=each.arbitration_id, data=each.data, is_extended_id=False) for each in sent]
    spent = Spent()
    for _ in range(rounds):
        spent.receive_s = min(spent.receive_s, _bare(messages))
        spent.agent_s = min(spent.agent_s, asyncio.run(_agent(messages)))
        begun_s = process_time()
        for each in sent:
            database.decode_message(each.arbitration_id, each.data)
        spent.cantools_s = min(spent.cantools_s, process_time() - begun_s)
    own_s = spent.agent_s - spent.receive_s
    figures = {"receive": spent.receive_s, "agent": spent.agent_s, "own": own_s, "cantools": spent.cantools_s}
    ns = {f"{name}_ns": round(1e9 * taken_s / FRAMES) for name, taken_s in figures.items()}
    return {**ns, "own_share": round(own_s / spent.cantools_s, 3)}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.receiving",
        description="The portable path's own cost a frame, beside cantools' decoding.",
        epilog="example:\n  python -m tests.benchmarks.receiving --json\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=positive(int), default=10, metavar="N", help="(10)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a line")
    options = parser.parse_args(arguments)
    found = measure(int(options.rounds))
    words = f"send and receive {found['receive_ns']} ns, with the agent {found['agent_ns']} ns: "
    words += f"its own {found['own_ns']} ns, {found['own_share']:.2f} of cantools' {found['cantools_ns']} ns"
    words += f" (wanted: {BOUND})"
    print(json.dumps(found) if options.json else words)
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
