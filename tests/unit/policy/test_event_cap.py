"""How often an input may be an event, and how it is told what was held back."""

from __future__ import annotations

from agent.policy.event_cap import TOLD_INTERVAL_S, WINDOW_S, EventCap, Suppressed


def test_input_has_its_cap_in_any_hour_and_others_have_their_own() -> None:
    cap = EventCap()
    assert [cap.allows("door", 2, at_s) for at_s in (0.0, 10.0, 20.0)] == [True, True, False]
    assert cap.allows("lock", 2, 20.0)
    assert not cap.allows("door", 2, WINDOW_S - 0.1)
    assert cap.allows("door", 2, WINDOW_S)
    assert not cap.allows("door", 2, WINDOW_S + 5.0)
    assert cap.allows("door", 2, WINDOW_S + 10.0)


def test_what_was_held_back_is_told_at_once_and_then_seldom() -> None:
    """SR-09: being told of a flapping input must not flood either."""
    cap = EventCap()
    cap.allows("door", 0, 0.0)
    assert cap.take_suppressed(0.0) == (Suppressed("door", 1, 0),)
    cap.allows("door", 0, 1.0)
    cap.note_bounce("lock")
    assert cap.take_suppressed(TOLD_INTERVAL_S - 1.0) == ()
    assert cap.take_suppressed(TOLD_INTERVAL_S) == (Suppressed("door", 1, 0), Suppressed("lock", 0, 1))
    assert cap.take_suppressed(1e6) == ()


def test_what_was_held_back_is_told_before_the_end() -> None:
    cap = EventCap()
    cap.note_bounce("lock")
    cap.take_suppressed(0.0)
    cap.note_bounce("lock")
    assert cap.take_suppressed(1.0, is_last=True) == (Suppressed("lock", 0, 1),)
