"""A part that stops is named within its limit, and only that one (SR-10)."""

from __future__ import annotations

from agent.health import ProgressMarks

LIMITS_S = {"engine": 5.0, "can.body": 60.0}


def test_no_part_is_late_at_the_start() -> None:
    assert ProgressMarks(LIMITS_S, 100.0).late(105.0) == ()


def test_part_that_never_made_progress_is_late_after_its_limit() -> None:
    """SR-10: silence is never success."""
    assert ProgressMarks(LIMITS_S, 100.0).late(105.001) == ("engine",)


def test_every_late_part_is_named() -> None:
    assert ProgressMarks(LIMITS_S, 100.0).late(161.0) == ("engine", "can.body")


def test_mark_counts_for_its_part_alone() -> None:
    marks = ProgressMarks(LIMITS_S, 100.0)
    marks.mark("engine", 158.0)
    assert marks.late(161.0) == ("can.body",)
    assert marks.late(163.5) == ("engine", "can.body")


def test_part_is_no_longer_late_once_it_goes_on() -> None:
    marks = ProgressMarks(LIMITS_S, 100.0)
    assert marks.late(106.0) == ("engine",)
    marks.mark("engine", 106.0)
    assert marks.late(106.0) == ()
