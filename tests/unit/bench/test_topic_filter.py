"""Topic names and filters of the bench broker (MQTT 5 §4.7)."""

from __future__ import annotations

import pytest

from agent.bench.topic_filter import is_valid_filter, is_valid_topic, matches


@pytest.mark.parametrize(
    ("pattern", "topic"),
    [
        ("a/b", "a/b"),
        ("a/+/c", "a/b/c"),
        ("a/+", "a/"),
        ("#", "a/b/c"),
        ("a/#", "a"),
        ("a/#", "a/b/c"),
        ("+/+", "/a"),
        ("$SYS/#", "$SYS/uptime"),
    ],
)
def test_a_filter_matches_the_topics_of_the_standards_examples(pattern: str, topic: str) -> None:
    assert matches(pattern, topic)


@pytest.mark.parametrize(
    ("pattern", "topic"),
    [
        ("a/b", "a/b/c"),
        ("a/+", "a/b/c"),
        ("a/+", "a"),
        ("+", "/a"),
        ("#", "$SYS/x"),
        ("+/x", "$SYS/x"),
        ("a/b/c", "a/b"),
    ],
)
def test_a_filter_does_not_match_other_topics(pattern: str, topic: str) -> None:
    assert not matches(pattern, topic)


@pytest.mark.parametrize("pattern", ["", "a/#/b", "a#", "a/b+", "+a", "a\0b", "x" * 65_536])
def test_a_filter_with_a_misplaced_wildcard_is_not_valid(pattern: str) -> None:
    assert not is_valid_filter(pattern)


@pytest.mark.parametrize("pattern", ["#", "+", "a/+/#", "/", "v1/+/0123456789abcdef/res"])
def test_a_filter_with_wildcards_for_whole_levels_is_valid(pattern: str) -> None:
    assert is_valid_filter(pattern)


@pytest.mark.parametrize("topic", ["", "a/+", "a/#", "a\0"])
def test_a_topic_with_wildcards_or_nul_is_not_valid(topic: str) -> None:
    assert not is_valid_topic(topic)
