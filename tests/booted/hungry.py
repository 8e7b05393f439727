"""The agent as installed, which at SIGUSR1 takes memory without end: what `MemoryMax=` is there for.

hungry.py run --config FILE
"""

from __future__ import annotations

import mmap
import signal
import sys

from agent import cli

STEP_BYTES = 2**25
AT_ONCE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
"""Touched page by page it would take longer in user-mode Linux than the watchdog waits."""


def eat(*_: object) -> None:
    taken: list[mmap.mmap] = []
    while True:
        taken.append(mmap.mmap(-1, STEP_BYTES, flags=AT_ONCE))


signal.signal(signal.SIGUSR1, eat)
sys.exit(cli.main())
