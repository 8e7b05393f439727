"""What a process holds: resident memory and open files. A soak looks at them over and over; they are to stay flat."""

from __future__ import annotations

import gc
import os
from dataclasses import dataclass
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Footprint:
    resident_bytes: int
    descriptors: int


def footprint() -> Footprint:
    """Of this process, without what only waits to be collected."""
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES
    return Footprint(resident, len(list(Path("/proc/self/fd").iterdir())) - 1)


def growth(prints: list[Footprint]) -> dict[str, object]:
    """From the first of them to the last; descriptors as they were each time."""
    return {
        "resident_mb": [round(each.resident_bytes / 1e6, 1) for each in prints],
        "grown_mb": round((prints[-1].resident_bytes - prints[0].resident_bytes) / 1e6, 2),
        "descriptors": [each.descriptors for each in prints],
    }


def is_flat(prints: list[Footprint], *, grown_bytes_max: float) -> bool:
    """Not one descriptor more at the end than at the beginning, and no more memory than allowed."""
    grown_bytes = prints[-1].resident_bytes - prints[0].resident_bytes
    return prints[-1].descriptors <= prints[0].descriptors and grown_bytes <= grown_bytes_max
