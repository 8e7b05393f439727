from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.adapters.can_edge import CLOCK_STEP_S, STATE_SHOWN, SendList, arrival_s, next_back_off_s, sign_of
from agent.model.bus import BusSign
from agent.model.frame import BusState, Frame, SendRule

UNLOCK = SendRule(
    "body", 0x4A0, False, False, value=bytes.fromhex("0200000000000000"), mask=bytes.fromhex("ffffffff00ff00ff")
)

boot_times = st.floats(0.0, 1e8)
spans = st.floats(0.0, 1e4)
offsets = st.floats(-1e9, 4e9)
any_float = st.floats(allow_nan=True, allow_infinity=True)


def frame(data: str, *, bus: str = "body", arbitration_id: int = 0x4A0, is_extended_id: bool = False) -> Frame:
    return Frame(bus, arbitration_id, bytes.fromhex(data), is_extended_id=is_extended_id)


@given(any_float, any_float, any_float, boot_times, spans)
def test_an_arrival_lies_between_the_last_look_and_now_whatever_the_clocks_say(
    timestamp_unix_s: float, offset_s: float, offset_before_s: float, earliest_s: float, span_s: float
) -> None:
    now_s = earliest_s + span_s
    at_s = arrival_s(
        timestamp_unix_s, offset_s=offset_s, offset_before_s=offset_before_s, earliest_s=earliest_s, now_s=now_s
    )
    assert earliest_s <= at_s <= now_s


@given(boot_times, spans, st.floats(0.0, 1.0), offsets)
def test_with_a_steady_wall_clock_the_kernels_stamp_gives_the_time_of_arrival(
    earliest_s: float, span_s: float, share: float, offset_s: float
) -> None:
    arrived_s = earliest_s + share * span_s
    at_s = arrival_s(
        arrived_s + offset_s,
        offset_s=offset_s,
        offset_before_s=offset_s,
        earliest_s=earliest_s,
        now_s=earliest_s + span_s,
    )
    # Doubles hold Unix times to a quarter of a microsecond.
    assert at_s == pytest.approx(arrived_s, abs=2e-6)


@given(boot_times, spans, st.floats(0.0, 1.0), st.floats(CLOCK_STEP_S * 1.01, 1e9), st.booleans())
def test_a_frame_stamped_around_a_clock_step_is_never_newer_than_it_can_be_sr_04(
    earliest_s: float, span_s: float, share: float, step_s: float, is_forward: bool
) -> None:
    stamp_s = 1.7e9 + earliest_s + share * span_s
    offset_s = 1.7e9 + (step_s if is_forward else -step_s)
    at_s = arrival_s(
        stamp_s, offset_s=offset_s, offset_before_s=1.7e9, earliest_s=earliest_s, now_s=earliest_s + span_s
    )
    assert at_s == earliest_s


def test_a_stamp_that_is_no_number_counts_as_old() -> None:
    assert arrival_s(math.nan, offset_s=0.0, offset_before_s=0.0, earliest_s=5.0, now_s=9.0) == 5.0
    assert arrival_s(7.0, offset_s=math.nan, offset_before_s=0.0, earliest_s=5.0, now_s=9.0) == 5.0


@pytest.mark.parametrize(
    ("error_class", "data", "state"),
    [
        (0x040, bytes(8), BusState.BUS_OFF),
        (0x100, bytes(8), BusState.UP),
        (0x004, bytes([0, 0x10, 0, 0, 0, 0, 0, 0]), BusState.ERROR_PASSIVE),
        (0x004, bytes([0, 0x20, 0, 0, 0, 0, 0, 0]), BusState.ERROR_PASSIVE),
        (0x004, bytes([0, 0x40, 0, 0, 0, 0, 0, 0]), BusState.UP),
        (0x004, bytes([0, 0x08, 0, 0, 0, 0, 0, 0]), BusState.UP),  # a warning level: still error-active
        (0x004, bytes([0, 0x14, 0, 0, 0, 0, 0, 0]), BusState.ERROR_PASSIVE),  # one counter passive, the other warns
        (0x004, bytes([0, 0x01, 0, 0, 0, 0, 0, 0]), None),  # overflow
        (0x02C, bytes([0, 0x20, 0, 0, 0, 0, 0, 0]), BusState.ERROR_PASSIVE),  # with single faults beside it
        (0x044, bytes([0, 0x10, 0, 0, 0, 0, 0, 0]), BusState.BUS_OFF),
        (0x008, bytes(8), None),  # protocol violation
        (0x080, bytes(8), None),  # bus error
        (0x004, b"", None),
    ],
)
def test_error_frames_say_the_controllers_state(error_class: int, data: bytes, state: BusState | None) -> None:
    sign = sign_of(error_class, data)
    assert (None if sign is None else STATE_SHOWN.get(sign)) is state


