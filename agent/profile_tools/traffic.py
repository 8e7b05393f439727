"""How often an id is heard and how long its frames are; nothing that grows with the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import field
from statistics import median

from agent.model.frame import Frame
from agent.model.quick_dataclass import dataclass

GAPS_MAX = 2048
"""The middle one of so many gaps, taken evenly from the whole log, is the period to within some percent."""

LENGTHS_MAX = 65
"""A frame has 0 to 64 bytes."""

IDS_MAX = 20_000
"""A bus has some hundred ids; a log with more of them is noise, and would take all memory."""


@dataclass(frozen=True, slots=True, order=True)
class FrameId:
    """What tells messages of a log apart."""

    bus: str
    arbitration_id: int
    is_extended_id: bool

    def __str__(self) -> str:
        return id_text(self.arbitration_id, is_extended_id=self.is_extended_id)


def id_of(frame: Frame) -> FrameId:
    return FrameId(frame.bus, frame.arbitration_id, frame.is_extended_id)


def id_text(arbitration_id: int, *, is_extended_id: bool) -> str:
    """`0x1DB`, `0x18DAF110`: as many digits as the kind of id has, so that the two kinds look different."""
    return f"0x{arbitration_id:0{8 if is_extended_id else 3}X}"


class EvenSample:
    """At most `size_max` numbers, taken evenly from however many come: every second is dropped when it is full."""

    def __init__(self, size_max: int) -> None:
        self._size_max = size_max
        self._stride = 1
        self._left = 1
        self.values: list[float] = []

    def add(self, value: float) -> None:
        self._left -= 1
        if self._left:
            return
        self._left = self._stride
        self.values.append(value)
        if len(self.values) >= self._size_max:
            self.values = self.values[::2]
            self._stride *= 2


@dataclass(slots=True)
class Rhythm:
    """Frames of one id."""

    frames: int = 0
    lengths: Counter[int] = field(default_factory=Counter)
    _last_s: float | None = None
    _gaps: EvenSample = field(default_factory=lambda: EvenSample(GAPS_MAX))

    def hear(self, length_bytes: int, at_s: float) -> None:
        self.frames += 1
        self.lengths[length_bytes] += 1
        if self._last_s is not None and at_s >= self._last_s:
            self._gaps.add(at_s - self._last_s)
        self._last_s = at_s

    def end_log(self) -> None:
        """The next frame is of another log: the time between says nothing."""
        self._last_s = None

    @property
    def period_s(self) -> float | None:
        """The middle one of the gaps between frames; None before the second frame."""
        return round(median(self._gaps.values), 6) if self._gaps.values else None


def period_text(period_s: float | None) -> str:
    if period_s is None:
        return "once"
    return f"{period_s * 1000:.0f} ms" if period_s < 1 else f"{period_s:.1f} s"


def lengths_text(lengths: Mapping[int, int]) -> str:
    return "/".join(str(length) for length in sorted(lengths))


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with the columns below one another, the first row the head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
