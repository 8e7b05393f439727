"""The supervisor's side of the process: systemd's sd_notify(3) protocol, a datagram of `KEY=value` lines."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

# A status is one line for a person looking at `systemctl status`.
STATUS_CHARS_MAX = 200

# More would be said by nobody: ten quick tries, then 144 a day.
FAILED_STARTS_MAX = 100_000

# systemd empties its socket at once; a full one means it is not running, and nobody is helped by waiting longer.
_SEND_WAIT_S = 0.5


class Supervisor:
    """Tells systemd how the agent fares; does nothing where no supervisor listens.

    `watchdog_interval_s` is how often `WATCHDOG=1` is due (half the unit's `WatchdogSec=`), None without a watchdog.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self.watchdog_interval_s = _watchdog_interval_s(environ)

    def notify(self, line: str) -> bool:
        """Send one `KEY=value` line; False if it did not get through (which the watchdog is there to punish)."""
        if self._address is None:
            return False
        # A newline would begin another assignment: a status text must not be able to say READY=1.
        message = " ".join(line.split("\n"))[:STATUS_CHARS_MAX].encode()
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(_SEND_WAIT_S)
                sender.connect(self._address)
                sender.send(message)
        except OSError:
            return False
        return True


def failed_starts(environ: Mapping[str, str]) -> int:
    """How often the agent had been started in vain before this start, as `systemd/slow-restarts` counts; else 0."""
    text = environ.get("CARSHARE_FAILED_STARTS", "")
    is_number = text.isascii() and text.isdigit() and len(text) < len(str(FAILED_STARTS_MAX))
    return int(text) if is_number else 0


def _address(name: str) -> str | None:
    """Socket address in Python's form: an absolute path, or `@name` in the abstract namespace."""
    if name.startswith("@"):
        return "\0" + name[1:]
    return name if name.startswith("/") else None


def _watchdog_interval_s(environ: Mapping[str, str]) -> float | None:
    """Half of `WATCHDOG_USEC`, as sd_watchdog_enabled(3) advises, if it was meant for this process."""
    interval_us, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not (interval_us.isascii() and interval_us.isdigit()) or int(interval_us) == 0:
        return None
    if pid and pid != str(os.getpid()):
        return None
    return int(interval_us) / 2 / 1e6
