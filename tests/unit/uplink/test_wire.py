"""Topics and JSON: what a person or a tool sees of the car, and that it never sees an old value as a value (SR-05)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.model.reading import Quality, Reading, Value
from agent.uplink import wire
from agent.uplink.wire import Moment, Topics
from tests.support.plans import IS_LOCKED, SPEED

CAR = bytes.fromhex("5ca1ab1e0ddba115")
SID = b"session1"
TOPICS = Topics(CAR)
MOMENT = Moment(session_ms=1500, unix_s=2_000_000_000.12345, clock_trust=1)


def ok(value: Value, at_s: float = 10.0) -> Reading:
    return Reading(SPEED, value, "km/h", at_s, Quality.OK, message="Motion")


def stale(at_s: float = 10.0) -> Reading:
    return Reading(SPEED, None, "km/h", at_s, Quality.STALE, "not_received", "Motion")


def loaded(payload: bytes) -> Any:
    return json.loads(payload)


# --- topics -------------------------------------------------------------------------------------------------------


def test_topics_are_those_of_the_protocol() -> None:
    """Amendment A6."""
    assert TOPICS.of(3, "cmd") == "v1/3/5ca1ab1e0ddba115/cmd"
    assert TOPICS.presence == "v1/all/5ca1ab1e0ddba115/presence"


@pytest.mark.parametrize("operator", [1, 7, 2**31 - 1])
@pytest.mark.parametrize("kind", ["cmd", "ping", "bundle", "revset"])
def test_topic_reads_back_as_operator_and_type(operator: int, kind: str) -> None:
    assert TOPICS.parse(TOPICS.of(operator, kind)) == (operator, kind)


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "v1",
        "v1/1/5ca1ab1e0ddba115",
        "v1/1/5ca1ab1e0ddba115/cmd/",
        "/v1/1/5ca1ab1e0ddba115/cmd",
        "v2/1/5ca1ab1e0ddba115/cmd",
        "v1/1/5CA1AB1E0DDBA115/cmd",
        "v1/1/5ca1ab1e0ddba116/cmd",
        "v1/all/5ca1ab1e0ddba115/cmd",
        "v1//5ca1ab1e0ddba115/cmd",
        "v1/01/5ca1ab1e0ddba115/cmd",
        "v1/+1/5ca1ab1e0ddba115/cmd",
        "v1/-1/5ca1ab1e0ddba115/cmd",
        "v1/1_0/5ca1ab1e0ddba115/cmd",
        "v1/ 1/5ca1ab1e0ddba115/cmd",
        "v1/\u0661/5ca1ab1e0ddba115/cmd",
        "v1/\u00b2/5ca1ab1e0ddba115/cmd",
        "v1/" + "9" * 5000 + "/5ca1ab1e0ddba115/cmd",
    ],
)
def test_topic_that_is_not_this_cars_is_none(topic: str) -> None:
    """H63. An operator number has one spelling, and one that is too long to be read costs nothing."""
    assert TOPICS.parse(topic) is None


# --- readings -----------------------------------------------------------------------------------------------------


def test_fresh_reading_has_value_unit_and_age() -> None:
    assert wire.reading_document(ok(50.5), 10.25) == {"value": 50.5, "unit": "km/h", "quality": "ok", "age_s": 0.25}


def test_stale_reading_has_no_value_but_the_last_one_apart() -> None:
    """SR-05."""
    assert wire.reading_document(stale(), 70.0, ok(50)) == {
        "value": None,
        "unit": "km/h",
        "quality": "stale",
        "reason": "not_received",
        "age_s": 60.0,
        "last_value": 50,
    }


@pytest.mark.parametrize("quality", [Quality.STALE, Quality.INVALID, Quality.UNKNOWN])
def test_value_without_the_quality_to_go_with_it_is_not_shown(quality: Quality) -> None:
    """SR-05, a second time: whoever made such a reading."""
    document = wire.reading_document(Reading(SPEED, 50, "km/h", 10.0, quality, "x"), 10.0)
    assert document["value"] is None
    assert "last_value" not in document


def test_invalid_reading_brings_back_no_older_value() -> None:
    """The car took it back itself."""
    invalid = Reading(SPEED, None, "km/h", 10.0, Quality.INVALID, "invalid_marker")
    assert "last_value" not in wire.reading_document(invalid, 10.0, ok(50, at_s=9.0))


def test_what_never_came_has_no_age() -> None:
    never = Reading(SPEED, None, "km/h", 10.0, Quality.UNKNOWN, "never_received")
    document = wire.reading_document(never, 10.0)
    assert document == {"value": None, "unit": "km/h", "quality": "unknown", "reason": "never_received"}


def test_age_is_never_negative() -> None:
    assert wire.reading_document(ok(50, at_s=10.001), 10.0)["age_s"] == 0.0


# --- documents ----------------------------------------------------------------------------------------------------


def test_json_is_compact_and_keeps_text_readable() -> None:
    assert wire.encode({"title": "Zoë", "value": True}) == '{"title":"Zoë","value":true}'.encode()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_number_that_json_does_not_have_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        wire.encode({"value": value})


def test_moment_tells_session_time_and_wall_time_with_its_trust() -> None:
    assert MOMENT.document() == {"session_ms": 1500, "time_unix_s": 2_000_000_000.123, "clock_trust": 1}
    assert Moment(0, None, 0, SID).document() == {
        "sid": SID.hex(),
        "session_ms": 0,
        "time_unix_s": None,
        "clock_trust": 0,
    }


def test_record_of_readings_is_numbered_and_dated() -> None:
    rows = wire.reading_rows([ok(50), stale()], 10.5)
    payload = wire.named_record("event", 51, MOMENT, {"vss": "6.0", "readings": rows})
    assert loaded(payload) == {
        "v": 1,
        "kind": "event",
        "seq": 51,
        "session_ms": 1500,
        "time_unix_s": 2_000_000_000.123,
        "clock_trust": 1,
        "vss": "6.0",
        "readings": [
            {"path": SPEED, "value": 50, "unit": "km/h", "quality": "ok", "age_s": 0.5},
            {
                "path": SPEED,
                "value": None,
                "unit": "km/h",
                "quality": "stale",
                "reason": "not_received",
                "age_s": 0.5,
            },
        ],
    }


def test_record_of_the_agents_own_has_its_fields() -> None:
    document = loaded(wire.named_record("gap", 51, MOMENT, {"dropped": 3}))
    assert (document["kind"], document["seq"], document["dropped"], document["session_ms"]) == ("gap", 51, 3, 1500)


def test_record_that_waited_says_so_and_nothing_else_changes() -> None:
    payload = wire.named_record("gap", 51, MOMENT, {"dropped": 3})
    assert loaded(wire.as_historical(payload)) == {**loaded(payload), "historical": True}


def test_snapshot_has_every_path_and_every_bus() -> None:
    readings = {SPEED: stale(), IS_LOCKED: Reading(IS_LOCKED, True, None, 10.0, Quality.OK)}
    last_known = {SPEED: ok(50), IS_LOCKED: None}
    document = loaded(
        wire.state_document(
            MOMENT,
            "6.0",
            SID,
            readings,
            last_known,
            {"body": "awake"},
            70.0,
            use="awake",
            power={"step": "normal", "supply": "ok"},
        )
    )
    assert document["kind"] == "state"
    assert (document["sid"], document["vss"], document["buses"]) == (SID.hex(), "6.0", {"body": "awake"})
    assert document["use"] == "awake"
    assert document["readings"][SPEED]["last_value"] == 50
    assert document["readings"][SPEED]["value"] is None
    assert document["readings"][IS_LOCKED] == {"value": True, "unit": None, "quality": "ok", "age_s": 60.0}


def test_birth_and_will_differ_in_one_word_and_name_their_session() -> None:
    """SR-10."""
    birth = loaded(wire.presence_document(SID, is_online=True))
    will = loaded(wire.presence_document(SID, is_online=False))
    assert birth == {"v": 1, "kind": "presence", "online": True, "sid": SID.hex()}
    assert will == {**birth, "online": False}


def test_capabilities_tell_what_can_be_done_and_why_the_rest_cannot() -> None:
    payload = wire.capabilities_document("0.1.0", "demo", "6.0", {"unlock": "verified"}, {"locate": "no horn"}, [SPEED])
    assert loaded(payload) == {
        "v": 1,
        "kind": "caps",
        "agent": "0.1.0",
        "protocol": 1,
        "profile": "demo",
        "vss": "6.0",
        "actions": {"unlock": "verified"},
        "unsupported": {"locate": "no horn"},
        "paths": [SPEED],
    }
