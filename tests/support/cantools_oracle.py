"""What a frame means by cantools and the profile's own words: the oracle the decoder is held against.

cantools is asked for the physical value in the DBC's unit; from there on the profile's own words are applied here a
second time, in exact fractions, so that a reading must be right to half a step of its raw value.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import cantools.database
from cantools.database.can import Database, Message, Signal

from agent.decode.decoder import Decoder
from agent.model.frame import Frame
from agent.model.reading import Quality, Reading
from agent.profiles.parse import parse_profile
from agent.profiles.schema import MessagePlan, Profile, SignalPlan

FOLDERS = sorted(path.parent for path in (Path(__file__).resolve().parents[2] / "dbc").glob("*/profile.toml"))
SUFFIXES = (".dbc", ".kcd", ".arxml", ".sym")


@dataclass(frozen=True)
class Vehicle:
    """A profile without its checksums and counters, which would refuse nearly every random payload, and without what
    makes a value depend on other signals and frames than its own: no DBC knows of that."""

    profile: Profile
    oracles: Mapping[str, tuple[Database, ...]]
    """By bus."""


def vehicle_of(profile: Profile, oracles: Mapping[str, tuple[Database, ...]]) -> Vehicle:
    messages = tuple(
        replace(
            message,
            checksum=None,
            counter=None,
            signals=tuple(replace(signal, condition=None, settle=None) for signal in message.signals),
        )
        for message in profile.messages
    )
    return Vehicle(replace(profile, messages=messages), oracles)


def load_profile(folder: Path) -> Profile:
    """The profile in a folder of `dbc/`, which must be sound."""
    profile = parse_profile((folder / "profile.toml").read_text(), databases_in(folder), source=str(folder))
    assert not isinstance(profile, list), "\n".join(map(str, profile))
    return profile


def databases_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix in SUFFIXES}


def load(folder: Path) -> Vehicle:
    profile = load_profile(folder)
    databases = tuple(
        database
        for name, content in databases_in(folder).items()
        if isinstance(database := cantools.database.load_string(content.decode(), Path(name).suffix[1:]), Database)
    )
    return vehicle_of(profile, {bus.name: databases for bus in profile.buses})


def oracle(vehicle: Vehicle, plan: MessagePlan) -> Message:
    (message,) = (
        message
        for database in vehicle.oracles[plan.bus]
        for message in database.messages
        if (message.frame_id, message.is_extended_frame) == (plan.arbitration_id, plan.is_extended_id)
        and message.name == plan.name.rpartition(".")[2]
    )
    return message


def as_cantools_reads_it(message: Message, payload: bytes) -> tuple[dict[str, float], dict[str, float]]:
    """Raw and physical value of each signal that is present."""
    try:
        raws = message.decode_simple(payload, decode_choices=False, scaling=False)
        values = message.decode_simple(payload, decode_choices=False)
    except cantools.database.DecodeError:
        # A multiplexer value without a page: cantools refuses all of the frame, we only what depends on it.
        raws, values = {}, {}
        for signal in message.signals:
            alone = copy(signal)
            alone.is_multiplexer, alone.multiplexer_ids, alone.multiplexer_signal = False, None, None
            one = Message(message.frame_id, message.name, message.length, [alone], is_extended_frame=True)
            raws |= one.decode_simple(payload, decode_choices=False, scaling=False)
            values |= one.decode_simple(payload, decode_choices=False)
        absent = {signal.name for signal in message.signals if not is_present(message, signal, raws)}
        raws = {name: raw for name, raw in raws.items() if name not in absent}
        values = {name: value for name, value in values.items() if name not in absent}
    return raws, values  # type: ignore[return-value]


def is_present(message: Message, signal: Signal, raws: Mapping[str, object]) -> bool:
    if signal.multiplexer_signal is None or signal.multiplexer_ids is None:
        return True
    above = message.get_signal_by_name(signal.multiplexer_signal)
    return raws[above.name] in signal.multiplexer_ids and is_present(message, above, raws)


def check(plan: SignalPlan, reading: Reading, raw: float, value: float, factor: float) -> None:
    """That `reading` says what cantools' raw and physical value mean by the words of the profile."""
    bits = raw
    if plan.field.is_float:
        bits = int.from_bytes(struct.pack("<f" if plan.field.length == 32 else "<d", raw), "little")
    is_marker = bits in plan.invalid_raw or any(low <= bits <= high for low, high in plan.invalid_ranges)
    if is_marker or not math.isfinite(value):
        assert (reading.quality, reading.value) == (Quality.INVALID, None)
    elif plan.choices is not None:
        if raw in plan.choices:
            assert (reading.quality, reading.value) == (Quality.OK, plan.choices[int(raw)])
            assert type(reading.value) is type(plan.choices[int(raw)])
        else:
            assert (reading.quality, reading.reason) == (Quality.INVALID, "no_meaning")
    else:
        exact = Fraction(value) * Fraction(factor) + Fraction(plan.unit_offset)
        tolerance = max(abs(Fraction(plan.scale) * Fraction(factor)) / 2, abs(exact) * Fraction(1, 1 << 52))
        if plan.field.is_float:
            tolerance = abs(exact) * Fraction(1, 10**12)
        if plan.datatype not in ("float", "double"):
            tolerance = max(tolerance, Fraction(1, 2))
        low, high = plan.minimum, plan.maximum
        if reading.quality is Quality.OK:
            assert isinstance(reading.value, int | float)
            assert abs(Fraction(reading.value) - exact) <= tolerance
            assert (low is None or reading.value >= low) and (high is None or reading.value <= high)
        else:
            assert reading.reason == "out_of_range"
            is_below = low is not None and exact < Fraction(low) + tolerance
            is_above = high is not None and exact > Fraction(high) - tolerance
            assert is_below or is_above or abs(exact) > Fraction(1.7e308)


