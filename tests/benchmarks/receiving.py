"""What the portable path costs a frame above python-can's own receive, beside what cantools takes to decode it.

    python -m tests.benchmarks.receiving [--rounds N] [--seconds N] [--json]

Frames of the bus of `tests/benchmarks/traffic.py` (80 % unchanged, all 480 signals wanted) cross python-can's
in-process bus to one of four, which take turns:

`receive`   a thread that does nothing but receive, which is how python-can receives beside anything else (its own
            `Notifier` is such a thread and more)
`cantools`  the same thread, which has cantools decode each frame as it comes
`state`     the agent's adapter, decoder and vehicle state, asked to confirm twice a second, as the agent does
`engine`    the same through the whole engine, what is to be reported included; nothing is due, and no timer is handled

Counted is the processor time of the threads that receive, by each thread's own clock: not the sender's.  A way's own
cost is what it takes more than `receive` of the same round, and the share is that of its own cost in cantools' own,
both with the same frames at the same times: whoever is woken for each finds the processor's caches cold.
Before that each message was heard once: to hear of a value for the first time costs more, and happens once.

Two regimes: the loop is behind, because it is kept busy while a burst comes, so that most frames are overtaken by newer
ones; and it keeps up with frames that come one by one at the times of their bus.  Medians of the rounds count; the
lowest and highest share are printed beside.  With `python -m tests.booted.emulated` in front of it the command runs
where time is instructions and nothing else disturbs it.
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
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import takewhile

import can
import cantools.database
from cantools.database.can import Database

from agent.adapters.can_bus import CanBus
from agent.adapters.can_thread import POLL_S
from agent.adapters.clock import boot_s
from agent.decode.decoder import Decoder
from agent.engine import Engine
from agent.errors import EXIT_DONE
from agent.model.bus import BusSign
from agent.model.frame import BusState, Frame
from agent.model.records import Recovered
from agent.profiles.schema import Profile, ReportRule
from agent.profiles.watches import repeating
from agent.state.tracker import Tracker
from tests.benchmarks.decoding import BUS, profile
from tests.benchmarks.full_bus import positive
from tests.benchmarks.traffic import Sent, dbc_text, frames
from tests.support.pair import VEHICLE_KEY, config

UNCHANGED = 0.8

BOUND = 1 / 4
"""At most this share of cantools' decoding."""

REGIMES = ("behind", "keeping up")

WAYS = ("state", "engine")

CONFIRM_S = 0.5

DAY_S = 86_400.0

END_ID = 0x7FF
"""Of the frame sent after what every message said first, and after all; it is never kept back."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Frames with their times; `is_paced`: they are sent at these, else all at once."""

    frames: Sequence[tuple[float, can.Message]]
    is_paced: bool

    @property
    def first(self) -> Sequence[can.Message]:
        """One frame of each message."""
        return list({message.arbitration_id: message for _, message in self.frames}.values())


class Sender:
    """Sends from a thread of its own: what every message says first, and once told to `go`, the traffic."""

    def __init__(self, traffic: Traffic, channel: str) -> None:
        self._traffic = traffic
        self._channel = channel
        self._may_go = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def go(self) -> None:
        """The first were taken."""
        self._may_go.set()

    def wait(self) -> None:
        """Until all is sent."""
        self._thread.join()

    def _run(self) -> None:
        end = can.Message(arbitration_id=END_ID, is_extended_id=False)
        with can.Bus(interface="virtual", channel=self._channel) as car:
            for message in (*self._traffic.first, end):
                car.send(message)
            self._may_go.wait()
            begun_s = time.monotonic()
            for at_s, message in self._traffic.frames:
                if self._traffic.is_paced and (early_s := at_s - (time.monotonic() - begun_s)) > 0.0:
                    time.sleep(early_s)
                car.send(message)
            car.send(end)


def bare(traffic: Traffic, take: Callable[[can.Message], object]) -> float:
    """Processor seconds of a thread that receives the traffic and has each frame taken."""
    channel = str(uuid.uuid4())
    spent: list[float] = []
    with can.Bus(interface="virtual", channel=channel) as bus:
        sender = Sender(traffic, channel)

        def receive() -> None:
            while (message := bus.recv(POLL_S)) is None or message.arbitration_id != END_ID:
                if message is not None:
                    take(message)

        def receive_all() -> None:
            receive()
            begun_s = time.thread_time()
            sender.go()
            receive()
            spent.append(time.thread_time() - begun_s)

        thread = threading.Thread(target=receive_all)
        thread.start()
        sender.wait()
        thread.join()
    return spent[0]


async def agent(traffic: Traffic, on_frame: Callable[[Frame], None], on_taken: Callable[[], None]) -> float:
    """Processor seconds of the loop's thread and the adapter's until `on_frame` had all that is to be had."""
    plan, channel = profile(), str(uuid.uuid4())
    is_up, is_taken = asyncio.Event(), asyncio.Event()
    ids = [(message.arbitration_id, message.is_extended_id) for message in plan.messages]

    def take(frame: Frame) -> None:
        on_frame(frame)
        if frame.arbitration_id == END_ID:
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
        wanted_ids=[*ids, (END_ID, False)],
        on_frame=take,
        on_state=on_state,
        on_taken=on_taken,
        conflatable_ids=ids,
        repeating=repeating(plan, BUS),
    )
    before = set(threading.enumerate())
    running = asyncio.create_task(bus.run())
    await is_up.wait()
    (reader,) = (thread for thread in set(threading.enumerate()) - before if thread.name.startswith("can-"))
    assert reader.ident is not None
    clock = time.pthread_getcpuclockid(reader.ident)
    sender = Sender(traffic, channel)
    try:
        await is_taken.wait()
        is_taken.clear()
        begun_s = time.thread_time() + time.clock_gettime(clock)
        sender.go()
        if not traffic.is_paced:
            sender.wait()  # the loop is kept from running
        while not is_taken.is_set():
            bus.confirm()
            with suppress(TimeoutError):
                await asyncio.wait_for(is_taken.wait(), CONFIRM_S)
        return time.thread_time() + time.clock_gettime(clock) - begun_s
    finally:
        sender.go()
        sender.wait()
        running.cancel()
        await asyncio.wait([running])


