"""`agent/asyncapi.yaml` is AsyncAPI, has the words and kinds of the code and no others, and sees what breaks it."""

from __future__ import annotations

import ast
import copy
import json
from enum import Enum
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from agent.link_watch import LinkProblem
from agent.model.bus import BusHealth, BusSign
from agent.model.command import Action, Executed, Reason, Stage
from agent.model.events import ClockTrust
from agent.model.power import Wake
from agent.model.reading import Quality
from agent.model.use import VehicleUse
from agent.policy.happenings import _WORDS
from agent.policy.power import Step
from agent.power import KINDS, LOAD_RESTORED
from agent.presence import AnnouncedEnd
from agent.uplink import wire
from tests.support import contract
from tests.support.asyncapi_schema import published_schema

ROOT = Path(__file__).resolve().parents[2]
CAR = "5ca1ab1e0ddba115"
EVT = f"v1/1/{CAR}/evt"
TRUST: dict[str, object] = {"version": 1, "operators": [1]}
SCHEMAS: dict[str, Any] = contract.document()["components"]["schemas"]

TELLERS = {"tell", "bus", "_numbered"}
"""Methods whose first argument is the kind of a record."""


def record(kind: str = "trust", **fields: object) -> bytes:
    return wire.named_record(kind, 7, wire.Moment(5, None, 0, b"session1"), {**TRUST, **fields})


@pytest.fixture(scope="module")
def published() -> dict[str, Any]:
    try:
        return published_schema(contract.document()["asyncapi"])
    except OSError as error:
        pytest.skip(f"AsyncAPI's schema cannot be fetched: {error}")


def test_contract_is_what_asyncapi_says_a_document_is(published: dict[str, Any]) -> None:
    errors = jsonschema.Draft7Validator(published).iter_errors(contract.document())
    assert [f"{error.json_path}: {error.message}" for error in errors] == []


def test_a_document_that_is_none_is_seen(published: dict[str, Any]) -> None:
    wrong = copy.deepcopy(contract.document())
    wrong["operations"]["send_evt"]["action"] = "sends"
    assert not jsonschema.Draft7Validator(published).is_valid(wrong)


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_every_schema_is_one_of_draft_7_and_is_used(name: str) -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMAS[name])
    contract.validator(name)
    assert f"#/components/schemas/{name}'" in contract.CONTRACT_FILE.read_text()


def constants(node: ast.expr) -> set[str]:
    """The texts an argument may be: a constant, or either end of `a if … else b`."""
    match node:
        case ast.Constant(value=str(text)):
            return {text}
        case ast.IfExp(body=one, orelse=other):
            return constants(one) | constants(other)
    return set()


