"""The bus the benchmarks listen to: its database, its profile and its frames, made from a seed.

Sixty messages of eight bytes, each with eight signals of 16, 16, 12, 8, 4, 4, 2 and 2 bits, every other message big
endian: scaled and signed numbers, words, flags. They come every 10 ms to 1 s, and most repeat what they said before.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from typing import NamedTuple

MESSAGES = 60
WIDTHS_BITS = (16, 16, 12, 8, 4, 4, 2, 2)
SCALES = ((0.1, 0), (0.01, -40), (0.5, 0), (1, 0), (1, 0), (1, 0), (1, 0), (1, 0))
SIGNED = 1
"""The signal that is."""

WORDS = {4: 6, 5: 4}
"""Signals with a value table → how many words it has."""

CYCLES_MS = (10,) * 8 + (20,) * 10 + (50,) * 12 + (100,) * 14 + (200,) * 8 + (500,) * 4 + (1000,) * 4


class Sent(NamedTuple):
    """One frame of the bus; `at_s` is seconds since the first."""

    at_s: float
    arbitration_id: int
    data: bytes


def arbitration_id(message: int) -> int:
    return 0x100 + 7 * message


def path(message: int, signal: int) -> str:
    """The path of a signal; those of VSS are too few for 480."""
    return f"Vehicle.M{message:02d}.S{signal}"


def dbc_text() -> str:
    """The database of the bus."""
    lines = ['VERSION ""', "NS_ :", "BS_:", "BU_: Car Agent"]
    tables = []
    for message in range(MESSAGES):
        lines += ["", f"BO_ {arbitration_id(message)} M{message:02d}: 8 Car"]
        at_bit = 0
        for signal, width in enumerate(WIDTHS_BITS):
            scale, offset = SCALES[signal]
            is_little = message % 2 == 0
            # A Motorola signal is named by its most significant bit, counted from the left in rows of eight.
            start = at_bit if is_little else 8 * (at_bit // 8) + 7 - at_bit % 8
            kind = f"@{int(is_little)}{'-' if signal == SIGNED else '+'}"
            lines.append(f' SG_ M{message:02d}S{signal} : {start}|{width}{kind} ({scale},{offset}) [0|0] "" Agent')
            if signal in WORDS:
                words = " ".join(f'{raw} "Word{raw}"' for raw in range(WORDS[signal]))
                tables.append(f"VAL_ {arbitration_id(message)} M{message:02d}S{signal} {words} ;")
            at_bit += width
    return "\n".join([*lines, "", *tables, ""])


def frames(unchanged: float, seed: int = 1) -> Iterator[Sent]:
    """Frames without end, of which a share repeats what its message said before; of the others one byte differs."""
    chance = random.Random(seed)  # noqa: S311 - traffic, not a secret
    due = [(chance.random() * cycle_ms / 1000, message) for message, cycle_ms in enumerate(CYCLES_MS)]
    heapq.heapify(due)
    payloads = [chance.randbytes(8) for _ in range(MESSAGES)]
    while True:
        at_s, message = due[0]
        if chance.random() >= unchanged:
            changed = bytearray(payloads[message])
            changed[chance.randrange(8)] ^= chance.randint(1, 255)
            payloads[message] = bytes(changed)
        yield Sent(at_s, arbitration_id(message), payloads[message])
        heapq.heapreplace(due, (at_s + CYCLES_MS[message] / 1000, message))
