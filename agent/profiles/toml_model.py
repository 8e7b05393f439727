"""`profile.toml` as tables: its keys and their types, before anything is looked up in a DBC.

The format is described key by key in `dbc/README.md`.  Every table refuses keys it does not know.  A table that is
None was faulty and is told already (`toml_reading`): TOML itself has no None.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from agent.model.pulse import PAUSE_S_MAX, PAUSE_S_MIN, PULSE_S_MAX, PULSE_S_MIN
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

Text = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Raw = Annotated[int, Field(ge=-(1 << 63), lt=1 << 64)]
Scalar = bool | Raw | float | str
Byte = Annotated[int, Field(ge=0, le=0xFF)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class BusTable(_Table):
    dbc: list[Text] = Field(max_length=DATABASE_FILES_MAX)
    bitrate_bps: int = Field(ge=10_000, le=1_000_000)
    fd: bool = False
    silent_after_s: Seconds
    listen_only: bool = False
    awake_with: Text | None = None


class ChecksumTable(_Table):
    signal: Text
    algorithm: Text | None = None
    poly: int | None = Field(default=None, ge=1, lt=1 << 32)
    init: int = Field(default=0, ge=0, lt=1 << 32)
    xorout: int = Field(default=0, ge=0, lt=1 << 32)
    reflected: bool = False
    bytes: list[Annotated[int, Field(ge=0, le=63)]] | None = Field(default=None, min_length=1, max_length=64)


class CounterTable(_Table):
    signal: Text
    step_max: int = Field(ge=1)


class MessageTable(_Table):
    bus: Text | None = None
    message: Text
    freshness_s: Seconds | None = None
    checksum: ChecksumTable | None = None
    counter: CounterTable | None = None
    every_frame: bool = False
    also_on: list[Text] = Field(default=[], max_length=7)


class UnitByTable(_Table):
    message: Text
    signal: Text
    units: dict[str, str] = Field(min_length=1)


class ValidWhenTable(_Table):
    message: Text
    signal: Text
    values: list[Raw | Text] = Field(min_length=1, max_length=64)


class PaceTable(_Table):
    interval_s: float = Field(ge=0.0, le=86_400)
    repeat_s: float | None = Field(default=None, gt=0.0, le=86_400)


class ReportTable(_Table):
    deadband: float = Field(default=0.0, ge=0.0)
    interval_s: float = Field(default=1.0, ge=0.0, le=86_400)
    event: bool | None = None
    debounce_s: float = Field(default=0.25, ge=0.0, le=10.0)
    events_per_hour: int = Field(default=EVENTS_PER_HOUR_MAX, ge=1, le=600)
    driving: PaceTable | None = None
    charging: PaceTable | None = None
    awake: PaceTable | None = None
    asleep: PaceTable | None = None


class SignalTable(_Table):
    path: Text
    bus: Text | None = None
    message: Text
    signal: Text
    unit: str | None = None
    invalid: list[Raw | Text] = []
    min: float | None = None
    max: float | None = None
    freshness_s: Seconds | None = None
    choices: dict[str, Scalar] | None = Field(default=None, min_length=1)
    unit_by: UnitByTable | None = None
    valid_when: ValidWhenTable | None = None
    settle_s: float | None = Field(default=None, gt=0.0, le=SETTLE_S_MAX)
    max_step: float | None = Field(default=None, gt=0.0)
    report: ReportTable = ReportTable()


class PollValueTable(_Table):
    """`byte` counts from the first one after service and identifier; `bit` from the lowest of the value's last byte."""

    path: Text
    when_length: list[int] | None = Field(default=None, min_length=1, max_length=ANSWER_LENGTHS_MAX)
    byte: int = Field(ge=0, lt=ANSWER_BYTES_MAX)
    bits: int = Field(default=8, ge=1, le=64)
    bit: int = Field(default=0, ge=0, le=7)
    signed: bool = False
    little_endian: bool = False
    scale: float = 1.0
    offset: float = 0.0
    unit: str | None = None
    invalid: list[Raw | Text] = []
    min: float | None = None
    max: float | None = None
    choices: dict[str, Scalar] | None = Field(default=None, min_length=1)
    report: ReportTable = ReportTable()


class PollTable(_Table):
    """Of all services only the two that read: nothing can be asked for that changes the car."""

    name: Annotated[str, StringConstraints(pattern=NAME_PATTERN, max_length=64)]
    bus: Text | None = None
    request_id: int = Field(ge=0, lt=1 << 29)
    response_id: int = Field(ge=0, lt=1 << 29)
    extended_id: bool = False
    address: Byte | None = None
    tester_address: Byte | None = None
    padding: Byte = 0x00
    service: Literal[0x21, 0x22]
    identifier: int = Field(ge=0, le=0xFFFF)
    period_s: float = Field(ge=POLL_PERIOD_S_MIN, le=86_400)
    freshness_s: Seconds | None = None
    lengths: list[Annotated[int, Field(ge=1, le=ANSWER_BYTES_MAX)]] = Field(min_length=1, max_length=ANSWER_LENGTHS_MAX)
    longer: bool = False
    values: list[PollValueTable] = Field(min_length=1, max_length=64)