_WAITING_FOR = frozenset({"settling", "jump", "condition_unknown", "condition_unmet"})


def _may_wait(plan: SignalPlan, reason: str | None) -> bool:
    """Whether a signal of this plan may have no value for that reason."""
    return (plan.settle if reason in ("settling", "jump") else plan.condition) is not None


def compare(vehicle: Vehicle, decoder: Decoder, plan: MessagePlan, payload: bytes, units: Mapping[str, float]) -> int:
    """Compare all wanted signals of one frame; the number of readings. `units` are factors by path, where chosen."""
    frame = Frame(plan.bus, plan.arbitration_id, payload, 1.0, plan.is_extended_id)
    readings = decoder.receive(frame)
    compare_readings(vehicle, plan, frame, readings, units)
    return len(readings)


def compare_readings(
    vehicle: Vehicle, plan: MessagePlan, frame: Frame, received: Iterable[Reading], units: Mapping[str, float]
) -> None:
    """That `received` is what a believed frame says, no path more and none less."""
    readings = {reading.path: reading for reading in received}
    raws, values = as_cantools_reads_it(oracle(vehicle, plan), frame.data[: plan.length_bytes])
    assert set(readings) == {signal.path for signal in plan.signals if signal.signal in values}
    for signal in plan.signals:
        reading = readings.get(signal.path)
        if reading is None:
            continue
        assert (reading.unit, reading.message, reading.at_s) == (signal.unit, plan.name, frame.received_at_s)
        assert (reading.value is None) == (reading.quality is not Quality.OK) == (reading.reason is not None)
        if reading.reason in _WAITING_FOR and _may_wait(signal, reading.reason):
            # What else the frames before it said decides about these, which has tests of its own.
            assert reading.quality is not Quality.OK
        elif signal.unit_choice is not None and signal.path not in units:
            assert (reading.quality, reading.reason) == (Quality.UNKNOWN, "unit_unknown")
        else:
            factor = units.get(signal.path, signal.unit_factor)
            check(signal, reading, raws[signal.signal], values[signal.signal], factor)
