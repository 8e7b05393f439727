"""The phases of a running command as a complete table, and the steps it can ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

from agent.model.command import Outcome, Reason, Stage
from agent.model.frame import Frame
from agent.model.pulse import Pulse
from agent.model.quick_dataclass import dataclass
from agent.model.reading import Reading


class Phase(StrEnum):
    """Where a command is."""

    STORING_INTENT = "storing_intent"
    WAKING = "waking"
    SETTLING = "settling"
    ACTING = "acting"
    AWAITING = "awaiting"
    """Of a request that left: the control unit's answer."""
    WATCHING = "watching"
    ENDING = "ending"


class Signal(StrEnum):
    """What takes it from one phase to another."""

    STORED_ASLEEP = "stored_asleep"
    STORED_WOKEN = "stored_woken"
    STORED_AWAKE = "stored_awake"
    WOKEN = "woken"
    SETTLED = "settled"
    ASKED = "asked"
    HEARD_OUT = "heard_out"
    """It was answered, or the time for that is over."""
    SENDING_ENDED = "sending_ended"
    DECIDED = "decided"


TRANSITIONS: Final[Mapping[tuple[Phase, Signal], Phase]] = {
    (Phase.STORING_INTENT, Signal.STORED_ASLEEP): Phase.WAKING,
    (Phase.STORING_INTENT, Signal.STORED_WOKEN): Phase.SETTLING,
    (Phase.STORING_INTENT, Signal.STORED_AWAKE): Phase.ACTING,
    (Phase.STORING_INTENT, Signal.DECIDED): Phase.ENDING,
    (Phase.WAKING, Signal.WOKEN): Phase.SETTLING,
    (Phase.WAKING, Signal.DECIDED): Phase.ENDING,
    (Phase.SETTLING, Signal.SETTLED): Phase.ACTING,
    (Phase.SETTLING, Signal.DECIDED): Phase.ENDING,
    (Phase.ACTING, Signal.ASKED): Phase.AWAITING,
    (Phase.ACTING, Signal.SENDING_ENDED): Phase.WATCHING,
    (Phase.ACTING, Signal.DECIDED): Phase.ENDING,
    (Phase.AWAITING, Signal.HEARD_OUT): Phase.ACTING,
    (Phase.AWAITING, Signal.DECIDED): Phase.ENDING,
    (Phase.WATCHING, Signal.DECIDED): Phase.ENDING,
}
"""All there is. A pair that is missing is a broken assumption, not a default: looking it up raises KeyError."""


@dataclass(frozen=True, slots=True)
class Send:
    """Put `frame` on its bus (a pulse: on its relay), not after `not_after_s`; to be answered by `frame_sent` or
    `frame_not_sent`."""

    frame: Frame | Pulse
    token: int
    not_after_s: float


@dataclass(frozen=True, slots=True)
class Progress:
    """A stage before the end was reached."""

    stage: Stage


@dataclass(frozen=True, slots=True)
class Finish:
    """The end: exactly one in the life of a command, and nothing after it."""

    outcome: Outcome


Step = Send | Progress | Finish
Steps = tuple[Step, ...]

Permits = Callable[[float, float | None], tuple[Reason | None, tuple[Reading, ...]]]
"""`policy.permits.permit` for one recipe and the car's state: (now_s, since_s) → reason to refuse, readings used."""
