"""ISO-TP frames to payloads, frame by frame; `tests/property/test_segments.py` holds it against can-isotp."""

from __future__ import annotations

import pytest

from agent.decode.segments import Heard, Segments


def frames(*texts: str) -> list[bytes]:
    return [bytes.fromhex(text) for text in texts]


def taken(segments: Segments, *texts: str) -> list[bytes | Heard]:
    return [segments.take(data) for data in frames(*texts)]


def test_single_frame_is_a_payload_without_its_padding() -> None:
    assert taken(Segments(b""), "0462110399FFFFFF") == [bytes.fromhex("62110399")]


def test_first_and_consecutive_frames_are_a_payload_once_the_last_came() -> None:
    found = taken(Segments(b""), "100E6101000102AA", "2103040506070809", "220AFFFFFFFFFFFF")
    assert found == [Heard.BEGUN, Heard.MORE, bytes.fromhex("6101000102AA030405060708090A")]


def test_extended_addressing_takes_one_byte_of_each_frame_and_passes_other_testers_by() -> None:
    segments = Segments(b"\xf1")
    assert taken(segments, "F10562DD6891CA", "F20562DD6891CA") == [bytes.fromhex("62DD6891CA"), Heard.ASIDE]
    assert taken(segments, "F1100962DDBC02CF", "F22102D50050FFFF", "F12102D50050FFFF") == [
        Heard.BEGUN,
        Heard.ASIDE,
        bytes.fromhex("62DDBC02CF02D50050"),
    ]


@pytest.mark.parametrize(
    "broken",
    [
        "2203040506070809",  # the one after the next
        "2003040506070809",  # the one before
        "21030405",  # cut short, and not the last
        "100E6101000102AA",  # another answer begins
        "0462110399FFFFFF",  # another answer
    ],
)
def test_lost_repeated_or_foreign_frames_break_the_payload_and_nothing_of_it_is_left(broken: str) -> None:
    segments = Segments(b"")
    assert taken(segments, "100E6101000102AA", broken, "2103040506070809", "220AFFFFFFFFFFFF") == [
        Heard.BEGUN,
        Heard.BROKEN,
        Heard.ASIDE,
        Heard.ASIDE,
    ]
    assert taken(segments, "0462110399FFFFFF") == [bytes.fromhex("62110399")]


@pytest.mark.parametrize(
    "text",
    [
        "00",  # CAN FD's escape, or nothing at all
        "0462",  # shorter than it says
        "0F62110399FFFFFF",  # longer than a frame
        "10",  # half of a length
        "10076101000102AA",  # what fits into a single frame
        "1000000010006101",  # the escape to more than 4095 bytes
        "100E610100",  # a first frame is always whole
    ],
)
def test_no_payload_begins_with_what_is_no_iso_tp(text: str) -> None:
    segments = Segments(b"")
    assert taken(segments, text) == [Heard.BROKEN]
    assert not segments.is_open


@pytest.mark.parametrize("text", ["", "3000050000000000", "4462110399FFFFFF", "2103040506070809"])
def test_flow_control_and_frames_of_nothing_begun_are_passed_over(text: str) -> None:
    assert taken(Segments(b""), text) == [Heard.ASIDE]


def test_numbers_go_round_after_fifteen() -> None:
    payload = bytes(range(200))
    segments = Segments(b"")
    assert segments.take(bytes([0x10, 200, *payload[:6]])) is Heard.BEGUN
    for number, start in enumerate(range(6, 200, 7), 1):
        found = segments.take(bytes([0x20 | number & 0xF, *payload[start : start + 7]]))
    assert found == payload
