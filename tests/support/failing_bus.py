"""A python-can interface without a file descriptor whose driver can be made to fail as it never documented."""

from __future__ import annotations

import threading

import can

INTERFACE = ("tests.support.failing_bus", "FailingBus")
"""What `can.interfaces.BACKENDS` wants to know of it."""

trip = threading.Event()
"""Once set, the next wait for a message raises TypeError."""


class FailingBus(can.BusABC):
    """A bus on which nothing is ever said."""

    def __init__(self, channel: str, *, bitrate: int) -> None:
        super().__init__(channel)
        self.channel_info = f"failing {channel} at {bitrate}"

    def send(self, msg: can.Message, timeout: float | None = None) -> None:
        raise NotImplementedError

    def _recv_internal(self, timeout: float | None) -> tuple[can.Message | None, bool]:
        if trip.wait(timeout):
            trip.clear()
            raise TypeError("a driver's bug")
        return None, False
