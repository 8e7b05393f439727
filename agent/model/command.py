"""Commands, their results, and the closed sets both are made of (csa1 protocol, `agent/PROTOCOL.md`)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from agent.model.quick_dataclass import dataclass
from agent.model.reading import Quality, Value

EVIDENCE_MAX: Final = 8
"""Pieces of evidence in one result: with paths of usual length they fit into an envelope beside the rest."""


class Action(IntEnum):
    """Target states only: no action toggles."""

    UNLOCK = 1
    LOCK = 2
    ENABLE_DRIVE = 3
    DISABLE_DRIVE = 4
    LOCATE = 5
    REPORT = 6
    CHECK_RETURN = 7


class Stage(IntEnum):
    """How far a command has come; 3 and above are final."""

    ACCEPTED = 1
    EXECUTING = 2
    VERIFIED = 3
    EXECUTED_UNVERIFIED = 4
    FAILED = 5
    REJECTED = 6
    INTERRUPTED = 7

    @property
    def is_final(self) -> bool:
        return self >= Stage.VERIFIED


class Executed(IntEnum):
    """Whether the world may have changed."""

    NO = 0
    YES = 1
    UNKNOWN = 2


class Condition(IntEnum):
    """What may have to hold for a rental to end: the union of what operators ask for."""

    IGNITION_OFF = 1
    NOT_MOVING = 2
    DOORS_CLOSED = 3
    WINDOWS_CLOSED = 4
    LIGHTS_OFF = 5
    KEY_IN_HOLDER = 6
    CARDS_IN_HOLDER = 7
    PLUGGED = 8
    ENERGY = 9
    IN_ZONE = 10
    LOCKED = 11


class Answer(IntEnum):
    """Whether a condition holds."""

    NO = 0
    YES = 1
    UNKNOWN = 2


class Reason(IntEnum):
    """Why. The numbers are on the wire and never change; the names are their words in JSON and logs."""

    OK = 0
    VERSION = 10
    WRONG_CAR = 11
    BAD_PARAMS = 12
    UNSUPPORTED_ACTION = 13
    CID_CONFLICT = 14
    ROLE = 20
    TRANSPORT = 21
    KEY_EXPIRED = 22
    KEY_REVOKED = 23
    ACTION_NOT_ALLOWED = 24
    NOT_TENANT = 25
    NO_GRANT = 26
    OPERATOR_MISMATCH = 27
    WEAK_KEY = 28
    STALE_SESSION = 30
    COUNTER = 31
    EXPIRED = 32
    TTL_TOO_LONG = 33
    CHALLENGE = 34
    TIME_UNKNOWN = 35
    NOT_YET_VALID = 36
    GRANT_EXPIRED = 37
    SUPERSEDED_GRANT = 38
    REVOKED = 39
    USES_EXHAUSTED = 40
    PROOF = 41
    ISSUER_UNKNOWN = 42
    VALIDITY_TOO_LONG = 43
    LOCKED_OUT = 44
    MOVING = 50
    SPEED_UNKNOWN = 51
    IGNITION_ON = 52
    DOOR_OPEN = 53
    BUS_ASLEEP = 54
    LOW_12V = 55
    PRECONDITION_STALE = 56
    RETURN_CONDITION = 57
    CAN_DOWN = 60
    BUS_OFF = 61
    NO_STATE_CHANGE = 62
    CONFLICTING_STATE = 63
    TIMEOUT = 64
    SUPERSEDED = 65
    NEGATIVE_ANSWER = 66
    BUSY = 70
    RATE_LIMITED = 71
    STORAGE = 72
    SHUTTING_DOWN = 73
    INTERNAL = 74

    @property
    def is_temporary(self) -> bool:
        """Whether the same wish may be tried again as a new command (only ever after `executed = no`)."""
        return self in _TEMPORARY


STATE_REASONS: Final = frozenset(
    {
        Reason.MOVING,
        Reason.SPEED_UNKNOWN,
        Reason.IGNITION_ON,
        Reason.DOOR_OPEN,
        Reason.LOW_12V,
        Reason.PRECONDITION_STALE,
        Reason.RETURN_CONDITION,
    }
)
"""Those about the state of the car, which a profile may give for a condition of its own."""

_TEMPORARY = frozenset(
    {
        Reason.STALE_SESSION,
        Reason.COUNTER,
        Reason.EXPIRED,
        Reason.CHALLENGE,
        Reason.LOCKED_OUT,
        Reason.BUS_ASLEEP,
        Reason.PRECONDITION_STALE,
        Reason.CAN_DOWN,
        Reason.BUS_OFF,
        Reason.NO_STATE_CHANGE,
        Reason.TIMEOUT,
        Reason.BUSY,
        Reason.RATE_LIMITED,
        Reason.SHUTTING_DOWN,
    }
)


@dataclass(frozen=True, slots=True)
class Command:
    """A verified command: only `command.verify` makes one from bytes.

    Shapes: `car` and `sid` 8 bytes, `cid` 16, `digest` the 32 bytes of SHA-256 over the exact envelope,
    `kid` 4 bytes, `ref` 8 bytes or None; `deadline_ms` in session milliseconds.
    """

    car: bytes
    cid: bytes
    operator: int
    sid: bytes
    counter: int
    deadline_ms: int
    action: int
    kid: bytes
    digest: bytes
    parameters: Mapping[int, object] | None = None
    ref: bytes | None = None
    version: int = 1


@dataclass(frozen=True, slots=True)
class Evidence:
    """One reading that a result rests on; `age_ms` is counted back from the moment of the result."""

    path: str
    value: Value | None
    quality: Quality
    age_ms: int
    message: str


@dataclass(frozen=True, slots=True)
class ConditionAnswer:
    """One condition of the end of a rental. `value` is the one it hangs on, None if that is not known; `age_ms` its age
    at the moment of the answer, None if nothing of it was ever received."""

    condition: Condition
    answer: Answer
    value: Value | None
    age_ms: int | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a command, before it is signed; `conditions` of the end of a rental where they were asked."""

    stage: Stage
    reason: Reason
    executed: Executed
    evidence: tuple[Evidence, ...] = ()
    conditions: tuple[ConditionAnswer, ...] = ()
