"""The engine from right to left: a delivery to a verdict, to frames on the bus, to a signed result.

The order of the checks is the protocol's (`PROTOCOL.md`, "Order of checks").  Two orders carry the safety
argument: the intent is queued to be made durable before any effect that could move the car, and the lifecycle
asks for no frame before it hears that the write came through (SR-02).
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.answers import Answers
from agent.command.envelope import MessageKind, Ping
from agent.command.evidence import evidence_of
from agent.command.lifecycle import Finish, Lifecycle, Progress, Send, Step
from agent.command.replay import (
    JournalVerdict,
    command_bucket,
    inbound_bucket,
    judge_freshness,
    judge_journal,
)
from agent.command.verify import Dropped, KeyRecord, authorise, verify
from agent.config import Config
from agent.ledger import Key, Ledger, Rejection
from agent.model.command import Action, Command, Evidence, Executed, Outcome, Reason, Stage
from agent.model.effects import Acknowledge, Level
from agent.model.events import Delivery
from agent.model.frame import BusState, Frame
from agent.model.reading import Reading
from agent.model.recipe import Recipe
from agent.model.records import Done, Intent, JournalEntry, Recovered
from agent.pending import Pending
from agent.policy.permits import permit, permit_asleep
from agent.policy.sending import is_on_send_list
from agent.profiles.schema import Profile
from agent.telemetry import Session, Telemetry
from agent.uplink.wire import Topics

# After a start the bus gets so long to show the state that an interrupted command left behind.
READBACK_S = 1.5

# Readings reported on request: what fits beside the rest in one envelope.
REPORT_PATHS = (
    "Vehicle.Carshare.CentralLock.IsLocked",
    "Vehicle.Powertrain.TractionBattery.StateOfCharge.Displayed",
    "Vehicle.TraveledDistance",
    "Vehicle.Speed",
)

_REJECTED_AFTER_S = 300


@dataclass(slots=True)
class Running:
    """The one command under way."""

    command: Command
    bus: str
    lifecycle: Lifecycle
    intent_token: int
    is_durable: bool = False


class Commanding:
    """Verdicts on deliveries, the one running command, the journal, and every result that is owed."""

    def __init__(
        self,
        profile: Profile,
        config: Config,
        recovered: Recovered,
        session: Session,
        pending: Pending,
        telemetry: Telemetry,
        vehicle_key: Ed25519PrivateKey,
        keys: Mapping[bytes, KeyRecord],
        now_s: float,
    ) -> None:
        self._profile = profile
        self._car = bytes.fromhex(config.car.id)
        self._topics = Topics(self._car)
        self._session = session
        self._pending = pending
        self._telemetry = telemetry
        self._keys = keys
        self._ledger = Ledger(recovered, session.sid)
        self._answers = Answers(
            session,
            pending,
            car=self._car,
            key=vehicle_key,
            store_id=recovered.store_id,
            is_degraded=recovered.is_degraded,
            owed=self._ledger.undelivered(),
        )
        self._counters: dict[bytes, int] = {}
        self._bucket = inbound_bucket(now_s)
        self._key_buckets = {kid: command_bucket(now_s) for kid in keys}
        self._running: Running | None = None
        self._frame_tokens = itertools.count(1)
        self._interrupted = list(self._ledger.unfinished())
        self._readback_at_s = now_s + READBACK_S
        self._is_stopping = False
        self._has_failed = False
        self.dropped: Counter[str] = Counter()
        self.interrupted_count = len(self._interrupted)

    @property
    def is_busy(self) -> bool:
        return self._running is not None

    def status(self) -> dict[str, object]:
        running = self._running
        return {
            "running": None if running is None else Action(running.command.action).name.lower(),
            "journal": len(self._ledger),
            "dropped": dict(self.dropped),
        }

    # --- deliveries ---------------------------------------------------------------------------------------------

    def receive_delivery(self, delivery: Delivery, now_s: float) -> None:
        """Decide one delivery. Its acknowledgement is queued last: behind the intent, if there is one."""
        self._bucket, has_room = self._bucket.take(now_s)
        addressed = self._topics.parse(delivery.topic)
        if not has_room:
            self._drop("flood")
        elif addressed is None or addressed[1] not in (MessageKind.CMD, MessageKind.PING):
            self._drop("topic")
        else:
            operator, kind = addressed[0], MessageKind(addressed[1])
            found = verify(kind, delivery.payload, is_retained=delivery.is_retained, keys=self._keys)
            if isinstance(found, Dropped):
                self._drop(found.why)
            elif isinstance(found.message, Ping):
                self._ping(found.message, found.record, operator, now_s)
            else:
                self._command(found.message, found.record, operator, now_s)
        self._pending.add(Acknowledge(delivery.delivery_id))

    def _ping(self, ping: Ping, record: KeyRecord, operator: int, now_s: float) -> None:
        reason = authorise(ping, record, topic_operator=operator, car=self._car, floor_unix_s=0)
        if reason is not None:
            self._drop(f"ping_{reason.name.lower()}")
            return
        self._greet(record.operator, now_s, ping.nonce)

    def _command(self, command: Command, record: KeyRecord, operator: int, now_s: float) -> None:
        key = (record.operator, command.cid)
        if (entry := self._ledger.find(key)) is not None:
            self._repeat(entry, command, key, now_s)
            return
        now_ms = self._session.ms(now_s)
        if (known := self._ledger.rejection(key, now_ms)) is not None:
            if known.digest == command.digest:
                self._answers.say(key[0], known.result)
            else:
                self._answers.say(key[0], self._refusal(key, command, Reason.CID_CONFLICT, Executed.NO, (), now_s))
            return
        reason = authorise(command, record, topic_operator=operator, car=self._car, floor_unix_s=0)
        if reason is None:
            reason = judge_freshness(self._session.sid, self._counters.get(command.kid), command, now_ms)
            if reason is Reason.STALE_SESSION:
                self._reject(key, command, reason, (), now_s)
                self._greet(key[0], now_s, command.cid)
                return
        evidence: tuple[Reading, ...] = ()
        if reason is None:
            reason, evidence = self._refusal_now(command, now_s)
        if reason is not None:
            self._reject(key, command, reason, evidence, now_s)
        elif command.action == Action.REPORT:
            self._report(key, command, now_s)
        else:
            self._begin(command, now_s)

    def _refusal_now(self, command: Command, now_s: float) -> tuple[Reason | None, tuple[Reading, ...]]:
        """Steps 13 to 16: limits, what this car can do, the first asking of the preconditions, and who is busy."""
        if self._is_stopping:
            return Reason.SHUTTING_DOWN, ()
        if self._has_failed:
            return Reason.STORAGE, ()
        if command.action == Action.REPORT:
            return None, ()
        self._key_buckets[command.kid], has_room = self._key_buckets[command.kid].take(now_s)
        if not has_room:
            return Reason.RATE_LIMITED, ()
        recipe = self._profile.recipes.get(Action(command.action))
        if recipe is None:
            return Reason.UNSUPPORTED_ACTION, ()
        reason, evidence = self._first_asking(recipe, now_s)
        if reason is None and self._running is not None and not self._is_superseded_by(command):
            reason = Reason.BUSY
        return reason, evidence

    def _first_asking(self, recipe: Recipe, now_s: float) -> tuple[Reason | None, tuple[Reading, ...]]:
        """Amendment A3: a fresh value that forbids refuses; on a sleeping bus missing values do not."""

        def read(path: str) -> Reading:
            return self._telemetry.reading(path, now_s)

        state = self._telemetry.state_of(recipe.bus)
        if state in (BusState.DOWN, BusState.GONE):
            return Reason.CAN_DOWN, ()
        if state is BusState.BUS_OFF:
            return Reason.BUS_OFF, ()
        if self._telemetry.is_asleep(recipe.bus, now_s):
            if recipe.wake is None:
                return Reason.BUS_ASLEEP, ()
            return permit_asleep(recipe.preconditions, read)
        return permit(recipe.preconditions, read, now_s, None)

    def _is_superseded_by(self, command: Command) -> bool:
        """Amendment A9: a lock supersedes a running unlock; nothing else supersedes anything."""
        running = self._running
        return running is not None and running.command.action == Action.UNLOCK and command.action == Action.LOCK

    def _begin(self, command: Command, now_s: float) -> None:
        if self._running is not None:
            self._take_steps(self._running.lifecycle.supersede(now_s), now_s)
        recipe = self._profile.recipes[Action(command.action)]
        unix_s = self._session.unix_s(now_s)
        if (pruned := self._ledger.prune(unix_s)) is not None:
            self._pending.persist(pruned)
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
        # Only here: a refusal changes nothing, so no refused command can shut out another.
        self._counters[command.kid] = command.counter

        def permits(asked_at_s: float, since_s: float | None) -> tuple[Reason | None, tuple[Reading, ...]]:
            def read(path: str) -> Reading:
                return self._telemetry.reading(path, asked_at_s)

            return permit(recipe.preconditions, read, asked_at_s, since_s)

        lifecycle = Lifecycle(
            command,
            recipe,
            now_s=now_s,
            session_started_s=self._session.started_s,
            is_bus_asleep=self._telemetry.is_asleep(recipe.bus, now_s),
            permits=permits,
            tokens=self._frame_tokens,
        )
        self._running = Running(command, recipe.bus, lifecycle, self._pending.persist(intent))
        self._pending.log(
            Level.INFO,
            "command_accepted",
            command=Action(command.action).name.lower(),
            cid=command.cid.hex(),
            operator=command.operator,
        )

    def _report(self, key: Key, command: Command, now_s: float) -> None:
        """Action 6 asks for no frame and changes nothing: it is answered, not journalled."""
        readings = [self._telemetry.reading(path, now_s) for path in REPORT_PATHS if path in self._profile.paths]
        outcome = Outcome(
            Stage.EXECUTED_UNVERIFIED,
            Reason.OK,
            Executed.YES,
            evidence_of(readings, now_s),
        )
        result = self._answers.result(key[0], command.cid, command.digest, outcome, now_s)
        self._remember(key, command, result, now_s)
        self._answers.say(key[0], result)
        self._telemetry.report_now(now_s)

    def _repeat(self, entry: JournalEntry, command: Command, key: Key, now_s: float) -> None:
        """Amendment A2: a command the journal holds is never judged again; its answer stands."""
        if judge_journal(entry.intent.digest, command) is JournalVerdict.CID_CONFLICT:
            refused = self._refusal(key, command, Reason.CID_CONFLICT, Executed.UNKNOWN, (), now_s)
            self._answers.say(key[0], refused)
        elif entry.done is not None:
            self._answers.say(key[0], entry.done.result)
        else:
            running = self._running
            if running is not None and running.command.cid == command.cid:
                stage = running.lifecycle.stage if running.is_durable else None
            else:
                stage = Stage.ACCEPTED  # interrupted by a restart; its end follows the read-back
            if stage is not None:
                self._progress(key, command.digest, stage, now_s)

    # --- rejections ---------------------------------------------------------------------------------------------

    def _reject(self, key: Key, command: Command, reason: Reason, readings: Iterable[Reading], now_s: float) -> None:
        # A2: of a session this store does not know, it cannot be said that the command was never carried out.
        executed = Executed.NO if reason is Reason.WRONG_CAR else self._ledger.executed_in(command.sid)
        is_remembered = self._ledger.may_reject(self._session.ms(now_s))
        if not is_remembered:
            # A resend is judged anew; it cannot have been carried out either way.
            reason = Reason.RATE_LIMITED
        result = self._refusal(key, command, reason, executed, readings, now_s)
        if is_remembered:
            self._remember(key, command, result, now_s)
        self._answers.say(key[0], result)
        self._pending.log(Level.INFO, "command_rejected", cid=command.cid.hex(), reason=reason.name.lower())

    def _refusal(
        self, key: Key, command: Command, reason: Reason, executed: Executed, readings: Iterable[Reading], now_s: float
    ) -> bytes:
        # An interface that is known to be down is a failure of ours, not a refusal (H98).
        stage = Stage.FAILED if reason is Reason.CAN_DOWN else Stage.REJECTED
        outcome = Outcome(stage, reason, executed, evidence_of(readings, now_s))
        return self._answers.result(key[0], command.cid, command.digest, outcome, now_s)

    def _remember(self, key: Key, command: Command, result: bytes, now_s: float) -> None:
        now_ms = self._session.ms(now_s)
        forget_at_ms = min(command.deadline_ms, now_ms + _REJECTED_AFTER_S * 1000)
        self._ledger.remember_rejection(key, Rejection(command.digest, result, forget_at_ms), now_ms)

    # --- the running command ------------------------------------------------------------------------------------

    def frame_heard(self, frame: Frame, readings: tuple[Reading, ...], now_s: float) -> None:
        if (running := self._running) is None:
            return
        if frame.bus == running.bus:
            self._take_steps(running.lifecycle.bus_awake(now_s), now_s)
        if readings and self._running is running:
            self._take_steps(running.lifecycle.readings(readings, now_s), now_s)

    def frame_sent(self, token: int, at_s: float, now_s: float) -> None:
        if (running := self._running) is not None:
            self._take_steps(running.lifecycle.frame_sent(token, at_s), now_s)

    def frame_not_sent(self, token: int, reason: Reason, now_s: float) -> None:
        if (running := self._running) is not None:
            self._take_steps(running.lifecycle.frame_not_sent(token, reason, now_s), now_s)

    def stored(self, token: int, now_s: float) -> None:
        running = self._running
        if running is None or token != running.intent_token:
            return
        running.is_durable = True
        self._take_steps(running.lifecycle.stored(now_s), now_s)

    def store_failed(self, now_s: float) -> None:
        """Whatever was not durable yet is refused; what was is left to the next start, which says `interrupted`."""
        self._has_failed = True
        running, self._running = self._running, None
        if running is not None and not running.is_durable:
            command, key = running.command, _key(running.command)
            self._ledger.forget_begun(key)
            self._answers.say(key[0], self._refusal(key, command, Reason.STORAGE, Executed.NO, (), now_s))

    def stop(self, now_s: float, *, is_final: bool) -> None:
        self._is_stopping = True
        if self._running is not None:
            self._take_steps(self._running.lifecycle.stop(now_s, is_final=is_final), now_s)

    def handle_timer(self, now_s: float) -> None:
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
        self._answers.handle_timer(now_s)

    def next_timer(self) -> float:
        wanted = [self._answers.next_timer()]
        if self._running is not None and (at_s := self._running.lifecycle.next_timer()) is not None:
            wanted.append(at_s)
        if self._interrupted:
            wanted.append(self._readback_at_s)
        return min(wanted)

    def _take_steps(self, steps: Iterable[Step], now_s: float) -> None:
        for step in steps:
            running = self._running
            if running is None:
                return
            match step:
                case Send(frame, token, not_after_s):
                    # SR-01, first place: the adapter checks again, against a list of its own.
                    if is_on_send_list(frame, self._profile.send_list):
                        self._pending.send(frame, token, not_after_s)
                    else:
                        self._pending.log(Level.ERROR, "frame_not_on_send_list", bus=frame.bus, id=frame.arbitration_id)
                        self.frame_not_sent(token, Reason.INTERNAL, now_s)
                case Progress(stage):
                    self._progress(_key(running.command), running.command.digest, stage, now_s)
                case Finish(outcome):
                    self._running = None
                    entry = self._ledger.find(_key(running.command))
                    if entry is not None:
                        self._finish(entry.intent, outcome, now_s)

    def _finish(self, intent: Intent, outcome: Outcome, now_s: float) -> None:
        """The end of a command: durable first, then told."""
        sequence = self._pending.next_sequence()
        key = (intent.operator, intent.cid)
        result = self._answers.result(*key, intent.digest, outcome, now_s, sequence=sequence)
        done = Done(intent.operator, intent.cid, outcome.stage, outcome.reason, outcome.executed, result, sequence)
        self._ledger.finish(done)
        self._pending.persist(done)
        self._answers.owe(key, result)
        self._pending.log(
            Level.NOTICE,
            "command_finished",
            command=Action(intent.action).name.lower(),
            cid=intent.cid.hex(),
            stage=outcome.stage.name.lower(),
            reason=outcome.reason.name.lower(),
            executed=outcome.executed.name.lower(),
        )
        self._telemetry.report_now(now_s)

    def _readback(self, intent: Intent, now_s: float) -> tuple[Evidence, ...]:
        """What the bus shows now of the state an interrupted command was to bring about."""
        recipe = self._profile.recipes.get(Action(intent.action))
        feedback = () if recipe is None else recipe.feedback
        return evidence_of([self._telemetry.reading(wanted.path, now_s) for wanted in feedback], now_s)

    # --- the link -----------------------------------------------------------------------------------------------

    def connected(self, now_s: float) -> None:
        for operator in dict.fromkeys(record.operator for record in self._keys.values()):
            self._greet(operator, now_s, None)
        self._answers.connected()

    def disconnected(self) -> None:
        self._answers.disconnected()

    def published(self, token: int, refusal: str | None, now_s: float) -> None:
        if (key := self._answers.published(token, refusal, now_s)) is not None:
            self._pending.persist(self._ledger.delivered(key))

    def _greet(self, operator: int, now_s: float, nonce: bytes | None) -> None:
        counters = {kid: counter for kid, counter in self._counters.items() if self._keys[kid].operator == operator}
        self._answers.greet(operator, counters, now_s, nonce)

    def _progress(self, key: Key, digest: bytes, stage: Stage, now_s: float) -> None:
        outcome = Outcome(stage, Reason.OK, Executed.UNKNOWN)
        self._answers.say(key[0], self._answers.result(*key, digest, outcome, now_s))

    def _drop(self, why: str) -> None:
        """Not answered and not quoted: only counted."""
        self.dropped[why] += 1


def _key(command: Command) -> Key:
    return command.operator, command.cid
