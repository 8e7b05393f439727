"""What a result rests on, in the shapes of the wire: pieces of evidence, and conditions of the end of a rental."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final, cast

from agent.model.command import Answer, Condition, ConditionAnswer, Evidence
from agent.model.reading import Quality, Value

Payload = dict[int, object]

_QUALITY_CODES: Final[Mapping[Quality, int]] = {
    Quality.OK: 0,
    Quality.STALE: 1,
    Quality.INVALID: 2,
    Quality.UNKNOWN: 3,
}
_QUALITIES: Final = {code: quality for quality, code in _QUALITY_CODES.items()}

_CONDITION_TEXT_MAX = 32
"""Letters of a value: with eleven of them at most, the conditions always fit an envelope."""


def encode_condition(each: ConditionAnswer) -> list[object]:
    value, exponent = _whole(each.value)
    is_lost = value is None and each.value is not None
    if isinstance(value, str) and len(value) > _CONDITION_TEXT_MAX:
        value = None
    return [int(each.condition), int(Answer.UNKNOWN if is_lost else each.answer), value, exponent, each.age_ms]


def decode_condition(entry: Sequence[object]) -> ConditionAnswer:
    condition, answer, given, exponent, age_ms = entry
    value = _number(cast("Value | None", given), cast("int", exponent))
    is_lost = value is None and given is not None
    return ConditionAnswer(
        condition=Condition(cast("int", condition)),
        answer=Answer.UNKNOWN if is_lost else Answer(cast("int", answer)),
        value=value,
        age_ms=cast("int | None", age_ms),
    )


def _whole(value: Value | None) -> tuple[bool | int | str | None, int]:
    """A value as the protocol holds it: without fractions, times a power of ten. Not a number is no value (SR-05)."""
    if isinstance(value, float) and not math.isfinite(value):
        return None, 0
    if isinstance(value, float) or (type(value) is int and abs(value) >= 2**63):
        return _scaled(float(value))
    return value, 0


def _number(value: Value | None, exponent: int) -> Value | None:
    """The value again; None for a number beyond every double, which is none either (SR-05)."""
    if type(value) is not int or not exponent:
        return value
    number = float(Decimal(value).scaleb(exponent))
    return number if math.isfinite(number) else None


def encode_evidence(evidence: Evidence) -> Payload:
    value, exponent = _whole(evidence.value)
    quality = Quality.INVALID if value is None and evidence.value is not None else evidence.quality
    payload: Payload = {
        1: evidence.path,
        2: value,
        3: _QUALITY_CODES[quality],
        4: max(0, evidence.age_ms),
        5: evidence.message,
    }
    if exponent:
        payload[6] = exponent
    return payload


def decode_evidence(payload: Payload) -> Evidence:
    given = cast("Value | None", payload[2])
    value = _number(given, cast("int", payload.get(6, 0)))
    quality = Quality.INVALID if value is None and given is not None else _QUALITIES[cast("int", payload[3])]
    return Evidence(
        path=cast("str", payload[1]),
        value=value,
        quality=quality,
        age_ms=cast("int", payload[4]),
        message=cast("str", payload[5]),
    )


def _scaled(value: float) -> tuple[int, int]:
    """`value` as mantissa and power of ten, exact for the shortest decimal that names it (at most 17 digits)."""
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    mantissa = int("".join(map(str, digits)))
    return (-mantissa if sign else mantissa), cast("int", exponent)
