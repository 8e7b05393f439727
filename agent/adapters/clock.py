"""Boot time, which the agent's decisions rest on, and how far wall time may be believed, which only labels records."""

from __future__ import annotations

import ctypes
import time
from functools import cache
from pathlib import Path

from agent.model.events import ClockTrust

# systemd-timesyncd touches this once it has set the clock. Under ProtectClock= the kernel refuses adjtimex(2), so
# in the installed service this file is the only witness.
SYNCHRONIZED_MARK = Path("/run/systemd/timesync/synchronized")

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

_STA_UNSYNC = 0x0040
_TIMEX_BYTES = 256  # struct timex is 208 bytes on 64-bit kernels; the rest is room

# Clocks read further apart than this do not belong together: the process was put aside in between.
_READ_GAP_S_MAX = 20e-6


# A reading may be so much looser than the one before: ages are overstated by no more.
_NEAR_S = 200e-6


class _Timex(ctypes.Structure):
    """The head of `struct timex` (adjtimex(2)) as far as `status`."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * _TIMEX_BYTES),
    )


def boot_s() -> float:
    """Seconds since boot, suspend included (`CLOCK_BOOTTIME`); nobody can set it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """The kernel's random name for this boot, so that a restart of the agent is told from one of the computer."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""


def wall_offset_s(near_s: float | None = None, now_s: float | None = None) -> float:
    """Wall time minus boot time, never less than it is: the tightest of three readings, boot time read first.

    So a wall time turned into boot time with it is never later than it was.  `near_s` is what it was a moment ago: if
    the first reading is close to that, nobody has set the clock, and one will do; `now_s` is boot time just read.
    """
    if near_s is not None:
        before_s = boot_s() if now_s is None else now_s
        quick_s = time.time() - before_s
        if abs(quick_s - near_s) <= _NEAR_S:
            return quick_s
    readings = []
    for _ in range(3):
        before_s, unix_s, after_s = boot_s(), time.time(), boot_s()
        readings.append((after_s - before_s, unix_s - before_s))
        if after_s - before_s <= _READ_GAP_S_MAX:
            break
    return min(readings)[1]


def unix_offset(synchronized_mark: Path = SYNCHRONIZED_MARK) -> tuple[float, ClockTrust]:
    """`(offset, trust)`: Unix time = boot time + offset. NTP can be forged, so it never earns more than `ESTIMATED`."""
    is_synchronized = synchronized_mark.exists() or _kernel_says_synchronized()
    return wall_offset_s(), ClockTrust.ESTIMATED if is_synchronized else ClockTrust.FLOOR_ONLY


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _kernel_says_synchronized() -> bool:
    timex = _Timex()
    if _libc().adjtimex(ctypes.byref(timex)) < 0:
        # EPERM or ENOSYS: whoever cannot ask does not know.
        return False
    return not timex.status & _STA_UNSYNC
