"""Which messages of a profile may be read behind the newest of their frames."""

from __future__ import annotations

from dataclasses import replace

from agent.model.frame import BitField
from agent.profiles.schema import Condition, SettleRule
from agent.wiring import conflatable
from tests.support.plans import IS_LOCKED, ODOMETER, SPEED, message_plan, profile_of, signal_plan


def test_of_what_has_to_stand_and_of_what_another_depends_on_every_frame_is_taken_in() -> None:
    condition = Condition(0x101, False, BitField(0, 1, is_little_endian=True, size_bytes=1), frozenset({1}))
    profile = profile_of(
        message_plan(replace(signal_plan(SPEED), condition=condition), name="Plain"),
        message_plan(signal_plan(IS_LOCKED), name="Chooses", arbitration_id=0x101),
        message_plan(replace(signal_plan(ODOMETER), settle=SettleRule(0.5)), name="Stands", arbitration_id=0x102),
    )
    assert [message.name for message in conflatable(profile)] == ["Plain"]
