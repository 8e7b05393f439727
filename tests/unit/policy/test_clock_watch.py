"""When the clock is news: known, trusted otherwise, set."""

from __future__ import annotations

from agent.model.events import ClockSet, ClockTrust
from agent.policy.clock_watch import STEP_S, ClockWatch

FLOOR, ESTIMATED, ATTESTED = ClockTrust


def heard(watch: ClockWatch, offset_s: float, trust: ClockTrust) -> tuple[ClockTrust, ClockTrust, float | None] | None:
    if (news := watch.news(ClockSet(offset_s, trust))) is None:
        return None
    watch.told(news)
    return news.before, news.now.trust, news.step_s


def test_clock_that_nobody_vouches_for_is_no_news_wherever_it_stands() -> None:
    """A Pi boots in the past, and a floor is no time."""
    watch = ClockWatch()
    assert heard(watch, 0.0, FLOOR) is None
    assert heard(watch, 1e9, FLOOR) is None


def test_time_that_comes_to_be_known_is_news_once() -> None:
    watch = ClockWatch()
    assert heard(watch, 1e9, ESTIMATED) == (FLOOR, ESTIMATED, None)
    assert heard(watch, 1e9, ESTIMATED) is None


def test_trust_that_rises_or_falls_is_news() -> None:
    watch = ClockWatch()
    heard(watch, 1e9, ESTIMATED)
    assert heard(watch, 1e9, ATTESTED) == (ESTIMATED, ATTESTED, None)
    assert heard(watch, 1e9, FLOOR) == (ATTESTED, FLOOR, None)


def test_step_is_news_and_what_ntp_slews_is_not_until_it_adds_up() -> None:
    watch = ClockWatch()
    heard(watch, 1e9, ESTIMATED)
    assert heard(watch, 1e9 + STEP_S, ESTIMATED) is None
    assert heard(watch, 1e9 - 3600.0, ESTIMATED) == (ESTIMATED, ESTIMATED, -3600.0)
    steps = [heard(watch, 1e9 - 3600.0 + tenth / 10, ESTIMATED) for tenth in range(21)]
    assert sum(step is not None for step in steps) == 1


def test_news_that_could_not_be_told_comes_again() -> None:
    watch = ClockWatch()
    assert watch.news(ClockSet(1e9, ESTIMATED)) is not None
    assert watch.news(ClockSet(1e9, ESTIMATED)) is not None
