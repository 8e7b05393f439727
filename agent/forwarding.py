"""Numbered records on their way to the broker: made, made durable, handed over, gone once acknowledged.

Every number is accounted for.  It is that of a record; or of a signed result, which a `command` record names; or in a
span of a `gap` record, which says how many of its numbers were given up and how many no record ever had.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import takewhile

from agent.config_table import ReportingTable
from agent.model.effects import Level
from agent.model.records import (
    OutboxFound,
    OutboxRemoved,
    OutboxStored,
    Priority,
    RunNoted,
    TelemetryRecord,
)
from agent.pending import Pending
from agent.session import Session
from agent.uplink import wire
from agent.uplink.outbox import UNWRITTEN_BYTES_MAX, Outbox, Picked

# A broker that refuses a record (no right, no quota) is not asked again at once.
REFUSAL_PAUSE_S = 10.0

# A card that was full may have room again.
STORE_RETRY_S = 60.0

# What is older than this when it is handed over is no news, though the link may have been up all the time.
LATE_S = 60.0

# How often age is looked at, and how often the running time is noted while nothing else is written.
EXPIRY_INTERVAL_S = 60.0
RUNNING_NOTE_S = 3600.0

# In memory only, where the card takes nothing at start: what a Pi can spare.
MEMORY_RECORDS_MAX = 1000


class Forwarding:
    """The outbox with its numbers, its store and its link."""

    def __init__(
        self,
        topic: str,
        found: OutboxFound,
        reporting: ReportingTable,
        session: Session,
        pending: Pending,
        *,
        boot_id: str,
        now_s: float,
    ) -> None:
        self._topic = topic
        self._session = session
        self._pending = pending
        self._boot_id = boot_id
        self._started_s = now_s
        self._running_before_s = found.running_s
        self._outbox = Outbox(
            found.held,
            found.given_up,
            records_max=min(reporting.outbox_records_max, MEMORY_RECORDS_MAX if found.is_in_memory else 2**63),
            bytes_max=min(reporting.outbox_bytes_max, UNWRITTEN_BYTES_MAX if found.is_in_memory else 2**63),
            age_s_max=reporting.outbox_age_s_max,
        )
        self._first_sequence = pending.sequence_last + 1
        self._sequence_last_before = found.sequence_last
        self._last_run = found.last_run
        self._writes: dict[int, tuple[TelemetryRecord, ...]] = {}
        self._publications: dict[int, int] = {}
        self._fetching: tuple[int, tuple[Picked, ...]] | None = None
        self._stored_last = max((record.sequence for record in found.held), default=0)
        self._owed_removals: set[int] = set()
        self._failure: str | None = None
        self._is_retrying = False
        self._retry_at_s = now_s
        self._fresh_from = self._first_sequence
        self._is_connected = False
        self._hold_until_s = now_s
        self._expiry_at_s = self._handled_at_s = now_s
        self._running_note_at_s = now_s + RUNNING_NOTE_S

    # --- in -----------------------------------------------------------------------------------------------------

    def tell(self, kind: str, fields: Mapping[str, object], now_s: float, priority: Priority = Priority.EVENT) -> int:
        """Number a record and keep it until the broker has it; returns its number."""
        record = self._numbered(kind, fields, priority, now_s)
        self._persist(self._outbox.add(record))
        return record.sequence

    def tell_started(self, fields: Mapping[str, object], now_s: float) -> None:
        """The first record of a run: how the last one ended, and what became of the numbers up to here."""
        fields = {"cause": self._cause(), **fields}
        last = self._sequence_last_before
        if last is None:
            # The outbox is new and the car is not: of what is missing below nobody knows how much there was.
            fields["unknown_below"] = self._first_sequence
        elif last + 1 < self._first_sequence:
            self._outbox.skip(last + 1, self._first_sequence - 1)
        record = self._numbered("started", fields, Priority.EVENT, now_s)
        noted = RunNoted(self._boot_id, has_ended=False, running_s=self._running_s(now_s))
        # In one write: a power cut must not leave numbers skipped twice, or a start that no record shows.
        self._persist((*self._outbox.add(record), self._outbox.given_up(), noted))

    def address(self, topic: str) -> None:
        """From here on records are told there, those that wait too."""
        self._topic = topic

    def connected(self, now_s: float) -> None:
        """The link is up: what waited is told, and from here on what is made is live."""
        self._is_connected = True
        self._hold_until_s = now_s
        self._fresh_from = self._pending.sequence_last + 1
        self._outbox.link_changed()
        self.tell_gap(now_s)
        self.pump(now_s)

    def disconnected(self) -> None:
        self._is_connected = False
        self._publications.clear()
        self._fetching = None
        self._outbox.link_changed()

    def stored(self, token: int, now_s: float) -> bool:
        """A write came through; True if it was one of ours."""
        if (records := self._writes.pop(token, None)) is None:
            return False
        for record in records:
            if isinstance(record, OutboxStored):
                self._outbox.stored(record.sequence)
                self._stored_last = max(self._stored_last, record.sequence)
        if self._is_retrying:
            self._card_is_back(records, now_s)
        self.pump(now_s)
        return True

    def store_failed(self, token: int, detail: str, now_s: float) -> bool:
        """A write did not come through; True if it was one of ours, which stops no command (as H84 would).

        What it held goes on in memory, within `UNWRITTEN_BYTES_MAX`, and is offered to the card again later.
        """
        if (records := self._writes.pop(token, None)) is None:
            return False
        is_first = self._failure is None
        self._failure, self._is_retrying = detail, False
        self._retry_at_s = now_s + STORE_RETRY_S
        self._keep_in_memory(records)
        if is_first:
            self._pending.log(Level.ERROR, "telemetry_not_stored", detail=detail)
            self.tell("store", {"file": "telemetry", "is_durable": False, "detail": detail}, now_s)
        self.pump(now_s)
        return True

    def published(self, token: int, refusal: str | None, now_s: float) -> bool:
        """The broker answered for an outbox record; True if it was one of ours."""
        if (sequence := self._publications.pop(token, None)) is None:
            return False
        self._outbox.settled(sequence, is_acknowledged=refusal is None)
        if refusal is not None:
            if now_s >= self._hold_until_s:  # one line for all that were under way
                self._pending.log(Level.WARNING, "event_refused", sequence=sequence, refusal=refusal)
            self._hold_until_s = now_s + REFUSAL_PAUSE_S
        else:
            if removed := self._outbox.removals():
                self._persist((removed,))
            self.pump(now_s)
        return True

    def fetched(self, token: int, records: tuple[OutboxStored, ...], now_s: float) -> None:
        """Payloads came back from the card; one that did not is given up and counted."""
        if self._fetching is None or self._fetching[0] != token:
            return  # asked for by an earlier connection
        (_, picked), self._fetching = self._fetching, None
        payloads = {record.sequence: record.payload for record in records}
        for pick in picked:
            if (payload := pick.payload or payloads.get(pick.sequence)) is not None:
                self._publish(pick, payload, now_s)
        if lost := self._outbox.lost(
            pick.sequence for pick in picked if pick.payload is None and pick.sequence not in payloads
        ):
            self._persist(lost)
        self.pump(now_s)

    def handle_timer(self, now_s: float) -> None:
        self._handled_at_s = now_s
        if now_s >= self._expiry_at_s:
            self._expiry_at_s = now_s + EXPIRY_INTERVAL_S
            if expired := self._outbox.expire(self._running_s(now_s)):
                self._persist(expired)
            if self._is_connected:
                self.tell_gap(now_s)
        if now_s >= self._running_note_at_s:
            self._running_note_at_s = now_s + RUNNING_NOTE_S
            if len(self._outbox):
                self._persist((RunNoted(self._boot_id, has_ended=False, running_s=self._running_s(now_s)),))
        if self._failure is not None and not self._is_retrying and now_s >= self._retry_at_s:
            self._offer_again()
        self.pump(now_s)

    def next_at(self) -> float:
        """When `handle_timer` is wanted next, if nothing is told until then; what is due in minutes may be late."""
        retry_at_s = float("inf") if self._failure is None or self._is_retrying else self._retry_at_s
        is_held = self._is_connected and len(self._outbox) > 0 and self._hold_until_s > self._handled_at_s
        return min(retry_at_s, self._hold_until_s) if is_held else retry_at_s

    def end(self, now_s: float) -> None:
        """The process is asked to end: make durable what need not be told again, and that it was asked."""
        removed = self._outbox.removals(is_forced=True)
        noted = RunNoted(self._boot_id, has_ended=True, running_s=self._running_s(now_s))
        self._persist((removed, noted) if removed else (noted,))
        self.pump(now_s)

    def is_announced(self, sequence: int) -> bool:
        """Whether a record is durable, and with the broker too if there is a link."""
        return not self._outbox.holds(sequence) or not (self._is_connected or self._outbox.is_unwritten(sequence))

    def status(self) -> dict[str, object]:
        """For the local status socket."""
        return {
            "is_connected": self._is_connected,
            "outbox_records": len(self._outbox),
            "outbox_bytes": self._outbox.payload_bytes,
            "outbox_given_up": self._outbox.given_up_count,
            "outbox_is_durable": self._failure is None,
        }

    # --- out ----------------------------------------------------------------------------------------------------

    def tell_gap(self, now_s: float) -> None:
        """Say which records gave way since the last time, at most one such record at a time."""
        if spans := self._outbox.untold:
            fields = {
                "dropped": sum(span.count for span in spans),
                "unused": sum(span.unused for span in spans),
                "spans": [[span.first, span.last, span.count, span.unused] for span in spans],
            }
            self._persist(self._outbox.add_gap(self._numbered("gap", fields, Priority.GAP, now_s)))

    def pump(self, now_s: float) -> None:
        """Hand over what is durable, in order; what is not in memory any more is read back first."""
        if not self._is_connected or now_s < self._hold_until_s or self._fetching is not None:
            self._outbox.forget_payloads()
            return
        picked = self._outbox.to_send()
        at_hand = tuple(takewhile(lambda pick: pick.payload is not None, picked))
        for pick in at_hand:
            self._publish(pick, pick.payload or b"", now_s)
        if rest := picked[len(at_hand) :]:
            wanted = tuple(pick.sequence for pick in rest if pick.payload is None)
            self._fetching = (self._pending.fetch(wanted), rest)

    def _publish(self, pick: Picked, payload: bytes, now_s: float) -> None:
        if not self._outbox.is_under_way(pick.sequence):
            return
        is_late = pick.sequence < self._fresh_from or self._running_s(now_s) - pick.made_s > LATE_S
        token = self._pending.publish_tracked(self._topic, wire.as_historical(payload) if is_late else payload)
        self._publications[token] = pick.sequence

    def _numbered(self, kind: str, fields: Mapping[str, object], priority: Priority, now_s: float) -> OutboxStored:
        sequence = self._pending.next_sequence()
        payload = wire.named_record(kind, sequence, self._session.moment(now_s), fields)
        return OutboxStored(sequence, priority, payload, self._running_s(now_s))

    def _running_s(self, now_s: float) -> int:
        """Running time over all runs, which no clock can change; whole seconds are enough for a bound of days."""
        return self._running_before_s + int(now_s - self._started_s)

    # --- store --------------------------------------------------------------------------------------------------

    def _persist(self, records: tuple[TelemetryRecord, ...]) -> None:
        if self._failure is not None:
            self._keep_in_memory(records)
        elif records:
            self._writes[self._pending.persist(*records)] = records

    def _keep_in_memory(self, records: tuple[TelemetryRecord, ...]) -> None:
        for record in records:
            match record:
                case OutboxStored(sequence):
                    self._outbox.not_stored(sequence)
                case OutboxRemoved(sequences):
                    self._owed_removals.update(number for number in sequences if number <= self._stored_last)

    def _owed(self) -> tuple[TelemetryRecord, ...]:
        """All that the card should hold and does not, or holds and should not."""
        removed = (OutboxRemoved(tuple(sorted(self._owed_removals))),) if self._owed_removals else ()
        return (*self._outbox.volatile, *removed, self._outbox.given_up())

    def _offer_again(self) -> None:
        self._is_retrying = True
        records = self._owed()
        self._writes[self._pending.persist(*records)] = records

    def _card_is_back(self, written: tuple[TelemetryRecord, ...], now_s: float) -> None:
        """What was offered is durable; what came up meanwhile is made so now."""
        self._is_retrying, self._failure = False, None
        for record in written:
            match record:
                case OutboxStored(sequence) if not self._outbox.holds(sequence):
                    self._owed_removals.add(sequence)  # acknowledged or given up while it was being written
                case OutboxRemoved(sequences):
                    self._owed_removals.difference_update(sequences)
        self._persist(self._owed())
        self._owed_removals.clear()
        self._pending.log(Level.NOTICE, "telemetry_stored_again")
        self.tell("store", {"file": "telemetry", "is_durable": True}, now_s)

    # --- the run before -----------------------------------------------------------------------------------------

    def _cause(self) -> str:
        """Why this run began: `first_start`, `stopped` (asked to end, and did), `crashed`, or `power_or_reboot`."""
        match self._last_run:
            case None:
                return "first_start"
            case RunNoted(has_ended=True):
                return "stopped"
            case RunNoted(boot_id) if boot_id == self._boot_id:
                return "crashed"
        return "power_or_reboot"
