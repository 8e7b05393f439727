"""The agent as installed, to which something happens once it has sent a command's first frame.

    fatal_frame.py {stands-still|takes-memory} run --config FILE

From outside the moment is hard to meet: a command takes some seconds, and on a busy machine so does looking.
"""

from __future__ import annotations

import mmap
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from agent import app, cli

STEP_BYTES = 2**25
AT_ONCE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
"""Touched page by page it would take longer in user-mode Linux than the watchdog waits."""


def stand_still() -> None:
    """What the watchdog is there for."""
    os.kill(os.getpid(), signal.SIGSTOP)


def take_memory() -> None:
    """What `MemoryMax=` is there for."""
    taken: list[mmap.mmap] = []
    while True:
        taken.append(mmap.mmap(-1, STEP_BYTES, flags=AT_ONCE))


FATES: dict[str, Callable[[], None]] = {"stands-still": stand_still, "takes-memory": take_memory}

fate = FATES[sys.argv.pop(1)]
send = vars(app)["send_frame"]


def send_and_meet_it(*arguments: Any, **named: Any) -> Any:
    sent = send(*arguments, **named)
    fate()
    return sent


setattr(app, "send_frame", send_and_meet_it)  # noqa: B010 - to mypy it is not its to give
sys.exit(cli.main())
