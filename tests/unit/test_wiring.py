"""Which messages of a profile may be read behind the newest of their frames, and what stands behind a pulse."""

from __future__ import annotations

from dataclasses import replace

from agent.config_table import RelayTable
from agent.model.clause import Clause
from agent.model.command import Reason
from agent.model.effects import PulseRelay
from agent.model.events import FrameNotSent
from agent.model.frame import BitField
from agent.model.pulse import Pulse
from agent.profiles.schema import Condition, Derivation, DerivedPlan, ReportRule, SettleRule
from agent.wiring import conflatable, pulse_relay, relays
from tests.support.pair import config
from tests.support.plans import IS_LOCKED, ODOMETER, SPEED, message_plan, profile_of, signal_plan


def test_of_what_has_to_stand_and_of_what_another_depends_on_every_frame_is_taken_in() -> None:
    condition = Condition(0x101, False, BitField(0, 1, is_little_endian=True, size_bytes=1), frozenset({1}))
    profile = profile_of(
        message_plan(replace(signal_plan(SPEED), condition=condition), name="Plain"),
        message_plan(signal_plan(IS_LOCKED), name="Chooses", arbitration_id=0x101),
        message_plan(replace(signal_plan(ODOMETER), settle=SettleRule(0.5)), name="Stands", arbitration_id=0x102),
    )
    assert [message.name for message in conflatable(profile)] == ["Plain"]


def test_each_change_is_taken_in_of_what_a_derived_event_or_count_follows_from() -> None:
    quiet, event = (ReportRule(deadband=0.0, interval_s_min=0.0, is_event=is_event) for is_event in (False, True))
    profile = replace(
        profile_of(
            *(
                message_plan(signal_plan(path), name=path, arbitration_id=0x100 + number)
                for number, path in enumerate(("In.Event", "In.Count", "In.State"))
            )
        ),
        derived=tuple(
            DerivedPlan(f"Of.{path}", None, "uint8", how, (Clause(path, equals=1),), 1.0, 0, None, report)
            for path, how, report in (
                ("In.Event", Derivation.ALL, event),
                ("In.Count", Derivation.RISES, quiet),
                ("In.State", Derivation.ANY, quiet),
            )
        ),
    )
    assert [message.name for message in conflatable(profile)] == ["In.State"]


PULSE = Pulse("fob_unlock", 0.02, 0.05)
EFFECT = PulseRelay(PULSE, 7, float("inf"))


async def test_without_relays_no_pulse_is_carried_out_sr_01() -> None:
    assert relays(config(), profile_of()) is None
    assert await pulse_relay(None, EFFECT, lambda _token, _now_s: True) == FrameNotSent(7, Reason.INTERNAL)


async def test_chip_that_is_not_there_keeps_nobody_from_starting_and_moves_nothing() -> None:
    """The adapter that a car has, as far as it gets without a chip."""
    wired = replace(config(), relays={"fob_unlock": RelayTable(chip="/dev/gpiochip-of-nobody", offset=17)})
    begun = relays(wired, replace(profile_of(), pulse_list=(PULSE,)))
    assert begun is not None
    asked = []

    def may_send(token: int, _now_s: float) -> bool:
        asked.append(token)
        return True

    assert await pulse_relay(begun, EFFECT, may_send) == FrameNotSent(7, Reason.CAN_DOWN)
    assert await pulse_relay(begun, replace(EFFECT, pulse=replace(PULSE, pulse_s=0.5)), may_send) == FrameNotSent(
        7, Reason.INTERNAL
    )
    assert asked == [7]


async def test_pulse_that_is_no_longer_wanted_is_not_carried_out() -> None:
    wired = replace(config(), relays={"fob_unlock": RelayTable(chip="/dev/null", offset=17)})
    begun = relays(wired, replace(profile_of(), pulse_list=(PULSE,)))
    assert await pulse_relay(begun, EFFECT, lambda _token, _now_s: False) == FrameNotSent(7, Reason.EXPIRED)


async def test_line_without_a_relay_is_on_no_list_of_the_adapters_sr_01() -> None:
    """Whatever the engine asks for: the profile knows the pulse, and this car has no such line."""
    wired = replace(config(), relays={"fob_unlock": RelayTable(chip="/dev/null", offset=17)})
    begun = relays(wired, replace(profile_of(), pulse_list=(PULSE, replace(PULSE, line="fob_lock"))))
    lock = replace(EFFECT, pulse=replace(PULSE, line="fob_lock"))
    assert await pulse_relay(begun, lock, lambda _token, _now_s: True) == FrameNotSent(7, Reason.INTERNAL)
