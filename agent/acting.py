"""The one command under way: from its intent to its durable, signed end.

Two orders carry the safety argument: the intent is queued to be made durable before any effect that could move
the car, and the lifecycle asks for no frame before it hears that the write came through (SR-02); the end is
durable before it is told.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import field, replace

from agent.answers import Answers
from agent.command.evidence import evidence_of
from agent.command.exchange import Exchange
from agent.command.lifecycle import Finish, Progress, Send, Steps
from agent.command.sent_frames import SentFrames
from agent.ledger import Key, Ledger
from agent.model.command import Action, Command, Evidence, Executed, Outcome, Reason, Stage
from agent.model.effects import Attend, Level
from agent.model.events import BusChanged, FrameSent
from agent.model.frame import BusState, Frame
from agent.model.quick_dataclass import dataclass
from agent.model.reading import Reading
from agent.model.recipe import Recipe
from agent.model.records import Done, Intent
from agent.open_ends import OpenEnds
from agent.pending import Pending
from agent.policy.happenings import Asked
from agent.policy.permits import permit
from agent.policy.sending import may_be_asked
from agent.profiles.schema import Profile
from agent.profiles.watches import attended
from agent.returning import Returning
from agent.session import Session
from agent.telemetry import Telemetry

# After a start the bus gets so long to show the state that an interrupted command left behind.
READBACK_S = 1.5

# A frame goes out on preconditions asked just before it. One that a slow card holds up for longer is not sent: the
# next round asks them again, for the car may have driven off (SR-06).
SEND_WITHIN_S = 0.5

_BUS_FAILURES = {BusState.BUS_OFF: Reason.BUS_OFF, BusState.DOWN: Reason.CAN_DOWN, BusState.GONE: Reason.CAN_DOWN}


@dataclass(slots=True)
class Running:
    """The command under way; `is_durable` once its intent is; `untold` are stages reached and not yet published."""

    command: Command
    bus: str | None
    lifecycle: Exchange
    intent_token: int
    is_durable: bool = False
    untold: list[Stage] = field(default_factory=list)


class Acting:
    """Carries out one command at a time, and ends at start what a crash interrupted."""

    def __init__(
        self,
        profile: Profile,
        session: Session,
        pending: Pending,
        telemetry: Telemetry,
        ledger: Ledger,
        answers: Answers,
        returning: Returning,
        now_s: float,
    ) -> None:
        self._profile = profile
        self._session = session
        self._pending = pending
        self._telemetry = telemetry
        self._ledger = ledger
        self._answers = answers
        self._returning = returning
        self._running: Running | None = None
        self._frame_tokens = itertools.count(1)
        self._open_ends = OpenEnds()
        self._free_at_s: Callable[[str], float] = lambda _bus: float("-inf")
        self._interrupted = list(ledger.unfinished())
        self._readback_at_s = now_s + READBACK_S

    @property
    def command(self) -> Command | None:
        """The command under way."""
        return None if self._running is None else self._running.command

    @property
    def interrupted_count(self) -> int:
        """Commands that a crash interrupted and whose end is still to be told."""
        return len(self._interrupted)

    def stage_of(self, command: Command) -> Stage | None:
        """How far an unfinished command of the journal is; None while its intent is not durable yet."""
        running = self._running
        if running is None or _key(running.command) != _key(command):
            return Stage.ACCEPTED  # interrupted by a restart; its end follows the read-back
        return running.lifecycle.stage if running.is_durable else None

    def begin(self, command: Command, recipe: Recipe, now_s: float) -> None:
        """Make the intent durable and carry the command out; one that runs is superseded."""
        if self._running is not None:
            self._take_steps(self._running.lifecycle.supersede(now_s), now_s)
        unix_s = self._session.unix_s(now_s)
        intent = Intent(
            operator=command.operator,
            cid=command.cid,
            digest=command.digest,
            kid=command.kid,
            action=command.action,
            sid=command.sid,
            counter=command.counter,
            deadline_ms=command.deadline_ms,
            accepted_at_unix_s=None if unix_s is None else int(unix_s),
        )
        self._ledger.begin(intent)
        if command.action in (Action.LOCK, Action.UNLOCK):
            self._telemetry.chronicle.lock_asked(Asked(command.operator, command.cid, command.action == Action.LOCK))
        # Before anything can leave: what decides about the command is received frame by frame until it has ended.
        self._pending.add(Attend(attended(self._profile, recipe)))

        def permits(asked_at_s: float, since_s: float | None) -> tuple[Reason | None, tuple[Reading, ...]]:
            def read(path: str) -> Reading:
                return self._telemetry.reading(path, asked_at_s)

            return permit(recipe.preconditions, read, asked_at_s, since_s)

        lifecycle = Exchange(
            command,
            recipe,
            now_s=now_s,
            session_started_s=self._session.started_s,
            is_bus_asleep=recipe.bus is not None and self._telemetry.is_asleep(recipe.bus, now_s),
            permits=permits,
            tokens=self._frame_tokens,
            settled_at_s=self._open_ends.settled_at_s(Action(command.action)),
            free_at_s=lambda: max(free(recipe.bus or "") for free in (self._free_at_s, self._open_ends.late_until_s)),
        )
        self._running = Running(command, recipe.bus, lifecycle, self._pending.persist(intent))
        self._pending.log(
            Level.INFO,
            "command_accepted",
            command=Action(command.action).name.lower(),
            cid=command.cid.hex(),
            operator=command.operator,
            bus=None if recipe.bus is None else self._telemetry.state_of(recipe.bus).value,
        )

    def frame_heard(self, frame: Frame, readings: tuple[Reading, ...], now_s: float) -> None:
        """A frame came; its readings are folded into the vehicle state already."""
        if (running := self._running) is None:
            return
        if frame.bus == running.bus:
            self._take_steps(running.lifecycle.bus_awake(now_s), now_s)
        if readings and self._running is running:
            self._take_steps(running.lifecycle.readings(readings, now_s), now_s)

    def answer_heard(self, frame: Frame, now_s: float) -> bool:
        """Whether a frame came from the control unit whose answer is awaited; then it is taken in."""
        running = self._running
        if is_ours := running is not None and running.lifecycle.is_answered_by(frame):
            self._take_steps(running.lifecycle.answered(frame, now_s), now_s)
        return is_ours

    def asks_only_after(self, free_at_s: Callable[[str], float]) -> None:
        """Who else asks control units tells so until when a bus is taken (infinity: the end is not known)."""
        self._free_at_s = free_at_s

    def asks_until_s(self, bus: str) -> float:
        """Until when nobody else may ask on a bus: while a command does, and as long as it may still be answered."""
        running = self._running
        own_s = running.lifecycle.asks_until_s if running is not None and running.bus == bus else float("-inf")
        return max(own_s, self._open_ends.late_until_s(bus))

    def frame_refused(self, message: str) -> None:
        """A frame of this DBC message came and was not believed."""
        if (running := self._running) is not None:
            running.lifecycle.refused(message)

    def bus_changed(self, event: BusChanged, now_s: float) -> None:
        """An interface changed its state; a command that acts on it and has begun cannot be followed any more."""
        reason = _BUS_FAILURES.get(event.state)
        if (running := self._running) is not None and running.bus == event.bus and reason is not None:
            self._take_steps(running.lifecycle.bus_failed(reason, now_s), now_s)

    def may_send(self, token: int, now_s: float) -> bool:
        """Asked at the very moment of sending, after everything that came before was taken in."""
        return self._running is not None and self._running.lifecycle.may_leave(token, now_s)

    def frame_sent(self, event: FrameSent, now_s: float) -> None:
        """A frame asked for left."""
        if (running := self._running) is not None:
            steps = running.lifecycle.frame_sent(event.token, event.at_s, is_echo_due=event.is_echo_due)
            self._take_steps(steps, now_s)

    def frame_echoed(self, token: int, now_s: float) -> None:
        """A frame that left was acknowledged on the wire."""
        if (running := self._running) is not None:
            self._take_steps(running.lifecycle.frame_echoed(token, now_s), now_s)

    def frame_not_sent(self, token: int, reason: Reason, now_s: float) -> None:
        """A frame asked for did not leave."""
        if (running := self._running) is not None:
            self._take_steps(running.lifecycle.frame_not_sent(token, reason, now_s), now_s)

    def stored(self, token: int, now_s: float) -> None:
        """A write came through; if it was the intent's, the command may begin."""
        running = self._running
        if running is None or token != running.intent_token:
            return
        running.is_durable = True
        self._take_steps(running.lifecycle.stored(now_s), now_s)

    def store_failed(self, now_s: float) -> None:
        """Whatever was not durable yet is refused; what was is left to the next start, which says `interrupted`."""
        running, self._running = self._running, None
        if running is not None and not running.is_durable:
            command, key = running.command, _key(running.command)
            self._ledger.forget_begun(key)
            refused = Outcome(Stage.REJECTED, Reason.STORAGE, Executed.NO)
            self._answers.say(key[0], self._answers.result(*key, command.digest, refused, now_s))

    def stop(self, now_s: float, *, is_final: bool) -> None:
        """The agent is to end: what has moved nothing is refused, the rest broken off once it `is_final`."""
        if self._running is not None:
            self._take_steps(self._running.lifecycle.stop(now_s, is_final=is_final), now_s)

    def handle_timer(self, now_s: float) -> None:
        """Go on where only time was waited for, and end what a crash interrupted once the bus was heard."""
        if self._running is not None:
            self._take_steps(self._running.lifecycle.timer(now_s), now_s)
        if self._interrupted and now_s >= self._readback_at_s:
            for intent in self._interrupted:
                self._finish(
                    intent,
                    Outcome(Stage.INTERRUPTED, Reason.OK, Executed.UNKNOWN, self._readback(intent, now_s)),
                    now_s,
                )
            self._interrupted = []

    def next_timer(self) -> float:
        """When `handle_timer` is wanted next, infinity if time alone changes nothing."""
        wanted = [float("inf")]
        if self._running is not None and (at_s := self._running.lifecycle.next_timer()) is not None:
            wanted.append(at_s)
        if self._interrupted:
            wanted.append(self._readback_at_s)
        return min(wanted)

    def _take_steps(self, steps: Steps, now_s: float) -> None:
        """Frames first: to sign and publish a stage takes a tenth of what a command costs, and nobody drives on it."""
        for step in steps:
            running = self._running
            if running is None:
                return
            match step:
                case Send(frame, token, not_after_s):
                    # SR-01, first place: the adapter checks again, against a list of its own.
                    if may_be_asked(frame, self._profile.send_list, self._profile.pulse_list):
                        self._pending.send(frame, token, min(not_after_s, now_s + SEND_WITHIN_S))
                    else:
                        self._pending.log(Level.ERROR, "not_on_send_list", asked=repr(frame))
                        self.frame_not_sent(token, Reason.INTERNAL, now_s)
                case Progress(stage):
                    running.untold.append(stage)
                case Finish(outcome):
                    self._tell_stages(now_s)
                    self._running = None
                    self._pending.add(Attend(()))
                    action = Action(running.command.action)
                    self._open_ends.ended(action, running.bus, running.lifecycle, outcome.executed)
                    entry = self._ledger.find(_key(running.command))
                    if entry is not None:
                        self._finish(entry.intent, outcome, now_s, running.lifecycle.sent)
        if not any(isinstance(step, Send) for step in steps):
            self._tell_stages(now_s)

    def _finish(self, intent: Intent, outcome: Outcome, now_s: float, sent: SentFrames | None = None) -> None:
        """The end of a command: durable first, then told. Of one that a crash interrupted no frame is known."""
        if intent.action == Action.LOCK:
            # Who ends a rental by it need not ask once more.
            outcome = replace(outcome, conditions=self._returning.conditions(intent.operator, now_s))
        sequence = self._pending.next_sequence()
        key = (intent.operator, intent.cid)
        result = self._answers.result(*key, intent.digest, outcome, now_s, sequence=sequence)
        done = Done(intent.operator, intent.cid, outcome.stage, outcome.reason, outcome.executed, result, sequence)
        self._ledger.finish(done)
        self._pending.persist(done)
        self._answers.owe(key, result)
        words = {
            "command": Action(intent.action).name.lower(),
            "cid": intent.cid.hex(),
            "stage": outcome.stage.name.lower(),
            "reason": outcome.reason.name.lower(),
            "executed": outcome.executed.name.lower(),
            **({} if sent is None else sent.document()),
        }
        self._pending.log(Level.NOTICE, "command_finished", **words)
        fields = {**words, "operator": intent.operator, "result_seq": sequence}
        self._telemetry.chronicle.command_ended(fields, now_s)
        self._telemetry.report_now(now_s)

    def _readback(self, intent: Intent, now_s: float) -> tuple[Evidence, ...]:
        """What the bus shows now of the state an interrupted command was to bring about."""
        recipe = self._profile.recipes.get(Action(intent.action))
        feedback = () if recipe is None else recipe.feedback
        return evidence_of([self._telemetry.reading(wanted.path, now_s) for wanted in feedback], now_s)

    def _tell_stages(self, now_s: float) -> None:
        """Publish the stages reached so far, in their order; each is told once."""
        if (running := self._running) is None:
            return
        for stage in running.untold:
            outcome = Outcome(stage, Reason.OK, Executed.UNKNOWN)
            result = self._answers.result(*_key(running.command), running.command.digest, outcome, now_s)
            self._answers.say(running.command.operator, result)
        running.untold.clear()


def _key(command: Command) -> Key:
    return command.operator, command.cid
