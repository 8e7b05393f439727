"""Payloads as types: one dataclass and one pair of codecs for each kind of message.

The decoders take a payload whose types were checked (`fields.conforms`, as `envelope.open_unverified` does) and
do not check again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import cast

from agent.command.fields import CAR_BYTES, ENVELOPE_BYTES_MAX, VERSION
from agent.command.result_pieces import (
    Payload,
    decode_condition,
    decode_evidence,
    encode_condition,
    encode_evidence,
)
from agent.command.scan import encode_canonical
from agent.model.command import EVIDENCE_MAX, ConditionAnswer, Evidence, Executed, Reason, Stage
from agent.model.events import ClockTrust
from agent.model.quick_dataclass import dataclass

_RESULT_FRAMING_BYTES = 1 + (1 + 5 + CAR_BYTES) + 1 + 3 + (2 + 64)
"""What an envelope adds to a result: array, protected header, empty map, payload's length, signature."""


@dataclass(frozen=True, slots=True)
class CommandPayload:
    """`cmd` as the backend writes it. Shapes as in `model.command.Command`."""

    car: bytes
    cid: bytes
    operator: int
    sid: bytes
    counter: int
    deadline_ms: int
    action: int
    parameters: Mapping[int, object] | None = None
    ref: bytes | None = None
    version: int = VERSION


def encode_command(command: CommandPayload) -> Payload:
    payload: Payload = {
        1: command.version,
        2: command.car,
        3: command.cid,
        4: command.operator,
        5: command.sid,
        6: command.counter,
        7: command.deadline_ms,
        8: int(command.action),
    }
    if command.parameters is not None:
        payload[9] = dict(command.parameters)
    if command.ref is not None:
        payload[10] = command.ref
    return payload


def decode_command(payload: Mapping[int, object]) -> CommandPayload:
    return CommandPayload(
        version=cast("int", payload[1]),
        car=cast("bytes", payload[2]),
        cid=cast("bytes", payload[3]),
        operator=cast("int", payload[4]),
        sid=cast("bytes", payload[5]),
        counter=cast("int", payload[6]),
        deadline_ms=cast("int", payload[7]),
        action=cast("int", payload[8]),
        parameters=cast("Mapping[int, object] | None", payload.get(9)),
        ref=cast("bytes | None", payload.get(10)),
    )


@dataclass(frozen=True, slots=True)
class Ping:
    """`ping`: asks for a `hello` that echoes the 16-byte `nonce`."""

    car: bytes
    operator: int
    nonce: bytes
    version: int = VERSION


def encode_ping(ping: Ping) -> Payload:
    return {1: ping.version, 2: ping.car, 3: ping.operator, 4: ping.nonce}


def decode_ping(payload: Mapping[int, object]) -> Ping:
    return Ping(
        version=cast("int", payload[1]),
        car=cast("bytes", payload[2]),
        operator=cast("int", payload[3]),
        nonce=cast("bytes", payload[4]),
    )


@dataclass(frozen=True, slots=True)
class Hello:
    """`hello`: the car's session as it stands.

    `session_ms` counts from the start of session `sid` by the boot clock; `counters` has the last accepted counter
    of each key of the addressed operator; `unix_s` is the best time estimate or None; `nonce` echoes the backend's,
    or the `cid` a stale session refused; `event_sequence` is the last number given out.
    """

    car: bytes
    sid: bytes
    session_ms: int
    clock_trust: ClockTrust
    store_id: bytes
    event_sequence: int
    counters: Mapping[bytes, int] = field(default_factory=dict)
    unix_s: int | None = None
    nonce: bytes | None = None
    time_nonce: bytes | None = None
    versions: tuple[int, int] = (0, 0)
    version: int = VERSION


def encode_hello(hello: Hello) -> Payload:
    payload: Payload = {
        1: hello.version,
        2: hello.car,
        3: hello.sid,
        4: hello.session_ms,
        5: [[kid, hello.counters[kid]] for kid in sorted(hello.counters)],
        6: int(hello.clock_trust),
        8: list(hello.versions),
        9: hello.store_id,
        11: hello.event_sequence,
    }
    if hello.unix_s is not None:
        payload[7] = hello.unix_s
    if hello.nonce is not None:
        payload[10] = hello.nonce
    if hello.time_nonce is not None:
        payload[12] = hello.time_nonce
    return payload


