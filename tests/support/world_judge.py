"""What must hold in every simulated world, whatever goes wrong in it; asked at each step.

The judge believes nobody but the car's own truth, the disk, and what the stations really signed.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from agent.backend.commands import GRACE_S, Conversation
from agent.backend.outcome import CommandResult
from agent.backend.reception import Ignored
from agent.backend.session import LIFETIME_S, Change, SessionMapping
from agent.command.envelope import MessageKind, Result, decode_command, open_unverified
from agent.command.lifecycle import SEND_ANSWER_S_MAX
from agent.model.command import Action, Executed, Reason, Stage
from agent.model.effects import Publish
from agent.model.frame import Frame
from agent.model.pulse import Pulse
from agent.model.records import Done, Intent, OutboxRemoved, OutboxStored, Priority, Record, ResultDelivered
from tests.support.ways import Way
from tests.support.world_rules import (
    ANSWER_ID,
    BUTTONS,
    CONFIRMATIONS,
    DRIFT_S,
    IGNITION_FRESHNESS_S,
    IN_FLIGHT_S,
    MAPPING_LAG_MS_MAX,
    MS_S,
    PRESS_S,
    QUESTION,
    QUESTIONS,
    READBACK_S,
    SLACK_S,
    SPEED_FRESHNESS_S,
    TARGETS,
    WATCHING_S_MAX,
    Acted,
    CommandBytes,
    Outcome,
    Sending,
    Signed,
    bits,
    frames_allowed,
    is_given_back_rightly,
    is_refused_rightly,
    tells,
)
from tests.support.world_station import Wish, opened_hello, opened_result
from tests.support.world_trace import BrokenRuleError
from tests.support.world_truths import Truths

if TYPE_CHECKING:
    from tests.support.world import World


@dataclass(slots=True)
class Books:
    """What is remembered of one store, and lost with it."""

    running: dict[bytes, Intent] = field(default_factory=dict)
    due_s: dict[bytes, float] = field(default_factory=dict)


class Judge:
    """Told of everything; raises `BrokenRuleError`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.truths = Truths()
        self.signed: dict[bytes, Signed] = {}
        self.frames_sent = 0
        self.books = Books()
        self._sessions: dict[bytes, float] = {}
        # What the frames of a command did; and of which commands the agent said that nothing was executed.
        self._acted: dict[bytes, Acted] = {}
        # When a request left that is not answered yet.
        self._in_flight_s = float("-inf")
        self._decided_s: dict[bytes, float] = {}
        self._denied: set[CommandBytes] = set()
        # Every final word the agent signed, and the messages seen already.
        self._finals: defaultdict[CommandBytes, set[Outcome]] = defaultdict(set)
        self._results_seen: set[bytes] = set()
        self._commands_seen: set[bytes] = set()
        # By key id: the highest counter accepted in this session.
        self._counters: dict[bytes, int] = {}
        # Event numbers with their contents; numbers and command ids on their way to the broker, and those it has.
        self._numbers: dict[int, bytes] = {}
        self._under_way: dict[int, int | bytes] = {}
        self._told: set[int | bytes] = set()
        self._ends_by_s: dict[Conversation, float] = {}
        self._held_up_since_s: float | None = None

    # --- the agent's life ---------------------------------------------------------------------------------------

    def started(self, sid: bytes, now_s: float) -> None:
        """A session begins; what the last one left undone is to be ended after the read-back."""
        self._sessions[sid] = now_s
        self._counters = {}
        self._under_way = {}
        self._in_flight_s = float("-inf")
        self.truths.started()
        self.books.due_s = dict.fromkeys(self.books.running, now_s + READBACK_S + SLACK_S)

    def store_lost(self) -> None:
        """The agent finds its journal damaged; numbers go on being given once (SR-07)."""
        self.books = Books()

    def check_due(self) -> None:
        """Every accepted command ends in bounded time, not counting the time in which nothing could run."""
        now_s, books = self._world.now_s, self.books
        if self._world.computer.is_held_up:
            if self._held_up_since_s is None:
                self._held_up_since_s = now_s
            return
        if self._held_up_since_s is not None:
            held_up_s, self._held_up_since_s = now_s - self._held_up_since_s, None
            books.due_s = {cid: due_s + held_up_s for cid, due_s in books.due_s.items()}
        for cid, due_s in books.due_s.items():
            if now_s > due_s:
                raise BrokenRuleError(f"SR-10: command {cid.hex()} has not ended by {due_s:.3f}")

    # --- the agent's writes -------------------------------------------------------------------------------------

    def asked_to_persist(self, records: Iterable[Record], asked_at_s: float) -> None:
        """The agent asked, `asked_at_s`, for these to be made durable."""
        for record in records:
            if isinstance(record, Done):
                self._decided_s[record.cid] = asked_at_s
            if not isinstance(record, Intent):
                continue
            self._counters[record.kid] = max(record.counter, self._counters.get(record.kid, 0))
            if asked_at_s > self._deadline_s(record) + MS_S:
                raise BrokenRuleError(f"SR-03: accepted at {asked_at_s:.3f}, after its deadline: {record}")

    def _deadline_s(self, intent: Intent) -> float:
        return self._sessions[intent.sid] + intent.deadline_ms / 1000

    def durable(self, records: Iterable[Record]) -> None:
        """These are on the disk now, whether the agent knows it or not."""
        for record in records:
            match record:
                case Intent():
                    self._begun(record)
                case Done():
                    self._done(record)
                case OutboxStored(sequence, _, payload):
                    self._numbered(sequence, payload)
                    self.truths.check_document(payload, self._world.computer.started_s)
                case OutboxRemoved(sequences):
                    self._forgotten(sequences)
                case ResultDelivered(_, cid):
                    self._forgotten((cid,))

    def _begun(self, intent: Intent) -> None:
        signed, sid = self.signed.get(intent.cid), self._world.computer.sid
        if signed is None or (signed.digest, signed.payload.sid, signed.payload.action) != (
            intent.digest,
            sid,
            intent.action,
        ):
            raise BrokenRuleError(f"SR-03: accepted what nobody signed for this session: {intent}")
        if any(other.sid == sid for other in self.books.running.values()):
            raise BrokenRuleError(f"SR-02: two commands at once: {intent}")
        self.books.running[intent.cid] = intent
        self.books.due_s[intent.cid] = self._deadline_s(intent) + WATCHING_S_MAX + SEND_ANSWER_S_MAX + SLACK_S
        self._world.count("command accepted")

    def _done(self, done: Done) -> None:
        """SR-04, A4: the end of a command says no more than the car showed."""
        self._numbered(done.sequence, done.result)
        intent = self.books.running.pop(done.cid, None)
        if intent is None:
            raise BrokenRuleError(f"SR-02: an end of what never began, or a second one: {done}")
        self.books.due_s.pop(done.cid, None)
        self._world.count(f"end {done.stage.name.lower()} {done.reason.name.lower()}")
        acted = self._acted.get(done.cid)
        by_s = self._decided_s.get(done.cid, self._world.now_s)  # what came while a disk stalled was not known yet
        is_unchanged = (done.stage, done.reason) == (Stage.FAILED, Reason.NO_STATE_CHANGE)
        match done.stage:
            case Stage.VERIFIED:
                is_honest = acted is not None and acted.shown(by_s) >= CONFIRMATIONS and done.executed is Executed.YES
            case Stage.FAILED if is_unchanged:
                is_honest = (
                    acted is not None
                    and acted.other_at_s(by_s) > acted.left_last_s
                    and not (acted.shown(by_s) or acted.was_shown_early)
                )
            case Stage.EXECUTED_UNVERIFIED if intent.action == Action.LOCATE:
                # Nothing tells whether it worked, so that its frames have left is all there is to say.
                is_honest = acted is not None and (done.reason, done.executed) == (Reason.OK, Executed.YES)
            case Stage.EXECUTED_UNVERIFIED:
                is_honest = done.executed is Executed.UNKNOWN
            case Stage.INTERRUPTED:
                is_honest = done.executed is Executed.UNKNOWN and (
                    intent.sid != self._world.computer.sid or done.reason is Reason.SHUTTING_DOWN
                )
            case _:
                is_honest = done.executed is not Executed.YES
        if not is_honest:
            raise BrokenRuleError(f"SR-04: {done.stage.name} {done.reason.name} {done.executed.name} after {acted}")
        if done.executed is Executed.NO and acted is not None and not is_unchanged:
            raise BrokenRuleError(f"A4: {done.stage.name} {done.reason.name}, not executed, after {acted}")

    def _forgotten(self, told: Iterable[int | bytes]) -> None:
        """SR-07: what the store need not keep any longer is with the broker."""
        if lost := [one for one in told if one not in self._told]:
            raise BrokenRuleError(f"SR-07: removed and never acknowledged: {lost}")

    def acknowledged(self, token: int) -> None:
        """The broker told the agent that it has a publication."""
        if (told := self._under_way.pop(token, None)) is not None:
            self._told.add(told)

    def _numbered(self, sequence: int, content: bytes) -> None:
        if self._numbers.setdefault(sequence, content) != content:
            raise BrokenRuleError(f"SR-07: number {sequence} given twice")

    # --- the agent's frames -------------------------------------------------------------------------------------

    def heard(self, frame: Frame) -> None:
        """A frame reaches the engine."""
        if frame.arbitration_id == ANSWER_ID:
            self._in_flight_s = float("-inf")
        heard = self.truths.heard(frame, self._world.now_s)
        if heard is None:
            return
        for cid, intent in self.books.running.items():
            acted = self._acted.get(cid)
            path, target = TARGETS.get(Action(intent.action), ("", None))
            if acted is None or heard.at_s <= acted.left_first_s or path not in heard.truth:
                continue
            shown = heard.truth[path]
            acted.seen.append((heard.heard_at_s, heard.at_s, None if shown is None else shown is target))

    def asked_to_send(self, frame: Frame, asked_at_s: float) -> Sending:
        """SR-01, SR-02, SR-03: a frame that may leave, of a command that may act now."""
        allowed = frames_allowed(self._world.way)
        if self._world.way is Way.REQUESTS and bits(frame) == QUESTION:
            self._world.count("question")
            return Sending(b"", is_action=False, is_request=True)
        if bits(frame) not in allowed or frame.bus != "body" or frame.is_fd:
            raise BrokenRuleError(f"SR-01: {frame} is on no list")
        sending = self._asked_for(frame, allowed[bits(frame)], asked_at_s)
        return replace(sending, is_request=frame.arbitration_id == QUESTION[0])

    def asked_to_pulse(self, pulse: Pulse, asked_at_s: float) -> Sending:
        """Likewise a pulse."""
        is_allowed = self._world.way is Way.PULSES and (pulse.pulse_s, pulse.pause_s) == PRESS_S
        if not is_allowed or (action := BUTTONS.get(pulse.line)) is None:
            raise BrokenRuleError(f"SR-01: {pulse} is on no list")
        self._world.count(f"pulse {pulse.line}")
        return self._asked_for(pulse, action, asked_at_s)

    def _asked_for(self, what: Frame | Pulse, action: Action | None, asked_at_s: float) -> Sending:
        sid = self._world.computer.sid
        running = [intent for intent in self.books.running.values() if intent.sid == sid]
        if len(running) != 1:
            raise BrokenRuleError(f"SR-02: asked for, and no intent is durable: {what}")
        (intent,) = running
        if action is not None and action != intent.action:
            raise BrokenRuleError(f"SR-03: {what} asks for {action.name}, the command was {intent}")
        deadline_s = self._deadline_s(intent)
        if asked_at_s > deadline_s + 1e-6:
            raise BrokenRuleError(f"SR-03: {what} asked for at {asked_at_s:.3f}, after the deadline {deadline_s:.3f}")
        return Sending(intent.cid, is_action=action is not None)

    def line_opened(self, sending: Sending) -> None:
        """The pulse is over: what the car shows counts from now on (SR-04)."""
        acted = self._acted[sending.cid]
        if acted.left_first_s == acted.left_last_s:
            acted.was_shown_early = acted.shown(self._world.now_s) > 0
            acted.left_first_s = self._world.now_s
            acted.seen.clear()
        acted.left_last_s = self._world.now_s

    def frame_left(self, sending: Sending) -> None:
        """The frame is on the bus."""
        self.frames_sent += 1
        if sending.is_request:
            if self._world.now_s - self._in_flight_s < IN_FLIGHT_S:
                raise BrokenRuleError(f"two requests in flight: asked at {self._in_flight_s:.3f}, and now {sending}")
            self._in_flight_s = self._world.now_s
        if not sending.is_action:
            return
        now_s, cid = self._world.now_s, sending.cid
        signed, intent = self.signed[cid], self.books.running[cid]
        if now_s > min(self._deadline_s(intent), signed.until_s + DRIFT_S):
            raise BrokenRuleError(f"SR-03: a frame left at {now_s:.3f}, too late for {signed}")
        if self._bytes_of(cid) in self._denied:
            raise BrokenRuleError(f"A4: a frame of {cid.hex()} left, of which it was said that nothing was executed")
        if intent.action == Action.UNLOCK and now_s - self.truths.stood_at_s > SPEED_FRESHNESS_S + 1e-6:
            raise BrokenRuleError(f"SR-06: unlocked at {now_s:.3f}; the car last stood at {self.truths.stood_at_s:.3f}")
        if intent.action == Action.DISABLE_DRIVE:
            stood_s, off_s = now_s - self.truths.stood_at_s, now_s - self.truths.off_at_s
            if stood_s > SPEED_FRESHNESS_S + 1e-6 or off_s > IGNITION_FRESHNESS_S + 1e-6:
                told = f"the car stood {stood_s:.3f} s ago and was switched off {off_s:.3f} s ago"
                raise BrokenRuleError(f"SR-06: driving disabled at {now_s:.3f}; {told}")
        acted = self._acted.get(cid)
        if acted is None:
            self._acted[cid] = Acted(intent.sid, now_s, now_s)
            self._world.count("command acted")
            before = [other for other in signed.wish.cids if other != cid and other in self._acted]
            if any(self._bytes_of(other) not in self._denied for other in before):
                raise BrokenRuleError(f"SR-02: one wish acts a second time, after {before}")
        elif acted.sid != intent.sid:
            raise BrokenRuleError(f"SR-02: {cid.hex()} acts in two sessions")
        else:
            acted.left_last_s = now_s

    # --- what the agent says ------------------------------------------------------------------------------------

    def published(self, effect: Publish) -> None:
        """The agent hands something to the broker."""
        computer = self._world.computer
        match effect.topic.rpartition("/")[2]:
            case "res":
                result = self._said_result(effect.payload)
                if effect.token is not None:
                    self._under_way[effect.token] = result.cid
            case "hello":
                self._said_hello(effect.payload)
            case "state":
                self.truths.check_document(effect.payload, computer.started_s)
            case "evt":
                record = next(
                    (one for one in computer.disk.outbox.records.values() if tells(one, effect.payload)), None
                )
                if record is None:
                    record = self._told_from_memory(effect.payload)
                if effect.token is not None:
                    self._under_way[effect.token] = record.sequence

    def _told_from_memory(self, payload: bytes) -> OutboxStored:
        """A record that is not on the disk, which only one that the disk did not take may be."""
        if not self._world.computer.has_telemetry_failed:
            raise BrokenRuleError("SR-07: a record was told before it was kept")
        self.truths.check_document(payload, self._world.computer.started_s)
        plain = payload.replace(b',"historical":true}', b"}")
        record = OutboxStored(int(json.loads(plain)["seq"]), Priority.EVENT, plain)
        self._numbered(record.sequence, plain)
        return record

    def _said_hello(self, raw: bytes) -> None:
        hello, computer = opened_hello(raw), self._world.computer
        if isinstance(hello, Ignored):
            raise BrokenRuleError(f"the agent's own hello is {hello}")
        if (hello.sid, hello.store_id) != (computer.sid, computer.disk.store_id):
            raise BrokenRuleError(f"a hello of another session or store: {hello}")
        if hello.counters != self._counters:
            raise BrokenRuleError(f"counters {hello.counters} told, {self._counters} accepted")

    def _said_result(self, raw: bytes) -> Result:
        result = opened_result(raw)
        if isinstance(result, Ignored):
            raise BrokenRuleError(f"the agent's own result is {result}")
        if raw not in self._results_seen:
            self._results_seen.add(raw)
            self._check_result(raw, result)
        return result

    def _check_result(self, raw: bytes, result: Result) -> None:
        self.truths.check_evidence(result.evidence, self._sessions[result.sid] + result.session_ms / 1000)
        entry = self._world.computer.disk.journal.get((1, result.cid))
        outcome = result.stage, result.reason, result.executed
        if not result.stage.is_final:
            if entry is None:
                raise BrokenRuleError(f"SR-02: {result.stage.name} is said and no intent is durable")
            return
        if entry is None or entry.done is None:
            self._check_refusal(result, is_begun=entry is not None)
        elif raw != entry.done.result and (
            result.reason is not Reason.CID_CONFLICT or result.digest == entry.intent.digest[:8]
        ):
            raise BrokenRuleError(f"A2: the journal has {entry.done.stage.name}, said is {outcome}")
        if result.executed is Executed.NO:
            acted = self._acted.get(result.cid)
            if acted is not None and result.reason is not Reason.NO_STATE_CHANGE:
                raise BrokenRuleError(f"A4: {outcome} is said of a command that acted: {acted}")
            self._denied.add((result.cid, result.digest))
        self._finals[result.cid, result.digest].add(outcome)

    def _check_refusal(self, result: Result, *, is_begun: bool) -> None:
        """A final word on a command of which the journal has no end."""
        signed = self.signed.get(result.cid)
        if is_begun and result.reason not in (Reason.STORAGE, Reason.CID_CONFLICT):
            raise BrokenRuleError(f"SR-02, SR-07: said before the end is durable, or instead of it: {result}")
        action = None if signed is None else signed.payload.action
        is_refusal = result.stage is Stage.REJECTED or (result.stage, result.reason) == (Stage.FAILED, Reason.CAN_DOWN)
        if not is_refusal and not (action in QUESTIONS and result.stage is Stage.EXECUTED_UNVERIFIED):
            raise BrokenRuleError(f"SR-02: said of a command without a durable end: {result}")
        if action == Action.CHECK_RETURN and not is_refusal:
            self._world.count("return confirmed")
            if not is_given_back_rightly(result):
                raise BrokenRuleError(f"SR-05: a car may be given back on {result}")
        if action == Action.CHECK_RETURN and Reason.MOVING <= result.reason <= Reason.PRECONDITION_STALE:
            self._world.count(f"return {result.reason.name.lower()}")
            if not is_refused_rightly(result):
                raise BrokenRuleError(f"SR-05: a car may not be given back on {result}")
        if is_refusal:
            self._world.count(f"refused {result.reason.name.lower()}")
        if signed is None or result.sid != self._world.computer.sid or result.reason is not Reason.COUNTER:
            return
        if signed.payload.counter > self._counters.get(signed.kid, -1):
            raise BrokenRuleError(f"counter {signed.payload.counter} refused, accepted were {self._counters}")

    # --- the stations -------------------------------------------------------------------------------------------

    def asked(self, conversation: Conversation, wish: Wish, wait_s: float | None) -> None:
        """A person begins to wait for an answer, by default for as long as the command may take."""
        life_s = LIFETIME_S[wish.action] + GRACE_S
        self._ends_by_s[conversation] = self._world.now_s + (life_s if wait_s is None else wait_s)

    def sent_command(self, wish: Wish, conversation: Conversation, raw: bytes) -> None:
        """A station hands a command to the broker: a new one, or the very bytes it had before."""
        if raw in self._commands_seen:
            return
        self._commands_seen.add(raw)
        envelope = open_unverified(MessageKind.CMD, raw)
        if envelope is None:
            raise BrokenRuleError("a backend signed what no car would read")
        payload = decode_command(envelope.payload)
        if payload.cid in self.signed:
            raise BrokenRuleError("other bytes were signed under the same command id")
        if any(self._bytes_of(cid) not in self._denied for cid in wish.cids):
            raise BrokenRuleError(f"a new command was signed, and {wish} may have been carried out")
        until_s = min(self._world.now_s + LIFETIME_S[wish.action], self._ends_by_s[conversation])
        self.signed[payload.cid] = Signed(payload, envelope.kid, envelope.digest, wish, until_s)
        wish.cids.append(payload.cid)
        self._world.count("command signed")

    def session_mapped(self, mapping: SessionMapping) -> None:
        """A hello was used: the backend must not think the session older than it is, nor much younger (H51, H52)."""
        if mapping.sid not in self._sessions:
            raise BrokenRuleError(f"H70: a backend believes in a session that never was: {mapping}")
        lag_ms = (self._world.now_s - self._sessions[mapping.sid]) * 1000 - mapping.session_ms
        if not -1.0 <= lag_ms <= MAPPING_LAG_MS_MAX:
            raise BrokenRuleError(f"H52: a backend is {lag_ms:.0f} ms behind: {mapping}")

    def changed(self, sid: bytes, before: SessionMapping | None, changes: Iterable[Change]) -> None:
        """A backend sees a change in the first hello of session `sid`: no store is ever rolled back here (H93).

        A hello of a session that is over, and that this backend had never heard of, may come late and look like it;
        and so may two of one millisecond that change places.
        """
        is_first = before is None or before.sid != sid
        if Change.EVENTS_WENT_BACK in changes and is_first and sid == self._world.computer.sid:
            raise BrokenRuleError("SR-07: a backend sees numbers go back")

    def ended(self, conversation: Conversation, result: CommandResult) -> None:
        """A backend tells its caller: only what the agent really said, and in time."""
        if self._world.now_s > self._ends_by_s.pop(conversation) + DRIFT_S:
            raise BrokenRuleError(f"a backend answers late: {result}")
        if result.stage is None or result.reason is None or result.cid is None:
            return
        said = self._finals[self._bytes_of(result.cid)]
        if (result.stage, result.reason, result.executed) not in said:
            raise BrokenRuleError(f"H70: a backend believes what the agent never said: {result}")

    def _bytes_of(self, cid: bytes) -> CommandBytes:
        return cid, self.signed[cid].digest[:8]

    # --- the end ------------------------------------------------------------------------------------------------

    def check_end(self) -> None:
        """After the faults have ended: everything has its end, and the broker has been told of it."""
        disk = self._world.computer.disk
        if self.books.running or self._ends_by_s:
            raise BrokenRuleError(f"without an end: {list(self.books.running)}, {len(self._ends_by_s)} wishes")
        for entry in disk.journal.values():
            if entry.done is None or not entry.is_delivered:
                raise BrokenRuleError(f"SR-07: never told: {entry}")