def to_state() -> tuple[Callable[[Frame], None], Callable[[], None]]:
    """A decoder and a vehicle's state."""
    plan = profile()
    decoder, tracker = Decoder(plan), Tracker(plan)

    def take(frame: Frame) -> None:
        tracker.hear(decoder.hear(frame), frame.received_at_s)

    return take, lambda: None


def to_engine() -> tuple[Callable[[Frame], None], Callable[[], None]]:
    """The engine of a car that tells no value oftener than once a day, as the agent's composition root feeds it."""
    quiet = ReportRule(deadband=0.0, interval_s_min=DAY_S, is_event=False)
    plan = _quiet(profile(), quiet)
    engine = Engine(
        plan, config(), Recovered(b"store--1"), sid=bytes(8), vehicle_key=VEHICLE_KEY, keys={}, now_s=boot_s()
    )
    while engine.next_effect() is not None:
        pass

    def take(frame: Frame) -> None:
        engine.receive_frame(frame, boot_s())

    def taken() -> None:
        # What `App._taken` asks.
        assert not engine.has_effects and engine.next_timer() > 0.0

    return take, taken


def _quiet(plan: Profile, rule: ReportRule) -> Profile:
    messages = (
        replace(message, signals=tuple(replace(signal, report=rule) for signal in message.signals))
        for message in plan.messages
    )
    return replace(plan, messages=tuple(messages))


def measure(rounds: int, seconds: float) -> dict[str, dict[str, float]]:
    """By regime: medians in nanoseconds a frame, and the shares."""
    database = cantools.database.load_string(dbc_text(), "dbc")
    assert isinstance(database, Database)
    sent = list(takewhile(lambda frame: frame.at_s < seconds, frames(UNCHANGED)))
    return {words: _compared(database, sent, rounds, is_paced=words != REGIMES[0]) for words in REGIMES}


def _compared(database: Database, sent: Sequence[Sent], rounds: int, *, is_paced: bool) -> dict[str, float]:
    messages = [
        (each.at_s, can.Message(arbitration_id=each.arbitration_id, data=each.data, is_extended_id=False))
        for each in sent
    ]
    traffic = Traffic(messages, is_paced)
    spent: dict[str, list[float]] = {"receive": [], "cantools": [], "state": [], "engine": []}
    for _ in range(rounds):
        spent["receive"].append(bare(traffic, lambda message: None))
        spent["cantools"].append(
            bare(traffic, lambda message: database.decode_message(message.arbitration_id, bytes(message.data)))
        )
        spent["state"].append(asyncio.run(agent(traffic, *to_state())))
        spent["engine"].append(asyncio.run(agent(traffic, *to_engine())))
    found = {f"{name}_ns": round(1e9 * statistics.median(each) / len(messages)) for name, each in spent.items()}
    own = {
        name: [all_s - receive_s for all_s, receive_s in zip(spent[name], spent["receive"], strict=True)]
        for name in ("cantools", *WAYS)
    }
    found |= {f"{name}_own_ns": round(1e9 * statistics.median(each) / len(messages)) for name, each in own.items()}
    document: dict[str, float] = {"frames": len(messages), **found}
    for name in WAYS:
        shares = sorted(way_s / cantools_s for way_s, cantools_s in zip(own[name], own["cantools"], strict=True))
        document |= {
            f"{name}_share": round(statistics.median(own[name]) / statistics.median(own["cantools"]), 3),
            f"{name}_share_least": round(shares[0], 3),
            f"{name}_share_most": round(shares[-1], 3),
        }
    return document


def lines(document: Mapping[str, Mapping[str, float]]) -> str:
    """The figures for a person."""
    told = [f"above python-can's own receive, {UNCHANGED:.0%} of the frames unchanged (wanted: {BOUND} of cantools')"]
    for words, found in document.items():
        told.append(f"{words}: receive {found['receive_ns']} ns, cantools' own {found['cantools_own_ns']} ns a frame")
        for name in WAYS:
            spread = f"{found[f'{name}_share_least']:.2f} to {found[f'{name}_share_most']:.2f}"
            told.append(f"  {name}: {found[f'{name}_own_ns']} ns, {found[f'{name}_share']:.2f} of cantools' ({spread})")
    return "\n".join(told)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.receiving",
        description="The portable path's own cost a frame, beside cantools' decoding.",
        epilog="example:\n  python -m tests.benchmarks.receiving --json\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=positive(int), default=10, metavar="N", help="(10)")
    parser.add_argument("--seconds", type=positive(float), default=4.0, metavar="N", help="of the bus, a round (4)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the lines")
    options = parser.parse_args(arguments)
    document = measure(int(options.rounds), float(options.seconds))
    print(json.dumps(document) if options.json else lines(document))
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
