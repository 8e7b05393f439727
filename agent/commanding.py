"""The engine from right to left: a delivery to a verdict, and from there to acting or to a refusal.

The order of the checks is the protocol's (`PROTOCOL.md`, "Order of checks").
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from agent.ability import sends_on
from agent.acting import Acting
from agent.answers import Answers
from agent.command.envelope import MessageKind, Ping
from agent.command.evidence import evidence_of
from agent.command.replay import (
    JournalVerdict,
    TokenBucket,
    command_bucket,
    inbound_bucket,
    judge_freshness,
    judge_journal,
)
from agent.command.trust import BundleRefusal, DocumentKind
from agent.command.verify import Dropped, KeyRecord, authorise, verify
from agent.ledger import Key, Ledger, Rejection
from agent.link_watch import LinkProblem, LinkWatch
from agent.model.command import STATE_REASONS, Action, Command, ConditionAnswer, Executed, Outcome, Reason, Stage
from agent.model.effects import Acknowledge, Level
from agent.model.events import Delivery
from agent.model.reading import Reading
from agent.model.recipe import Recipe
from agent.model.records import JournalEntry
from agent.pending import Pending
from agent.policy.permits import permit, permit_asleep, permit_bus
from agent.profiles.schema import Profile
from agent.returning import Returning
from agent.session import Session
from agent.telemetry import Telemetry
from agent.trusting import Trusting
from agent.uplink.wire import Topics

# Readings reported on request: what fits beside the rest in one envelope.
REPORT_PATHS = (
    "Vehicle.Carshare.CentralLock.IsLocked",
    "Vehicle.Carshare.IsDriveEnabled",
    "Vehicle.Powertrain.TractionBattery.StateOfCharge.Displayed",
    "Vehicle.TraveledDistance",
    "Vehicle.Speed",
)

_REJECTED_AFTER_S = 300

# Whoever can read the broker must not learn from our events which key ids there are (H140).
_UNTOLD = frozenset({"unknown_key", "bad_signature"})


class Commanding:
    """Verdicts on deliveries: dropped, answered again, refused, or handed to `Acting`."""

    def __init__(
        self,
        profile: Profile,
        car: bytes,
        trusting: Trusting,
        session: Session,
        pending: Pending,
        telemetry: Telemetry,
        ledger: Ledger,
        answers: Answers,
        acting: Acting,
        link_watch: LinkWatch,
        returning: Returning,
        now_s: float,
    ) -> None:
        self._profile = profile
        self._car = car
        self._topics = Topics(car)
        self._trusting = trusting
        self._session = session
        self._pending = pending
        self._telemetry = telemetry
        self._ledger = ledger
        self._answers = answers
        self._acting = acting
        self._link_watch = link_watch
        self._returning = returning
        self._counters: dict[bytes, int] = {}
        self._bucket = inbound_bucket(now_s)
        self._buckets: dict[tuple[bytes, bool], TokenBucket] = {}
        self._refuse_all: Reason | None = None
        self.dropped: Counter[str] = Counter()

    def refuse_all(self, reason: Reason) -> None:
        """Take nothing new from here on: the agent is to end, or its store has failed."""
        self._refuse_all = self._refuse_all or reason

    def status(self) -> dict[str, object]:
        """For the local status socket."""
        command = self._acting.command
        running = None if command is None else Action(command.action).name.lower()
        return {"running": running, "journal": len(self._ledger), "dropped": dict(self.dropped)}

    # --- deliveries ---------------------------------------------------------------------------------------------

    def receive_delivery(self, delivery: Delivery, now_s: float) -> None:
        """Decide one delivery. Its acknowledgement is queued last: behind the intent, if there is one."""
        self._bucket, has_room = self._bucket.take(now_s)
        addressed = self._topics.parse(delivery.topic)
        if not has_room:
            self._drop("flood", now_s)
        elif addressed is not None and addressed[1] == DocumentKind.BUNDLE and self._trusting.is_rooted:
            self._bundle(delivery.payload, now_s)
        elif addressed is None or addressed[1] not in (MessageKind.CMD, MessageKind.PING):
            self._drop("topic", now_s)
        else:
            operator, kind = addressed[0], MessageKind(addressed[1])
            found = verify(kind, delivery.payload, is_retained=delivery.is_retained, keys=self._trusting.keys)
            if isinstance(found, Dropped):
                self._drop(found.why, now_s)
            elif isinstance(found.message, Ping):
                self._ping(found.message, found.record, operator, now_s)
            else:
                self._command(found.message, found.record, operator, now_s)
        self._pending.add(Acknowledge(delivery.delivery_id))

    def _bundle(self, raw: bytes, now_s: float) -> None:
        """Whichever operator's topic brings it, only its signatures count; retained or not is all the same."""
        if self._refuse_all is not None:
            self._drop("bundle_stopping", now_s)
            return
        refusal = self._trusting.offer(raw, now_s)
        if refusal is not None and refusal is not BundleRefusal.PRESENT:
            self._drop(f"bundle_{refusal.value}", now_s)

    def _ping(self, ping: Ping, record: KeyRecord, operator: int, now_s: float) -> None:
        reason = self._authorise(ping, record, operator, now_s)
        if reason is not None:
            self._drop(f"ping_{reason.name.lower()}", now_s)
            return
        self._greet(record.operator, now_s, ping.nonce)

    def _authorise(self, message: Command | Ping, record: KeyRecord, operator: int, now_s: float) -> Reason | None:
        floor_unix_s = self._trusting.floor_unix_s(now_s)
        return authorise(message, record, topic_operator=operator, car=self._car, floor_unix_s=floor_unix_s)

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
                executed = self._ledger.executed_in(command.sid)
                self._answers.say(key[0], self._refusal(key, command, Reason.CID_CONFLICT, executed, (), now_s))
            return
        reason = self._authorise(command, record, operator, now_s)
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
        elif command.action == Action.CHECK_RETURN:
            self._confirm(key, command, evidence, now_s)
        else:
            # Only here: a refusal changes nothing, so no refused command can shut out another.
            self._counters[command.kid] = command.counter
            self._acting.begin(command, self._profile.recipes[Action(command.action)], now_s)

    def _refusal_now(self, command: Command, now_s: float) -> tuple[Reason | None, tuple[Reading, ...]]:
        """Steps 13 to 16: limits, what this car can do, the first asking of the preconditions, and who is busy."""
        if self._refuse_all is not None:
            return self._refuse_all, ()
        if command.action == Action.REPORT:
            return None, ()
        if command.action == Action.CHECK_RETURN:
            return self._returning.verdict(command.operator, now_s)
        recipe = self._profile.recipes.get(Action(command.action))
        if recipe is None:
            return Reason.UNSUPPORTED_ACTION, ()
        reason, evidence = self._first_asking(recipe, now_s)
        running = self._acting.command
        if reason is None and running is not None and not _supersedes(command, running):
            reason = Reason.BUSY
        if reason is None and not self._has_journal_room(now_s):
            reason = Reason.STORAGE
        if reason is None and not self._has_rate(command, now_s):
            reason = Reason.RATE_LIMITED
        return reason, evidence

    def _first_asking(self, recipe: Recipe, now_s: float) -> tuple[Reason | None, tuple[Reading, ...]]:
        """Amendment A3: a fresh value that forbids refuses; on a sleeping bus missing values do not."""

        def read(path: str) -> Reading:
            return self._telemetry.reading(path, now_s)

        for bus in sorted(sends_on(recipe)):
            state, shown = self._telemetry.state_of(bus), self._telemetry.shown_by(bus)
            if (reason := permit_bus(recipe.action, state, shown)) is not None:
                return reason, ()
        if recipe.bus is not None and self._telemetry.is_asleep(recipe.bus, now_s):
            if recipe.wake is None:
                return Reason.BUS_ASLEEP, ()
            return permit_asleep(recipe.preconditions, read)
        return permit(recipe.preconditions, read, now_s, None)

    def _has_rate(self, command: Command, now_s: float) -> bool:
        """Amendment A8, for each key; locks have a measure of their own, which no number of unlocks uses up (SR-06)."""
        which = (command.kid, command.action == Action.LOCK)
        bucket = self._buckets.get(which) or command_bucket(now_s)
        self._buckets[which], has_room = bucket.take(now_s)
        return has_room

    def _has_journal_room(self, now_s: float) -> bool:
        if (pruned := self._ledger.prune(self._session.unix_s(now_s))) is not None:
            self._pending.persist(pruned)
        return self._ledger.has_room()

    def _report(self, key: Key, command: Command, now_s: float) -> None:
        readings = [self._telemetry.reading(path, now_s) for path in REPORT_PATHS if path in self._profile.paths]
        self._confirm(key, command, readings, now_s)
        self._telemetry.state_wanted()

    def _confirm(self, key: Key, command: Command, readings: Iterable[Reading], now_s: float) -> None:
        """Actions 6 and 7 ask for no frame and change nothing: they are answered, not journalled."""
        conditions = self._conditions(command, Reason.OK, now_s)
        evidence = evidence_of(readings, now_s)
        outcome = Outcome(Stage.EXECUTED_UNVERIFIED, Reason.OK, Executed.YES, evidence, conditions)
        result = self._answers.result(key[0], command.cid, command.digest, outcome, now_s)
        self._remember(key, command, result, now_s)
        self._answers.say(key[0], result)

    def _repeat(self, entry: JournalEntry, command: Command, key: Key, now_s: float) -> None:
        """Amendment A2: a command the journal holds is never judged again; its answer stands."""
        if judge_journal(entry.intent.digest, command) is JournalVerdict.CID_CONFLICT:
            refused = self._refusal(key, command, Reason.CID_CONFLICT, Executed.UNKNOWN, (), now_s)
            self._answers.say(key[0], refused)
        elif entry.done is not None:
            self._answers.say(key[0], entry.done.result)
        elif (stage := self._acting.stage_of(command)) is not None:
            outcome = Outcome(stage, Reason.OK, Executed.UNKNOWN)
            self._answers.say(key[0], self._answers.result(*key, command.digest, outcome, now_s))

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
        conditions = self._conditions(command, reason, now_s)
        outcome = Outcome(stage, reason, executed, evidence_of(readings, now_s), conditions)
        return self._answers.result(key[0], command.cid, command.digest, outcome, now_s)

    def _conditions(self, command: Command, reason: Reason, now_s: float) -> tuple[ConditionAnswer, ...]:
        """Of the end of a rental, for who asked and was let as far as the car's state."""
        if command.action != Action.CHECK_RETURN or not (reason is Reason.OK or reason in STATE_REASONS):
            return ()
        return self._returning.conditions(command.operator, now_s)

    def _remember(self, key: Key, command: Command, result: bytes, now_s: float) -> None:
        now_ms = self._session.ms(now_s)
        forget_at_ms = min(command.deadline_ms, now_ms + _REJECTED_AFTER_S * 1000)
        self._ledger.remember_rejection(key, Rejection(command.digest, result, forget_at_ms), now_ms)

    # --- the link -----------------------------------------------------------------------------------------------

    def connected(self, now_s: float) -> None:
        """Greet every operator."""
        for operator in self._trusting.operators:
            self._greet(operator, now_s, None)

    def trust_changed(self, now_s: float) -> None:
        """Another bundle is in force: forget what was kept of keys that are known no more, and tell its version."""
        keys = self._trusting.keys
        self._counters = {kid: counter for kid, counter in self._counters.items() if kid in keys}
        self._buckets = {which: bucket for which, bucket in self._buckets.items() if which[0] in keys}
        if self._answers.is_connected:
            self.connected(now_s)

    def _greet(self, operator: int, now_s: float, nonce: bytes | None) -> None:
        counters = {kid: self._counters[kid] for kid in self._trusting.command_kids(operator) if kid in self._counters}
        self._answers.greet(
            operator,
            counters,
            now_s,
            nonce,
            floor_unix_s=self._trusting.floor_unix_s(now_s),
            bundle_version=self._trusting.version,
        )

    def _drop(self, why: str, now_s: float) -> None:
        """Not answered and not quoted: only counted, and said so once an hour (H20)."""
        self.dropped[why] += 1
        if why not in _UNTOLD:
            self._link_watch.note(LinkProblem.DELIVERIES_DROPPED, f"last for {why}", now_s)


def _supersedes(command: Command, running: Command) -> bool:
    """Amendment A9: a lock supersedes a running unlock; nothing else supersedes anything."""
    return running.action == Action.UNLOCK and command.action == Action.LOCK
