"""What became of a command's frames on the way out: taken by a driver, acknowledged on the wire, or answered.

That a driver took a frame says little: on a bus where nobody acknowledges, the controller repeats it for ever.  Where
the driver gives our frames back once they were sent, that is known; elsewhere nothing is claimed.  A control unit that
answers a request says more, and yet only that it took it on.  None of it says how the car is (SR-04): it only takes a
claim back that rests on frames having left.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Final

from agent.model.command import Executed, Reason, Stage
from agent.model.diagnostics import code_word

Verdict = tuple[Stage, Reason, Executed]

ECHO_WAIT_S: Final = 0.5
"""For the echo of the last frame: ten frames that queue before it at 125 kbit/s take 11 ms. A bus so full of more
urgent frames that one waits this long is no bus a car is driven with."""


class Carried(StrEnum):
    """How far it is known that a command's frames came."""

    HANDED_OVER = "handed_over"
    ACKNOWLEDGED = "acknowledged"
    UNACKNOWLEDGED = "unacknowledged"
    ANSWERED = "answered"


class SentFrames:
    """The frames of one command, round by round, by the tokens they were asked for with. As many as its recipe has."""

    def __init__(self) -> None:
        self.count = 0
        self.echo_count = 0
        self.answer_count = 0
        self.refused_with: int | None = None
        self._unanswered: set[int] = set()
        self._awaited: set[int] = set()
        self._rounds: dict[int, set[int]] = {}
        self._whole: list[set[int]] = []
        self._last_s = -math.inf

    def left(self, token: int, at_s: float, *, is_echo_due: bool, round_number: int, ends_round: bool) -> None:
        """A driver took a frame; `is_echo_due` if it will give it back once another node has acknowledged it.

        A round that is broken off has no last frame: the next one has a number of its own.
        """
        self.count += 1
        self._last_s = at_s
        tokens = self._rounds.setdefault(round_number, set())
        tokens.add(token)
        if is_echo_due:
            self._awaited.add(token)
        if ends_round:
            self._whole.append(tokens)

    def echoed(self, token: int) -> None:
        """A frame was seen back; one that is not waited for counts for nothing."""
        if token in self._awaited:
            self._awaited.remove(token)
            self.echo_count += 1

    def asked(self, token: int) -> None:
        """The frame is a request, and its answer is due. To be told before that it left."""
        self._unanswered.add(token)

    def answered(self, token: int) -> None:
        """A request was answered positively; whoever answers has heard it."""
        self._unanswered.discard(token)
        self._awaited.discard(token)
        self.answer_count += 1

    def refused(self, token: int, code: int) -> None:
        """A request was answered by a refusal, which has heard it too."""
        self._awaited.discard(token)
        self.refused_with = code

    @property
    def _are_requests(self) -> bool:
        return bool(self._unanswered) or self.answer_count > 0

    @property
    def has_complete_round(self) -> bool:
        """Whether all frames of a round left, and were seen back where they are given back; requests: were answered."""
        return any(not tokens & (self._unanswered if self._are_requests else self._awaited) for tokens in self._whole)

    @property
    def complete_by_s(self) -> float:
        """Until when echoes may still come; in the past if there is nothing to wait for."""
        return self._last_s + ECHO_WAIT_S if self._awaited else -math.inf

    @property
    def carried(self) -> Carried | None:
        """None if no frame left."""
        if not self.count:
            return None
        if self._are_requests and self.has_complete_round:
            return Carried.ANSWERED
        if not self._awaited and not self.echo_count:
            return Carried.HANDED_OVER
        is_whole = not self._awaited if self._are_requests else self.has_complete_round
        return Carried.ACKNOWLEDGED if is_whole else Carried.UNACKNOWLEDGED

    def document(self) -> dict[str, object]:
        """For the record of the command's end; nothing if no frame left, no number of echoes where none can come."""
        if (carried := self.carried) is None:
            return {}
        echoes = {} if carried is Carried.HANDED_OVER else {"frames_echoed": self.echo_count}
        answers: dict[str, object] = {"answers": self.answer_count} if self._are_requests else {}
        if self.refused_with is not None:
            answers["refused_with"] = code_word(self.refused_with)
        return {"frames": carried.value, "frames_sent": self.count, **echoes, **answers}

    def verdict(self, reason: Reason) -> Verdict:
        """For a car that gives no feedback; `reason` is why no further frame is sent."""
        if self.has_complete_round:
            return Stage.EXECUTED_UNVERIFIED, Reason.OK, Executed.YES
        return Stage.FAILED, self._why(reason), Executed.UNKNOWN

    def judge(self, verdict: Verdict) -> Verdict:
        """What is left of a verdict by feedback: frames nobody acknowledged may leave yet, so "unchanged" is not it.

        Requests that were not all taken on have failed, where the car shows no more; a refusal is told as the reason.
        """
        stage, reason, _ = verdict
        is_taken_on = not self._are_requests or self.has_complete_round
        if not is_taken_on and stage is Stage.EXECUTED_UNVERIFIED:
            return Stage.FAILED, self._why(reason), Executed.UNKNOWN
        if not is_taken_on and self.refused_with is not None and reason is Reason.NO_STATE_CHANGE:
            return Stage.FAILED, Reason.NEGATIVE_ANSWER, Executed.UNKNOWN
        if self._is_unheard and (stage is Stage.EXECUTED_UNVERIFIED or reason is Reason.NO_STATE_CHANGE):
            return Stage.FAILED, Reason.CAN_DOWN, Executed.UNKNOWN
        return verdict

    def _why(self, reason: Reason) -> Reason:
        if self.refused_with is not None:
            return Reason.NEGATIVE_ANSWER
        return Reason.CAN_DOWN if self._is_unheard else reason

    @property
    def _is_unheard(self) -> bool:
        """Whether frames were to be seen back, and none was."""
        return bool(self._awaited) and not self.echo_count and not self.answer_count
