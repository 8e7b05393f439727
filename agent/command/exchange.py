"""The life of a command that is a talk with a control unit: a request, its answer, the next request.

    ACTING ──► AWAITING ──► ACTING …     one request at a time; each but the first only after a positive answer

An answer says that the control unit took a request on, never how the car is: "verified" comes from the car's feedback
alone (SR-04), which counts from the first request on that may move something.  A refusal ends the talk: nothing further
is asked, and the command has failed unless the car shows otherwise.  What is not answered in time is in doubt, and
the next round, if there is one, begins with the first request again.

Nothing is asked while something else asks on the same bus, whose answer may still be on the way (`free_at_s`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from agent.command.lifecycle import Lifecycle
from agent.command.phases import Phase, Signal, Steps
from agent.model.command import Executed, Reason, Stage
from agent.model.diagnostics import BUSY_REPEAT_REQUEST, NEGATIVE, RESPONSE_PENDING, Request
from agent.model.frame import Frame
from agent.model.quick_dataclass import dataclass

PENDING_WAIT_S: Final = 5.0
"""After "wait for it" (P2* of ISO 14229-2)."""

ANSWER_S_MAX: Final = 10.0
"""However often a control unit says so: whoever stands at the car has gone to another one by then."""

LATE_S: Final = 1.0
"""For so long after an answer was given up, or the talk broken off, it may still come: nobody asks on that bus."""


@dataclass(frozen=True, slots=True)
class _Asked:
    request: Request
    token: int
    at_s: float


class Exchange(Lifecycle):
    """As `Lifecycle`, for recipes with requests too. `free_at_s` tells until when others are heard out on its bus."""

    def __init__(self, *args: Any, free_at_s: Callable[[], float] = lambda: -math.inf, **options: Any) -> None:
        super().__init__(*args, **options)
        self._free_at_s = free_at_s
        self._asked: _Asked | None = None
        self._answer_by_s = math.inf
        self._resume_s = -math.inf
        self.late_until_s = -math.inf
        """Until when an answer to it may still come."""

    def frame_sent(self, token: int, at_s: float, *, is_echo_due: bool) -> Steps:
        request = self._acting.frames[self._acting.position - 1]
        if isinstance(request, Request) and token == self._unanswered and self._phase is Phase.ACTING:
            self._asked = _Asked(request, token, at_s)
            self._answer_by_s = at_s + request.answer_s
            self.late_until_s = self._answer_by_s + LATE_S
            self._watch.is_acting = request.acts
            self.sent.asked(token)
            self._move(Signal.ASKED)
        return super().frame_sent(token, at_s, is_echo_due=is_echo_due)

    def frame_not_sent(self, token: int, reason: Reason, now_s: float) -> Steps:
        """One that timed out may have left after all: its answer is waited out."""
        request = self._acting.frames[self._acting.position - 1]
        is_its = token == self._unanswered and self._phase is Phase.ACTING
        if isinstance(request, Request) and is_its and reason is Reason.TIMEOUT:
            self.late_until_s = self._resume_s = now_s + request.answer_s + LATE_S
        return super().frame_not_sent(token, reason, now_s)

    @property
    def asks_until_s(self) -> float:
        """Until when nobody else may ask on the recipe's bus; infinity if the end is not known."""
        is_asking = bool(self._recipe.requests) and self._phase in (Phase.ACTING, Phase.AWAITING)
        return math.inf if is_asking else self.late_until_s

    def is_answered_by(self, frame: Frame) -> bool:
        """Whether the frame is of whom an answer is awaited from, and came after it was asked."""
        asked = self._asked
        return asked is not None and asked.request.is_from_unit(frame) and frame.received_at_s >= asked.at_s

    def answered(self, frame: Frame, now_s: float) -> Steps:
        """A frame for which `is_answered_by` holds; what is no answer to what was asked is passed over."""
        if (asked := self._asked) is None:
            return ()
        payload = _single_frame(frame.data, asked.request.address)
        if payload.startswith(asked.request.positive):
            self.sent.answered(asked.token)
            self.late_until_s = self._resume_s = now_s + asked.request.pause_s
            return self._heard_out(now_s)
        if payload[:2] != bytes([NEGATIVE, asked.request.service]) or len(payload) != 3:
            return ()  # late, and of somebody else's question
        code = payload[2]
        if code == RESPONSE_PENDING:
            self._answer_by_s = min(now_s + PENDING_WAIT_S, asked.at_s + ANSWER_S_MAX)
            self.late_until_s = self._answer_by_s + LATE_S
            return ()
        self.sent.refused(asked.token, code)
        self.late_until_s = now_s
        self._acting = self._acting.abandon_round()
        if code != BUSY_REPEAT_REQUEST:
            self._acting = replace(self._acting, rounds=self._acting.rounds_max)
        return self._heard_out(now_s)

    def next_timer(self) -> float | None:
        self._hold()
        return self._answer_by_s if self._phase is Phase.AWAITING else super().next_timer()

    def _hold(self) -> None:
        """Until when the next request waits may change with what others ask."""
        if self._recipe.requests and not self._acting.is_over:
            self._acting = replace(self._acting, held_until_s=max(self._resume_s, self._free_at_s()))

    def _go_on(self, now_s: float) -> Steps:
        if self._phase is not Phase.AWAITING:
            return super()._go_on(now_s)
        if now_s < self._answer_by_s:
            return ()
        self._acting = self._acting.abandon_round()
        self._resume_s = self.late_until_s
        return self._heard_out(now_s)

    def _heard_out(self, now_s: float) -> Steps:
        self._asked = None
        self._move(Signal.HEARD_OUT)
        return self._act(now_s)

    def _act(self, now_s: float) -> Steps:
        if self._phase is Phase.AWAITING:
            return ()
        self._hold()
        return super()._act(now_s)

    def _conclude(self, now_s: float) -> Steps:
        return () if self._phase is Phase.AWAITING else super()._conclude(now_s)

    def _end_sending(self, reason: Reason, now_s: float) -> Steps:
        if self.sent.refused_with is not None and not self._watch.is_open:
            return self._finish(Stage.FAILED, Reason.NEGATIVE_ANSWER, Executed.UNKNOWN, now_s)
        return super()._end_sending(reason, now_s)


def _single_frame(data: bytes, address: bytes) -> bytes:
    """The payload of an ISO-TP frame that holds a whole one; else nothing."""
    start = len(address)
    if not data.startswith(address) or len(data) <= start or data[start] >> 4:
        return b""
    length = data[start]
    body = data[start + 1 :]
    return body[:length] if length <= len(body) else b""
