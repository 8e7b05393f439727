"""What must hold in every simulated world, whatever goes wrong in it; asked at each step.

The judge believes nobody but the car's own truth, the disk, and what the stations really signed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Final

from agent.backend.commands import GRACE_S, Conversation
from agent.backend.outcome import CommandResult
from agent.backend.reception import Ignored
from agent.backend.session import LIFETIME_S, Change, SessionMapping
from agent.command.envelope import CommandPayload, MessageKind, Result, decode_command, open_unverified
from agent.command.lifecycle import SEND_ANSWER_S_MAX
from agent.model.command import Action, Executed, Reason, Stage
from agent.model.effects import Publish
from agent.model.frame import Frame
from agent.model.records import Done, Intent, OutboxRemoved, OutboxStored, Record, ResultDelivered
from agent.uplink.wire import as_historical
from tests.support.world_car import remembered_messages
from tests.support.world_station import Wish, opened_hello, opened_result
from tests.support.world_trace import BrokenRuleError
from tests.support.world_truths import LOCKED, Truths

if TYPE_CHECKING:
    from tests.support.world import World

CONFIRMATIONS: Final = 2
WATCHING_S_MAX: Final = 2 * 3.0
"""The feedback window, which begins only when that of a command before it has ended."""

SPEED_FRESHNESS_S: Final = 0.5
"""As the demo hatchback's profile has it, and the figures above."""

READBACK_S: Final = 1.5
"""After a start the bus gets so long to show what an interrupted command left behind."""

MS_S: Final = 0.001
"""Session time is told in whole milliseconds."""

SLACK_S: Final = 1.0
"""Between an engine's timer and its being asked."""

DRIFT_S: Final = 0.05
"""Two clocks that are 80 ppm wrong, over the longest life of a command."""

MAPPING_LAG_MS_MAX: Final = 10_100
"""A backend may think the session ten seconds younger than it is (protocol section 2.3), and never older."""

TARGETS: Final = {Action.UNLOCK: False, Action.LOCK: True}

Outcome = tuple[Stage, Reason, Executed]
Bytes = tuple[bytes, bytes]
"""One command by its id and the first eight bytes of its digest."""


@cache
def frames_allowed() -> dict[tuple[int, bool, bytes], Action | None]:
    """SR-01: every frame that may ever leave, put together by the DBC's names; the action it asks for, None: wake."""
    messages = remembered_messages()
    wake = messages.encode("WakeRequest", {"Wake": 1, "WakeReason": "DoorCommand"}, at_s=0.0)
    allowed: dict[tuple[int, bool, bytes], Action | None] = {_bits(wake): None}
    for action, word in ((Action.UNLOCK, "Unlock"), (Action.LOCK, "Lock")):
        for counter in range(16):
            frame = messages.encode("LockRequest", {"Request": word}, at_s=0.0, counter=counter)
            allowed[_bits(frame)] = action
    return allowed


def _tells(record: OutboxStored, payload: bytes) -> bool:
    return payload in (record.payload, as_historical(record.payload))


def _bits(frame: Frame) -> tuple[int, bool, bytes]:
    return frame.arbitration_id, frame.is_extended_id, frame.data


@dataclass(frozen=True, slots=True)
class Signed:
    """One command as a station signed it: the only bytes there will ever be of it."""

    payload: CommandPayload
    kid: bytes
    digest: bytes
    wish: Wish
    until_s: float
    """When nobody waits for it any more, and no frame of it may leave."""


@dataclass(slots=True)
class Acted:
    """What became of the command frames of one command."""

    sid: bytes
    left_first_s: float
    left_last_s: float
    shown: int = 0
    """Frames the car sent after our first one, and the agent heard, that show the asked state."""
    other_at_s: float = float("-inf")
    """When the last of them was sent, if it shows the other state."""


@dataclass(frozen=True, slots=True)
class Sending:
    """A frame the agent asked to send, and for which command."""

    cid: bytes
    is_action: bool


@dataclass(slots=True)
class Books:
    """What is remembered of one store, and lost with it."""

    running: dict[bytes, Intent] = field(default_factory=dict)
    due_s: dict[bytes, float] = field(default_factory=dict)
    numbers: dict[int, bytes] = field(default_factory=dict)


