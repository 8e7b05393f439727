"""Writes a recording and what it must decode to side by side, from physical values: it shares no code with the decoder.

Neither the DBC nor the profile is read here.  Each car's script packs its payloads by hand, so a wrong bit in the
DBC, in the profile or in the decoder shows as a difference, and never on both sides.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agent.profiles.vss import PATHS

LOG_STARTS_S = 1_000_000_000
"""Time of the first frame: any will do, this one is seen at once to be made up."""

# Right after a reading's freshness has run out, the decoder's least step of time.
_JUST_AFTER_US = 1


@dataclass(frozen=True, slots=True)
class No:
    """No value, and why: quality and reason as in `agent.model.reading`."""

    quality: str
    reason: str


MARKER = No("invalid", "invalid_marker")
OUT_OF_RANGE = No("invalid", "out_of_range")
MEANINGLESS = No("invalid", "no_meaning")
UNIT_UNKNOWN = No("unknown", "unit_unknown")
SETTLING = No("unknown", "settling")
JUMP = No("invalid", "jump")
STALE = No("stale", "not_received")
_GRAVITY = ("stale", "invalid", "unknown")

Shown = bool | int | float | str | No
Readings = Mapping[str, Shown]
Rule = tuple[tuple[str, ...], Callable[..., Shown]]
"""A derived state: its inputs, and its value from theirs."""


@dataclass(frozen=True, slots=True)
class Stands:
    """A value counts once it stood for `settle_ms`, or is within `step` of one that did."""

    settle_ms: int
    step: float = 0.0


@dataclass(slots=True)
class _Standing:
    """What a path showed last that counts, and what has shown since and does not yet."""

    good: Shown | None = None
    good_at_ms: int = 0
    candidate: Shown | None = None
    since_ms: int = 0


class GoldenLog:
    """Lines of a candump log, and the readings that change because of them."""

    def __init__(
        self,
        freshness_ms: Mapping[str, int],
        derived: Mapping[str, Rule] | None = None,
        stands: Mapping[str, Stands] | None = None,
    ) -> None:
        """`freshness_ms` of each path as the profile has it: its readings grow stale when frames stop for longer."""
        self._freshness_ms = dict(freshness_ms)
        self._broadcast = frozenset(freshness_ms)
        self.end_ms = 0
        self._derived = derived or {}
        self._stands = stands or {}
        self._standing = {path: _Standing() for path in self._stands}
        self._frames: list[str] = []
        self._readings: list[tuple[int, str, Shown]] = []
        self._seen_at_ms: dict[str, int] = {}
        self._shown: dict[str, Shown] = {}

    def frame(
        self,
        at_ms: int,
        bus: str,
        arbitration_id: int,
        payload: bytes,
        readings: Readings | None = None,
        *,
        is_extended_id: bool = False,
    ) -> None:
        """One frame, and every path it carries. No readings: it must be refused, or is none of the profile's."""
        self._grow_stale(at_ms)
        self.end_ms = at_ms
        identifier = f"{arbitration_id:08X}" if is_extended_id else f"{arbitration_id:03X}"
        at = f"{LOG_STARTS_S + at_ms // 1000}.{at_ms % 1000:03}000"
        self._frames.append(f"({at}) {bus} {identifier}#{payload.hex().upper()}\n")
        for path, told in (readings or {}).items():
            shown = self._stood(path, told, at_ms) if path in self._stands else told
            self._seen_at_ms[path] = at_ms
            self._show(at_ms * 1000, path, shown)
        self._derive(at_ms * 1000)

    def answered(self, first_at_ms: int, readings: Readings, freshness_ms: int) -> None:
        """The frame just written ended an answer, of which the first came at `first_at_ms`.

        Every broadcast has stopped by now: where the answer has no value for what is broadcast too, it is the last
        broadcast that is told, as old as it is.
        """
        for path, told in readings.items():
            self._freshness_ms[path], self._seen_at_ms[path] = freshness_ms, first_at_ms
            is_none = isinstance(told, No) and path in self._broadcast
            self._show(self.end_ms * 1000, path, STALE if is_none else told)
        self._derive(self.end_ms * 1000)

    @property
    def freshest_for_ms(self) -> int:
        """After so long without a frame nothing counts any more."""
        return max(self._freshness_ms.values())

    def log_text(self) -> str:
        """The recording as `candump -L` writes it."""
        return "".join(self._frames)

    def expected_text(self) -> str:
        """What `carshare-agent decode` prints for it: one JSON document a line, in the order of time and path."""
        return "".join(_line(at_us, path, shown) for at_us, path, shown in sorted(self._readings, key=_time_and_path))

    def _stood(self, path: str, told: Shown, at_ms: int) -> Shown:
        rule, freshness_ms = self._stands[path], self._freshness_ms[path]
        if at_ms - self._seen_at_ms.get(path, at_ms) > freshness_ms:
            self._standing[path] = _Standing()
        before = self._standing[path]
        if at_ms - before.good_at_ms > freshness_ms:
            before.good = None
        if isinstance(told, No):
            before.candidate = None
            return told
        if before.good is None or not _is_near(before.good, told, rule.step):
            if before.candidate is None or not _is_near(before.candidate, told, rule.step):
                before.since_ms = at_ms
            before.candidate = told
            if at_ms - before.since_ms < rule.settle_ms:
                return JUMP if rule.step and before.good is not None else SETTLING
        before.good, before.good_at_ms, before.candidate = told, at_ms, None
        return told

    def _show(self, at_us: int, path: str, shown: Shown) -> None:
        if path not in self._shown or self._shown[path] != shown:
            self._shown[path] = shown
            self._readings.append((at_us, path, shown))

    def _grow_stale(self, now_ms: int) -> None:
        ends_ms = {path: seen_at_ms + self._freshness_ms[path] for path, seen_at_ms in self._seen_at_ms.items()}
        for stale_at_ms in sorted({end_ms for end_ms in ends_ms.values() if end_ms < now_ms}):
            at_us = stale_at_ms * 1000 + _JUST_AFTER_US
            for path, end_ms in ends_ms.items():
                if end_ms == stale_at_ms:
                    self._show(at_us, path, STALE)
            self._derive(at_us)

    def _derive(self, at_us: int) -> None:
        """What follows from the inputs as they are shown; nothing before each of them was, no value without theirs."""
        for path, (inputs, rule) in self._derived.items():
            shown = [self._shown[each] for each in inputs if each in self._shown]
            if len(shown) < len(inputs):
                continue
            missing = [each for each in shown if isinstance(each, No)]
            gravest = max(missing, key=lambda each: _GRAVITY.index(each.quality), default=None)
            self._show(at_us, path, rule(*shown) if gravest is None else gravest)


def _is_near(one: Shown, other: Shown, step: float) -> bool:
    if isinstance(one, int | float) and isinstance(other, int | float):
        return abs(other - one) <= step
    return one == other


def _time_and_path(reading: tuple[int, str, Shown]) -> tuple[int, str]:
    return reading[:2]


def _line(at_us: int, path: str, shown: Shown) -> str:
    is_missing = isinstance(shown, No)
    document = {
        "time_s": float(f"{LOG_STARTS_S + at_us // 1_000_000}.{at_us % 1_000_000:06}"),
        "path": path,
        "value": None if is_missing else shown,
        "unit": PATHS[path].unit,
        "quality": shown.quality if isinstance(shown, No) else "ok",
        "reason": shown.reason if isinstance(shown, No) else None,
    }
    return json.dumps(document) + "\n"


def crc8(covered: bytes, *, polynomial: int, start: int, final: int) -> int:
    """CRC-8 bit by bit, most significant bit first."""
    register = start
    for byte in covered:
        register ^= byte
        for _ in range(8):
            register = (register << 1 ^ polynomial if register & 0x80 else register << 1) & 0xFF
    return register ^ final
