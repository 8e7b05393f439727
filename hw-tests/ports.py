"""What a test asks of a bench: two or three verbs each, whatever stands behind them.

Times are seconds of the monotonic clock, which all processes of one machine share.
"""

from __future__ import annotations

from typing import Protocol

import can


class BusPeer(Protocol):
    """A second adapter on the agent's bus: whoever else is on it."""

    def send(self, message: can.Message) -> None:
        """Put a frame on the bus; `can.CanError` if it does not leave."""

    def receive(self, within_s: float) -> can.Message | None:
        """The next data frame of somebody else, None if none came in time."""


class LockSensor(Protocol):
    """What tells how the lock really stands, not by the bus that the agent sees."""

    is_timed: bool
    """Whether the times are good to some milliseconds, as those of a person are not."""

    def is_locked(self) -> bool:
        """How it stands now."""

    def moved_at_s(self, within_s: float) -> float | None:
        """When the lock moved next since this sensor was asked last, None if it did not in time."""


class Ignition(Protocol):
    """The car's own key."""

    def on(self) -> None:
        """Switch it on, and return once it is."""

    def off(self) -> None:
        """Switch it off, and return once it is."""


class Power(Protocol):
    """The supply of the board under test, which is the one that runs the suite."""

    def cut(self) -> None:
        """Take it away; returns only if that went wrong."""


class BusFault(Protocol):
    """Something electrically wrong with the agent's bus."""

    def begin(self) -> None:
        """Drive the agent's controller to bus-off."""

    def end(self) -> None:
        """Mend it."""


class RelayWatcher(Protocol):
    """What tells how a relay stands, not by the line that drives it."""

    def is_closed(self, name: str) -> bool:
        """How it stands now."""

    def closed_alone(self, name: str, seconds: float) -> bool:
        """Whether it closed once for about so long when it was pulsed last, and no other did."""


class Link(Protocol):
    """The way to the broker."""

    def down(self) -> None:
        """Take the antenna off, or what stands for it."""

    def up(self) -> None:
        """Put it back."""