class Judge:
    """Told of everything; raises `BrokenRuleError`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.truths = Truths()
        self.signed: dict[bytes, Signed] = {}
        self.frames_sent = 0
        self._books = Books()
        self._sessions: dict[bytes, float] = {}
        self._acted: dict[bytes, Acted] = {}
        self._denied: set[bytes] = set()
        self._finals: defaultdict[Bytes, set[Outcome]] = defaultdict(set)
        self._counters: dict[bytes, int] = {}
        self._said: set[bytes] = set()
        self._tellings: dict[int, int | bytes] = {}
        self._told: set[int | bytes] = set()
        self._sent: set[bytes] = set()
        self._ends_by_s: dict[Conversation, float] = {}
        self._held_up_since_s: float | None = None

    # --- the agent's life ---------------------------------------------------------------------------------------

    def started(self, sid: bytes, now_s: float) -> None:
        self._sessions[sid] = now_s
        self._counters = {}
        self._tellings = {}
        self.truths.started()
        self._books.due_s = dict.fromkeys(self._books.running, now_s + READBACK_S + SLACK_S)

    def store_lost(self) -> None:
        self._books = Books()
        self._told = set()

    def check_due(self) -> None:
        """Every accepted command ends in bounded time, not counting the time in which nothing could run."""
        now_s, books = self._world.now_s, self._books
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
        for record in records:
            if not isinstance(record, Intent):
                continue
            self._counters[record.kid] = max(record.counter, self._counters.get(record.kid, 0))
            if asked_at_s > self._deadline_s(record) + MS_S:
                raise BrokenRuleError(f"SR-03: accepted at {asked_at_s:.3f}, after its deadline: {record}")

    def _deadline_s(self, intent: Intent) -> float:
        return self._sessions[intent.sid] + intent.deadline_ms / 1000

    def durable(self, records: Iterable[Record]) -> None:
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
        if any(other.sid == sid for other in self._books.running.values()):
            raise BrokenRuleError(f"SR-02: two commands at once: {intent}")
        self._books.running[intent.cid] = intent
        self._books.due_s[intent.cid] = self._deadline_s(intent) + WATCHING_S_MAX + SEND_ANSWER_S_MAX + SLACK_S
        self._world.count("command accepted")

    def _done(self, done: Done) -> None:
        """SR-04, A4: the end of a command says no more than the car showed."""
        self._numbered(done.sequence, done.result)
        intent = self._books.running.pop(done.cid, None)
        if intent is None:
            raise BrokenRuleError(f"SR-02: an end of what never began, or a second one: {done}")
        self._books.due_s.pop(done.cid, None)
        self._world.count(f"end {done.stage.name.lower()} {done.reason.name.lower()}")
        acted = self._acted.get(done.cid)
        is_unchanged = (done.stage, done.reason) == (Stage.FAILED, Reason.NO_STATE_CHANGE)
        match done.stage:
            case Stage.VERIFIED:
                is_honest = acted is not None and acted.shown >= CONFIRMATIONS and done.executed is Executed.YES
            case Stage.FAILED if is_unchanged:
                is_honest = acted is not None and acted.other_at_s > acted.left_last_s and not acted.shown
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
        if (told := self._tellings.pop(token, None)) is not None:
            self._told.add(told)

    def _numbered(self, sequence: int, content: bytes) -> None:
        if self._books.numbers.setdefault(sequence, content) != content:
            raise BrokenRuleError(f"SR-07: number {sequence} given twice")

    # --- the agent's frames -------------------------------------------------------------------------------------

    def heard(self, frame: Frame) -> None:
        """A frame reaches the engine."""
        heard = self.truths.heard(frame, self._world.now_s)
        if heard is None or LOCKED not in heard.truth:
            return
        is_locked = heard.truth[LOCKED]
        for cid, intent in self._books.running.items():
            acted = self._acted.get(cid)
            if acted is None or heard.at_s <= acted.left_first_s:
                continue
            target = TARGETS[Action(intent.action)]
            acted.shown += is_locked is target
            acted.other_at_s = heard.at_s if is_locked is (not target) else float("-inf")

    def asked_to_send(self, frame: Frame, asked_at_s: float) -> Sending:
        """SR-01, SR-02, SR-03: a frame that may leave, of a command that may act now."""
        action = frames_allowed().get(_bits(frame), Action.CHECK_RETURN)
        if action is Action.CHECK_RETURN or frame.bus != "body" or frame.is_fd:
            raise BrokenRuleError(f"SR-01: {frame} is on no list")
        sid = self._world.computer.sid
        running = [intent for intent in self._books.running.values() if intent.sid == sid]
        if len(running) != 1:
            raise BrokenRuleError(f"SR-02: a frame for which no intent is durable: {frame}")
        (intent,) = running
        if action is not None and action != intent.action:
            raise BrokenRuleError(f"SR-03: a frame asks for {action.name}, the command was {intent}")
        deadline_s = self._deadline_s(intent)
        if asked_at_s > deadline_s + 1e-6:
            raise BrokenRuleError(f"SR-03: a frame asked for at {asked_at_s:.3f}, after the deadline {deadline_s:.3f}")
        return Sending(intent.cid, is_action=action is not None)

    def frame_left(self, sending: Sending) -> None:
        """The frame is on the bus."""
        self.frames_sent += 1
        if not sending.is_action:
            return
        now_s, cid = self._world.now_s, sending.cid
        signed, intent = self.signed[cid], self._books.running[cid]
        if now_s > min(self._deadline_s(intent), signed.until_s + DRIFT_S):
            raise BrokenRuleError(f"SR-03: a frame left at {now_s:.3f}, too late for {signed}")
        if cid in self._denied:
            raise BrokenRuleError(f"A4: a frame of {cid.hex()} left, of which it was said that nothing was executed")
        if intent.action == Action.UNLOCK and now_s - self.truths.stood_at_s > SPEED_FRESHNESS_S + 1e-6:
            raise BrokenRuleError(f"SR-06: unlocked at {now_s:.3f}; the car last stood at {self.truths.stood_at_s:.3f}")
        acted = self._acted.get(cid)
        if acted is None:
            self._acted[cid] = Acted(intent.sid, now_s, now_s)
            self._world.count("command acted")
            before = [other for other in signed.wish.cids if other != cid and other in self._acted]
            if any(other not in self._denied for other in before):
                raise BrokenRuleError(f"SR-02: one wish acts a second time, after {before}")
        elif acted.sid != intent.sid:
            raise BrokenRuleError(f"SR-02: {cid.hex()} acts in two sessions")
        else:
            acted.left_last_s = now_s

    # --- what the agent says ------------------------------------------------------------------------------------

    def published(self, effect: Publish) -> None:
        computer = self._world.computer
        match effect.topic.rpartition("/")[2]:
            case "res":
                result = self._said_result(effect.payload)
                if effect.token is not None:
                    self._tellings[effect.token] = result.cid
            case "hello":
                self._said_hello(effect.payload)
            case "state":
                self.truths.check_document(effect.payload, computer.started_s)
            case "evt":
                record = next((one for one in computer.disk.outbox.values() if _tells(one, effect.payload)), None)
                if record is None:
                    raise BrokenRuleError("SR-07: a record was told before it was kept")
                if effect.token is not None:
                    self._tellings[effect.token] = record.sequence

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
        if raw not in self._said:
            self._said.add(raw)
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
            self._denied.add(result.cid)
        self._finals[result.cid, result.digest].add(outcome)

    def _check_refusal(self, result: Result, *, is_begun: bool) -> None:
        """A final word on a command of which the journal has no end."""
        signed = self.signed.get(result.cid)
        if is_begun and result.reason not in (Reason.STORAGE, Reason.CID_CONFLICT):
            raise BrokenRuleError(f"SR-02, SR-07: said before the end is durable, or instead of it: {result}")
        is_report = signed is not None and signed.payload.action == Action.REPORT
        is_refusal = result.stage is Stage.REJECTED or (result.stage, result.reason) == (Stage.FAILED, Reason.CAN_DOWN)
        if not is_refusal and not (is_report and result.stage is Stage.EXECUTED_UNVERIFIED):
            raise BrokenRuleError(f"SR-02: said of a command without a durable end: {result}")
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
        if raw in self._sent:
            return
        self._sent.add(raw)
        envelope = open_unverified(MessageKind.CMD, raw)
        if envelope is None:
            raise BrokenRuleError("a backend signed what no car would read")
        payload = decode_command(envelope.payload)
        known = self.signed.get(payload.cid)
        if known is None:
            until_s = min(self._world.now_s + LIFETIME_S[wish.action], self._ends_by_s[conversation])
            self.signed[payload.cid] = Signed(payload, envelope.kid, envelope.digest, wish, until_s)
            if any(not self._may_be_repeated(cid) for cid in wish.cids):
                raise BrokenRuleError(f"a new command was signed, and {wish} may have been carried out")
            wish.cids.append(payload.cid)
            self._world.count("command signed")
        else:
            raise BrokenRuleError("other bytes were signed under the same command id")

    def _may_be_repeated(self, cid: bytes) -> bool:
        """Whether the agent said, signed, that it was not executed; or the command never was with the broker."""
        return any(executed is Executed.NO for _, _, executed in self._finals[cid, self.signed[cid].digest[:8]])

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
        said = self._finals[result.cid, self.signed[result.cid].digest[:8]]
        if (result.stage, result.reason, result.executed) not in said:
            raise BrokenRuleError(f"H70: a backend believes what the agent never said: {result}")

    # --- the end ------------------------------------------------------------------------------------------------

    def check_end(self) -> None:
        """After the faults have ended: everything has its end, and the broker has been told of it."""
        disk = self._world.computer.disk
        if self._books.running or self._ends_by_s:
            raise BrokenRuleError(f"without an end: {list(self._books.running)}, {len(self._ends_by_s)} wishes")
        for entry in disk.journal.values():
            if entry.done is None or not entry.is_delivered:
                raise BrokenRuleError(f"SR-07: never told: {entry}")
