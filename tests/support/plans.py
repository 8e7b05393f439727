"""Profiles put together by hand, for tests of what comes after decoding: every signal is a byte of its own."""

from __future__ import annotations

from collections.abc import Mapping

from agent.model.frame import BitField, Frame
from agent.model.reading import Value
from agent.profiles.schema import BusPlan, MessagePlan, Profile, ReportRule, SignalPlan

ARBITRATION_ID = 0x100

SPEED = "Vehicle.Speed"
IS_LOCKED = "Vehicle.Carshare.CentralLock.IsLocked"
ODOMETER = "Vehicle.TraveledDistance"


def signal_plan(
    path: str,
    *,
    byte: int = 0,
    unit: str | None = None,
    freshness_s: float = 1.0,
    choices: Mapping[int, Value] | None = None,
    invalid_raw: frozenset[int] = frozenset(),
    report: ReportRule | None = None,
) -> SignalPlan:
    """A signal whose value is the payload's byte number `byte`, as it is or by `choices`."""
    return SignalPlan(
        path=path,
        signal=path.rpartition(".")[2],
        unit=unit,
        datatype="uint8" if choices is None else "boolean",
        field=BitField(8 * byte, 8, is_little_endian=True, size_bytes=byte + 1),
        scale=1.0,
        offset=0.0,
        unit_factor=1.0,
        unit_offset=0.0,
        digits=None,
        choices=choices,
        invalid_raw=invalid_raw,
        minimum=None,
        maximum=None,
        selector_values=None,
        unit_choice=None,
        freshness_s=freshness_s,
        report=report or ReportRule(deadband=0.0, interval_s_min=0.0, is_event=False),
    )


def message_plan(
    *signals: SignalPlan, name: str = "Status", bus: str = "body", arbitration_id: int = ARBITRATION_ID
) -> MessagePlan:
    """A message that carries the signals and no check of its own."""
    return MessagePlan(
        bus=bus,
        arbitration_id=arbitration_id,
        is_extended_id=False,
        is_fd=False,
        name=name,
        length_bytes=max((signal.field.size_bytes for signal in signals), default=1),
        checksum=None,
        counter=None,
        selector=None,
        signals=signals,
    )


def profile_of(*messages: MessagePlan, silent_after_s: float = 2.0) -> Profile:
    """A profile of the messages and the buses they are on, which can do nothing."""
    return Profile(
        name="by_hand",
        title="By hand",
        vss_release="6.0",
        buses=tuple(
            BusPlan(bus, 500_000, is_fd=False, silent_after_s=silent_after_s, is_listen_only=False)
            for bus in dict.fromkeys(message.bus for message in messages)
        ),
        messages=messages,
        recipes={},
        send_list=(),
        unsupported={},
    )


def frame_of(*data: int, at_s: float, bus: str = "body", arbitration_id: int = ARBITRATION_ID) -> Frame:
    """A frame of the message, byte by byte."""
    return Frame(bus, arbitration_id, bytes(data), at_s)