def decode_hello(payload: Mapping[int, object]) -> Hello:
    bundle, revset = cast("list[int]", payload[8])
    return Hello(
        version=cast("int", payload[1]),
        car=cast("bytes", payload[2]),
        sid=cast("bytes", payload[3]),
        session_ms=cast("int", payload[4]),
        counters=dict(cast("list[tuple[bytes, int]]", payload[5])),
        clock_trust=ClockTrust(cast("int", payload[6])),
        unix_s=cast("int | None", payload.get(7)),
        versions=(bundle, revset),
        store_id=cast("bytes", payload[9]),
        nonce=cast("bytes | None", payload.get(10)),
        event_sequence=cast("int", payload[11]),
        time_nonce=cast("bytes | None", payload.get(12)),
    )


@dataclass(frozen=True, slots=True)
class Result:
    """`res`: how far a command has come, and what that rests on.

    `digest` is the first 8 bytes of the command's; `session_ms` the moment of the result in session `sid`, which is
    the car's present one; `event_sequence` is None for a result that is not numbered.
    """

    car: bytes
    cid: bytes
    operator: int
    stage: Stage
    reason: Reason
    executed: Executed
    sid: bytes
    session_ms: int
    digest: bytes
    evidence: tuple[Evidence, ...] = ()
    event_sequence: int | None = None
    is_degraded: bool = False
    conditions: tuple[ConditionAnswer, ...] = ()
    version: int = VERSION


def encode_result(result: Result) -> Payload:
    """Payload that fits an envelope: evidence that would not is left out, from the end."""
    payload: Payload = {
        1: result.version,
        2: result.car,
        3: result.cid,
        4: result.operator,
        5: int(result.stage),
        6: int(result.reason),
        7: int(result.executed),
        8: result.sid,
        9: result.session_ms,
        12: result.digest,
    }
    if result.event_sequence is not None:
        payload[11] = result.event_sequence
    if result.is_degraded:
        payload[13] = True
    if result.conditions:
        payload[14] = [encode_condition(each) for each in result.conditions]
    evidence = [encode_evidence(piece) for piece in result.evidence[:EVIDENCE_MAX]]
    while evidence:
        payload[10] = evidence
        if len(encode_canonical(payload)) + _RESULT_FRAMING_BYTES <= ENVELOPE_BYTES_MAX:
            return payload
        evidence = evidence[:-1]
    payload.pop(10, None)
    return payload


def decode_result(payload: Mapping[int, object]) -> Result:
    return Result(
        version=cast("int", payload[1]),
        car=cast("bytes", payload[2]),
        cid=cast("bytes", payload[3]),
        operator=cast("int", payload[4]),
        stage=Stage(cast("int", payload[5])),
        reason=Reason(cast("int", payload[6])),
        executed=Executed(cast("int", payload[7])),
        sid=cast("bytes", payload[8]),
        session_ms=cast("int", payload[9]),
        evidence=tuple(decode_evidence(entry) for entry in cast("Sequence[Payload]", payload.get(10, ()))),
        event_sequence=cast("int | None", payload.get(11)),
        digest=cast("bytes", payload[12]),
        is_degraded=cast("bool", payload.get(13, False)),
        conditions=tuple(decode_condition(entry) for entry in cast("Sequence[Sequence[object]]", payload.get(14, ()))),
    )


@dataclass(frozen=True, slots=True)
class Retired:
    """`retired`: the car's last word, its receipt for the order `order_id` (16 bytes) that took it out of service.

    No event number above `event_sequence` was given out under `store_id`.
    """

    car: bytes
    order_id: bytes
    event_sequence: int
    store_id: bytes
    version: int = VERSION


def encode_retired(receipt: Retired) -> Payload:
    return {
        1: receipt.version,
        2: receipt.car,
        3: receipt.order_id,
        4: receipt.event_sequence,
        5: receipt.store_id,
    }


def decode_retired(payload: Mapping[int, object]) -> Retired:
    return Retired(
        version=cast("int", payload[1]),
        car=cast("bytes", payload[2]),
        order_id=cast("bytes", payload[3]),
        event_sequence=cast("int", payload[4]),
        store_id=cast("bytes", payload[5]),
    )
