"""Our own frames, seen back: on a driver that gives a frame back once it was sent, that is its acknowledgement.

A CAN controller has sent a frame only when another node acknowledged it; until then it tries again.  Drivers that say
so (IFF_ECHO) give the frame back at that moment, with MSG_CONFIRM to the socket it was sent from.  For all others the
kernel gives it back at once, which proves nothing: there no echo is asked for.  An echo says nothing of the car: it
never goes where the car's frames go (SR-04).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from pathlib import Path

from agent.adapters.can_port import bus_error
from agent.adapters.can_raw import Message, RawSocket
from agent.adapters.can_source import FrameCounts
from agent.model.frame import Frame, SendRule

# linux/if.h; in the flags that the kernel shows of an interface.
_IFF_ECHO = 1 << 18
_INTERFACES = Path("/sys/class/net")

# Sent frames still waited for: a bus takes 50 from us in a second, and one not seen back for that long is not coming.
AWAITED_MAX = 64

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
        self._awaited: deque[tuple[Frame, Callable[[float], None]]] = deque(maxlen=AWAITED_MAX)

    def begin(self, bus: RawSocket, channel: str) -> None:
        """The SocketCAN bus was opened on this interface; BusError if it does not take what it is told."""
        self._awaited.clear()
        self.are_due = bool(self.ids) and gives_echoes(channel)
        if self.are_due:
            try:
                bus.give_own_back()
            except OSError as error:
                raise bus_error(channel, error) from error

    def end(self) -> None:
        """The bus is being closed: what was sent is not seen back any more."""
        self._awaited.clear()
        self.are_due = False

    def sent(self, frame: Frame, on_echo: Callable[[float], None]) -> None:
        """A frame was handed over; `on_echo` is called with the boot time at which it is seen back, if it is."""
        if self.are_due:
            self._awaited.append((frame, on_echo))
        else:
            self._counts.unconfirmed += 1

    def take(self, message: Message, at_s: float) -> None:
        """One of our own frames came back."""
        self._counts.echoed += 1
        for place, (sent, on_echo) in enumerate(self._awaited):
            if _content(sent) == _content(message):
                del self._awaited[place]
                on_echo(at_s)
                return


def _content(message: Frame | Message) -> tuple[int, bool, bytes]:
    return message.arbitration_id, message.is_extended_id, bytes(message.data)
