"""A socket of the kernel's CAN broadcast manager: opened with what it is to watch, and what it counts."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable
from pathlib import Path

from agent.adapters.bcm_message import Watched, parse_statistics, rx_setup
from agent.adapters.can_port import bus_error
from agent.adapters.can_raw import SO_TIMESTAMPNS
from agent.errors import BusError
from agent.model.reception import Watch

PROTOCOL = getattr(socket, "CAN_BCM", 2)

KERNEL_STATISTICS = Path("/proc/net/can-bcm")

# The interface is not there, or down: the bus has failed. Whatever else the kernel says, it cannot watch for us.
_INTERFACE_FAILED = frozenset({errno.ENODEV, errno.ENXIO, errno.ENETDOWN})


class NotWatched(BusError):  # noqa: N818 - not a failure of the bus: another way of receiving is taken
    """The kernel has no broadcast manager for us, and why."""


def open_watching(channel: str, place: str, watches: Iterable[Watch], buffer_bytes: int) -> socket.socket:
    """A socket that watches these messages on `channel`, without waiting; `place` is what errors call it.

    NotWatched if the kernel cannot do it, BusError if the interface has failed.
    """
    try:
        opened = socket.socket(socket.AF_CAN, socket.SOCK_DGRAM, PROTOCOL)
    except OSError as error:
        raise NotWatched(f"the kernel has no CAN broadcast manager (module can-bcm): {error}") from error
    try:
        opened.setblocking(False)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        opened.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        opened.connect((channel,))
        for watch in watches:
            opened.send(rx_setup(watch))
    except OSError as error:
        opened.close()
        if error.errno in _INTERFACE_FAILED:
            raise bus_error(place, error) from error
        raise NotWatched(f"{place}: {error}") from error
    except BaseException:
        opened.close()
        raise
    return opened


def statistics_of(opened: socket.socket) -> dict[tuple[int, bool], Watched]:
    """What the kernel says of each message of which a frame came; nothing if it does not say."""
    try:
        return parse_statistics((KERNEL_STATISTICS / str(os.fstat(opened.fileno()).st_ino)).read_text())
    except OSError:
        return {}
