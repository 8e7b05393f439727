"""What of a profile the kernel can watch, and by which bits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.loading import load_profile
from agent.model.command import Action, Reason
from agent.model.frame import BitField, SendRule
from agent.model.reception import MessageId, Repeating
from agent.model.recipe import ChecksumField, Feedback, Precondition, Recipe
from agent.profiles.schema import (
    Condition,
    CounterRule,
    MessagePlan,
    Profile,
    ReportRule,
    Selection,
    SettleRule,
    UnitChoice,
)
from agent.profiles.watches import MASKS_MAX, attended, repeating, watches
from tests.support.plans import IS_LOCKED, ODOMETER, SPEED, message_plan, profile_of, signal_plan

MOTION = MessageId("body", 0x100, False)
UNITS = MessageId("body", 0x101, False)
SELECTOR = BitField(0, 8, is_little_endian=True, size_bytes=8)


def profile(*messages: MessagePlan, silent_after_s: float = 2.0) -> Profile:
    made = profile_of(*messages)
    return replace(made, buses=tuple(replace(bus, silent_after_s=silent_after_s) for bus in made.buses))


def paged(*pages: frozenset[int] | None) -> MessagePlan:
    paths = (SPEED, ODOMETER)
    signals = [
        replace(signal_plan(path, byte=1 + byte), selector_values=page)
        for byte, (path, page) in enumerate(zip(paths, pages, strict=False))
    ]
    return replace(message_plan(*signals), selector=SELECTOR)


def test_the_mask_is_the_wanted_bits_and_neither_counter_nor_checksum() -> None:
    counter = CounterRule(BitField(56, 4, is_little_endian=True, size_bytes=8), 1, 1.0)
    motion = replace(message_plan(signal_plan(SPEED, byte=1), signal_plan(ODOMETER, byte=3)), counter=counter)
    (watch,) = watches(profile(motion), "body")
    assert (watch.message, watch.masks) == (MOTION, (bytes.fromhex("00ff00ff00000000"),))


def test_a_motorola_signal_is_masked_where_it_lies() -> None:
    field = BitField(52, 10, is_little_endian=False, size_bytes=8)
    (watch,) = watches(profile(message_plan(replace(signal_plan(SPEED), field=field))), "body")
    assert watch.masks == (bytes.fromhex("3ff0000000000000"),)


@pytest.mark.parametrize(("freshness_s", "silent_after_s", "timeout_s"), [(1.0, 2.0, 0.5), (10.0, 2.0, 1.0)])
def test_the_time_out_is_half_of_what_must_be_known_first_sr_05(
    freshness_s: float, silent_after_s: float, timeout_s: float
) -> None:
    signals = signal_plan(SPEED, freshness_s=freshness_s), signal_plan(ODOMETER, byte=1, freshness_s=60.0)
    (watch,) = watches(profile(message_plan(*signals), silent_after_s=silent_after_s), "body")
    assert watch.timeout_s == timeout_s


UNIT = UnitChoice(0x101, False, BitField(4, 1, is_little_endian=True, size_bytes=1), {0: 1.0, 1: 1.6})
COUNTER = CounterRule(BitField(56, 4, is_little_endian=True, size_bytes=8), 1, 1.0)


def test_frames_may_be_left_out_that_repeat_the_bits_of_a_message_that_is_as_long_as_this() -> None:
    motion = message_plan(signal_plan(SPEED, byte=1), signal_plan(ODOMETER, byte=3, freshness_s=60.0))
    (found,) = repeating(profile(motion), "body")
    assert found == Repeating(MOTION, bytes.fromhex("00ff00ff"), every_s=0.25)
    assert repeating(profile(replace(motion, bus="other")), "other")[0].message.bus == "other"


@pytest.mark.parametrize(("freshness_s", "silent_after_s", "every_s"), [(60.0, 2.0, 0.5), (60.0, 60.0, 1.0)])
def test_a_repetition_is_given_before_its_bus_seems_silent_and_before_its_age_is_noticed(
    freshness_s: float, silent_after_s: float, every_s: float
) -> None:
    plan = message_plan(signal_plan(SPEED, freshness_s=freshness_s))
    (found,) = repeating(profile(plan, silent_after_s=silent_after_s), "body")
    assert found.every_s == every_s


@pytest.mark.parametrize(
    "message",
    [
        replace(message_plan(signal_plan(SPEED)), counter=COUNTER),
        replace(message_plan(signal_plan(SPEED)), checksum=ChecksumField("xor", COUNTER.field, sum)),
        replace(message_plan(signal_plan(SPEED)), is_every_frame=True),
        paged(frozenset({1}), frozenset({2})),
        message_plan(replace(signal_plan(SPEED), selections=(Selection(SELECTOR, frozenset({1})),))),
        message_plan(replace(signal_plan(SPEED), settle=SettleRule(0.5))),
        message_plan(replace(signal_plan(SPEED), unit_choice=UNIT)),
    ],
    ids=["counter", "checksum", "every frame", "pages", "selection", "stands", "unit"],
)
def test_no_frame_is_left_out_where_each_says_more_than_its_bits(message: MessagePlan) -> None:
    units = message_plan(name="Units", arbitration_id=0x102)
    assert repeating(profile(message, units), "body") == repeating(profile(units), "body")


def test_no_frame_is_left_out_of_what_gives_others_their_meaning_or_what_we_send() -> None:
    motion = message_plan(replace(signal_plan(ODOMETER), unit_choice=UNIT))
    chooser = message_plan(signal_plan(SPEED), name="Units", arbitration_id=0x101)
    assert repeating(profile(motion, chooser), "body") == ()
    sent = SendRule("body", 0x100, False, False, value=b"\x01", mask=b"\xff")
    assert repeating(replace(profile(message_plan(signal_plan(SPEED))), send_list=(sent,)), "body") == ()


def test_what_chooses_a_unit_is_watched_and_has_the_other_message_given_afresh() -> None:
    choice = UnitChoice(0x101, False, BitField(4, 1, is_little_endian=True, size_bytes=1), {0: 1.0, 1: 1.6})
    motion = message_plan(replace(signal_plan(ODOMETER), unit_choice=choice))
    chooser = message_plan(name="Units", arbitration_id=0x101)
    by_message = {watch.message: watch for watch in watches(profile(motion, chooser), "body")}
    assert by_message[UNITS].masks == (bytes.fromhex("1000000000000000"),)
    assert by_message[UNITS].units_of == (MOTION,)


def test_a_condition_is_watched_as_a_unit_is_and_in_its_own_message_as_part_of_it() -> None:
    bit = BitField(4, 1, is_little_endian=True, size_bytes=1)
    elsewhere = replace(signal_plan(ODOMETER), condition=Condition(0x101, False, bit, frozenset({1})))
    within = replace(signal_plan(SPEED, byte=1), condition=Condition(0x101, False, bit, frozenset({0})))
    made = profile(message_plan(elsewhere), message_plan(within, name="Units", arbitration_id=0x101))
    by_message = {watch.message: watch for watch in watches(made, "body")}
    assert by_message[UNITS].masks == (bytes.fromhex("10ff000000000000"),)
    # Asked for afresh at its own change, a message would be given frame by frame.
    assert by_message[UNITS].units_of == (MOTION,)


def test_what_has_to_stand_is_not_gathered() -> None:
    """Two moments of one state with another between them would look like one that stood."""
    seldom = replace(signal_plan(SPEED), report=ReportRule(0.0, 0.3, is_event=False))
    assert watches(profile(message_plan(seldom)), "body")[0].throttle_s == 0.3
    settling = replace(seldom, settle=SettleRule(0.5))
    assert watches(profile(message_plan(settling)), "body")[0].throttle_s == 0.0


def test_pages_have_the_value_of_the_selector_in_its_bits() -> None:
    (watch,) = watches(profile(paged(frozenset({1}), frozenset({3}))), "body")
    assert [mask[:4].hex() for mask in watch.masks] == ["ff000000", "01ff0000", "0300ff00"]
    assert (watch.timeout_s, watch.refresh_s) == (0.0, 0.25)


@pytest.mark.parametrize("page", [None, frozenset({1, 2})])
def test_what_is_there_on_several_pages_is_wanted_frame_by_frame(page: frozenset[int] | None) -> None:
    """The kernel compares with the frame before of the same page, not with the frame before."""
    assert watches(profile(paged(page)), "body") == ()


def test_what_the_kernel_cannot_hold_is_wanted_frame_by_frame() -> None:
    wide = BitField(0, 16, is_little_endian=True, size_bytes=8)
    signals = [
        replace(signal_plan(f"Vehicle.Page{value}", byte=2), selector_values=frozenset({value}))
        for value in range(MASKS_MAX)
    ]
    many = replace(message_plan(*signals), selector=wide)
    assert watches(profile(many), "body") == ()
    assert watches(profile(replace(many, signals=many.signals[1:])), "body") != ()
    far = BitField(64, 8, is_little_endian=True, size_bytes=12)
    assert watches(profile(replace(paged(frozenset({1})), selector=far, is_fd=True)), "body") == ()
    lone = replace(signal_plan(SPEED), selections=(Selection(SELECTOR, frozenset({1})),))
    assert watches(profile(message_plan(lone)), "body") == ()


def test_what_the_agent_may_send_or_the_profile_marks_is_wanted_frame_by_frame_sr_04() -> None:
    motion = message_plan(signal_plan(SPEED))
    rule = SendRule("body", 0x100, False, False, value=b"\x01", mask=b"\xff")
    assert watches(replace(profile(motion), send_list=(rule,)), "body") == ()
    assert watches(profile(replace(motion, is_every_frame=True)), "body") == ()
    assert watches(profile(motion), "body") != ()


def unlock(precondition: str, feedback: str) -> Recipe:
    return Recipe(
        action=Action.UNLOCK,
        bus="body",
        frames=(),
        repeats_max=1,
        interval_s=0.1,
        feedback=(Feedback(feedback, equals=False),),
        feedback_window_s=1.0,
        preconditions=(Precondition(precondition, Reason.MOVING),),
        wake=None,
    )


def test_only_what_is_told_seldom_and_decides_nothing_is_gathered() -> None:
    seldom, event = ReportRule(0.0, 0.3, is_event=False), ReportRule(0.0, 0.3, is_event=True)
    plain = profile(message_plan(signal_plan(SPEED, report=seldom)))
    assert watches(plain, "body")[0].throttle_s == 0.3
    assert watches(profile(message_plan(signal_plan(SPEED, report=event))), "body")[0].throttle_s == 0.0
    slower = ReportRule(0.0, 60.0, is_event=False)
    slow = watches(profile(message_plan(signal_plan(SPEED, report=slower))), "body")[0]
    assert slow.throttle_s == slow.timeout_s
    for recipe in (unlock(SPEED, IS_LOCKED), unlock(IS_LOCKED, SPEED)):
        assert watches(replace(plain, recipes={Action.UNLOCK: recipe}), "body")[0].throttle_s == 0.0


def test_a_command_attends_to_its_preconditions_feedback_and_their_units() -> None:
    choice = UnitChoice(0x102, False, BitField(0, 1, is_little_endian=True, size_bytes=1), {0: 1.0})
    messages = (
        message_plan(replace(signal_plan(SPEED), unit_choice=choice)),
        message_plan(signal_plan(IS_LOCKED, choices={0: False}), name="Lock", arbitration_id=0x101),
        message_plan(name="Units", arbitration_id=0x102),
        message_plan(signal_plan(ODOMETER), name="Meter", arbitration_id=0x103),
    )
    found = attended(profile(*messages), unlock(SPEED, IS_LOCKED))
    assert {message.arbitration_id for message in found} == {0x100, 0x101, 0x102}


def test_every_message_of_the_demo_car_is_watched(request: pytest.FixtureRequest) -> None:
    demo = load_profile(request.config.rootpath / "dbc" / "demo_hatchback")
    assert len(watches(demo, "body")) == len(demo.messages)