def kinds_in(source: str) -> set[str]:
    """Kinds that a module's text publishes: first arguments of `TELLERS`, and `kind` in the dicts it makes."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Attribute(attr=attr), args=[first, *_]) if attr in TELLERS:
                found |= constants(first)
            case ast.Dict(keys=keys, values=values):
                for key, value in zip(keys, values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == "kind":
                        found |= constants(value)
    return found


def test_kinds_of_the_code_are_those_of_the_contract() -> None:
    """A kind that nothing makes, or that is in no contract, is seen here; whether its fields fit, in every test."""
    modules = [*(ROOT / "agent").glob("*.py"), *(ROOT / "agent" / "uplink").glob("*.py")]
    made = set().union(*(kinds_in(path.read_text()) for path in modules))
    made |= {*KINDS.values(), LOAD_RESTORED}
    described = {
        kind for direction in contract.sent_by_car().values() if direction.is_json for kind in direction.messages
    }
    assert made == described


def lower(enum: type[Enum]) -> set[str]:
    return {member.name.lower() for member in enum}


def test_words_are_those_of_the_code() -> None:
    words = {yes for _, yes, _ in _WORDS} | {no for _, _, no in _WORDS}
    properties = {kind: SCHEMAS[kind]["properties"] for kind in ("link", "command", "state")}
    assert set(SCHEMAS["eventWord"]["enum"]) == words | {"ignition_on", "ignition_off", "changed"}
    assert set(SCHEMAS["quality"]["enum"]) == {quality.value for quality in Quality}
    assert set(SCHEMAS["action"]["enum"]) == lower(Action)
    assert set(SCHEMAS["reason"]["enum"]) == lower(Reason)
    assert set(SCHEMAS["clockWord"]["enum"]) == lower(ClockTrust)
    assert set(SCHEMAS["clockTrust"]["enum"]) == set(ClockTrust)
    assert set(SCHEMAS["busState"]["enum"]) == {state.value for state in BusHealth}
    assert set(SCHEMAS["busSign"]["enum"]) == {sign.value for sign in BusSign}
    assert set(properties["link"]["problem"]["enum"]) == {problem.value for problem in LinkProblem}
    assert set(properties["command"]["stage"]["enum"]) == {stage.name.lower() for stage in Stage if stage.is_final}
    assert set(properties["command"]["executed"]["enum"]) == lower(Executed)
    assert set(properties["state"]["use"]["enum"]) == {use.value for use in VehicleUse}
    assert set(properties["state"]["power"]["properties"]["step"]["enum"]) == {step.value for step in Step}
    assert set(SCHEMAS["supervisor"]["properties"]["wake"]["enum"]) == {wake.value for wake in Wake}
    assert set(SCHEMAS["presence"]["properties"]["end"]["enum"]) == {end.value for end in AnnouncedEnd}


def test_right_message_passes() -> None:
    assert contract.fault(EVT, record(), is_retained=False, qos=1) is None
    assert contract.fault(EVT, wire.as_historical(record()), is_retained=False) is None


@pytest.mark.parametrize(
    ("topic", "payload", "how", "complaint"),
    [
        (EVT, record(colour="red"), {}, "must not contain"),
        (EVT, record(kind="trusted"), {}, "no message of kind 'trusted'"),
        (EVT, record(kind="presence"), {}, "no message of kind 'presence'"),
        (EVT, record(version="1"), {}, "integer"),
        (EVT, record(operators=[0]), {}, "bigger"),
        (EVT, record(sid="5ca1ab1e"), {}, "pattern"),
        (EVT, b"{", {}, "not JSON"),
        (EVT, json.dumps({"kind": "trust"}).encode(), {}, "must contain"),
        (EVT, record(), {"is_retained": True}, "retained"),
        (EVT, record(), {"qos": 0}, "QoS 0"),
        (EVT, record(), {"expiry_s": 60}, "expiry"),
        (f"v1/1/{CAR}/event", record(), {}, "no topic"),
        (f"v1/01/{CAR}/evt", record(), {}, "no topic"),
        (f"v1/1/{CAR}/cmd", b"\x84", {}, "no topic"),
        (f"v1/1/{CAR}/res", bytes(1025), {}, "1025 bytes"),
    ],
)
def test_breach_is_seen(topic: str, payload: bytes, how: dict[str, Any], complaint: str) -> None:
    found = contract.fault(topic, payload, **{"is_retained": False, **how})
    assert found is not None
    assert complaint in found


@pytest.mark.parametrize(
    "wrong",
    [
        {"value": 5, "unit": None, "quality": "stale", "reason": "not_received", "age_s": 1.0},
        {"value": 5, "unit": None, "quality": "ok", "age_s": 1.0, "last_value": 5},
        {"value": None, "unit": None, "quality": "ok", "age_s": 1.0},
        {"value": None, "unit": None, "quality": "invalid", "age_s": 1.0},
        {"value": None, "unit": None, "quality": "unknown", "reason": "never_received", "age_s": 1.0},
    ],
)
def test_dishonest_reading_is_seen_sr_05(wrong: dict[str, object]) -> None:
    with pytest.raises(contract.BreachError):
        contract.validator("reading")(wrong)
