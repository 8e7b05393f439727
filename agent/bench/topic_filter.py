"""MQTT topic names and filters (MQTT 5 §4.7): validity and matching."""

from __future__ import annotations

TOPIC_BYTES_MAX = 65_535  # MQTT 5 §1.5.4: a string's length has two bytes


def is_valid_topic(topic: str) -> bool:
    """Whether `topic` may be published to: not empty, no wildcard, no NUL."""
    return bool(topic) and len(topic.encode()) <= TOPIC_BYTES_MAX and not set(topic) & set("+#\0")


def is_valid_filter(pattern: str) -> bool:
    """Whether `pattern` may be subscribed to: wildcards stand for whole levels, `#` last."""
    if not pattern or len(pattern.encode()) > TOPIC_BYTES_MAX or "\0" in pattern:
        return False
    *inner, last = pattern.split("/")
    if any("#" in level for level in inner) or ("#" in last and last != "#"):
        return False
    return all("+" not in level or level == "+" for level in (*inner, last))


def matches(pattern: str, topic: str) -> bool:
    """Whether a valid `topic` falls under a valid `pattern`; wildcards first do not see `$…` topics."""
    if topic.startswith("$") and pattern[0] in "+#":
        return False
    wanted, levels = pattern.split("/"), topic.split("/")
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index >= len(levels) or level not in ("+", levels[index]):
            return False
    return len(wanted) == len(levels)
