"""What decoding costs a frame, beside cantools on the same frames in the same run.

    python -m tests.benchmarks.decoding [--frames N] [--rounds N] [--json]

The bus of `tests/benchmarks/traffic.py`: 480 signals in 60 messages, all wanted, once with 80 % of the frames unchanged
and once with each frame changing a byte. cantools decodes every frame it is given; the agent decodes what changed and
says of the rest that it was seen again. Numbers have limits, as in every profile of a car. Both get the same bytes,
made before; rounds of both take turns, and the median of each counts. Processor time, not wall time.
Exit status: 0 done, 2 wrong use.
"""

# ruff: noqa: T201 - a command's own output
from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from statistics import median
from time import process_time

import cantools.database
from cantools.database.can import Database

from agent.decode.decoder import Decoder
from agent.errors import EXIT_DONE
from agent.model.frame import BitField, Frame
from agent.profiles.message_spec import raw_range
from agent.profiles.schema import MessagePlan, Profile, SignalPlan
from agent.state.tracker import Tracker
from tests.benchmarks.traffic import (
    MESSAGES,
    SCALES,
    SIGNED,
    WIDTHS_BITS,
    WORDS,
    Sent,
    arbitration_id,
    dbc_text,
    frames,
    path,
)
from tests.support.plans import message_plan, profile_of, signal_plan

BUS = "body"
UNCHANGED = {"80 % unchanged": 0.8, "all changing": 0.0}
BOUNDS = {"80 % unchanged": 1 / 6, "all changing": 1 / 2}
"""At most this share of cantools' time."""


def profile() -> Profile:
    """Every signal of the bus, compiled as the profile parser would."""
    return profile_of(*(_message(number) for number in range(MESSAGES)))


def _message(number: int) -> MessagePlan:
    plans, at_bit = [], 0
    for signal, width in enumerate(WIDTHS_BITS):
        is_little = number % 2 == 0
        shift = at_bit if is_little else 64 - at_bit - width
        plans.append(_signal(number, signal, BitField(shift, width, is_little, 8, signal == SIGNED)))
        at_bit += width
    plan = message_plan(*plans, name=f"M{number:02d}", bus=BUS, arbitration_id=arbitration_id(number))
    return replace(plan, length_bytes=8)


def _signal(message: int, signal: int, field: BitField) -> SignalPlan:
    scale, offset = SCALES[signal]
    words = {raw: f"Word{raw}" for raw in range(WORDS[signal])} if signal in WORDS else None
    # All that the bits can say, and the profile parser's own for an integer datatype; of words there are none.
    low, high = raw_range(field)
    return replace(
        signal_plan(path(message, signal), choices=words, freshness_s=10.0),
        minimum=None if words else low * scale + offset,
        maximum=None if words else high * scale + offset,
        datatype="string" if words else "uint8" if scale == 1 else "float",
        field=field,
        scale=float(scale),
        offset=float(offset),
        digits={0.1: 1, 0.01: 2, 0.5: 1}.get(scale, 0),
    )


def measure(count: int, rounds: int) -> dict[str, dict[str, float]]:
    """By kind of traffic: nanoseconds a frame of each way, and the ratios."""
    database = cantools.database.load_string(dbc_text(), "dbc")
    assert isinstance(database, Database)
    return {
        words: _compared(database, list(islice(frames(share), count)), rounds) for words, share in UNCHANGED.items()
    }


def _compared(database: Database, sent: Sequence[Sent], rounds: int) -> dict[str, float]:
    span_s = sent[-1].at_s + 1.0
    plan = profile()
    decoder, state_decoder, tracker = Decoder(plan), Decoder(plan), Tracker(plan)
    received: list[Frame] = []

    def by_cantools() -> None:
        for frame in sent:
            database.decode_message(frame.arbitration_id, frame.data)

    def by_decoder() -> None:
        for frame in received:
            decoder.hear(frame)

    def to_state() -> None:
        for frame in received:
            tracker.hear(state_decoder.hear(frame), frame.received_at_s)

    ways: dict[str, Callable[[], None]] = {"cantools": by_cantools, "agent": by_decoder, "agent_to_state": to_state}
    spent_s: dict[str, list[float]] = {name: [] for name in ways}
    for round_number in range(rounds):
        # Time goes on from round to round: an older frame than the last is another matter.
        received[:] = [Frame(BUS, each.arbitration_id, each.data, each.at_s + round_number * span_s) for each in sent]
        for name, way in ways.items():
            begun_s = process_time()
            way()
            spent_s[name].append(process_time() - begun_s)
    medians_s = {name: median(each) for name, each in spent_s.items()}
    figures = {f"{name}_ns": round(1e9 * median_s / len(sent)) for name, median_s in medians_s.items()}
    ratios = {f"{name}_share": round(medians_s[name] / medians_s["cantools"], 3) for name in ways if name != "cantools"}
    return {**figures, **ratios}


def table(document: dict[str, dict[str, float]]) -> str:
    """The figures for a person."""
    lines = ["processor time a frame".ljust(20) + "".join(name.rjust(16) for name in ("cantools", "agent", "to state"))]
    for words, row in document.items():
        cells = (f"{row[f'{name}_ns']} ns" for name in ("cantools", "agent", "agent_to_state"))
        lines.append(words.ljust(20) + "".join(cell.rjust(16) for cell in cells))
        shares = (f"1/{1 / row[f'{name}_share']:.1f}" for name in ("agent", "agent_to_state"))
        lines.append(f"  at most 1/{1 / BOUNDS[words]:.0f}".ljust(36) + "".join(share.rjust(16) for share in shares))
    return "\n".join(lines)


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.decoding",
        description="The cost of decoding a frame, beside cantools.",
        epilog="example:\n  python -m tests.benchmarks.decoding --json\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--frames", type=_count, default=20_000, metavar="N", help="a round (default: 20,000)")
    parser.add_argument("--rounds", type=_count, default=15, metavar="N", help="of each way (default: 15)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    options = parser.parse_args(arguments)
    document = measure(options.frames, options.rounds)
    print(json.dumps(document) if options.json else table(document))
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
