"""Giving frames to a driver: the refusals, and what a driver says when it does not take one."""

from __future__ import annotations

import errno
from typing import Any

from agent.adapters.can_port import WRITE_WAIT_S, driver_errors, errno_of
from agent.adapters.can_raw import Port, RawSocket
from agent.errors import BusError
from agent.model.command import Reason
from agent.model.frame import Frame

# The kernel queues 10 frames; at 125 kbit/s they leave within 11 ms, so a queue full for 20 ms is not moving.
SEND_TRIES_MAX = 10
SEND_RETRY_S = 0.002


class FrameRefused(BusError):  # noqa: N818 - a refusal, not an error, in the words of the effects it answers
    """The frame did not leave (for `timeout`: perhaps not), and why."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def hand_over(bus: Port, frame: Frame) -> bool:
    """Give a frame to the driver; False if its queue is full just now, one of `driver_errors` if it has failed."""
    try:
        if isinstance(bus, RawSocket):
            bus.send(frame)
        else:
            _hand_to_library(bus, frame)
    except driver_errors() as error:
        if errno_of(error) in (errno.ENOBUFS, errno.EAGAIN):
            return False
        raise
    return True


def _hand_to_library(bus: Any, frame: Frame) -> None:
    import can  # loaded long since: it opened the bus

    message = can.Message(
        arbitration_id=frame.arbitration_id,
        data=frame.data,
        is_extended_id=frame.is_extended_id,
        is_fd=frame.is_fd,
        bitrate_switch=frame.is_fd,
    )
    bus.send(message, timeout=WRITE_WAIT_S)


def refusal_of(place: str, error: Exception) -> FrameRefused:
    """What a failure means for the frame: a serial adapter that hangs may have got it, one that is gone not."""
    from serial import SerialTimeoutException

    is_hanging = isinstance(error.__cause__, SerialTimeoutException)
    return FrameRefused(Reason.TIMEOUT if is_hanging else Reason.CAN_DOWN, f"{place}: {error}")
