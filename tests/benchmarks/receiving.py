"""What the portable path costs a frame above python-can's own receive, beside what cantools takes to decode it.

    python -m tests.benchmarks.receiving [--rounds N] [--json]

Frames of the bus of `tests/benchmarks/traffic.py` (80 % unchanged, all 480 signals wanted) cross python-can's
in-process bus: once to a thread that does nothing but receive, which is how python-can receives beside anything else
(its own `Notifier` is such a thread and more), once to the agent's adapter, decoder and state. They are sent alike in
both, and the difference of the two is the agent's own. Twice: all at once, so that the event loop is behind and most
frames are overtaken by newer ones, and a few milliseconds' worth at a time, so that it keeps up. cantools decodes each
of the same frames. Processor time; the three take turns, and the medians of the rounds count.
Exit status: 0 done, 2 wrong use.
"""

# ruff: noqa: T201 - a command's own output
from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import threading
import uuid
from collections.abc import Mapping, Sequence
from itertools import islice
from time import process_time

import can
import cantools.database
from cantools.database.can import Database

from agent.adapters.can_bus import CanBus
from agent.adapters.can_thread import POLL_S
from agent.decode.decoder import Decoder
from agent.errors import EXIT_DONE
from agent.model.bus import BusSign
from agent.model.frame import BusState, Frame
from agent.profiles.watches import repeating
from agent.state.tracker import Tracker
from tests.benchmarks.decoding import BUS, profile
from tests.benchmarks.full_bus import positive
from tests.benchmarks.traffic import Sent, dbc_text, frames

FRAMES = 8000
"""A burst: what the adapter's reading thread may have waiting, two seconds of a full bus."""

BOUND = 1 / 4
"""At most this share of cantools' decoding."""

BATCHES = {"behind": FRAMES, "keeping up": 32}
"""Frames sent before the receiver is waited for; 32 are 8 ms of a full bus."""

END = can.Message(arbitration_id=0x7FF, is_extended_id=False)
"""Sent after each batch, to tell when all of it was taken."""


def _bare(batches: Sequence[Sequence[can.Message]]) -> float:
    channel, is_taken = str(uuid.uuid4()), threading.Event()
    with can.Bus(interface="virtual", channel=channel) as car, can.Bus(interface="virtual", channel=channel) as bus:

        def receive() -> None:
            ends = 0
            while ends < len(batches):
                message = bus.recv(POLL_S)
                if message is not None and message.arbitration_id == END.arbitration_id:
                    ends += 1
                    is_taken.set()

        thread = threading.Thread(target=receive)
        thread.start()
        begun_s = process_time()
        for batch in batches:
            is_taken.clear()
            for message in batch:
                car.send(message)
            is_taken.wait()
        spent_s = process_time() - begun_s
        thread.join()
        return spent_s


async def _agent(batches: Sequence[Sequence[can.Message]]) -> float:
    plan, channel = profile(), str(uuid.uuid4())
    is_up, is_taken = asyncio.Event(), asyncio.Event()
    decoder, tracker = Decoder(plan), Tracker(plan)
    ids = [(message.arbitration_id, message.is_extended_id) for message in plan.messages]

    def on_frame(frame: Frame) -> None:
        tracker.hear(decoder.hear(frame), frame.received_at_s)
        if frame.arbitration_id == END.arbitration_id:
            is_taken.set()

    def on_state(state: BusState, sign: BusSign) -> None:
        is_up.set()

    bus = CanBus(
        BUS,
        interface="virtual",
        channel=channel,
        bitrate_bps=500_000,
        is_fd=False,
        send_list=(),
        wanted_ids=[*ids, (END.arbitration_id, END.is_extended_id)],
        on_frame=on_frame,
        on_state=on_state,
        conflatable_ids=ids,
        repeating=repeating(plan, BUS),
    )
    running = asyncio.create_task(bus.run())
    await is_up.wait()
    try:
        with can.Bus(interface="virtual", channel=channel) as car:
            begun_s = process_time()
            for batch in batches:
                is_taken.clear()
                for message in batch:
                    car.send(message)
                await is_taken.wait()
            return process_time() - begun_s
    finally:
        running.cancel()
        await asyncio.wait([running])


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """By how far the loop is behind: nanoseconds a frame of each, and the share."""
    database = cantools.database.load_string(dbc_text(), "dbc")
    assert isinstance(database, Database)
    sent = list(islice(frames(0.8), FRAMES))
    return {words: _compared(database, sent, size, rounds) for words, size in BATCHES.items()}


def _compared(database: Database, sent: Sequence[Sent], size: int, rounds: int) -> dict[str, float]:
    messages = [can.Message(arbitration_id=each.arbitration_id, data=each.data, is_extended_id=False) for each in sent]
    batches = [[*messages[first : first + size], END] for first in range(0, len(messages), size)]
    spent: dict[str, list[float]] = {"receive": [], "agent": [], "own": [], "cantools": []}
    for _ in range(rounds):
        receive_s, agent_s = _bare(batches), asyncio.run(_agent(batches))
        begun_s = process_time()
        for each in sent:
            database.decode_message(each.arbitration_id, each.data)
        cantools_s = process_time() - begun_s
        for name, taken_s in zip(spent, (receive_s, agent_s, agent_s - receive_s, cantools_s), strict=True):
            spent[name].append(taken_s)
    medians_s = {name: statistics.median(each) for name, each in spent.items()}
    ns = {f"{name}_ns": round(1e9 * median_s / len(messages)) for name, median_s in medians_s.items()}
    return {**ns, "own_share": round(medians_s["own"] / medians_s["cantools"], 3)}


def line(words: str, found: Mapping[str, float]) -> str:
    """The figures for a person."""
    told = f"{words}: send and receive {found['receive_ns']} ns, with the agent {found['agent_ns']} ns, "
    told += f"its own {found['own_ns']} ns, {found['own_share']:.2f} of cantools' {found['cantools_ns']} ns"
    return f"{told} (wanted: {BOUND})"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.receiving",
        description="The portable path's own cost a frame, beside cantools' decoding.",
        epilog="example:\n  python -m tests.benchmarks.receiving --json\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=positive(int), default=10, metavar="N", help="(10)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the lines")
    options = parser.parse_args(arguments)
    document = measure(int(options.rounds))
    print(json.dumps(document) if options.json else "\n".join(line(*each) for each in document.items()))
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
