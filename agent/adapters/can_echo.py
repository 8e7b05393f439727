"""Our own frames, seen back: on a driver that gives a frame back once it was sent, that is its acknowledgement.

A CAN controller has sent a frame only when another node acknowledged it; until then it tries again.  Drivers that say
so (IFF_ECHO) give the frame back at that moment, with MSG_CONFIRM to the socket it was sent from.  For all others the
kernel gives it back at once, which proves nothing: there no echo is asked for.  An echo says nothing of the car: it
never goes where the car's frames go (SR-04).
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import can

from agent.adapters.can_port import bus_error
from agent.adapters.can_source import FrameCounts
from agent.model.frame import SendRule

# linux/if.h; in the flags that the kernel shows of an interface.
_IFF_ECHO = 1 << 18
_INTERFACES = Path("/sys/class/net")

# Sent frames still waited for: a bus takes 50 from us in a second, and one not seen back for that long is not coming.
AWAITED_MAX = 64

_MSG_CONFIRM = getattr(socket, "MSG_CONFIRM", 0x800)
_MSG_DONTROUTE = getattr(socket, "MSG_DONTROUTE", 0x4)

Ids = frozenset[tuple[int, bool]]
"""Ids on one bus, each with whether it is extended."""


def gives_echoes(channel: str) -> bool:
    """Whether the driver of this interface gives frames back once they were sent; False if nobody knows."""
    try:
        return bool(int((_INTERFACES / channel / "flags").read_text(), 16) & _IFF_ECHO)
    except (OSError, ValueError):
        return False


class Echoes:
    """The frames of ours that one bus has not given back yet, over all the times it is opened."""

    def __init__(self, send_list: Collection[SendRule], counts: FrameCounts) -> None:
        self.ids: Ids = frozenset((rule.arbitration_id, rule.is_extended_id) for rule in send_list)
        self.are_due = False
        self._counts = counts
        self._awaited: deque[tuple[can.Message, Callable[[float], None]]] = deque(maxlen=AWAITED_MAX)

    def begin(self, bus: can.BusABC, channel: str) -> None:
        """The SocketCAN bus was opened on this interface; BusError if it does not take what it is told."""
        self._awaited.clear()
        self.are_due = bool(self.ids) and gives_echoes(channel)
        if self.are_due:
            plain: Any = bus
            plain.socket = _OwnFramesMarked(fileno=plain.socket.detach())
            try:
                plain.socket.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_RECV_OWN_MSGS, 1)
            except OSError as error:
                raise bus_error(channel, error) from error

    def end(self) -> None:
        """The bus is being closed: what was sent is not seen back any more."""
        self._awaited.clear()
        self.are_due = False

    def sent(self, message: can.Message, on_echo: Callable[[float], None]) -> None:
        """A frame was handed over; `on_echo` is called with the boot time at which it is seen back, if it is."""
        if self.are_due:
            self._awaited.append((message, on_echo))
        else:
            self._counts.unconfirmed += 1

    def take(self, message: can.Message, at_s: float) -> None:
        """One of our own frames came back."""
        self._counts.echoed += 1
        for place, (sent, on_echo) in enumerate(self._awaited):
            if _content(sent) == _content(message):
                del self._awaited[place]
                on_echo(at_s)
                return


class _OwnFramesMarked(socket.socket):
    """python-can says that we sent whatever this computer did (MSG_DONTROUTE); only what this socket sent is ours."""

    def recvmsg(self, bufsize: int, ancbufsize: int = 0, flags: int = 0, /) -> tuple[bytes, list[Any], int, Any]:
        data, ancillary, told, address = super().recvmsg(bufsize, ancbufsize, flags)
        told = told | _MSG_DONTROUTE if told & _MSG_CONFIRM else told & ~_MSG_DONTROUTE
        return data, ancillary, told, address


def _content(message: can.Message) -> tuple[int, bool, bytes]:
    return message.arbitration_id, message.is_extended_id, bytes(message.data)
