"""`profile.toml` as tables: its keys and their types, before anything is looked up in a DBC.

The format is described key by key in `dbc/README.md`.  Every table refuses keys it does not know.  A table that is
None was faulty and is told already (`toml_reading`): TOML itself has no None.
"""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Literal

from agent.model.pulse import PAUSE_S_MAX, PAUSE_S_MIN, PULSE_S_MAX, PULSE_S_MIN
from agent.model.quick_dataclass import dataclass
from agent.model.table import Judged, Table, Within
from agent.profiles.schema import EVENTS_PER_HOUR_MAX

DATABASE_FILES_MAX = 32
SETTLE_S_MAX = 60.0
"""Whoever comes to the car does not wait for longer until it is known how it is."""
POLLS_MAX = 32
"""Asked for one after the other; more of them could not be answered in their time."""
POLL_PERIOD_S_MIN = 1.0
"""A control unit has better things to do than to answer; what changes faster is broadcast."""
ANSWER_BYTES_MAX = 4092
"""ISO 15765-2's longest message on classic CAN, less service and identifier."""
ANSWER_LENGTHS_MAX = 8
"""Control units of one car line differ in a few model years, not in dozens."""
SERVICES_THAT_ACT = frozenset({0x10, 0x2F, 0x30, 0x31, 0x3E})
"""Session, control of inputs and outputs (UDS, KWP 2000), routines, tester present."""
REQUEST_PAUSE_S_MIN = 0.02
"""At most 50 frames a second leave on a bus."""
NAME_PATTERN = "^[a-z][a-z0-9_]*$"

Text = Annotated[str, Within(min_length=1, max_length=1000)]
Seconds = Annotated[float, Within(gt=0, le=86_400)]
Raw = Annotated[int, Within(ge=-(1 << 63), lt=1 << 64)]
Scalar = bool | Raw | float | str
AnswerLength = Annotated[int, Within(ge=1, le=ANSWER_BYTES_MAX)]
Byte = Annotated[int, Within(ge=0, le=0xFF)]


