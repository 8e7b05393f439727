"""Bytes to and from the kernel's broadcast manager, held against linux/can/bcm.h as a 64-bit kernel has it."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.adapters.bcm_message import KIND_BYTES, MESSAGE_BYTES_MAX, Heard, parse, rx_setup
from agent.model.reception import MessageId, Watch

EXTENDED = 0x8000_0000
RX_CHANGED, RX_TIMEOUT, TX_STATUS = 12, 11, 8


def head(opcode: int, can_id: int, frames: int, flags: int = 0) -> bytes:
    return struct.pack("<IIIxxxxqqqqII", opcode, flags, 0, 0, 0, 0, 0, can_id, frames)


def test_a_watch_as_the_kernel_reads_it() -> None:
    watch = Watch(MessageId("body", 0x123, False), False, (b"\xff" + bytes(7),), timeout_s=0.25, throttle_s=1.5)
    assert rx_setup(watch) == bytes.fromhex(
        "05000000 43010000 00000000 00000000"  # RX_SETUP; SETTIMER, STARTTIMER, RX_CHECK_DLC, RX_ANNOUNCE_RESUME
        "0000000000000000 90d0030000000000"  # 0 s, 250,000 µs
        "0100000000000000 20a1070000000000"  # 1 s, 500,000 µs
        "23010000 01000000"
        "23010000 08 000000 ff00000000000000"
    )


def test_an_extended_fd_watch_with_pages_as_the_kernel_reads_it() -> None:
    masks = (b"\xff" + bytes(63), b"\x01\xff" + bytes(62))
    packet = rx_setup(Watch(MessageId("body", 0x18DAF110, True), True, masks, 0.0, refresh_s=1.0))
    assert packet[:8] == bytes.fromhex("05000000 43090000")
    assert struct.unpack_from("<II", packet, 48) == (EXTENDED | 0x18DAF110, 2)
    assert len(packet) == 56 + 2 * 72
    assert packet[56:66] == bytes.fromhex("10f1da98 40 000000 ff00")
    assert packet[128:138] == bytes.fromhex("10f1da98 40 000000 01ff")


@given(st.integers(0, 0x1FFF_FFFF), st.booleans(), st.booleans(), st.data())
def test_a_change_comes_back_as_it_was_on_the_bus(
    number: int, is_extended: bool, is_fd: bool, data: st.DataObject
) -> None:
    can_id = number | EXTENDED if is_extended else number & 0x7FF
    size = 64 if is_fd else 8
    payload = data.draw(st.binary(max_size=size))
    frame = struct.pack(f"<IBBBB{size}s", can_id, len(payload), 0, 0, 0, payload)
    packet = head(RX_CHANGED, can_id, 1, flags=0x800 if is_fd else 0) + frame
    assert len(packet) <= MESSAGE_BYTES_MAX
    assert parse(packet) == Heard(can_id, is_fd, payload)
    silent = head(RX_TIMEOUT, can_id, 0, flags=0x800 if is_fd else 0)
    assert parse(silent) == Heard(can_id, is_fd, None)


@given(
    st.sampled_from((RX_CHANGED, RX_TIMEOUT, TX_STATUS)),
    st.integers(0, 2**32 - 1),
    st.sampled_from((0, 0x800)),
    st.integers(0, 2),
    st.integers(0, 255),
    st.binary(min_size=64, max_size=64),
    st.binary(min_size=64, max_size=64),
)
def test_messages_of_one_kind_say_the_same_but_for_the_payload(
    opcode: int, can_id: int, flags: int, frames: int, length: int, first: bytes, second: bytes
) -> None:
    size = 0 if opcode == RX_TIMEOUT else 64 if flags else 8
    kind = head(opcode, can_id, frames, flags) + struct.pack("<IBBBB", can_id, length, 0, 0, 0)
    assert len(kind) == KIND_BYTES
    said = [parse(kind + payload[:size]) for payload in (first, second)]
    payloads = [None if heard is None else heard.data for heard in said]
    if payloads[0] is None:
        assert said[0] == said[1]
    else:
        place = slice(KIND_BYTES, KIND_BYTES + len(payloads[0]))
        assert payloads == [(kind + payload[:size])[place] for payload in (first, second)]
        assert len({heard._replace(data=None) for heard in said if heard is not None}) == 1


@given(st.binary(max_size=140))
def test_no_bytes_do_more_than_say_nothing(packet: bytes) -> None:
    heard = parse(packet)
    assert heard is None or heard.data is None or len(heard.data) <= 64


@pytest.mark.parametrize(
    "packet",
    [
        head(TX_STATUS, 0x123, 1) + bytes(16),
        head(RX_CHANGED, 0x123, 0),
        head(RX_CHANGED, 0x123, 1) + bytes(15),
        head(RX_CHANGED, 0x123, 1) + struct.pack("<I12x", 0x4000_0123),  # a remote frame has no data
    ],
)
def test_what_was_not_asked_for_is_nothing(packet: bytes) -> None:
    assert parse(packet) is None
