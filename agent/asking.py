"""Asking control units for what the car does not broadcast: one request in flight on a bus, none that keeps it awake.

A bus is asked while it is awake for its own reasons: what others send on it is heard, and the answers to us do not
count (SR-08).  Since a control unit that is asked may keep its neighbours awake, a car that neither drives nor charges
is asked for a while after it woke and no longer.  A command goes first.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping

from agent.acting import Acting
from agent.decode.answer import Answers, Unanswered
from agent.decode.segments import Heard, Segments
from agent.model.command import Action
from agent.model.effects import Level
from agent.model.events import FrameEchoed, FrameNotSent, FrameSent
from agent.model.frame import Frame
from agent.model.reading import Quality
from agent.pending import Pending
from agent.policy.sending import is_on_send_list
from agent.profiles.schema import PollPlan, Profile
from agent.profiles.watches import decisive_paths
from agent.questions import Line, Poll, Question, back_off_s
from agent.telemetry import Telemetry

SETTLE_S = 1.0
"""After a bus woke: its control units are still starting, and a command that woke it goes first."""

UNUSED_ASKED_S_MAX = 600.0
"""For so long a car is asked that is awake and neither drives nor charges: whoever comes to it is gone or drives by
then, and what our questions themselves keep awake goes to sleep (SR-08)."""

GAP_S = 0.2
"""Between two requests on a bus: the car's own diagnostics and a command find room, of the bus and of our rate."""

SEND_WITHIN_S = 0.5
"""Later than this nobody waits for the frame any more."""

ANSWER_WAIT_S = 1.0
"""To the first frame, and from one to the next: P2 and N_Cr of ISO 14229-2 and 15765-2 are 50 ms and 1 s at most."""

PENDING_WAIT_S = 5.0
"""After "wait for it" (P2* of ISO 14229-2)."""

QUESTION_S_MAX = 20.0
"""However often a control unit says so, and however long its answer is, others are to be asked too."""

LATE_S = 1.0
"""After a question was given up nothing is asked: its answer may still be on the way."""

BUSY_TRIES_MAX = 3
BUSY_PAUSE_S = 0.5
"""A control unit that says "ask again" is asked again at once so often, then like one that refused."""


