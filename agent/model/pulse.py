"""A pulse of a relay: how long a line is closed, and how long all lines are left open after it."""

from __future__ import annotations

from typing import Final

from agent.model.quick_dataclass import dataclass

PULSE_S_MIN: Final = 0.02
"""Small relays need up to 15 ms to close; anything shorter may do nothing and would still be called a pulse."""

PULSE_S_MAX: Final = 2.0
"""A key fob takes a button held for longer as another wish (windows, panic), and an actuator's motor heats up."""

PAUSE_S_MIN: Final = 0.05
"""A relay opens within 15 ms, and bounces; before that the next line must not close (interlock)."""

PAUSE_S_MAX: Final = 1.0
"""What is asked next waits for the end of the pause."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """Close `line` (a name of the profile) for `pulse_s`, then leave every line open for `pause_s`."""

    line: str
    pulse_s: float
    pause_s: float
