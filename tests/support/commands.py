"""A running command in tests: a demo recipe, readings, and a script that plays both car and adapter."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from agent.command.exchange import Exchange
from agent.command.lifecycle import Finish, Progress, Send, Steps
from agent.model.command import Action, Command, Outcome, Reason, Stage
from agent.model.frame import Frame
from agent.model.reading import Quality, Reading, Value
from agent.model.recipe import Feedback, FrameTemplate, Precondition, Recipe, WakeUp
from agent.policy.permits import permit

SPEED = "Vehicle.Speed"
LOCKED = "Vehicle.Carshare.CentralLock.IsLocked"
SESSION_STARTED_S = 1000.0
"""Boot time of session millisecond 0."""

NOW_S = 1060.0
DEADLINE_S = 1090.0

WAKE_FRAME = FrameTemplate("body", 0x400, is_extended_id=False, is_fd=False, data=b"\x01")
UNLOCK_FRAME = FrameTemplate("body", 0x3A1, is_extended_id=False, is_fd=False, data=b"\x02\x00")
RELEASE_FRAME = FrameTemplate("body", 0x3A2, is_extended_id=False, is_fd=False, data=b"\x00")

STANDS_STILL = Precondition(
    SPEED, Reason.MOVING, maximum=0.0, when_unknown=Reason.SPEED_UNKNOWN, when_stale=Reason.PRECONDITION_STALE
)
IS_UNLOCKED = Feedback(LOCKED, equals=False, confirmations=2)

WAKE = WakeUp("body", (WAKE_FRAME,), tries_max=3, interval_s=0.1, settle_s=2.0)


def unlock_recipe(
    *,
    frames: tuple[FrameTemplate, ...] = (UNLOCK_FRAME,),
    repeats_max: int = 3,
    feedback: tuple[Feedback, ...] = (IS_UNLOCKED,),
    preconditions: tuple[Precondition, ...] = (STANDS_STILL,),
    wake: WakeUp | None = WAKE,
    window_s: float = 3.0,
) -> Recipe:
    return Recipe(
        action=Action.UNLOCK,
        bus="body",
        frames=frames,
        repeats_max=repeats_max,
        interval_s=0.1,
        feedback=feedback,
        feedback_window_s=window_s,
        preconditions=preconditions,
        wake=wake,
    )


def command(deadline_s: float = DEADLINE_S) -> Command:
    deadline_ms = round((deadline_s - SESSION_STARTED_S) * 1000)
    return Command(bytes(8), bytes(16), 7, bytes(8), 1, deadline_ms, Action.UNLOCK, kid=bytes(4), digest=bytes(32))


def reading(
    path: str, value: Value | None, at_s: float, *, quality: Quality = Quality.OK, message: str = "Status"
) -> Reading:
    return Reading(path, value if quality is Quality.OK else None, None, at_s, quality, None, message)


@dataclass(slots=True)
class Run:
    """One lifecycle and the car's state around it; keeps every step it returned, in order."""

    recipe: Recipe = field(default_factory=unlock_recipe)
    deadline_s: float = DEADLINE_S
    is_bus_asleep: bool = False
    now_s: float = NOW_S
    settled_at_s: float = -math.inf
    known: dict[str, Reading] = field(default_factory=dict)
    steps: list[Send | Progress | Finish] = field(default_factory=list)
    free_at_s: float = -math.inf
    lifecycle: Exchange = field(init=False)

    def __post_init__(self) -> None:
        if not self.is_bus_asleep:
            self.known.setdefault(SPEED, reading(SPEED, 0.0, self.now_s))
        self.lifecycle = Exchange(
            command(self.deadline_s),
            self.recipe,
            now_s=self.now_s,
            session_started_s=SESSION_STARTED_S,
            is_bus_asleep=self.is_bus_asleep,
            permits=self._permits,
            tokens=itertools.count(100),
            settled_at_s=self.settled_at_s,
            free_at_s=lambda: self.free_at_s,
        )

    def _permits(self, now_s: float, since_s: float | None) -> tuple[Reason | None, tuple[Reading, ...]]:
        return permit(self.recipe.preconditions, self.read, now_s, since_s)

    def read(self, path: str) -> Reading:
        return self.known.get(path, reading(path, None, self.now_s, quality=Quality.UNKNOWN, message=""))

    def take(self, steps: Steps) -> Steps:
        self.steps.extend(steps)
        return steps

    def at(self, now_s: float) -> Run:
        """Move time, running every timer that falls due on the way."""
        for _ in range(1000):
            due_s = self.lifecycle.next_timer()
            if due_s is None or due_s > now_s:
                self.now_s = max(self.now_s, now_s)
                return self
            self.now_s = max(self.now_s, due_s)
            self.take(self.lifecycle.timer(self.now_s))
        raise AssertionError("timers do not come to rest")

    def stored(self) -> Steps:
        return self.take(self.lifecycle.stored(self.now_s))

    def sent(self, after_s: float = 0.001, *, is_echo_due: bool = False) -> Steps:
        """The newest frame asked for leaves a moment later."""
        self.now_s += after_s
        return self.take(self.lifecycle.frame_sent(self.sends[-1].token, self.now_s, is_echo_due=is_echo_due))

    def echoed(self, number: int = -1) -> Steps:
        """A frame that left is given back a moment later."""
        self.now_s += 0.001
        return self.take(self.lifecycle.frame_echoed(self.sends[number].token, self.now_s))

    def not_sent(self, reason: Reason) -> Steps:
        return self.take(self.lifecycle.frame_not_sent(self.sends[-1].token, reason, self.now_s))

    def wakes(self) -> Steps:
        return self.take(self.lifecycle.bus_awake(self.now_s))

    def receive(self, *readings: Reading) -> Steps:
        self.known |= {taken.path: taken for taken in readings}
        return self.take(self.lifecycle.readings(readings, self.now_s))

    def shows(
        self, value: Value | None, *, path: str = LOCKED, quality: Quality = Quality.OK, message: str = "Status"
    ) -> Steps:
        """A frame arrives a moment later."""
        self.now_s += 0.001
        return self.receive(reading(path, value, self.now_s, quality=quality, message=message))

    @property
    def sends(self) -> list[Send]:
        return [step for step in self.steps if isinstance(step, Send)]

    @property
    def stages(self) -> list[Stage]:
        return [step.stage for step in self.steps if isinstance(step, Progress)]

    @property
    def outcome(self) -> Outcome | None:
        """The outcome, of which there is at most one, as the last step of all."""
        finishes = [step for step in self.steps if isinstance(step, Finish)]
        assert len(finishes) <= 1
        assert not finishes or self.steps[-1] is finishes[0]
        return finishes[0].outcome if finishes else None

    @property
    def verdict(self) -> tuple[int, int, int] | None:
        outcome = self.outcome
        return None if outcome is None else (outcome.stage, outcome.reason, outcome.executed)

    def ids(self, steps: Iterable[object] | None = None) -> list[int]:
        """Arbitration ids asked for."""
        chosen = self.steps if steps is None else steps
        frames = [step.frame for step in chosen if isinstance(step, Send)]
        return [frame.arbitration_id for frame in frames if isinstance(frame, Frame)]
