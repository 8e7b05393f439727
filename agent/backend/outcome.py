"""What the caller of a command is told, while it runs and at its end."""

from __future__ import annotations

from enum import StrEnum

from agent.model.command import Action, ConditionAnswer, Evidence, Executed, Reason, Stage
from agent.model.quick_dataclass import dataclass


class Step(StrEnum):
    """Where a command is that has no final answer yet."""

    ASKING = "asking"
    """The car is asked which session it is in."""
    SENT = "sent"
    SENT_AGAIN = "sent_again"
    """The same bytes once more: the car answers with what became of them, and acts at most once."""
    NOT_HEARD = "not_heard"
    """The broker says that nobody receives what was sent: the car is not connected."""
    ACCEPTED = "accepted"
    EXECUTING = "executing"
    NEW_SESSION = "new_session"
    """The car had restarted and did nothing; the command is signed anew for its present session."""


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of a command to the car named `car`; `cid` is None until something was signed."""

    car: str
    step: Step
    cid: bytes | None


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The end of a command, as far as the car said and signed it.

    `stage`, `reason` and `evidence` are the car's; both are None if no final answer came in time.  Then `executed`
    is `NO` if no command left this process, and `UNKNOWN` otherwise.  `cid` (16 bytes) names the last command
    signed, None if there was none.  `answered_in_s` counts from the call to the receipt of the answer, or to giving
    up.  `is_degraded`: the car acted without a working store.  `event_sequence`: the car's number for this result.
    `conditions` of the end of a rental come with the answer to `check_return`, and with the end of a lock.
    """

    car: str
    action: Action
    cid: bytes | None
    stage: Stage | None
    reason: Reason | None
    executed: Executed
    evidence: tuple[Evidence, ...]
    answered_in_s: float
    is_degraded: bool = False
    event_sequence: int | None = None
    conditions: tuple[ConditionAnswer, ...] = ()

    @property
    def is_answered(self) -> bool:
        return self.stage is not None

    @property
    def is_verified(self) -> bool:
        """The car saw, in a fresh frame after its own, that the asked state came about."""
        return self.stage is Stage.VERIFIED

    @property
    def may_repeat(self) -> bool:
        """Whether the same wish may be sent again as a new command without a person or a read-back deciding."""
        if self.executed is not Executed.NO:
            return False
        return self.reason is None or self.reason.is_temporary

    @property
    def outcome(self) -> str:
        """The stage as a word, `no_answer` if there is none."""
        return "no_answer" if self.stage is None else self.stage.name.lower()
