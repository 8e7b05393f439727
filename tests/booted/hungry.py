"""The agent as installed, which at SIGUSR1 takes memory without end: what `MemoryMax=` is there for.

hungry.py run --config FILE
"""

from __future__ import annotations

import signal
import sys

from agent import cli

STEP_BYTES = 2**20


def eat(*_: object) -> None:
    taken: list[bytes] = []
    while True:
        taken.append(b"x" * STEP_BYTES + bytes(len(taken)))


signal.signal(signal.SIGUSR1, eat)
sys.exit(cli.main())
