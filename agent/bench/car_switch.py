"""A unit of the virtual car that is in one of two states and changes over on request: lock and immobiliser."""

from __future__ import annotations

from collections.abc import Mapping

from agent.bench.car_ear import Heard
from agent.bench.car_requests import HeardAs, Requests
from agent.model.command import Action

SLOW_TRAVEL_S = 2.0


class SwitchUnit:
    """Where it stands, where it is on its way to, and the ways it can fail. Times are the caller's `now_s`."""

    def __init__(self, targets: Mapping[Action, bool], *, is_on: bool, travel_s: float) -> None:
        """`targets`: the actions it is asked for, each with the state it is to come to."""
        self.is_on = is_on
        self.is_obeying = True
        self.is_blocked = False
        self.is_slow = False
        self.requests = Requests()
        self._targets = targets
        self._travel_s = travel_s
        self._target: bool | None = None
        self._arrives_at_s = 0.0

    @property
    def requests_seen(self) -> int:
        return self.requests.seen

    @property
    def frames_seen(self) -> int:
        return self.requests.frames_seen

    @property
    def is_moving(self) -> bool:
        return self._target is not None

    @property
    def arrives_at_s(self) -> float | None:
        """When it will have changed over, None while it stands."""
        return None if self._target is None else self._arrives_at_s

    def hear(self, heard: Heard, now_s: float) -> HeardAs:
        """A request frame: acted on if it passes the checks."""
        heard_as = self.requests.hear(heard, now_s)
        if heard_as.is_valid:
            self.change(self._targets[heard.action], now_s=now_s)
        return heard_as

    def change(self, is_on: bool, *, now_s: float) -> None:
        """Start to change over, unless it is there or on its way already, or the unit does not obey."""
        if not self.is_obeying:
            return
        if not self.is_blocked and is_on != (self.is_on if self._target is None else self._target):
            self._target = is_on
            self._arrives_at_s = now_s + (SLOW_TRAVEL_S if self.is_slow else self._travel_s)

    def advance(self, now_s: float) -> bool:
        """Let time pass; True if it has just arrived."""
        if self._target is None or now_s < self._arrives_at_s:
            return False
        self.is_on = self._target
        self._target = None
        return True
