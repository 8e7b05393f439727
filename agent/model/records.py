"""What is made durable, and what is found again at start.

The `Outbox…` records, `GivenUp` and `RunNoted` go to the `telemetry` store, all others to `authority`; one
`Persist` effect never mixes the two.
"""

from __future__ import annotations

from enum import IntEnum

from agent.model.command import Executed, Reason, Stage
from agent.model.quick_dataclass import dataclass


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


class Priority(IntEnum):
    """What is given up first when there is no more room: the highest number, the oldest of it (SR-07).

    Signed results are not here: they stand in the journal until the broker has them, and are never given up.
    """

    GAP = 0
    """What was given up: never given up itself, for there is one at a time."""
    EVENT = 1
    """Commands, lock, trip, doors, charging, alarms, starts: what a rental is judged by."""
    NOTE = 2
    """Buses, clock, inputs that flap: what a technician asks for."""
    SAMPLE = 3


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
    """One numbered record waiting for the broker.

    `made_s` is when, in seconds of the agent's running time over all its runs: what its age is counted from.
    """

    sequence: int
    priority: int
    payload: bytes
    made_s: int = 0


@dataclass(frozen=True, slots=True)
class OutboxRemoved:
    """These records were acknowledged by the broker, or given up to keep the bound."""

    sequences: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """Of the numbers `first` to `last`, `count` were of records given up and `unused` of none; the others are told."""

    first: int
    last: int
    count: int
    unused: int = 0


@dataclass(frozen=True, slots=True)
class GivenUp:
    """All numbers that will not come and are not told yet; takes the place of what was said of them before."""

    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class RunNoted:
    """How this run stands: `has_ended` once it was asked to end and did, so that the next start tells a stop from a
    crash; `running_s` as in `OutboxStored`. `boot_id` is the kernel's.
    """

    boot_id: str
    has_ended: bool
    running_s: int


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
TelemetryRecord = OutboxStored | OutboxRemoved | GivenUp | RunNoted
Record = AuthorityRecord | TelemetryRecord


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One command as the journal knows it."""

    intent: Intent
    done: Done | None = None
    is_delivered: bool = False


@dataclass(frozen=True, slots=True)
class OutboxHeld:
    """A record of the outbox without its payload, which stays on the card until it is to be told."""

    sequence: int
    priority: int
    size_bytes: int
    made_s: int


@dataclass(frozen=True, slots=True)
class OutboxFound:
    """What the outbox held at start.

    `running_s` is the agent's running time over all earlier runs as far as it is known, `sequence_last` the highest
    number any record had; None if that is not known, the file being new and the car not.  `is_in_memory` if the
    card does not take it.
    """

    held: tuple[OutboxHeld, ...] = ()
    given_up: tuple[Span, ...] = ()
    running_s: int = 0
    sequence_last: int | None = 0
    last_run: RunNoted | None = None
    is_in_memory: bool = False


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
    outbox: OutboxFound = OutboxFound()
    trust: RecoveredTrust = RecoveredTrust()
    is_degraded: bool = False
    notes: tuple[str, ...] = ()
