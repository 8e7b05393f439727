"""What is asked on one bus: its polls, when each is due, and the one question in flight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import field

from agent.decode.answer import Answers, Unanswered
from agent.decode.segments import Segments
from agent.model.quick_dataclass import dataclass
from agent.profiles.schema import PollPlan

BACK_OFF_S_MAX = 600.0
"""What was never answered is asked for at least so often: the control unit may have been asleep."""


@dataclass(slots=True)
class Poll:
    plan: PollPlan
    answers: Answers
    due_s: float = 0.0
    failures: int = 0
    """In a row."""
    busy: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    last: Unanswered | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(signal.path for signal in self.plan.signals)


@dataclass(slots=True)
class Question:
    """The one in flight. `deadline_s` moves with each frame of the answer, `end_s` does not."""

    poll: Poll
    tokens: set[int]
    begun_s: float
    deadline_s: float
    end_s: float
    segments: Segments
    first_at_s: float = 0.0
    heard: Unanswered = Unanswered.NO_ANSWER
    """What to say if nothing better comes."""


class Line:
    """One bus: what is asked on it, and what is in flight."""

    def __init__(self, bus: str, polls: Sequence[Poll]) -> None:
        self.bus = bus
        self.polls = polls
        self.question: Question | None = None
        self.quiet_until_s = float("-inf")
        self.taken_until_s = float("-inf")
        """Until when an answer may still come to what was asked; `quiet_until_s` has other reasons too."""
        self.unused_since_s: float | None = None

    def next_poll(self, paths: frozenset[str] | None) -> Poll | None:
        """The one due first; with `paths` among those that give one of them."""
        polls = (poll for poll in self.polls if paths is None or not paths.isdisjoint(poll.paths))
        return min(polls, key=lambda poll: poll.due_s, default=None)


def back_off_s(period_s: float, failures: int) -> float:
    """How long after so many failures in a row: the period, doubled each time up to `BACK_OFF_S_MAX`."""
    return max(period_s, min(period_s * 2.0 ** min(failures, 32), BACK_OFF_S_MAX))
