"""By what the doors of a simulated car are worked: frames, requests to a control unit, or pulses at its key fob."""

from __future__ import annotations

from enum import StrEnum

from agent.profiles.schema import Profile
from tests.support.pair import BeforeEffect, Pair, Remains, vehicle
from tests.support.relay_pair import RelayPair, relay_profile
from tests.support.talking_car import talking_profile


class Way(StrEnum):
    """The car is otherwise the demo hatchback."""

    FRAMES = "frames"
    REQUESTS = "requests"
    PULSES = "pulses"

    def profile(self, *, repeats_max: int, has_poll: bool = False) -> Profile:
        """That of the car; what is no frame is asked for or pressed so often at most. With `has_poll` the control unit
        that works the doors is asked for a value too.
        """
        match self:
            case Way.FRAMES:
                return vehicle()[0]
            case Way.REQUESTS:
                return talking_profile(repeats_max=repeats_max, has_poll=has_poll)
            case Way.PULSES:
                return relay_profile(repeats_max=repeats_max)

    def pair(self, remains: Remains, before_effect: BeforeEffect | None = None) -> Pair:
        """The agent at such a car, which tells and presses once: a second round would look like a second actuation."""
        profile = self.profile(repeats_max=1)
        if self is Way.PULSES:
            return RelayPair(profile, remains=remains, before_effect=before_effect)
        return Pair(profile=profile, remains=remains, before_effect=before_effect)
