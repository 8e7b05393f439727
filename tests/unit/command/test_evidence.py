"""Readings as evidence."""

from __future__ import annotations

from agent.command.evidence import evidence_of
from agent.model.command import Evidence
from agent.model.reading import Quality, Reading

SPEED = Reading("Vehicle.Speed", 0.0, "km/h", 99.4, Quality.OK, message="MotionStatus")
STALE = Reading("Vehicle.Speed", None, "km/h", 90.0, Quality.STALE, "not_received", "MotionStatus")


def test_evidence_holds_path_value_quality_age_and_message() -> None:
    assert evidence_of([SPEED], 100.0) == (Evidence("Vehicle.Speed", 0.0, Quality.OK, 600, "MotionStatus"),)


def test_reading_without_a_value_is_evidence_of_that() -> None:
    assert evidence_of([STALE], 100.0) == (Evidence("Vehicle.Speed", None, Quality.STALE, 10_000, "MotionStatus"),)


def test_same_reading_is_told_once_and_order_is_kept() -> None:
    assert [piece.age_ms for piece in evidence_of([STALE, SPEED, STALE], 100.0)] == [10_000, 600]


def test_age_is_never_negative() -> None:
    assert evidence_of([SPEED], 99.0)[0].age_ms == 0
