"""Answers of control units at the end of a recording, after the car's own frames have stopped: asked by a tester.

The frames are put together here by ISO 15765-2, neither by the profile nor by anything of the agent's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.profiles.golden_log import GoldenLog, Readings

_BETWEEN_MS = 100
_ANSWER_MS, _FRAME_MS = 20, 5
_FRAME_BYTES = 8
_REQUEST_ANSWERED = 0x40


@dataclass(frozen=True, slots=True)
class Asked:
    """One question and its answers, one for each round: the whole payload as a person reads it, and what it means.

    `address` is the control unit's, in ISO-TP's extended addressing; the tester's is 0xF1 then.
    """

    bus: str
    request_id: int
    response_id: int
    period_s: int
    answers: Sequence[tuple[str, Readings]]
    freshness_ms: int = 0
    address: int | None = None
    is_extended_id: bool = False


def append(golden: GoldenLog, questions: Sequence[Asked]) -> GoldenLog:
    """All questions, once a round; last one that nobody answers, when every answer is too old."""
    now_ms = golden.end_ms + golden.freshest_for_ms + 1000
    for round_ in range(max(len(asked.answers) for asked in questions)):
        for asked in questions:
            if round_ < len(asked.answers):
                payload, readings = asked.answers[round_]
                _exchange(golden, asked, now_ms, bytes.fromhex(payload), readings)
                now_ms = max(now_ms, golden.end_ms) + _BETWEEN_MS
    last = questions[0]
    _frame(golden, last, now_ms + golden.freshest_for_ms, _request_of(last))
    return golden


def _exchange(golden: GoldenLog, asked: Asked, at_ms: int, payload: bytes, readings: Readings) -> None:
    _frame(golden, asked, at_ms, _request_of(asked))
    first_at_ms = at_ms + _ANSWER_MS
    for number, data in enumerate(_segments(payload, 7 if asked.address is None else 6)):
        if number == 1:
            _frame(golden, asked, first_at_ms + 2, bytes([0x30, 0, _FRAME_MS]))
        _frame(golden, asked, first_at_ms + number * _FRAME_MS, data, is_answer=True)
    freshness_ms = asked.freshness_ms or 3000 * asked.period_s + 5000
    golden.answered(first_at_ms, readings, freshness_ms)


def _request_of(asked: Asked) -> bytes:
    payload = bytes.fromhex(asked.answers[0][0])
    service = payload[0] - _REQUEST_ANSWERED
    identifier = payload[1 : 2 if service == 0x21 else 3]
    return bytes([1 + len(identifier), service, *identifier])


def _segments(payload: bytes, room: int) -> list[bytes]:
    if len(payload) <= room:
        return [bytes([len(payload), *payload])]
    frames = [bytes([0x10 | len(payload) >> 8, len(payload) & 0xFF, *payload[: room - 1]])]
    rest = payload[room - 1 :]
    while rest:
        frames.append(bytes([0x20 | len(frames) & 0xF, *rest[:room]]))
        rest = rest[room:]
    return frames


def _frame(golden: GoldenLog, asked: Asked, at_ms: int, data: bytes, *, is_answer: bool = False) -> None:
    if asked.address is not None:
        data = bytes([0xF1 if is_answer else asked.address]) + data
    identifier = asked.response_id if is_answer else asked.request_id
    golden.frame(at_ms, asked.bus, identifier, data.ljust(_FRAME_BYTES, b"\0"), is_extended_id=asked.is_extended_id)
