"""What a person reads, and what a program reads."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from agent.backend import documents, words
from agent.backend.outcome import CommandResult, Progress, Step
from agent.backend.session import Change
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
from agent.command.envelope import Hello, Result
from agent.model.command import Action, Answer, Condition, ConditionAnswer, Evidence, Executed, Reason, Stage
from agent.model.events import ClockTrust
from agent.model.reading import Quality, Reading
from agent.uplink import wire
from tests.support.scripted_car import CAR, LOCK_EVIDENCE

CID = bytes(range(16))
VERIFIED = CommandResult(
    "demo", Action.UNLOCK, CID, Stage.VERIFIED, Reason.OK, Executed.YES, LOCK_EVIDENCE, 1.26, event_sequence=9
)
UNANSWERED = CommandResult("demo", Action.LOCK, CID, None, None, Executed.UNKNOWN, (), 45.0)
HELLO = Hello(CAR.id, b"session1", 61_500, ClockTrust.ESTIMATED, b"store--1", 7, unix_s=1_800_000_000)
CLOSED = ConditionAnswer(Condition.DOORS_CLOSED, Answer.NO, True, 7)
IN_ZONE = ConditionAnswer(Condition.IN_ZONE, Answer.UNKNOWN, None, None)
SIGNED = Result(
    CAR.id, CID, 1, Stage.FAILED, Reason.NO_STATE_CHANGE, Executed.NO, b"session1", 7000, b"d" * 8, LOCK_EVIDENCE[:1], 8
)


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (
            VERIFIED,
            (
                "demo: unlock verified in 1.3 s.\n"
                "  Vehicle.Carshare.CentralLock.IsLocked = false (12 ms old, LockStatus)\n"
                "  Vehicle.Speed = 0.0 (40 ms old, MotionStatus)"
            ),
        ),
        (
            replace(VERIFIED, stage=Stage.FAILED, reason=Reason.NO_STATE_CHANGE, executed=Executed.NO, evidence=()),
            (
                "demo: unlock failed after 1.3 s: the car reports its state, and that did not change "
                "(no_state_change). Nothing was carried out."
            ),
        ),
        (
            replace(VERIFIED, stage=Stage.EXECUTED_UNVERIFIED, executed=Executed.UNKNOWN, evidence=()),
            (
                "demo: unlock sent, not verified after 1.3 s: the car gave no feedback. "
                "Whether it was carried out is not known."
            ),
        ),
        (
            replace(VERIFIED, action=Action.REPORT, stage=Stage.EXECUTED_UNVERIFIED, evidence=()),
            "demo: report answered in 1.3 s.",
        ),
        (
            replace(VERIFIED, action=Action.CHECK_RETURN, stage=Stage.EXECUTED_UNVERIFIED, evidence=()),
            "demo: check return answered in 1.3 s: the rental may end.",
        ),
        (
            UNANSWERED,
            (
                "demo: lock got no answer after 45.0 s. Whether it was carried out is not known. "
                "Command 000102030405060708090a0b0c0d0e0f."
            ),
        ),
        (
            replace(UNANSWERED, cid=None, executed=Executed.NO),
            "demo: lock got no answer after 45.0 s. Nothing was carried out.",
        ),
        (
            replace(VERIFIED, evidence=(), is_degraded=True),
            "demo: unlock verified in 1.3 s. The agent's store is broken: it could not write down what it did.",
        ),
    ],
)
def test_a_result_in_words(result: CommandResult, text: str) -> None:
    assert words.result_words(result) == text


def test_a_car_that_does_not_listen_is_said_to_be_away() -> None:
    assert "The car is not connected to the broker." in words.result_words(UNANSWERED, is_heard=False)
    assert "connected" not in words.result_words(VERIFIED, is_heard=False)


def test_verified_is_never_said_of_anything_else() -> None:
    """SR-04, as it reaches a person."""
    for stage in (None, *Stage):
        result = replace(VERIFIED, stage=stage, reason=None if stage is None else Reason.OK)
        is_said = "verified" in words.result_words(result).replace("not verified", "")
        assert is_said is (stage is Stage.VERIFIED) is result.is_verified


def test_there_are_words_for_every_member_of_every_closed_set() -> None:
    assert set(words.REASON_WORDS) == set(Reason)
    for stage in Stage:
        for executed in Executed:
            assert words.result_words(replace(VERIFIED, stage=stage, executed=executed))
    for step in Step:
        assert words.progress_words(Progress("demo", step, CID)).startswith("demo: ")
    for change in Change:
        assert words.ReportWords().lines(ChangeReport("demo", change))


@pytest.mark.parametrize("quality", [Quality.STALE, Quality.INVALID, Quality.UNKNOWN])
def test_evidence_that_is_not_ok_is_shown_without_a_value(quality: Quality) -> None:
    """SR-05."""
    piece = Evidence("Vehicle.Speed", 7.5, quality, 40, "MotionStatus")
    assert words.evidence_words(piece) == f"Vehicle.Speed = {quality.value} (40 ms old, MotionStatus)"


def test_nothing_from_outside_reaches_the_terminal_as_a_control_character() -> None:
    hostile = "\x1b]0;owned\x07\n\u202e\ud800"
    report = EventReport(
        "demo", {"kind": hostile, hostile: hostile, "readings": [{"path": hostile, "quality": hostile}]}
    )
    lines = words.ReportWords().lines(report)
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)
    assert all(
        letter.isprintable() for letter in words.evidence_words(Evidence(hostile, hostile, Quality.OK, 1, hostile))
    )
    assert documents.line({"kind": hostile}).isascii()
    assert len(words.plain("x" * 10_000)) == 200


def test_a_ping_in_words() -> None:
    assert words.hello_words("demo", HELLO, 0.0123) == (
        "demo: answered in 12 ms. Session 73657373696f6e31, 62 s old; event 7; store 73746f72652d2d31; "
        "clock estimated; bundle 0."
    )
    assert words.hello_words("demo", None, 10.0) == "demo: no answer within 10.0 s."


def reading(value: float | None, quality: Quality = Quality.OK, reason: str | None = None) -> Reading:
    return Reading("Vehicle.Speed", value, "km/h", 99.0, quality, reason, "MotionStatus")


def state(now: Reading, last_known: Reading | None = None) -> StateReport:
    document = wire.state_document(
        wire.Moment(1, None, 0),
        "6.0",
        b"session1",
        {now.path: now},
        {now.path: last_known},
        {"body": "awake"},
        100.0,
        use="awake",
        power={"step": "normal", "supply": "ok"},
    )
    return StateReport("demo", json.loads(document))


def test_a_reading_is_shown_when_it_changes_and_without_a_value_when_there_is_none() -> None:
    shown = words.ReportWords()
    assert shown.lines(state(reading(3.5))) == ["demo Vehicle.Speed 3.5 km/h"]
    assert shown.lines(state(reading(3.5))) == []
    assert shown.lines(state(reading(None, Quality.STALE, "not_received"), reading(3.5))) == [
        "demo Vehicle.Speed stale (not_received), last 3.5 km/h"
    ]
    rows = wire.reading_rows([reading(4.0)], 100.0)
    record = wire.named_record("readings", 4, wire.Moment(1, None, 0), {"vss": "6.0", "readings": rows})
    assert shown.lines(EventReport("demo", json.loads(record))) == ["demo Vehicle.Speed 4.0 km/h"]


def test_named_events_show_their_fields() -> None:
    record = wire.named_record("bus_awake", 4, wire.Moment(1, None, 0), {"bus": "body"})
    assert words.ReportWords().lines(EventReport("demo", json.loads(record))) == ["demo event bus_awake bus=body"]


def test_an_event_of_the_car_is_told_by_its_word_and_who_did_it() -> None:
    rows = [{"path": "Vehicle.Carshare.CentralLock.IsLocked", "value": True, "quality": "ok"}]
    fields = {"event": "locked", "by": "key", "vss": "6.0", "readings": rows, "context": {}}
    record = wire.named_record("event", 4, wire.Moment(1, None, 0), fields)
    assert words.ReportWords().lines(EventReport("demo", json.loads(record))) == [
        "demo event locked by=key",
        "demo Vehicle.Carshare.CentralLock.IsLocked true",
    ]


@pytest.mark.parametrize(
    ("report", "lines", "document"),
    [
        (
            PresenceReport("demo", is_online=False, sid=b"session1"),
            ["demo is OFFLINE, session 73657373696f6e31"],
            {"type": "presence", "car": "demo", "is_online": False, "sid": "73657373696f6e31"},
        ),
        (
            PresenceReport("demo", is_online=False, sid=b"session1", end="asleep"),
            [
                "demo is asleep, its computer switched off for the sake of the 12 V battery, session 73657373696f6e31",
            ],
            {"type": "presence", "car": "demo", "is_online": False, "sid": "73657373696f6e31", "end": "asleep"},
        ),
        (
            PresenceReport("demo", is_online=False, sid=b"session1", end="stopped"),
            ["demo is stopped by somebody, session 73657373696f6e31"],
            {"type": "presence", "car": "demo", "is_online": False, "sid": "73657373696f6e31", "end": "stopped"},
        ),
        (
            ResultReport("demo", replace(SIGNED, conditions=(CLOSED, IN_ZONE))),
            [
                "demo command 00010203 failed: the car reports its state, and that did not change (no_state_change)",
                "demo   Vehicle.Carshare.CentralLock.IsLocked = false (12 ms old, LockStatus)",
                "demo   doors closed: no, true (7 ms old)",
                "demo   in zone: unknown",
            ],
            {
                "type": "result",
                "car": "demo",
                "cid": CID.hex(),
                "stage": "failed",
                "reason": "no_state_change",
                "executed": "no",
                "evidence": [documents.evidence_document(LOCK_EVIDENCE[0])],
                "conditions": [
                    {"condition": "doors_closed", "answer": "no", "value": True, "age_ms": 7},
                    {"condition": "in_zone", "answer": "unknown", "value": None, "age_ms": None},
                ],
                "is_degraded": False,
                "event_sequence": 8,
            },
        ),
        (
            ChangeReport("demo", Change.RESTARTED),
            ["demo has restarted"],
            {"type": "change", "car": "demo", "change": "restarted"},
        ),
        (
            LinkReport(is_connected=False, detail="gone"),
            ["connection lost: gone"],
            {"type": "link", "is_connected": False, "detail": "gone"},
        ),
        (
            Missed(3),
            ["3 reports were missed: they came faster than they were read"],
            {"type": "missed", "count": 3},
        ),
        (
            EventReport("demo", {"kind": "gap", "dropped": 2}),
            ["demo event gap dropped=2"],
            {"type": "event", "car": "demo", "document": {"kind": "gap", "dropped": 2}},
        ),
        (
            StateReport("demo", {"kind": "state", "readings": {}}),
            [],
            {"type": "state", "car": "demo", "is_retained": False, "document": {"kind": "state", "readings": {}}},
        ),
        (
            StateReport("demo", {"kind": "state", "readings": {"A": {"value": 1, "quality": "ok"}}}, is_retained=True),
            ["demo A 1 [as last told; may be old]"],
            {
                "type": "state",
                "car": "demo",
                "is_retained": True,
                "document": {"kind": "state", "readings": {"A": {"value": 1, "quality": "ok"}}},
            },
        ),
    ],
)
def test_each_report_has_lines_and_a_document(report: Report, lines: list[str], document: dict[str, object]) -> None:
    assert words.ReportWords().lines(report) == lines
    assert documents.report_document(report, 1.5) == {"received_at_unix_s": 1.5, **document}
    json.loads(documents.line(documents.report_document(report, 1.5)))


@pytest.mark.parametrize(
    "readings", [None, 1, [], [1], [{}], {"p": 1}, {"p": {"unit": []}}, [{"path": [], "quality": {}}]]
)
def test_a_document_of_another_shape_does_no_harm(readings: object) -> None:
    assert isinstance(words.ReportWords().lines(EventReport("demo", {"kind": "state", "readings": readings})), list)


def test_a_result_as_a_document() -> None:
    assert documents.result_document(VERIFIED) == {
        "car": "demo",
        "action": "unlock",
        "cid": CID.hex(),
        "outcome": "verified",
        "is_verified": True,
        "reason": "ok",
        "executed": "yes",
        "may_repeat": False,
        "evidence": [
            {
                "path": "Vehicle.Carshare.CentralLock.IsLocked",
                "value": False,
                "quality": "ok",
                "age_ms": 12,
                "message": "LockStatus",
            },
            {"path": "Vehicle.Speed", "value": 0.0, "quality": "ok", "age_ms": 40, "message": "MotionStatus"},
        ],
        "conditions": [],
        "answered_in_s": 1.26,
        "is_degraded": False,
        "event_sequence": 9,
    }
    unanswered = documents.result_document(replace(UNANSWERED, cid=None))
    assert (unanswered["outcome"], unanswered["cid"], unanswered["reason"]) == ("no_answer", None, None)


def test_a_ping_as_a_document() -> None:
    assert documents.hello_document("demo", HELLO, 0.0123)["sid"] == "73657373696f6e31"
    assert documents.hello_document("demo", None, 10.0) == {"car": "demo", "is_answered": False, "answered_in_s": 10.0}


@pytest.mark.parametrize(
    ("executed", "reason", "may_repeat"),
    [
        (Executed.NO, Reason.BUSY, True),
        (Executed.NO, Reason.MOVING, False),
        (Executed.UNKNOWN, Reason.BUSY, False),
        (Executed.YES, Reason.OK, False),
    ],
)
def test_only_what_was_not_executed_for_a_passing_reason_may_be_repeated(
    executed: Executed, reason: Reason, may_repeat: bool
) -> None:
    assert replace(VERIFIED, stage=Stage.REJECTED, executed=executed, reason=reason).may_repeat is may_repeat
