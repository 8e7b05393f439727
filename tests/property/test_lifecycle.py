"""Laws of a running command over whatever may happen to it, in whatever order (SR-02, SR-03, SR-04)."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent.command.lifecycle import Finish, Phase, Send, Steps
from agent.command.phases import TRANSITIONS, Signal
from agent.model.command import Executed, Reason, Stage
from agent.model.diagnostics import Request
from agent.model.frame import Frame
from agent.model.pulse import Pulse
from agent.model.reading import Quality, Reading
from agent.policy.permits import permit
from tests.support.commands import (
    IS_UNLOCKED,
    LOCKED,
    NOW_S,
    RELEASE_FRAME,
    SPEED,
    UNLOCK_FRAME,
    WAKE,
    WAKE_FRAME,
    Run,
    reading,
    unlock_recipe,
)

OPEN_SESSION, UNLOCK_REQUEST = (
    Request(Frame("body", 0x740, bytes.fromhex(sent)), 0x760, b"", service, bytes.fromhex(positive), 0.2, 0.05)
    for sent, service, positive in (("0210030000000000", 0x10, "5003"), ("0331300000000000", 0x31, "7130"))
)
UNLOCK_PULSE, RELEASE_PULSE = Pulse("fob_unlock", 0.02, 0.05), Pulse("release", 0.02, 0.05)
UNANSWERED_REASONS = [Reason.TIMEOUT, Reason.EXPIRED, Reason.CAN_DOWN, Reason.BUS_OFF, Reason.INTERNAL]


class CommandLife(RuleBasedStateMachine):
    """A car, a bus and a supervisor that do what they like; the timers may come late."""

    @initialize(
        is_bus_asleep=st.booleans(),
        repeats_max=st.integers(1, 4),
        tries_max=st.integers(1, 3),
        has_release=st.booleans(),
        confirmations=st.integers(0, 3),
        window_s=st.sampled_from([0.05, 0.5, 3.0]),
        lifetime_s=st.sampled_from([0.0, 0.2, *[30.0] * 6]),
        speed=st.sampled_from([None, 9.0, *[0.0] * 6]),
        car=st.sampled_from(["obeys", "ignores", "silent", "was_unlocked"]),
        is_stored_at_once=st.booleans(),
        gives_echoes=st.booleans(),
        by=st.sampled_from(["frames", "relays", "requests"]),
    )
    def begin(
        self,
        is_bus_asleep: bool,
        repeats_max: int,
        tries_max: int,
        has_release: bool,
        confirmations: int,
        window_s: float,
        lifetime_s: float,
        speed: float | None,
        car: str,
        is_stored_at_once: bool,
        gives_echoes: bool,
        by: str,
    ) -> None:
        feedback = (replace(IS_UNLOCKED, confirmations=confirmations),) if confirmations else ()
        recipe = unlock_recipe(
            frames=(UNLOCK_FRAME, RELEASE_FRAME) if has_release else (UNLOCK_FRAME,),
            repeats_max=repeats_max,
            feedback=feedback,
            wake=replace(WAKE, tries_max=tries_max, settle_s=0.5),
            window_s=window_s,
        )
        has_relays = by == "relays"
        if by == "requests":
            recipe = replace(recipe, frames=(), requests=(OPEN_SESSION, UNLOCK_REQUEST))
        if has_relays:
            pulses = (UNLOCK_PULSE, RELEASE_PULSE) if has_release else (UNLOCK_PULSE,)
            recipe = replace(recipe, frames=(), pulses=pulses)
        known = {} if speed is None else {SPEED: reading(SPEED, speed, NOW_S)}
        self.run = Run(recipe, deadline_s=NOW_S + lifetime_s, is_bus_asleep=is_bus_asleep, known=known)
        self.car = car
        self.since_s = NOW_S if is_bus_asleep else None
        self.is_stored = False
        self.unanswered: Send | None = None
        self.sent_at_s: list[float] = []
        self.may_have_left = False
        self.gives_echoes = gives_echoes and not has_relays
        self.not_seen_back: list[int] = []
        self.seen_back = 0
        self.shown: list[Reading] = []
        self.answered = 0
        self.taken_until_s = 0.0
        if is_stored_at_once:
            self.intent_is_stored()

    # --- what happens -------------------------------------------------------------------------------------------

    def take(self, steps: Steps) -> None:
        """Keep the steps and hold each against what is allowed at this moment."""
        for step in steps:
            if isinstance(step, Send):
                assert self.is_stored, "SR-02: nothing is sent before the intent is durable"
                assert self.run.now_s <= self.run.deadline_s, "SR-03: nothing is sent after the deadline"
                assert step.not_after_s == self.run.deadline_s
                assert self.unanswered is None or self.is_wake(self.unanswered), "one frame at a time"
                assert self.run.lifecycle.phase is not Phase.AWAITING, "one request at a time"
                if self.run.recipe.requests and not self.is_wake(step):
                    assert self.run.now_s >= self.taken_until_s, "no request while others ask"
                if self.begins_round(step):
                    reason, _ = permit(self.run.recipe.preconditions, self.run.read, self.run.now_s, self.since_s)
                    assert reason is None, "no round begins against the preconditions"
                self.unanswered = step

    @staticmethod
    def is_wake(send: Send) -> bool:
        return isinstance(send.frame, Frame) and send.frame.arbitration_id == WAKE_FRAME.arbitration_id

    @staticmethod
    def begins_round(send: Send) -> bool:
        if isinstance(send.frame, Frame):
            return send.frame.arbitration_id == UNLOCK_FRAME.arbitration_id or send.frame == OPEN_SESSION.frame
        return send.frame == UNLOCK_PULSE

    @rule(pause_s=st.sampled_from([0.0, 0.001, 0.03, 0.1, 0.11, 0.6]))
    def time_passes(self, pause_s: float) -> None:
        self.run.now_s += pause_s
        self.take(self.run.take(self.run.lifecycle.timer(self.run.now_s)))

    @precondition(lambda self: self.unanswered is None)  # or most lives would end waiting for an answer
    @rule()
    def next_timer_is_kept(self) -> None:
        due_s = self.run.lifecycle.next_timer()
        if due_s is not None:
            self.run.now_s = max(self.run.now_s, due_s)
            self.take(self.run.take(self.run.lifecycle.timer(self.run.now_s)))

    @precondition(lambda self: not self.is_stored)
    @rule()
    def intent_is_stored(self) -> None:
        self.is_stored = True
        self.take(self.run.stored())

    @rule()
    def frame_comes_on_the_bus(self) -> None:
        self.take(self.run.wakes())

    @rule(
        is_locked=st.booleans(),
        quality=st.sampled_from([Quality.OK, Quality.OK, Quality.INVALID]),
        age_s=st.sampled_from([0.0, 0.0, 0.001, 0.2]),
    )
    def lock_is_shown(self, is_locked: bool, quality: Quality, age_s: float = 0.0) -> None:
        taken = reading(LOCKED, is_locked, self.run.now_s - age_s, quality=quality)
        if self.run.outcome is None:
            self.shown.append(taken)
        self.take(self.run.receive(taken))

    @rule(speed=st.sampled_from([0.0, 0.0, 9.0]))
    def speed_is_shown(self, speed: float) -> None:
        self.take(self.run.receive(reading(SPEED, speed, self.run.now_s)))

    @precondition(lambda self: self.unanswered is not None)
    @rule(after_s=st.sampled_from([0.0, 0.001, 0.2]))
    def frame_leaves(self, after_s: float) -> None:
        assert self.unanswered is not None
        send, self.unanswered = self.unanswered, None
        self.run.now_s += after_s
        if not self.is_wake(send):
            if send.frame != OPEN_SESSION.frame:
                self.sent_at_s.append(self.run.now_s)
            self.may_have_left = True
            self.not_seen_back.append(send.token)
        sent = self.run.lifecycle.frame_sent(send.token, self.run.now_s, is_echo_due=self.gives_echoes)
        self.take(self.run.take(sent))

    @precondition(lambda self: self.run.recipe.requests)
    @rule(
        payload=st.sampled_from(
            ["5003", "5003", "7130", "7130", "7130", "7F3122", "7F1022", "7F3121", "7F3178", "7F1078", "7F2222", "62"]
        )
    )
    def control_unit_says(self, payload: str) -> None:
        said = bytes.fromhex(payload)
        frame = Frame("body", OPEN_SESSION.response_id, bytes([len(said)]) + said, self.run.now_s)
        if self.run.lifecycle.is_answered_by(frame):
            self.answered += said in (OPEN_SESSION.positive, UNLOCK_REQUEST.positive)
            self.take(self.run.take(self.run.lifecycle.answered(frame, self.run.now_s)))

    @rule(for_s=st.sampled_from([0.0, 0.0, 0.5, 2.0]))
    def somebody_else_asks_on_the_bus(self, for_s: float) -> None:
        self.run.free_at_s = self.taken_until_s = self.run.now_s + for_s

    @precondition(lambda self: self.gives_echoes and self.not_seen_back)
    @rule(which=st.integers(0, 9), after_s=st.sampled_from([0.0, 0.001, 0.2]))
    def frame_is_seen_back(self, which: int, after_s: float) -> None:
        token = self.not_seen_back.pop(which % len(self.not_seen_back))
        self.run.now_s += after_s
        self.seen_back += self.run.outcome is None
        self.take(self.run.take(self.run.lifecycle.frame_echoed(token, self.run.now_s)))

    @precondition(lambda self: self.unanswered is not None)
    @rule(reason=st.sampled_from(UNANSWERED_REASONS))
    def frame_does_not_leave(self, reason: Reason) -> None:
        assert self.unanswered is not None
        send, self.unanswered = self.unanswered, None
        if not self.is_wake(send) and reason not in (Reason.EXPIRED, Reason.CAN_DOWN):
            self.may_have_left = True
        self.take(self.run.take(self.run.lifecycle.frame_not_sent(send.token, reason, self.run.now_s)))

    @rule(token=st.integers(0, 99))
    def late_answer_of_another_command(self, token: int) -> None:
        assert self.run.take(self.run.lifecycle.frame_sent(token, self.run.now_s, is_echo_due=True)) == ()

    @rule(chance=st.integers(0, 49), is_final=st.booleans())
    def rare_things_happen(self, chance: int, is_final: bool) -> None:
        if chance == 0:
            self.take(self.run.take(self.run.lifecycle.supersede(self.run.now_s)))
        elif chance == 1:
            self.take(self.run.take(self.run.lifecycle.stop(self.run.now_s, is_final=is_final)))
        elif chance == 2:
            self.time_passes(100.0)

    # --- what must hold -----------------------------------------------------------------------------------------

    @invariant()
    def sends_are_bounded(self) -> None:
        """SR-09."""
        recipe = self.run.recipe
        assert recipe.wake is not None
        wakes = [send for send in self.run.sends if self.is_wake(send)]
        assert len(wakes) <= recipe.wake.tries_max * len(recipe.wake.frames)
        assert len(self.run.sends) - len(wakes) <= recipe.repeats_max * len(recipe.round)

    @invariant()
    def end_is_one_and_last_and_true(self) -> None:
        outcome = self.run.outcome
        if outcome is None:
            return
        assert self.run.lifecycle.phase is Phase.ENDING
        assert outcome.stage.is_final
        if outcome.stage is Stage.VERIFIED:
            asked = [taken for taken in self.shown if taken.value is False and taken.at_s > self.sent_at_s[0]]
            assert len(asked) >= self.run.recipe.feedback[0].confirmations >= 1, "SR-04"
        if outcome.executed is Executed.NO and self.may_have_left:
            assert outcome.reason is Reason.NO_STATE_CHANGE
            assert self.unanswered is None
            later = [taken.value for taken in self.shown if taken.at_s > self.sent_at_s[-1]]
            assert True in later and False not in later, "the car itself said so, after our last frame"
            is_heard = self.seen_back or self.answered
            assert is_heard or not self.gives_echoes, "what nobody acknowledged may leave yet"
        if self.run.recipe.requests and outcome.executed is Executed.YES and outcome.stage is not Stage.VERIFIED:
            assert self.answered >= len(self.run.recipe.requests), "taken on, all of it"
        elif outcome.stage is Stage.EXECUTED_UNVERIFIED and self.gives_echoes:
            is_round = outcome.executed is Executed.YES
            assert self.seen_back >= (len(self.run.recipe.round) if is_round else 1), "acknowledged on the wire"
        if outcome.stage is Stage.REJECTED:
            assert outcome.executed is Executed.NO and not self.sent_at_s and not self.answered

    def teardown(self) -> None:
        """SR-10: whatever happened so far, on a bus that works and with any of four cars it comes to its end."""
        if not hasattr(self, "run"):
            return
        if not self.is_stored:
            self.intent_is_stored()
        for _ in range(1000):
            if self.run.lifecycle.phase is Phase.ENDING:
                break
            if self.unanswered is not None:
                self.frame_leaves(0.001)
                if self.car == "was_unlocked" and self.sent_at_s:
                    for ahead_s in (0.4, 0.2, 0.0):  # frames from before ours, heard after it (H97)
                        self.lock_is_shown(False, Quality.OK, self.run.now_s - self.sent_at_s[0] + ahead_s)
            if self.car in ("obeys", "ignores"):
                self.run.now_s += 0.03
                self.frame_comes_on_the_bus()
                self.speed_is_shown(0.0)
                self.lock_is_shown(self.car == "ignores", Quality.OK)
            self.next_timer_is_kept()
            self.end_is_one_and_last_and_true()
        assert [step for step in self.run.steps if isinstance(step, Finish)] == self.run.steps[-1:]
        self.sends_are_bounded()


TestCommandLife = CommandLife.TestCase
TestCommandLife.settings = settings(max_examples=500, stateful_step_count=25, deadline=None)


def test_random_lives_take_every_transition() -> None:
    """The machine above would prove little of a transition that it never takes: here each is taken on purpose."""
    taken = set()

    def follow(run: Run, *happenings: str) -> None:
        for happening in happenings:
            before = run.lifecycle.phase
            match happening:
                case "stored":
                    run.stored()
                case "wakes":
                    run.wakes()
                case "speed":
                    run.shows(0.0, path=SPEED)
                case "sent":
                    run.sent()
                case "answered":
                    answer = Frame("body", OPEN_SESSION.response_id, bytes.fromhex("025003"), run.now_s)
                    run.take(run.lifecycle.answered(answer, run.now_s))
                case "later":
                    run.at(run.now_s + 0.06)
                case "supersede":
                    run.take(run.lifecycle.supersede(run.now_s))
            if (after := run.lifecycle.phase) is not before:
                taken.add((before, after))

    def new(is_bus_asleep: bool, happenings: list[str]) -> Run:
        recipe = unlock_recipe(repeats_max=1)
        if "answered" in happenings:
            recipe = replace(recipe, frames=(), requests=(OPEN_SESSION, UNLOCK_REQUEST))
        return Run(recipe, is_bus_asleep=is_bus_asleep)

    for is_asleep, happenings in (
        (True, ["stored", "wakes", "speed", "sent", "supersede"]),
        (True, ["wakes", "stored", "supersede"]),
        (True, ["stored", "supersede"]),
        (False, ["stored", "supersede"]),
        (False, ["supersede"]),
        (False, ["stored", "sent", "answered", "later", "sent", "supersede"]),
    ):
        follow(new(is_asleep, happenings), *happenings)
    assert taken == {(before, after) for (before, _), after in TRANSITIONS.items()}
    assert len(TRANSITIONS) == len(taken), "no two signals lead the same way"
    assert {signal for _, signal in TRANSITIONS} == set(Signal)
