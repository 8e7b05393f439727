"""Progress marks: which parts of the agent have lately shown that they work (SR-10).

The watchdog is fed by proof of work in every part, not by a timer: a part that stops stops the feeding.
"""

from __future__ import annotations

from collections.abc import Mapping


class ProgressMarks:
    """When each part last made progress, against the longest it may be silent (both in seconds of boot time)."""

    def __init__(self, limits_s: Mapping[str, float], now_s: float) -> None:
        self._limits_s = dict(limits_s)
        self._marks_s = dict.fromkeys(limits_s, now_s)

    def mark(self, part: str, now_s: float, *, pause_s: float = 0.0) -> None:
        """`part` did something it can only do when it works; it may now be silent for `pause_s` beyond its limit."""
        self._marks_s[part] = now_s + pause_s

    def late(self, now_s: float) -> tuple[str, ...]:
        """Parts that have been silent for longer than they may."""
        return tuple(part for part, at_s in self._marks_s.items() if now_s - at_s > self._limits_s[part])
