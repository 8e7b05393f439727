"""What is made durable, and what is found again at start.

The `Outbox…` records go to the `telemetry` store, all others to `authority`; one `Persist` effect never mixes the two.
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
class BundleTaken:
    """A trust bundle takes the place of the one before, whole: its bytes, the tombstones from now on, and the floor.

    `floor_unix_s` is at least the date it was signed; a floor that stands higher stays.
    """

    version: int
    raw: bytes
    tombstones: tuple[Tombstone, ...]
    floor_unix_s: int


@dataclass(frozen=True, slots=True)
class FloorRaised:
    """It is now no earlier than this; a floor that stands higher stays."""

    unix_s: int


@dataclass(frozen=True, slots=True)
class FloorReset:
    """The roots set the floor anew, the only way for it to fall. Their order's id (16 bytes) is not obeyed again."""

    order_id: bytes
    unix_s: int


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


AuthorityRecord = (
    Intent
    | Done
    | ResultDelivered
    | SessionStarted
    | SequenceReserved
    | JournalPruned
    | BundleTaken
    | FloorRaised
    | FloorReset
)
TelemetryRecord = OutboxStored | OutboxRemoved
Record = AuthorityRecord | TelemetryRecord


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One command as the journal knows it."""

    intent: Intent
    done: Done | None = None
    is_delivered: bool = False


@dataclass(frozen=True, slots=True)
class RecoveredTrust:
    """The bundle last taken, by version and bytes (None: none yet), its tombstones, the floor, and resets obeyed."""

    version: int = 0
    raw: bytes | None = None
    tombstones: tuple[Tombstone, ...] = ()
    floor_unix_s: int = 0
    resets: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class Recovered:
    """What the stores held at start. `notes` are findings a person should hear of (a store made anew …)."""

    store_id: bytes
    journal: tuple[JournalEntry, ...] = ()
    sessions: frozenset[bytes] = frozenset()
    sequence_next: int = 1
    outbox: tuple[OutboxStored, ...] = ()
    trust: RecoveredTrust = RecoveredTrust()
    is_degraded: bool = False
    notes: tuple[str, ...] = ()
