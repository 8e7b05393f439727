"""Of what waits the newest of each message stays, in order, and what was left out is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import can
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.adapters.can_conflation import Conflation
from agent.errors import BusError

CONFLATABLE = {(0x100, False), (0x100, True), (0x200, False)}


@st.composite
def a_message(draw: st.DrawFn) -> can.Message:
    """A frame of one of four ids, sometimes a remote or error frame, or one cut short."""
    kind = draw(st.sampled_from(["data"] * 6 + ["remote", "error", "short"]))
    return can.Message(
        arbitration_id=draw(st.sampled_from([0x100, 0x200, 0x300])),
        is_extended_id=draw(st.booleans()),
        is_remote_frame=kind == "remote",
        is_error_frame=kind == "error",
        dlc=2 if kind == "short" else 1,
        data=None if kind == "remote" else b"\x01",
    )


@given(st.lists(a_message(), max_size=20))
def test_the_newest_of_each_message_is_left_and_nothing_else_is_lost(messages: list[can.Message]) -> None:
    conflation = Conflation(CONFLATABLE)
    left = [message for message, _ in conflation.newest((message, 0.0) for message in messages)]

    def stands_for_itself(message: can.Message) -> bool:
        is_whole = not (message.is_remote_frame or message.is_error_frame) and len(message.data) == message.dlc
        return not is_whole or (message.arbitration_id, message.is_extended_id) not in CONFLATABLE

    expected: list[can.Message] = []
    seen: set[tuple[int, bool]] = set()
    overtaken: Counter[tuple[int, bool]] = Counter()
    for message in reversed(messages):
        key = message.arbitration_id, message.is_extended_id
        if stands_for_itself(message) or key not in seen:
            expected.insert(0, message)
        else:
            overtaken[key] += 1
        if not stands_for_itself(message):
            seen.add(key)
    assert [id(message) for message in left] == [id(message) for message in expected]
    assert conflation.counts == overtaken
    assert len(left) + conflation.counts.total() == len(messages)


def test_what_came_before_a_failure_is_taken_in_before_it_is_told() -> None:
    def failing() -> Iterator[tuple[can.Message, float]]:
        yield can.Message(arbitration_id=0x100, is_extended_id=False), 1.0
        raise BusError("gone")

    left = Conflation(CONFLATABLE).newest(failing())
    assert next(left)[1] == 1.0
    with pytest.raises(BusError, match="gone"):
        next(left)