class ClauseTable(_Table):
    path: Text
    equals: Scalar | None = None
    min: float | None = None
    max: float | None = None


class RiseTable(_Table):
    path: Text
    equals: Scalar


class DerivedTable(_Table):
    """One of `all`, `any`, `product` and `rises` says how."""

    path: Text
    all: list[ClauseTable] | None = Field(default=None, min_length=1, max_length=16)
    any: list[ClauseTable] | None = Field(default=None, min_length=1, max_length=16)
    product: list[Text] | None = Field(default=None, min_length=1, max_length=4)
    factor: float | None = Field(default=None, gt=0.0)
    rises: RiseTable | None = None
    report: ReportTable = ReportTable()


class FrameTable(_Table):
    bus: Text | None = None
    message: Text
    values: dict[str, Scalar] = {}


class PulseTable(_Table):
    """`times`: a lock that opens one door at the first press and all at the second wants two."""

    line: Annotated[str, StringConstraints(pattern=NAME_PATTERN, max_length=64)]
    pulse_s: float = Field(ge=PULSE_S_MIN, le=PULSE_S_MAX)
    pause_s: float = Field(ge=PAUSE_S_MIN, le=PAUSE_S_MAX)
    times: int = Field(default=1, ge=1, le=4)


class RequestTable(_Table):
    """`send` is the whole request, service first; `answer` how a positive answer begins. Services that move something,
    or open or hold a session: none that writes, erases or resets."""

    send: list[Byte] = Field(min_length=1, max_length=7)
    answer: list[Byte] | None = Field(default=None, min_length=1, max_length=7)
    answer_s: float = Field(default=1.0, ge=0.05, le=5.0)
    pause_s: float = Field(default=0.1, ge=REQUEST_PAUSE_S_MIN, le=2.0)
    times: int = Field(default=1, ge=1, le=10)

    @field_validator("send")
    @classmethod
    def _is_allowed(cls, send: list[int]) -> list[int]:
        if send[0] not in SERVICES_THAT_ACT:
            raise ValueError("a service that acts: " + ", ".join(f"{each:#x}" for each in sorted(SERVICES_THAT_ACT)))
        return send


class ExchangeTable(_Table):
    """With one control unit, request by request, each after the positive answer to the one before."""

    bus: Text | None = None
    request_id: int = Field(ge=0, lt=1 << 29)
    response_id: int = Field(ge=0, lt=1 << 29)
    extended_id: bool = False
    address: Byte | None = None
    tester_address: Byte | None = None
    padding: Byte = 0x00
    requests: list[RequestTable] = Field(min_length=1, max_length=16)


class WakeTable(_Table):
    bus: Text | None = None
    frames: list[FrameTable] = Field(min_length=1, max_length=16)
    tries_max: int = Field(ge=1, le=200)
    interval_s: float = Field(ge=0.005, le=10.0)
    settle_s: float = Field(ge=0.0, le=30.0)


class PreconditionTable(_Table):
    path: Text
    reason: Text
    equals: Scalar | None = None
    min: float | None = None
    max: float | None = None
    unknown: Text | None = None
    stale: Text | None = None


class ReturnConditionTable(PreconditionTable):
    condition: Text | None = None


class FeedbackTable(_Table):
    path: Text
    equals: Scalar
    confirmations: int = Field(default=1, ge=1, le=100)


class ActionTable(_Table):
    """`feedback` and `preconditions` have no default: that there are none is a statement about the car.

    `frames`, `exchange` or `pulses` says what is done.
    """

    frames: list[FrameTable] = Field(default=[], max_length=16)
    exchange: ExchangeTable | None = None
    pulses: list[PulseTable] = Field(default=[], max_length=4)
    repeats_max: int = Field(ge=1, le=100)
    interval_s: float = Field(ge=0.005, le=10.0)
    wake: Text | None = None
    feedback: list[FeedbackTable] = Field(max_length=8)
    feedback_window_s: float | None = Field(default=None, gt=0.0, le=30.0)
    preconditions: list[PreconditionTable] = Field(max_length=32)


class ProfileTable(_Table):
    """A whole `profile.toml`, format 1."""

    format: Literal[1]
    name: Annotated[str, StringConstraints(pattern=NAME_PATTERN, max_length=64)]
    title: Text
    vss: Text
    buses: dict[str, BusTable | None] = Field(min_length=1, max_length=8)
    messages: list[MessageTable | None] = []
    signals: list[SignalTable | None] = Field(min_length=1)
    polls: list[PollTable | None] = Field(default=[], max_length=POLLS_MAX)
    derived: list[DerivedTable | None] = Field(default=[], max_length=32)
    wake: dict[str, WakeTable | None] = {}
    actions: dict[str, ActionTable | None] = {}
    return_conditions: list[ReturnConditionTable | None] = Field(default=[], max_length=16)
    unsupported: dict[str, Text] = {}
