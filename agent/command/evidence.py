"""Readings as the evidence of a result."""

from __future__ import annotations

from collections.abc import Iterable

from agent.model.command import Evidence
from agent.model.reading import Reading


def evidence_of(readings: Iterable[Reading], now_s: float) -> tuple[Evidence, ...]:
    """One piece for each reading, in their order, its age counted back from `now_s`; the same reading only once."""
    return tuple(
        Evidence(
            path=reading.path,
            value=reading.value,
            quality=reading.quality,
            age_ms=max(0, round((now_s - reading.at_s) * 1000)),
            message=reading.message,
        )
        for reading in dict.fromkeys(readings)
    )
