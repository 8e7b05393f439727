"""What this machine offers the bench: a CAN interface, a broker."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path

from agent.errors import ConfigurationError
from agent.model.quick_dataclass import dataclass

VCAN = "vcan0"
_IFF_UP = 0x1  # linux/if.h

# Debian installs Mosquitto where only root's PATH looks.
_SBIN = "/usr/sbin:/usr/local/sbin"


@dataclass(frozen=True, slots=True)
class CanChoice:
    """The interface behind the profile's first bus, in python-can's words, and in words for a person.

    `others` are the channels of its further buses, on the same kind of interface.
    """

    bus: str
    interface: str
    channel: str
    words: str
    others: Mapping[str, str] = field(default_factory=dict)

    @property
    def channels(self) -> Mapping[str, str]:
        """The channel of each bus."""
        return {self.bus: self.channel, **self.others}


def choose_can(bus: str, *others: str) -> CanChoice:
    """vcan0, and vcan1 and so on for further buses, if this host has them and they are up.

    Else python-can's `virtual`, which ends at this process.
    """
    channels = vcan_channels((bus, *others))
    problem = next((problem for one in channels.values() if (problem := _vcan_problem(one)) is not None), None)
    if problem is None:
        words = f"{', '.join(channels.values())} (try: candump {VCAN})"
        interface = "socketcan"
    else:
        words = f"python-can's virtual bus, in this process only ({problem})"
        interface, channels = "virtual", {name: f"carshare-bench-{os.getpid()}-{name}" for name in channels}
    return CanChoice(bus, interface, channels.pop(bus), words, channels)


def choose_channels(buses: Sequence[str], asked: Sequence[str]) -> dict[str, str]:
    """The channel of each bus, as asked for: `CHANNEL` for the only one, `BUS=CHANNEL`; `ConfigurationError`."""
    if not asked:
        return vcan_channels(buses)
    if len(buses) == 1 and len(asked) == 1 and "=" not in asked[0]:
        return {buses[0]: asked[0]}
    channels = dict(text.split("=", 1) for text in asked if "=" in text)
    if len(channels) == len(asked) == len(buses) and channels.keys() == set(buses) and all(channels.values()):
        return {bus: channels[bus] for bus in buses}
    expected = " ".join(f"--channel {bus}={channel}" for bus, channel in vcan_channels(buses).items())
    raise ConfigurationError(
        f"--channel {' --channel '.join(asked)}: not one channel for each bus; expected {expected}"
    )


def vcan_channels(buses: Sequence[str]) -> dict[str, str]:
    """vcan0 for the first bus, vcan1 for the second."""
    return {bus: f"vcan{number}" for number, bus in enumerate(buses)}


def mosquitto_program() -> str | None:
    """Where Mosquitto is, None if it is not installed."""
    return shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":" + _SBIN)


def _vcan_problem(channel: str) -> str | None:
    flags = Path(f"/sys/class/net/{channel}/flags")
    try:
        if not int(flags.read_text(), 16) & _IFF_UP:
            return f"{channel} is down"
    except (OSError, ValueError):
        return f"this host has no {channel}"
    try:
        socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW).close()
    except OSError as error:
        return f"CAN sockets: {error.strerror}"
    return None
