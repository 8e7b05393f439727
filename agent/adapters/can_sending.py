"""Giving frames to a driver: the message, the refusals, and what a driver says when it does not take one."""

from __future__ import annotations

import errno

import can
import serial

from agent.adapters.can_port import WRITE_WAIT_S, errno_of
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


def message_of(frame: Frame) -> can.Message:
    """The frame in python-can's form."""
    return can.Message(
        arbitration_id=frame.arbitration_id,
        data=frame.data,
        is_extended_id=frame.is_extended_id,
        is_fd=frame.is_fd,
        bitrate_switch=frame.is_fd,
    )


def hand_over(bus: can.BusABC, message: can.Message, *, is_socketcan: bool) -> bool:
    """Give a message to the driver; False if its queue is full just now, CanError or OSError if it has failed."""
    try:
        bus.send(message, timeout=0 if is_socketcan else WRITE_WAIT_S)
    except (can.CanError, OSError) as error:
        number = errno_of(error)
        # On SocketCAN an error without a number is python-can's own: the socket is not writable.
        if number in (errno.ENOBUFS, errno.EAGAIN) or (number is None and is_socketcan):
            return False
        raise
    return True


def refusal_of(place: str, error: Exception) -> FrameRefused:
    """What a failure means for the frame: a serial adapter that hangs may have got it, one that is gone not."""
    is_hanging = isinstance(error.__cause__, serial.SerialTimeoutException)
    return FrameRefused(Reason.TIMEOUT if is_hanging else Reason.CAN_DOWN, f"{place}: {error}")
