"""What is made durable, and what is found again at start.

`Intent`, `Done`, `ResultDelivered`, `SessionStarted` and `SequenceReserved` go to the `authority` store,
the `Outbox…` records to `telemetry`; one `Persist` effect never mixes the two.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.model.command import Executed, Reason, Stage


@dataclass(frozen=True, slots=True)
class Intent:
    """A command that is about to be carried out; durable before its first frame (SR-02)."""

    operator: int
    cid: bytes
    digest: bytes
    kid: bytes
    action: int
    sid: bytes
    counter: int
    deadline_ms: int
    accepted_at_unix_s: int | None


@dataclass(frozen=True, slots=True)
class Done:
    """The end of a command: the exact signed `res` envelope that answers it from now on."""

    operator: int
    cid: bytes
    stage: Stage
    reason: Reason
    executed: Executed
    result: bytes
    sequence: int


@dataclass(frozen=True, slots=True)
class ResultDelivered:
    """The broker acknowledged the final result."""

    operator: int
    cid: bytes


@dataclass(frozen=True, slots=True)
class SessionStarted:
    """A session id was given out; kept as a dead label, never resumed."""

    sid: bytes


@dataclass(frozen=True, slots=True)
class SequenceReserved:
    """Numbers below `upto` may have been used."""

    upto: int


@dataclass(frozen=True, slots=True)
class JournalPruned:
    """These finished commands are older than anything that could still ask for them."""

    keys: tuple[tuple[int, bytes], ...]


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A key that stood in an earlier trust bundle and stands in none now: known, and revoked."""

    kid: bytes
    operator: int
    public_key: bytes
    role: int


@dataclass(frozen=True, slots=True)
class OutboxStored:
    """One numbered record waiting for the broker. Priority 0 is dropped last."""

    sequence: int
    priority: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class OutboxRemoved:
    """These records were acknowledged by the broker, or dropped to keep the bound."""

    sequences: tuple[int, ...]


AuthorityRecord = Intent | Done | ResultDelivered | SessionStarted | SequenceReserved | JournalPruned
TelemetryRecord = OutboxStored | OutboxRemoved
Record = AuthorityRecord | TelemetryRecord


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One command as the journal knows it."""

    intent: Intent
    done: Done | None = None
    is_delivered: bool = False


@dataclass(frozen=True, slots=True)
class Recovered:
    """What the stores held at start. `notes` are findings a person should hear of (a store made anew …)."""

    store_id: bytes
    journal: tuple[JournalEntry, ...] = ()
    sessions: frozenset[bytes] = frozenset()
    sequence_next: int = 1
    outbox: tuple[OutboxStored, ...] = ()
    is_degraded: bool = False
    notes: tuple[str, ...] = ()
