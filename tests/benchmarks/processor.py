"""How much of the processors a program took, and all of the machine; and whether the kernel counts it or guesses it."""

from __future__ import annotations

import time
from pathlib import Path

_SCHEDULED = 2
"""CPUCLOCK_SCHED: which of a process's clocks is asked for (linux/posix-timers.h)."""

_PROBES = 8

_TICK_NS = 1_000_000
"""No kernel ticks oftener than a thousand times a second; what is counted by ticks is a multiple of that."""


def spent_s(pid: int) -> float:
    """Processor seconds of all threads of a process since it began, those that have ended included.

    It is the scheduler's own sum (`sum_exec_runtime`), the one of `/proc/PID/task/*/schedstat`; that file forgets a
    thread with its end.
    """
    return time.clock_gettime((~pid << 3) | _SCHEDULED)


def is_exact() -> bool:
    """Whether this kernel counts processor time by the nanosecond; by ticks, as in user-mode Linux, it is a guess."""
    for _ in range(_PROBES):
        time.sleep(0.002)
        if time.clock_gettime_ns(time.CLOCK_PROCESS_CPUTIME_ID) % _TICK_NS:
            return True
    return False


def wakes(pid: int) -> int:
    """How often a thread of the process that now runs has gone to sleep."""
    found = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        words = dict(line.split(":", 1) for line in status.read_text().splitlines())
        found += int(words["voluntary_ctxt_switches"])
    return found


def busy_s(statistics: Path = Path("/proc/schedstat")) -> float | None:
    """Seconds that all processors together have been at work, for tasks of the kernel's own too; None if untold."""
    try:
        lines = statistics.read_text().splitlines()
    except OSError:
        return None
    return sum(int(line.split()[7]) for line in lines if line.startswith("cpu")) / 1e9
