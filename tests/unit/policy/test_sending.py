"""SR-01, first of two checks: no frame goes out that the profile does not list."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.model.frame import Frame, SendRule
from agent.policy.sending import is_on_send_list

RULE = SendRule("body", 0x3A1, is_extended_id=False, is_fd=False, value=b"\x01\x00\x00", mask=b"\xff\xf0\x00")
FRAME = Frame("body", 0x3A1, b"\x01\x07\x99")


def test_sr_01_listed_frame_may_be_sent_whatever_its_computed_bits() -> None:
    assert is_on_send_list(FRAME, [RULE])
    for low in range(16):
        assert is_on_send_list(FRAME._replace(data=bytes([1, low, 0xFF - low])), [RULE])


@pytest.mark.parametrize(
    "changes",
    [
        {"bus": "drive"},
        {"arbitration_id": 0x3A2},
        {"is_extended_id": True},
        {"is_fd": True},
        {"data": b"\x01\x07"},
        {"data": b"\x01\x07\x99\x00"},
        {"data": b""},
    ],
)
def test_sr_01_frame_of_another_kind_may_not(changes: dict[str, object]) -> None:
    assert not is_on_send_list(FRAME._replace(**changes), [RULE])  # type: ignore[arg-type]


@pytest.mark.parametrize("bit", range(24))
def test_sr_01_every_masked_bit_counts(bit: int) -> None:
    data = (int.from_bytes(FRAME.data, "big") ^ 1 << bit).to_bytes(3, "big")
    is_masked = int.from_bytes(RULE.mask, "big") >> bit & 1
    assert is_on_send_list(FRAME._replace(data=data), [RULE]) == (not is_masked)


def test_bits_of_the_value_outside_the_mask_are_not_asked_for() -> None:
    assert is_on_send_list(FRAME, [replace(RULE, value=b"\x01\x05\xaa")])


def test_sr_01_empty_list_allows_nothing() -> None:
    assert not is_on_send_list(FRAME, [])


def test_rules_do_not_mix() -> None:
    """A frame must satisfy one rule whole, not the id of one and the content of another."""
    other = replace(RULE, arbitration_id=0x3A2, value=b"\x02\x00\x00")
    assert is_on_send_list(FRAME, [other, RULE])
    assert not is_on_send_list(FRAME._replace(arbitration_id=0x3A2), [other, RULE])


def test_rule_with_mask_of_another_length_allows_nothing() -> None:
    assert not is_on_send_list(FRAME, [replace(RULE, mask=b"\x00")])
