"""Results and reports as JSON documents, one a line, for programs to read."""

from __future__ import annotations

import json
from collections.abc import Mapping

from agent.backend.keys import ACTIONS, raw_public
from agent.backend.outcome import CommandResult
from agent.backend.settings import Car, Operator
from agent.backend.watching import (
    ChangeReport,
    EventReport,
    LinkReport,
    Missed,
    PresenceReport,
    Report,
    ResultReport,
    StateReport,
)
from agent.command.envelope import Hello
from agent.model.command import ConditionAnswer, Evidence


def line(document: Mapping[str, object]) -> str:
    """One line of ASCII: what a car or a broker wrote cannot break it or a terminal."""
    return json.dumps(document, separators=(",", ":"), allow_nan=False)


def operator_document(operator: Operator) -> dict[str, object]:
    """What a car needs to know of the operator's command key."""
    public_key = operator.key.public_key()
    return {
        "operator": operator.number,
        "name": operator.name,
        "kid": operator.kid.hex(),
        "public_key": raw_public(public_key).hex(),
        "actions": list(ACTIONS),
    }


def car_document(car: Car) -> dict[str, object]:
    return {"name": car.name, "id": car.id.hex(), "public_key": raw_public(car.public_key).hex()}


def result_document(result: CommandResult) -> dict[str, object]:
    """`outcome` is the stage as a word, or `no_answer`."""
    return {
        "car": result.car,
        "action": result.action.name.lower(),
        "cid": None if result.cid is None else result.cid.hex(),
        "outcome": result.outcome,
        "is_verified": result.is_verified,
        "reason": None if result.reason is None else result.reason.name.lower(),
        "executed": result.executed.name.lower(),
        "may_repeat": result.may_repeat,
        "evidence": [evidence_document(piece) for piece in result.evidence],
        "conditions": [condition_document(each) for each in result.conditions],
        "answered_in_s": round(result.answered_in_s, 3),
        "is_degraded": result.is_degraded,
        "event_sequence": result.event_sequence,
    }


def evidence_document(evidence: Evidence) -> dict[str, object]:
    return {
        "path": evidence.path,
        "value": evidence.value,
        "quality": evidence.quality.value,
        "age_ms": evidence.age_ms,
        "message": evidence.message,
    }


def condition_document(each: ConditionAnswer) -> dict[str, object]:
    """One condition of the end of a rental: `answer` is yes, no or unknown."""
    return {
        "condition": each.condition.name.lower(),
        "answer": each.answer.name.lower(),
        "value": each.value,
        "age_ms": each.age_ms,
    }


def hello_document(car: str, hello: Hello | None, answered_in_s: float) -> dict[str, object]:
    """The answer to a ping; without one only that, and how long it was waited for."""
    document: dict[str, object] = {
        "car": car,
        "is_answered": hello is not None,
        "answered_in_s": round(answered_in_s, 3),
    }
    if hello is not None:
        document |= {
            "sid": hello.sid.hex(),
            "session_ms": hello.session_ms,
            "clock_trust": hello.clock_trust.name.lower(),
            "time_unix_s": hello.unix_s,
            "store_id": hello.store_id.hex(),
            "event_sequence": hello.event_sequence,
            "bundle_version": hello.versions[0],
        }
    return document


def report_document(report: Report, received_at_unix_s: float) -> dict[str, object]:
    """One line of `watch`: `type`, `car` where it concerns one, and what was told."""
    document = {"received_at_unix_s": round(received_at_unix_s, 3)}
    match report:
        case StateReport(car, told, is_retained):
            return {**document, "type": "state", "car": car, "is_retained": is_retained, "document": told}
        case EventReport(car, told):
            return {**document, "type": "event", "car": car, "document": told}
        case PresenceReport(car, is_online, sid, end):
            word = {} if end is None else {"end": end}
            return {**document, "type": "presence", "car": car, "is_online": is_online, "sid": sid.hex(), **word}
        case ResultReport(car, result):
            return {
                **document,
                "type": "result",
                "car": car,
                "cid": result.cid.hex(),
                "stage": result.stage.name.lower(),
                "reason": result.reason.name.lower(),
                "executed": result.executed.name.lower(),
                "evidence": [evidence_document(piece) for piece in result.evidence],
                "conditions": [condition_document(each) for each in result.conditions],
                "is_degraded": result.is_degraded,
                "event_sequence": result.event_sequence,
            }
        case ChangeReport(car, change):
            return {**document, "type": "change", "car": car, "change": change.value}
        case LinkReport(is_connected, detail):
            return {**document, "type": "link", "is_connected": is_connected, "detail": detail}
        case Missed(count):
            return {**document, "type": "missed", "count": count}
