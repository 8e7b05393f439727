"""What a process holds: resident memory and open files. A soak looks at them over and over; they are to stay flat."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from statistics import median

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Footprint:
    """`blocks` are pieces of memory that Python's objects hold: unlike resident memory, which keeps what a burst once
    took, they become fewer again.
    """

    resident_bytes: int
    descriptors: int
    blocks: int


def footprint() -> Footprint:
    """Of this process, without what only waits to be collected."""
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES
    descriptors = len(list(Path("/proc/self/fd").iterdir())) - 1
    return Footprint(resident, descriptors, sys.getallocatedblocks())


def growth(prints: Sequence[Footprint]) -> dict[str, object]:
    """What `is_flat` looks at, and each as it was each time."""
    return {
        "resident_mb": [round(each.resident_bytes / 1e6, 1) for each in prints],
        "grown_mb": round(_grown([each.resident_bytes for each in prints]) / 1e6, 2),
        "descriptors": [each.descriptors for each in prints],
        "blocks": [each.blocks for each in prints],
    }


def is_flat(prints: Sequence[Footprint], *, grown_bytes_max: float, grown_blocks_max: float = inf) -> bool:
    """Not one descriptor more at the end than at the beginning, and no more memory than allowed."""
    return (
        prints[-1].descriptors <= prints[0].descriptors
        and _grown([each.resident_bytes for each in prints]) <= grown_bytes_max
        and _grown([each.blocks for each in prints]) <= grown_blocks_max
    )


def _grown(figures: Sequence[int]) -> float:
    """From the first third to the last, by their medians: what leaks grows all the time, a burst shows in one look."""
    third = max(len(figures) // 3, 1)
    return median(figures[-third:]) - median(figures[:third])
