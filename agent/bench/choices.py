"""What this machine offers the bench: a CAN interface, a broker."""

from __future__ import annotations

import os
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

VCAN = "vcan0"
_IFF_UP = 0x1  # linux/if.h

# Debian installs Mosquitto where only root's PATH looks.
_SBIN = "/usr/sbin:/usr/local/sbin"


@dataclass(frozen=True, slots=True)
class CanChoice:
    """The interface behind the profile's bus, in python-can's words, and in words for a person."""

    bus: str
    interface: str
    channel: str
    words: str


def choose_can(bus: str) -> CanChoice:
    """vcan0 if this host has it and it is up, else python-can's `virtual`, which ends at this process."""
    if (problem := _vcan_problem()) is None:
        return CanChoice(bus, "socketcan", VCAN, f"{VCAN} (try: candump {VCAN})")
    channel = f"carshare-bench-{os.getpid()}"
    return CanChoice(bus, "virtual", channel, f"python-can's virtual bus, in this process only ({problem})")


def mosquitto_program() -> str | None:
    """Where Mosquitto is, None if it is not installed."""
    return shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":" + _SBIN)


def _vcan_problem() -> str | None:
    flags = Path(f"/sys/class/net/{VCAN}/flags")
    try:
        if not int(flags.read_text(), 16) & _IFF_UP:
            return f"{VCAN} is down"
    except (OSError, ValueError):
        return f"this host has no {VCAN}"
    try:
        socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW).close()
    except OSError as error:
        return f"CAN sockets: {error.strerror}"
    return None