@dataclass(frozen=True, slots=True, kw_only=True)
class BusTable(Table):
    dbc: Annotated[list[Text], Within(max_length=DATABASE_FILES_MAX)]
    bitrate_bps: Annotated[int, Within(ge=10_000, le=1_000_000)]
    fd: bool = False
    silent_after_s: Seconds
    listen_only: bool = False
    awake_with: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChecksumTable(Table):
    """`init`, `xorout` and `reflected` go with `poly`, and are 0 and false there if nothing is said."""

    signal: Text
    algorithm: Text | None = None
    poly: Annotated[int, Within(ge=1, lt=1 << 32)] | None = None
    init: Annotated[int, Within(ge=0, lt=1 << 32)] | None = None
    xorout: Annotated[int, Within(ge=0, lt=1 << 32)] | None = None
    reflected: bool | None = None
    bytes: Annotated[list[Annotated[int, Within(ge=0, le=63)]], Within(min_length=1, max_length=64)] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterTable(Table):
    signal: Text
    step_max: Annotated[int, Within(ge=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageTable(Table):
    bus: Text | None = None
    message: Text
    freshness_s: Seconds | None = None
    checksum: ChecksumTable | None = None
    counter: CounterTable | None = None
    every_frame: bool = False
    also_on: Annotated[list[Text], Within(max_length=7)] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitByTable(Table):
    message: Text
    signal: Text
    units: Annotated[dict[str, str], Within(min_length=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidWhenTable(Table):
    message: Text
    signal: Text
    values: Annotated[list[Raw | Text], Within(min_length=1, max_length=64)]


@dataclass(frozen=True, slots=True, kw_only=True)
class PaceTable(Table):
    interval_s: Annotated[float, Within(ge=0.0, le=86_400)]
    repeat_s: Annotated[float, Within(gt=0.0, le=86_400)] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportTable(Table):
    deadband: Annotated[float, Within(ge=0.0)] = 0.0
    interval_s: Annotated[float, Within(ge=0.0, le=86_400)] = 1.0
    event: bool | None = None
    debounce_s: Annotated[float, Within(ge=0.0, le=10.0)] = 0.25
    events_per_hour: Annotated[int, Within(ge=1, le=600)] = EVENTS_PER_HOUR_MAX
    driving: PaceTable | None = None
    charging: PaceTable | None = None
    awake: PaceTable | None = None
    asleep: PaceTable | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalTable(Table):
    path: Text
    bus: Text | None = None
    message: Text
    signal: Text
    unit: str | None = None
    invalid: list[Raw | Text] = field(default_factory=list)
    min: float | None = None
    max: float | None = None
    freshness_s: Seconds | None = None
    choices: Annotated[dict[str, Scalar], Within(min_length=1)] | None = None
    unit_by: UnitByTable | None = None
    valid_when: ValidWhenTable | None = None
    settle_s: Annotated[float, Within(gt=0.0, le=SETTLE_S_MAX)] | None = None
    max_step: Annotated[float, Within(gt=0.0)] | None = None
    report: ReportTable = ReportTable()


@dataclass(frozen=True, slots=True, kw_only=True)
class PollValueTable(Table):
    """`byte` counts from the first one after service and identifier; `bit` from the lowest of the value's last byte."""

    path: Text
    when_length: Annotated[list[int], Within(min_length=1, max_length=ANSWER_LENGTHS_MAX)] | None = None
    byte: Annotated[int, Within(ge=0, lt=ANSWER_BYTES_MAX)]
    bits: Annotated[int, Within(ge=1, le=64)] = 8
    bit: Annotated[int, Within(ge=0, le=7)] = 0
    signed: bool = False
    little_endian: bool = False
    scale: float = 1.0
    offset: float = 0.0
    unit: str | None = None
    invalid: list[Raw | Text] = field(default_factory=list)
    min: float | None = None
    max: float | None = None
    choices: Annotated[dict[str, Scalar], Within(min_length=1)] | None = None
    report: ReportTable = ReportTable()


@dataclass(frozen=True, slots=True, kw_only=True)
class PollTable(Table):
    """Of all services only the two that read: nothing can be asked for that changes the car."""

    name: Annotated[str, Within(pattern=NAME_PATTERN, max_length=64)]
    bus: Text | None = None
    request_id: Annotated[int, Within(ge=0, lt=1 << 29)]
    response_id: Annotated[int, Within(ge=0, lt=1 << 29)]
    extended_id: bool = False
    address: Byte | None = None
    tester_address: Byte | None = None
    padding: Byte = 0x00
    service: Literal[0x21, 0x22]
    identifier: Annotated[int, Within(ge=0, le=0xFFFF)]
    period_s: Annotated[float, Within(ge=POLL_PERIOD_S_MIN, le=86_400)]
    freshness_s: Seconds | None = None
    lengths: Annotated[list[AnswerLength], Within(min_length=1, max_length=ANSWER_LENGTHS_MAX)]
    longer: bool = False
    values: Annotated[list[PollValueTable], Within(min_length=1, max_length=64)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClauseTable(Table):
    path: Text
    equals: Scalar | None = None
    min: float | None = None
    max: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RiseTable(Table):
    path: Text
    equals: Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class DerivedTable(Table):
    """One of `all`, `any`, `product` and `rises` says how."""

    path: Text
    all: Annotated[list[ClauseTable], Within(min_length=1, max_length=16)] | None = None
    any: Annotated[list[ClauseTable], Within(min_length=1, max_length=16)] | None = None
    product: Annotated[list[Text], Within(min_length=1, max_length=4)] | None = None
    factor: Annotated[float, Within(gt=0.0)] | None = None
    rises: RiseTable | None = None
    report: ReportTable = ReportTable()


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameTable(Table):
    bus: Text | None = None
    message: Text
    values: dict[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PulseTable(Table):
    """`times`: a lock that opens one door at the first press and all at the second wants two."""

    line: Annotated[str, Within(pattern=NAME_PATTERN, max_length=64)]
    pulse_s: Annotated[float, Within(ge=PULSE_S_MIN, le=PULSE_S_MAX)]
    pause_s: Annotated[float, Within(ge=PAUSE_S_MIN, le=PAUSE_S_MAX)]
    times: Annotated[int, Within(ge=1, le=4)] = 1


def _that_acts(send: list[int]) -> list[int]:
    if send[0] not in SERVICES_THAT_ACT:
        raise ValueError("a service that acts: " + ", ".join(f"{each:#x}" for each in sorted(SERVICES_THAT_ACT)))
    return send


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestTable(Table):
    """`send` is the whole request, service first; `answer` how a positive answer begins. Services that move something,
    or open or hold a session: none that writes, erases or resets."""

    send: Annotated[Annotated[list[Byte], Within(min_length=1, max_length=7)], Judged(_that_acts)]
    answer: Annotated[list[Byte], Within(min_length=1, max_length=7)] | None = None
    answer_s: Annotated[float, Within(ge=0.05, le=5.0)] = 1.0
    pause_s: Annotated[float, Within(ge=REQUEST_PAUSE_S_MIN, le=2.0)] = 0.1
    times: Annotated[int, Within(ge=1, le=10)] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeTable(Table):
    """With one control unit, request by request, each after the positive answer to the one before."""

    bus: Text | None = None
    request_id: Annotated[int, Within(ge=0, lt=1 << 29)]
    response_id: Annotated[int, Within(ge=0, lt=1 << 29)]
    extended_id: bool = False
    address: Byte | None = None
    tester_address: Byte | None = None
    padding: Byte = 0x00
    requests: Annotated[list[RequestTable], Within(min_length=1, max_length=16)]


@dataclass(frozen=True, slots=True, kw_only=True)
class WakeTable(Table):
    bus: Text | None = None
    frames: Annotated[list[FrameTable], Within(min_length=1, max_length=16)]
    tries_max: Annotated[int, Within(ge=1, le=200)]
    interval_s: Annotated[float, Within(ge=0.005, le=10.0)]
    settle_s: Annotated[float, Within(ge=0.0, le=30.0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class PreconditionTable(Table):
    path: Text
    reason: Text
    equals: Scalar | None = None
    min: float | None = None
    max: float | None = None
    unknown: Text | None = None
    stale: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnConditionTable(PreconditionTable):
    condition: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackTable(Table):
    path: Text
    equals: Scalar
    confirmations: Annotated[int, Within(ge=1, le=100)] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionTable(Table):
    """`feedback` and `preconditions` have no default: that there are none is a statement about the car.

    `frames`, `exchange` or `pulses` says what is done.
    """

    frames: Annotated[list[FrameTable], Within(max_length=16)] = field(default_factory=list)
    exchange: ExchangeTable | None = None
    pulses: Annotated[list[PulseTable], Within(max_length=4)] = field(default_factory=list)
    repeats_max: Annotated[int, Within(ge=1, le=100)]
    interval_s: Annotated[float, Within(ge=0.005, le=10.0)]
    wake: Text | None = None
    feedback: Annotated[list[FeedbackTable], Within(max_length=8)]
    feedback_window_s: Annotated[float, Within(gt=0.0, le=30.0)] | None = None
    preconditions: Annotated[list[PreconditionTable], Within(max_length=32)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileTable(Table):
    """A whole `profile.toml`, format 1."""

    format: Literal[1]
    name: Annotated[str, Within(pattern=NAME_PATTERN, max_length=64)]
    title: Text
    vss: Text
    buses: Annotated[dict[str, BusTable | None], Within(min_length=1, max_length=8)]
    messages: list[MessageTable | None] = field(default_factory=list)
    signals: Annotated[list[SignalTable | None], Within(min_length=1)]
    polls: Annotated[list[PollTable | None], Within(max_length=POLLS_MAX)] = field(default_factory=list)
    derived: Annotated[list[DerivedTable | None], Within(max_length=32)] = field(default_factory=list)
    wake: dict[str, WakeTable | None] = field(default_factory=dict)
    actions: dict[str, ActionTable | None] = field(default_factory=dict)
    return_conditions: Annotated[list[ReturnConditionTable | None], Within(max_length=16)] = field(default_factory=list)
    unsupported: dict[str, Text] = field(default_factory=dict)
