"""The lamp unit of the virtual car, which flashes and sounds the horn when asked, and reports nothing."""

from __future__ import annotations

from agent.bench.car_ear import Heard
from agent.bench.car_requests import HeardAs, Requests

FLASHING_S = 3.0  # three flashes; asked again meanwhile they are still three


class LampUnit:
    """`is_dead`: it hears and does nothing, which nobody on the bus can tell."""

    def __init__(self) -> None:
        self.is_dead = False
        self.requests = Requests()
        self.flashes_seen = 0
        """How often a person beside the car has seen it flash."""
        self._flashes_until_s = float("-inf")

    def hear(self, heard: Heard, now_s: float) -> HeardAs:
        """A request: acted on if it passes the checks."""
        heard_as = self.requests.hear(heard, now_s)
        if heard_as.is_valid and not self.is_dead and now_s >= self._flashes_until_s:
            self._flashes_until_s = now_s + FLASHING_S
            self.flashes_seen += 1
        return heard_as
