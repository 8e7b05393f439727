"""Frames filled in, and rounds of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.command.recipe import Repetition, fill
from agent.model.frame import BitField, Frame
from agent.model.pulse import Pulse
from agent.model.recipe import ChecksumField, FrameTemplate

COUNTER = BitField(shift=0, length=4, is_little_endian=True, size_bytes=4)
CHECKSUM = BitField(shift=24, length=8, is_little_endian=True, size_bytes=4)


def sum_of_others(data: bytes) -> int:
    return sum(data[:3]) & 0xFF


PLAIN = FrameTemplate("body", 0x123, is_extended_id=False, is_fd=False, data=b"\xf0\x01\x02\x00")
COUNTED = replace(PLAIN, counter=COUNTER)
CHECKED = replace(COUNTED, checksum=ChecksumField("sum8", CHECKSUM, sum_of_others))
OTHER = replace(COUNTED, arbitration_id=0x124)


def counters(repetition: Repetition) -> list[tuple[int, int]]:
    """(id, rolling counter) of every frame until the end."""
    found = []
    while not repetition.is_over:
        frame, repetition = repetition.next_frame(0.0)
        assert isinstance(frame, Frame)
        found.append((frame.arbitration_id, COUNTER.extract(frame.data)))
    return found


def test_frame_without_counter_and_checksum_goes_out_as_it_stands() -> None:
    template = FrameTemplate("drive", 0x1ABCDE, is_extended_id=True, is_fd=True, data=bytes(12))
    assert fill(template, 5) == Frame("drive", 0x1ABCDE, bytes(12), is_extended_id=True, is_fd=True)


def test_counter_is_filled_in_and_wraps_at_its_width() -> None:
    assert fill(COUNTED, 3).data == b"\xf3\x01\x02\x00"
    assert fill(COUNTED, 16 + 3) == fill(COUNTED, 3)


def test_checksum_covers_the_counter() -> None:
    assert fill(CHECKED, 3).data == b"\xf3\x01\x02\xf6"
    assert fill(CHECKED, 4).data == b"\xf4\x01\x02\xf7"


def test_frame_of_each_round_has_the_next_counter() -> None:
    assert counters(Repetition((COUNTED,), 3, 0.1)) == [(0x123, 0), (0x123, 1), (0x123, 2)]


def test_every_round_has_all_frames_in_order_each_id_with_its_own_counter() -> None:
    rounds = Repetition((COUNTED, OTHER, COUNTED), 2, 0.1)
    assert counters(rounds) == [(0x123, 0), (0x124, 0), (0x123, 1), (0x123, 2), (0x124, 1), (0x123, 3)]


def test_same_id_on_another_bus_counts_by_itself() -> None:
    rounds = Repetition((COUNTED, replace(COUNTED, bus="drive"), replace(COUNTED, is_extended_id=True)), 1, 0.1)
    assert [counter for _, counter in counters(rounds)] == [0, 0, 0]


def test_first_round_is_due_at_once_and_the_next_an_interval_after_its_start() -> None:
    repetition = Repetition((COUNTED, OTHER), 2, 0.1)
    assert repetition.is_due(5.0)
    _, repetition = repetition.next_frame(5.0)
    assert repetition.is_within_round and repetition.is_due(5.0)
    _, repetition = repetition.next_frame(5.07)
    assert not repetition.is_within_round and repetition.due_s == pytest.approx(5.1)
    assert not repetition.is_due(5.09) and repetition.is_due(repetition.due_s) and repetition.is_due(5.11)


def test_round_broken_off_is_not_gone_on_with_and_stays_counted() -> None:
    repetition = Repetition((COUNTED, OTHER), 2, 0.1)
    _, repetition = repetition.next_frame(0.0)
    repetition = repetition.abandon_round()
    assert not repetition.is_within_round and not repetition.is_over
    frame, repetition = repetition.next_frame(0.1)
    assert isinstance(frame, Frame) and frame.arbitration_id == 0x123
    _, repetition = repetition.next_frame(0.1)
    assert repetition.is_over


def test_pulses_of_a_round_come_in_order_and_are_what_the_profile_says() -> None:
    first, second = Pulse("door", 0.3, 0.2), Pulse("trunk", 0.5, 0.1)
    repetition = Repetition((first, second), 2, 1.0)
    asked = []
    while not repetition.is_over:
        pulse, repetition = repetition.next_frame(0.0)
        asked.append(pulse)
    assert asked == [first, second] * 2


def test_no_frame_comes_after_the_last_round() -> None:
    _, repetition = Repetition((COUNTED,), 1, 0.1).next_frame(0.0)
    assert repetition.is_over and not repetition.is_due(1e9)
    with pytest.raises(ValueError, match="no round left"):
        repetition.next_frame(1.0)