@pytest.mark.parametrize(
    ("error_class", "detail", "sign"),
    [
        (0x001, 0, BusSign.SEND_TIMEOUT),
        (0x002, 0, BusSign.PROTOCOL_ERROR),  # lost arbitration
        (0x004, 0x00, None),
        (0x004, 0x01, BusSign.OVERFLOW),
        (0x004, 0x04, BusSign.CONTROLLER_WARNING),
        (0x004, 0x10, BusSign.CONTROLLER_PASSIVE),
        (0x004, 0x40, BusSign.CONTROLLER_ACTIVE),
        (0x008, 0, BusSign.PROTOCOL_ERROR),
        (0x010, 0, None),  # the transceiver: nothing is made of it
        (0x020, 0, BusSign.NO_ACKNOWLEDGEMENT),
        (0x040, 0, BusSign.CONTROLLER_OFF),
        (0x080, 0, BusSign.PROTOCOL_ERROR),
        (0x100, 0, BusSign.CONTROLLER_RESTARTED),
        (0x140, 0, BusSign.CONTROLLER_OFF),
        (0x0A8, 0, BusSign.NO_ACKNOWLEDGEMENT),
    ],
)
def test_an_error_frame_says_one_thing_the_weightiest(error_class: int, detail: int, sign: BusSign | None) -> None:
    assert sign_of(error_class, bytes([0, detail, 0, 0, 0, 0, 0, 0])) is sign


def test_an_interface_is_opened_again_after_a_second_then_twice_as_long_up_to_a_minute() -> None:
    """SR-09, R10."""
    waits, wait_s = [], 0.0
    for _ in range(9):
        wait_s = next_back_off_s(wait_s, open_for_s=0.01)
        waits.append(wait_s)
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    assert next_back_off_s(60.0, open_for_s=60.0) == 60.0
    assert next_back_off_s(60.0, open_for_s=60.1) == 1.0


def test_a_frame_on_the_send_list_may_go_with_any_counter_and_checksum() -> None:
    send_list = SendList("body", [UNLOCK])
    assert frame("0200000000000000") in send_list
    assert frame("02000000ff005a00") in send_list


@pytest.mark.parametrize(
    "refused",
    [
        frame("0300000000000000"),
        frame("0200000000010000"),
        frame("02000000000000"),
        frame("020000000000000000"),
        frame("0200000000000000", arbitration_id=0x4A1),
        frame("0200000000000000", is_extended_id=True),
        frame("0200000000000000", bus="drive"),
        Frame("body", 0x4A0, bytes.fromhex("0200000000000000"), is_fd=True),
    ],
)
def test_a_frame_that_differs_in_one_thing_is_not_on_the_send_list_sr_01(refused: Frame) -> None:
    assert refused not in SendList("body", [UNLOCK])


@pytest.mark.parametrize("bit", range(64))
def test_each_single_bit_off_is_refused_unless_it_is_ours_to_compute_sr_01(bit: int) -> None:
    changed = (int.from_bytes(UNLOCK.value) ^ 1 << bit).to_bytes(8)
    may_differ = not int.from_bytes(UNLOCK.mask) >> bit & 1
    assert (Frame("body", 0x4A0, changed) in SendList("body", [UNLOCK])) is may_differ


def test_of_all_standard_ids_only_the_listed_one_may_be_sent_sr_01() -> None:
    send_list = SendList("body", [UNLOCK])
    sendable = [i for i in range(0x800) if frame("0200000000000000", arbitration_id=i) in send_list]
    assert sendable == [0x4A0]


def test_rules_of_other_buses_permit_nothing_sr_01() -> None:
    assert frame("0200000000000000", bus="drive") not in SendList("drive", [UNLOCK])
    assert frame("0200000000000000") not in SendList("body", [])


def test_a_rule_whose_mask_does_not_cover_its_value_is_refused() -> None:
    with pytest.raises(ValueError, match="differ in length"):
        SendList("body", [SendRule("body", 1, False, False, value=bytes(8), mask=bytes(7))])


@given(st.binary(min_size=0, max_size=8), st.binary(min_size=8, max_size=8), st.binary(min_size=8, max_size=8))
def test_only_what_equals_the_value_under_the_mask_may_be_sent_sr_01(data: bytes, value: bytes, mask: bytes) -> None:
    rule = SendRule("body", 0x4A0, False, False, value=value, mask=mask)
    same = len(data) == 8 and all((d & m) == (v & m) for d, v, m in zip(data, value, mask, strict=True))
    assert (Frame("body", 0x4A0, data) in SendList("body", [rule])) is same
