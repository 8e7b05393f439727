"""What a command's end rests on: what the car says, and what became of our own frames."""

from __future__ import annotations

import math

from agent.command.feedback import FeedbackWatch
from agent.command.sent_frames import SentFrames, Verdict
from agent.model.command import Reason
from agent.model.recipe import Recipe


class Proof(FeedbackWatch):
    """The car's feedback since our first frame, and the frames. A car that gives none is judged by the frames alone."""

    def __init__(self, recipe: Recipe, *, settled_at_s: float) -> None:
        super().__init__(
            recipe.feedback,
            window_s=recipe.feedback_window_s,
            run_s_min=recipe.confirmed_s_min,
            settled_at_s=settled_at_s,
        )
        self.frames = SentFrames()
        self.is_acting = True
        """Whether the frame that leaves next may move something: to open a session does not (SR-04)."""
        self._has_feedback = bool(recipe.feedback)
        self._ended_for: Reason | None = None

    @property
    def ends_s(self) -> float:
        """When the verdict is due. For a car that gives no feedback: once no further frame is sent, and the echoes of
        those that were sent have come or had their time."""
        if self._has_feedback:
            return super().ends_s
        return math.inf if self._ended_for is None else self.frames.complete_by_s

    def frame_sent(self, at_s: float) -> None:
        """The car's feedback counts from the first frame on that may have moved it."""
        if self.is_acting:
            super().frame_sent(at_s)

    def sending_ended(self, reason: Reason) -> None:
        """No further frame is sent, and why."""
        self._ended_for = reason

    def verdict(self) -> Verdict:
        """What is to be said at the end."""
        if self._has_feedback:
            return self.frames.judge(super().verdict())
        return self.frames.verdict(self._ended_for or Reason.TIMEOUT)
