"""What a profile says about acting on a car: frames or pulses, wake-up, preconditions, feedback."""

from __future__ import annotations

from collections.abc import Callable

from agent.model.command import Action, Condition, Reason
from agent.model.diagnostics import Request
from agent.model.frame import BitField
from agent.model.pulse import Pulse
from agent.model.quick_dataclass import dataclass
from agent.model.reading import Value


@dataclass(frozen=True, slots=True)
class ChecksumField:
    """A checksum by name; `compute` takes the whole payload and returns the raw value to put in `field`."""

    algorithm: str
    field: BitField
    compute: Callable[[bytes], int]


@dataclass(frozen=True, slots=True)
class FrameTemplate:
    """A frame to send but for its rolling counter and checksum, which are filled in at the moment of sending."""

    bus: str
    arbitration_id: int
    is_extended_id: bool
    is_fd: bool
    data: bytes
    counter: BitField | None = None
    checksum: ChecksumField | None = None


@dataclass(frozen=True, slots=True)
class Precondition:
    """`path` must be `equals`, or lie within `minimum` and `maximum` (its VSS unit), else `reason`.

    `when_unknown` is the reason given if there is no fresh value, None to let the action pass without one;
    `when_stale` likewise for a value that was known and grew old; `condition` is which one of the end of a rental it
    belongs to.
    """

    path: str
    reason: Reason
    equals: Value | None = None
    minimum: float | None = None
    maximum: float | None = None
    when_unknown: Reason | None = None
    when_stale: Reason | None = None
    condition: Condition | None = None


@dataclass(frozen=True, slots=True)
class Feedback:
    """`path` shows `equals` when the action has worked, seen in `confirmations` frames in a row after ours."""

    path: str
    equals: Value
    confirmations: int = 1


@dataclass(frozen=True, slots=True)
class WakeUp:
    """Frames that wake a sleeping bus: all of them, up to `tries_max` times, `interval_s` apart, until frames come."""

    bus: str
    frames: tuple[FrameTemplate, ...]
    tries_max: int
    interval_s: float
    settle_s: float
    """How long after the first frame of the waking car the preconditions are waited for."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one action is carried out on one car: by frames, by requests to a control unit, or by pulses of relays.

    `bus` is where the car is to be awake: that of the frames, or of the wake-up. Pulses without a wake-up have none.
    """

    action: Action
    bus: str | None
    frames: tuple[FrameTemplate, ...]
    repeats_max: int
    interval_s: float
    feedback: tuple[Feedback, ...]
    feedback_window_s: float
    preconditions: tuple[Precondition, ...]
    wake: WakeUp | None
    pulses: tuple[Pulse, ...] = ()
    requests: tuple[Request, ...] = ()

    @property
    def round(self) -> tuple[FrameTemplate | Request | Pulse, ...]:
        """What one round asks for, in its order."""
        return self.frames or self.requests or self.pulses

    @property
    def confirmed_s_min(self) -> float:
        """How long feedback has to show the asked state where several frames in a row are wanted.

        It can do so before a button is pressed again, or a talk begun anew, and these are far apart: half of what a
        round leaves.
        """
        if not self.pulses:
            return self.interval_s / 2 if self.requests else self.interval_s
        return max(0.0, self.interval_s - sum(pulse.pulse_s + pulse.pause_s for pulse in self.pulses)) / 2

    @property
    def answer_s_max(self) -> float:
        """How long it takes at most to hear that what was asked for is done, beyond what a frame takes."""
        return max((pulse.pulse_s + pulse.pause_s for pulse in self.pulses), default=0.0)