class Asking:
    """Asks for what the profile's polls say; the readings go to telemetry."""

    def __init__(self, profile: Profile, pending: Pending, telemetry: Telemetry, acting: Acting, now_s: float) -> None:
        self._profile = profile
        self._pending = pending
        self._telemetry = telemetry
        self._acting = acting
        # Below zero, so that they are never those of a command's frames.
        self._tokens = itertools.count(-1, -1)
        self._spoken = profile.broadcast_paths
        self._needed: frozenset[str] | None = None
        self._unasked: Counter[str] = Counter()
        by_bus: dict[str, list[Poll]] = {}
        allowed, wired = set(profile.send_list), {bus.name for bus in profile.buses}
        for plan in profile.polls:
            if plan.bus not in wired:
                telemetry.not_answered((signal.path for signal in plan.signals), Unanswered.NOT_WIRED, now_s)
            elif not plan.is_silent and allowed.issuperset(plan.send_rules):
                by_bus.setdefault(plan.bus, []).append(Poll(plan, Answers(plan)))
            else:
                # The link may only listen: its frames were taken from the send list.
                telemetry.not_answered((signal.path for signal in plan.signals), Unanswered.LISTEN_ONLY, now_s)
        self._lines = {bus: Line(bus, polls) for bus, polls in by_bus.items()}
        self._answer_ids = profile.answer_ids
        acting.asks_only_after(self.free_at_s)

    # --- in -----------------------------------------------------------------------------------------------------

    def takes(self, frame: Frame, now_s: float) -> bool:
        """Whether a frame that came is of an identifier only answers have; then it is taken in."""
        if not self._answer_ids:
            return False
        is_answer = (frame.bus, frame.arbitration_id, frame.is_extended_id) in self._answer_ids
        if is_answer and not self._acting.answer_heard(frame, now_s):
            self._receive(frame, now_s)
        return is_answer

    def free_at_s(self, bus: str) -> float:
        """Until when a question is in flight on the bus, or its answer may be late; infinity if nobody knows."""
        if (line := self._lines.get(bus)) is None:
            return float("-inf")
        return line.taken_until_s if line.question is None else float("inf")

    def _receive(self, frame: Frame, now_s: float) -> None:
        line, at_s = self._lines.get(frame.bus), frame.received_at_s
        question = None if line is None else line.question
        if line is None or question is None or at_s < question.begun_s or not _may_answer(frame, question.poll.plan):
            # Somebody else's tester asks on the same bus, or it is the late answer to a question given up.
            self._unasked[frame.bus] += 1
            return
        is_open = question.segments.is_open
        taken = question.segments.take(frame.data)
        match taken:
            case Heard.ASIDE:
                self._unasked[frame.bus] += 1
            case Heard.BROKEN:
                self._fail(line, question, Unanswered.BROKEN_ANSWER, now_s)
            case Heard.BEGUN:
                question.first_at_s = at_s
                question.deadline_s = now_s + SEND_WITHIN_S + ANSWER_WAIT_S
                self._send(line, question, question.poll.plan.flow_control, now_s)
            case Heard.MORE:
                question.deadline_s = at_s + ANSWER_WAIT_S
            case bytes():
                self._answered(line, question, taken, question.first_at_s if is_open else at_s, now_s)

    def frame_told(self, event: FrameSent | FrameNotSent | FrameEchoed, now_s: float) -> None:
        """A frame of ours left, or did not; that it was on the wire shows when it is answered."""
        for line in self._lines.values():
            if (question := line.question) is None or event.token not in question.tokens:
                continue
            if isinstance(event, FrameSent):
                question.tokens.discard(event.token)
                question.deadline_s = event.at_s + ANSWER_WAIT_S
            elif isinstance(event, FrameNotSent):
                self._fail(line, question, Unanswered.NOT_SENT, now_s)

    def may_send(self, token: int, now_s: float) -> bool:
        """Asked at the very moment of sending: the question still stands, the bus is awake, no command runs."""
        self._note_command()
        return any(
            line.question is not None
            and token in line.question.tokens
            and self._is_wanted(line.question.poll)
            and not self._telemetry.is_asleep(line.bus, now_s)
            for line in self._lines.values()
        )

    def handle_timer(self, now_s: float) -> None:
        """Give up what was not answered, and ask what is due."""
        self._note_command()
        for line in self._lines.values():
            if (question := line.question) is not None:
                if not self._is_wanted(question.poll):
                    self._break_off(line, question, now_s)
                elif now_s >= min(question.deadline_s, question.end_s):
                    self._fail(line, question, question.heard, now_s)
            if self._may_ask(line, now_s) and now_s >= self._quiet_until_s(line) and line.question is None:
                self._ask_next(line, now_s)

    def next_timer(self) -> float:
        """When `handle_timer` is wanted next. That a bus woke is seen when telemetry looks for silence."""
        if not self._lines:
            return float("inf")
        return min((self._next_of(line) for line in self._lines.values()), default=float("inf"))

    # --- out ----------------------------------------------------------------------------------------------------

    def status(self) -> Mapping[str, object]:
        """For the local status socket: of each poll how often it was asked, answered and why not."""
        polls = {
            poll.plan.name: {
                **poll.counts,
                "failures_in_a_row": poll.failures,
                "last_failure": None if poll.last is None else poll.last.value,
                "response_code": poll.answers.response_code,
            }
            for poll in self._polls()
        }
        return {"polls": polls, "unasked": dict(self._unasked)}

    # --- one question -------------------------------------------------------------------------------------------

    def _may_ask(self, line: Line, now_s: float) -> bool:
        """Whether the bus is awake for its own reasons (SR-08), and for not too long without being used."""
        if self._telemetry.is_asleep(line.bus, now_s):
            if line.unused_since_s is not None:
                line.unused_since_s = None
                for poll in line.polls:
                    # A car that woke is a new beginning, for its control units too.
                    poll.due_s, poll.failures, poll.busy = now_s, 0, 0
            return False
        if line.unused_since_s is None:
            line.unused_since_s = now_s
            line.quiet_until_s = max(line.quiet_until_s, now_s + SETTLE_S)
        if self._telemetry.is_in_use:
            line.unused_since_s = now_s
        return now_s - line.unused_since_s <= UNUSED_ASKED_S_MAX

    def _ask_next(self, line: Line, now_s: float) -> None:
        while (poll := line.next_poll(self._needed)) is not None and poll.due_s <= now_s:
            if self._is_missing(poll, now_s):
                self._ask(line, poll, now_s)
                return
            poll.due_s = now_s + poll.plan.period_s

    def _is_missing(self, poll: Poll, now_s: float) -> bool:
        """Whether the car does not say all of it by itself."""
        readings = [self._telemetry.reading(path, now_s) for path in poll.paths if path in self._spoken]
        is_told = all(each.quality is Quality.OK and each.message != poll.plan.name for each in readings)
        return len(readings) < len(poll.paths) or not is_told

    def _ask(self, line: Line, poll: Poll, now_s: float) -> None:
        question = Question(
            poll,
            tokens=set(),
            begun_s=now_s,
            deadline_s=now_s + SEND_WITHIN_S + ANSWER_WAIT_S,
            end_s=now_s + QUESTION_S_MAX,
            segments=Segments(poll.plan.address),
        )
        line.question = question
        poll.counts["asked"] += 1
        self._send(line, question, poll.plan.request, now_s)

    def _send(self, line: Line, question: Question, payload: bytes, now_s: float) -> None:
        plan = question.poll.plan
        frame = Frame(plan.bus, plan.request_id, payload, is_extended_id=plan.is_extended_id)
        # SR-01, first place: the adapter checks again, against a list of its own.
        if not is_on_send_list(frame, self._profile.send_list):
            self._pending.log(Level.ERROR, "frame_not_on_send_list", bus=frame.bus, id=frame.arbitration_id)
            self._fail(line, question, Unanswered.NOT_SENT, now_s)
            return
        token = next(self._tokens)
        question.tokens.add(token)
        self._pending.send(frame, token, now_s + SEND_WITHIN_S)

    def _answered(self, line: Line, question: Question, payload: bytes, at_s: float, now_s: float) -> None:
        """A whole payload came, of which the first frame is of `at_s`."""
        poll = question.poll
        match poll.answers.read(payload, at_s):
            case Unanswered.PENDING:
                poll.counts[Unanswered.PENDING] += 1
                question.heard = Unanswered.PENDING
                question.deadline_s = now_s + PENDING_WAIT_S
            case Unanswered.WRONG_ECHO:
                # Not ours: the right one may still come.
                poll.counts["foreign"] += 1
                question.heard = Unanswered.WRONG_ECHO
            case Unanswered.BUSY if poll.busy < BUSY_TRIES_MAX:
                poll.busy += 1
                poll.counts[Unanswered.BUSY] += 1
                poll.due_s = now_s + BUSY_PAUSE_S
                self._end(line, now_s, GAP_S)
            case Unanswered() as reason:
                self._fail(line, question, reason, now_s)
            case readings:
                poll.counts["answered"] += 1
                poll.failures = poll.busy = 0
                poll.due_s = question.begun_s + poll.plan.period_s
                self._end(line, now_s, GAP_S)
                self._telemetry.answered(readings, now_s)

    def _fail(self, line: Line, question: Question, reason: Unanswered, now_s: float) -> None:
        poll = question.poll
        poll.counts[reason] += 1
        poll.failures += 1
        poll.busy = 0
        poll.due_s = now_s + back_off_s(poll.plan.period_s, poll.failures)
        if poll.last is not reason:
            poll.last = reason
            if poll.counts[reason] == 1:  # each kind once: what goes on is counted
                self._pending.log(Level.NOTICE, "poll_failed", poll=poll.plan.name, bus=line.bus, reason=reason.value)
        is_over = reason in (Unanswered.NEGATIVE_ANSWER, Unanswered.WRONG_LENGTH, Unanswered.BUSY)
        self._end(line, now_s, GAP_S if is_over else LATE_S)
        self._telemetry.not_answered(poll.paths, reason, now_s)

    def _break_off(self, line: Line, question: Question, now_s: float) -> None:
        """A command came: nothing is wrong with the question, it is asked again afterwards."""
        question.poll.counts["broken_off"] += 1
        question.poll.due_s = now_s
        self._end(line, now_s, LATE_S)

    def _end(self, line: Line, now_s: float, quiet_s: float) -> None:
        line.question = None
        line.quiet_until_s = line.taken_until_s = now_s + quiet_s

    # --- what else is going on ----------------------------------------------------------------------------------

    def _note_command(self) -> None:
        """While a command runs only what its preconditions are judged by is asked for."""
        command = self._acting.command
        recipe = None if command is None else self._profile.recipes.get(Action(command.action))
        if command is None:
            self._needed = None
        else:
            self._needed = frozenset(() if recipe is None else decisive_paths(self._profile, recipe))

    def _is_wanted(self, poll: Poll) -> bool:
        return self._needed is None or not self._needed.isdisjoint(poll.paths)

    def _next_of(self, line: Line) -> float:
        if (question := line.question) is not None:
            return min(question.deadline_s, question.end_s)
        poll = line.next_poll(self._needed)
        # Awake or not is seen at the next look; until then nothing is due.
        if poll is None or line.unused_since_s is None:
            return float("inf")
        due_s = max(poll.due_s, self._quiet_until_s(line))
        return due_s if due_s - line.unused_since_s <= UNUSED_ASKED_S_MAX else float("inf")

    def _quiet_until_s(self, line: Line) -> float:
        """A command that asks control units has the bus to itself."""
        return max(line.quiet_until_s, self._acting.asks_until_s(line.bus))

    def _polls(self) -> Iterator[Poll]:
        return (poll for line in self._lines.values() for poll in line.polls)


def _may_answer(frame: Frame, plan: PollPlan) -> bool:
    return (frame.arbitration_id, frame.is_extended_id, frame.is_fd) == (plan.response_id, plan.is_extended_id, False)
