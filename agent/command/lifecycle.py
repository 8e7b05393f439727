"""The life of one running command, from its intent to its outcome: a state machine without I/O or clock.

    STORING_INTENT ──► WAKING ──► SETTLING ──► ACTING ──► WATCHING ──► ENDING
          │                          ▲          ▲  ▲▼
          ├── woke by itself ────────┘          │  AWAITING
          └── awake ────────────────────────────┘         (and from every phase to ENDING at once)

No frame is asked for before the intent is durable: nothing but `stored` leaves STORING_INTENT for a phase that sends
(SR-02).  None is asked for after the deadline, which is looked at before each; nor against the preconditions, which
are asked again before each round.  "Verified" comes from `Proof` alone (SR-04).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from typing import Final

from agent.command.evidence import evidence_of
from agent.command.phases import TRANSITIONS, Finish, Permits, Phase, Progress, Send, Signal, Step, Steps
from agent.command.proof import Proof
from agent.command.recipe import Repetition
from agent.command.wake import WakeCall
from agent.model.command import Command, Executed, Outcome, Reason, Stage
from agent.model.frame import Frame
from agent.model.pulse import Pulse
from agent.model.reading import Quality, Reading
from agent.model.recipe import Recipe

__all__ = ["TRANSITIONS", "Finish", "Lifecycle", "Permits", "Phase", "Progress", "Send", "Signal", "Step", "Steps"]

SEND_ANSWER_S_MAX: Final = 1.0  # past deadline and window; then a command ends without the answer (SR-10)


class Lifecycle:
    """One running command: tell it what happens, in order of time, and perform the steps it returns, in their order.

    All times are boot time; `session_started_s` is when session milliseconds began.  `permits` must know a reading
    before `readings` is called with it.  `tokens` numbers the frames asked for: one iterator for all commands keeps
    a late answer from being taken for another's.  At most one frame (or pulse: the same but for its way to the car)
    is unanswered at a time, and after `Finish` everything is ignored.  Raises ValueError for a recipe that asks for
    nothing, or without a wake-up for a sleeping bus.
    """

    def __init__(
        self,
        command: Command,
        recipe: Recipe,
        *,
        now_s: float,
        session_started_s: float,
        is_bus_asleep: bool,
        permits: Permits,
        tokens: Iterator[int] | None = None,
        settled_at_s: float = -math.inf,
    ) -> None:
        wake = recipe.wake
        if not recipe.round or (is_bus_asleep and (wake is None or not wake.frames)):
            raise ValueError(f"nothing to send for action {recipe.action.name}, or nothing to wake bus {recipe.bus}")
        self.command = command
        self.deadline_s = session_started_s + command.deadline_ms / 1000
        self._recipe = recipe
        self._permits = permits
        self._tokens = itertools.count(1) if tokens is None else tokens
        self._phase = Phase.STORING_INTENT
        self._stage = Stage.ACCEPTED

        self._wake = WakeCall.of(recipe.wake, now_s if is_bus_asleep else None)
        # A lock unit still busy with another wish may ignore this one: go on asking until that is over.
        # Not so with a button: pressed oftener than its profile says, it may be taken for another wish.
        extra_s = max(0.0, settled_at_s - now_s) if recipe.frames else 0.0
        extra_rounds = math.ceil(extra_s / recipe.interval_s)
        self._acting = Repetition(recipe.round, recipe.repeats_max + extra_rounds, recipe.interval_s)
        self._unanswered: int | None = None
        self._may_have_left = False
        self._watch = Proof(recipe, settled_at_s=settled_at_s)
        self.sent = self._watch.frames
        self._used: tuple[Reading, ...] = ()

    @property
    def phase(self) -> Phase:
        return self._phase

    @property
    def stage(self) -> Stage:
        """Accepted or executing, for whoever asks while the command runs (amendment A2)."""
        return self._stage

    def stored(self, now_s: float) -> Steps:
        """The intent is durable. A slow card may have taken long over it, so the deadline comes first (H87)."""
        if self._phase is Phase.ENDING:
            return ()
        if self._wake.since_s is None:
            signal = Signal.STORED_AWAKE
        else:
            signal = Signal.STORED_ASLEEP if self._wake.woken_at_s is None else Signal.STORED_WOKEN
        self._move(signal)
        if now_s > self.deadline_s:
            return self._refuse(Reason.EXPIRED, now_s)
        return (Progress(Stage.ACCEPTED), *self._go_on(now_s))

    def bus_awake(self, now_s: float) -> Steps:
        """A frame came on the recipe's bus; only the first of a car that was asleep means anything."""
        if self._wake.since_s is None or self._wake.woken_at_s is not None:
            return ()
        self._wake.woken_at_s = now_s
        if self._phase is not Phase.WAKING:
            return ()
        self._unanswered = None  # the call was heard; what became of its last frame no longer matters
        self._move(Signal.WOKEN)
        return self._settle(now_s)

    def readings(self, readings: Iterable[Reading], now_s: float) -> Steps:
        """Readings of one frame, on whichever bus."""
        if self._phase is Phase.SETTLING:
            return self._settle(now_s)
        if self._phase is Phase.ENDING:
            return ()
        self._watch.receive(readings)
        return self._conclude(now_s)

    def refused(self, message: str) -> None:
        """A frame of this message came and was not believed (length, checksum, counter)."""
        self._watch.refused(message)

    def may_leave(self, token: int, now_s: float) -> bool:
        """Whether a frame asked for is still wanted, in time and permitted, now that all that came before is known."""
        if token != self._unanswered or now_s > self.deadline_s:
            return False
        return self._phase is Phase.WAKING or self._permits(now_s, self._wake.since_s)[0] is None

    def bus_failed(self, reason: Reason, now_s: float) -> Steps:
        """The bus is off, down or gone: what left is lost from sight (H99). Before that, a failed send tells more."""
        if self._phase is Phase.ENDING or not self._may_have_left:
            return ()
        return self._finish(Stage.FAILED, reason, Executed.UNKNOWN, now_s)

    def frame_sent(self, token: int, at_s: float, *, is_echo_due: bool) -> Steps:
        """The frame left; `at_s` was read after the call that sent it returned. For `is_echo_due` see `SentFrames`."""
        if token != self._unanswered:
            return ()
        self._unanswered = None
        progress = () if self._stage is Stage.EXECUTING else (Progress(Stage.EXECUTING),)
        self._stage = Stage.EXECUTING
        if self._phase is Phase.WAKING:
            return (*progress, *self._call(at_s))
        self._may_have_left = True
        self._watch.frame_sent(at_s)
        ends_round = not self._acting.is_within_round
        self.sent.left(token, at_s, is_echo_due=is_echo_due, round_number=self._acting.rounds, ends_round=ends_round)
        return (*progress, *self._act(at_s))

    def frame_echoed(self, token: int, now_s: float) -> Steps:
        """A frame that left was acknowledged on the wire."""
        self.sent.echoed(token)
        return self._go_on(now_s) if self._phase is Phase.WATCHING else ()

    def frame_not_sent(self, token: int, reason: Reason, now_s: float) -> Steps:
        """The frame did not leave. After `timeout` and `expired` (held back) the next round tries, if there is one.

        `executed = no` is said only where no frame can have left; of one that timed out nobody can be sure (A4).
        """
        if token != self._unanswered:
            return ()
        self._unanswered = None
        if self._phase is Phase.WAKING:
            self._wake.calls = self._wake.calls.abandon_round()
            if reason is Reason.CAN_DOWN:
                return self._finish(Stage.FAILED, reason, Executed.NO, now_s)
            may_try_again = reason in (Reason.TIMEOUT, Reason.EXPIRED)
            return self._call(now_s) if may_try_again else self._refuse(reason, now_s)
        self._acting = self._acting.abandon_round()
        if reason is Reason.EXPIRED:
            return self._act(now_s)
        if reason is Reason.CAN_DOWN and not self._may_have_left:
            return self._finish(Stage.FAILED, reason, Executed.NO, now_s)
        self._may_have_left = True
        self._watch.frame_in_doubt(now_s)
        if reason is Reason.TIMEOUT:
            return self._act(now_s)
        return self._finish(Stage.FAILED, reason, Executed.UNKNOWN, now_s)

    def supersede(self, now_s: float) -> Steps:
        """A newer wish takes this one's place (amendment A9)."""
        return self._break_off(Stage.FAILED, Reason.SUPERSEDED, now_s)

    def stop(self, now_s: float, *, is_final: bool = False) -> Steps:
        """The agent is to end: what has moved nothing is refused, the rest may go on until `is_final`."""
        if self._has_begun and not is_final:
            return ()
        return self._break_off(Stage.INTERRUPTED, Reason.SHUTTING_DOWN, now_s)

    def timer(self, now_s: float) -> Steps:
        """To be called at `next_timer`; harmless at any other time."""
        return self._go_on(now_s)

    def next_timer(self) -> float | None:
        """When time alone takes the command further; None while only an answer does."""
        match self._phase:
            case Phase.WAKING if self._unanswered is not None:
                return self.deadline_s
            case Phase.WAKING:
                return min(
                    self.deadline_s, self._wake.calls_end_s if self._wake.calls.is_over else self._wake.calls.due_s
                )
            case Phase.SETTLING:
                return min(self.deadline_s, self._wake.settled_at_s)
            case Phase.ACTING if self._unanswered is not None:
                return self._gives_up_at_s
            case Phase.ACTING:
                return min(self._acting.due_s, self._watch.ends_s)
            case Phase.WATCHING:
                return self._watch.ends_s
            case Phase.STORING_INTENT | Phase.AWAITING | Phase.ENDING:
                return None

    def _go_on(self, now_s: float) -> Steps:
        """Whatever the present phase has to do now."""
        match self._phase:
            case Phase.WAKING:
                return self._call(now_s)
            case Phase.SETTLING:
                return self._settle(now_s)
            case Phase.ACTING if self._unanswered is None:
                return self._act(now_s)
            case Phase.ACTING if now_s >= self._gives_up_at_s:
                return self._finish(Stage.FAILED, Reason.TIMEOUT, Executed.UNKNOWN, now_s)
            case Phase.WATCHING if now_s >= self._watch.ends_s:
                return self._finish(*self._watch.verdict(), now_s)
            case _:
                return ()

    def _call(self, now_s: float) -> Steps:
        """WAKING: the next wake frame if it is due. After the last one the car has as long to answer as to settle."""
        if now_s >= self.deadline_s:
            return self._refuse(Reason.EXPIRED, now_s)
        if self._unanswered is not None:
            return ()
        if self._wake.calls.is_over:
            return self._refuse(Reason.BUS_ASLEEP, now_s) if now_s >= self._wake.calls_end_s else ()
        if not self._wake.calls.is_due(now_s):
            return ()
        frame, self._wake.calls = self._wake.calls.next_frame(now_s)
        return (self._send(frame),)

    def _settle(self, now_s: float) -> Steps:
        """SETTLING: on to acting once every precondition is known from the woken car, or has had its time."""
        _, self._used = self._permits(now_s, self._wake.since_s)
        is_known = all(reading.quality is Quality.OK for reading in self._used)
        if not is_known and now_s < self._wake.settled_at_s:
            return self._refuse(Reason.EXPIRED, now_s) if now_s >= self.deadline_s else ()
        self._move(Signal.SETTLED)
        return self._act(now_s)

    def _act(self, now_s: float) -> Steps:
        """ACTING: the next command frame if it is due and still allowed."""
        if steps := self._conclude(now_s):
            return steps
        if now_s >= self._watch.ends_s:
            return self._finish(*self._watch.verdict(), now_s)
        if now_s > self.deadline_s:
            return self._end_sending(Reason.EXPIRED, now_s)
        if self._acting.is_over:
            return self._end_sending(Reason.TIMEOUT, now_s)
        if not self._acting.is_due(now_s):
            return ()
        if not self._acting.is_within_round:
            refusal, self._used = self._permits(now_s, self._wake.since_s)
            if refusal is not None:
                return self._end_sending(refusal, now_s)
        frame, self._acting = self._acting.next_frame(now_s)
        return (self._send(frame),)

    def _end_sending(self, reason: Reason, now_s: float) -> Steps:
        """No further frame will be asked for; `reason` tells why if that is also the end."""
        if not self._may_have_left:
            return self._refuse(reason, now_s)
        if not self._watch.is_open:
            return self._finish(Stage.FAILED, Reason.TIMEOUT, Executed.UNKNOWN, now_s)
        self._move(Signal.SENDING_ENDED)
        self._watch.sending_ended(reason)
        return self._conclude(now_s) or self._go_on(now_s)

    def _conclude(self, now_s: float) -> Steps:
        """Verified, if it is; but frames of one round belong together, so a round begun is not cut for that."""
        if not self._watch.is_verified:
            return ()
        if self._phase is Phase.ACTING and self._acting.is_within_round:
            return ()
        return self._finish(Stage.VERIFIED, Reason.OK, Executed.YES, now_s)

    def _break_off(self, stage: Stage, reason: Reason, now_s: float) -> Steps:
        if self._phase is Phase.ENDING:
            return ()
        if not self._has_begun:
            return self._refuse(reason, now_s)
        if self._unanswered is not None:
            self._watch.frame_in_doubt(now_s)
        return self._finish(stage, reason, Executed.UNKNOWN, now_s)

    def _refuse(self, reason: Reason, now_s: float) -> Steps:
        return self._finish(Stage.REJECTED, reason, Executed.NO, now_s)

    def _finish(self, stage: Stage, reason: Reason, executed: Executed, now_s: float) -> Steps:
        self._move(Signal.DECIDED)
        self._unanswered = None
        evidence = evidence_of((*self._watch.readings(), *self._used), now_s)
        return (Finish(Outcome(stage, reason, executed, evidence)),)

    def _send(self, frame: Frame | Pulse) -> Send:
        self._unanswered, self._watch.is_pulsing = next(self._tokens), isinstance(frame, Pulse)
        return Send(frame, self._unanswered, self.deadline_s)

    def _move(self, signal: Signal) -> None:
        self._phase = TRANSITIONS[self._phase, signal]

    @property
    def effect_until_s(self) -> float:
        """Until when frames of this command may still take effect; in the past if none can have left."""
        return self._watch.effect_until_s

    @property
    def _has_begun(self) -> bool:
        """Whether a command frame left, may have left, or may leave yet. Wake frames are not the action (A3)."""
        return self._may_have_left or (self._phase is Phase.ACTING and self._unanswered is not None)

    @property
    def _gives_up_at_s(self) -> float:
        return self.deadline_s + self._recipe.feedback_window_s + self._recipe.answer_s_max + SEND_ANSWER_S_MAX
