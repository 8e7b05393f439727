"""The decoder reads what cantools reads: every signal of every profile, and of layouts nobody has thought of.

cantools is asked for the physical value in the DBC's unit; from there on the profile's own words are applied here a
second time, in exact fractions, so that a reading must be right to half a step of its raw value.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import cantools.database
import pytest
from cantools.database.can import Database, Message, Signal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.decode.decoder import Decoder
from agent.model.frame import Frame
from agent.model.reading import Quality, Reading
from agent.profiles import vss
from agent.profiles.database import MessageDatabase
from agent.profiles.parse import parse_profile
from agent.profiles.schema import MessagePlan, Profile, SignalPlan
from tests.support.random_dbc import RandomMessage, random_messages

FOLDERS = sorted(path.parent for path in (Path(__file__).resolve().parents[2] / "dbc").glob("*/profile.toml"))
SUFFIXES = (".dbc", ".kcd", ".arxml", ".sym")

NUMBER_PATHS = [path for path, entry in vss.PATHS.items() if entry.datatype in ("float", "double")]


@dataclass(frozen=True)
class Vehicle:
    """A profile without its checksums and counters, which would refuse nearly every random payload."""

    profile: Profile
    oracles: Mapping[str, tuple[Database, ...]]
    """By bus."""


def vehicle_of(profile: Profile, oracles: Mapping[str, tuple[Database, ...]]) -> Vehicle:
    messages = tuple(replace(message, checksum=None, counter=None) for message in profile.messages)
    return Vehicle(replace(profile, messages=messages), oracles)


def load(folder: Path) -> Vehicle:
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in SUFFIXES}
    text = (folder / "profile.toml").read_text()
    profile = parse_profile(text, files, source=str(folder / "profile.toml"))
    assert not isinstance(profile, list), "\n".join(map(str, profile))
    databases = tuple(
        database
        for name, content in files.items()
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
    if bits in plan.invalid_raw or not math.isfinite(value):
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


def compare(vehicle: Vehicle, decoder: Decoder, plan: MessagePlan, payload: bytes, units: Mapping[str, float]) -> int:
    """Compare all wanted signals of one frame; the number of readings. `units` are factors by path, where chosen."""
    frame = Frame(plan.bus, plan.arbitration_id, payload, 1.0, plan.is_extended_id)
    readings = {reading.path: reading for reading in decoder.receive(frame)}
    raws, values = as_cantools_reads_it(oracle(vehicle, plan), payload)
    assert set(readings) == {signal.path for signal in plan.signals if signal.signal in values}
    for signal in plan.signals:
        reading = readings.get(signal.path)
        if reading is None:
            continue
        assert (reading.unit, reading.message, reading.at_s) == (signal.unit, plan.name, 1.0)
        assert (reading.value is None) == (reading.quality is not Quality.OK) == (reading.reason is not None)
        if signal.unit_choice is not None and signal.path not in units:
            assert (reading.quality, reading.reason) == (Quality.UNKNOWN, "unit_unknown")
        else:
            factor = units.get(signal.path, signal.unit_factor)
            check(signal, reading, raws[signal.signal], values[signal.signal], factor)
    return len(readings)


VEHICLES = {folder.name: load(folder) for folder in FOLDERS}


def edge_payloads(length_bytes: int) -> list[bytes]:
    """All bits clear, all set, each bit alone, each bit missing."""
    whole = (1 << 8 * length_bytes) - 1
    edges = [0, whole, *(1 << bit for bit in range(8 * length_bytes))]
    edges += [whole ^ edge for edge in edges[2:]]
    return [edge.to_bytes(length_bytes, "little") for edge in edges]


def test_there_are_profiles_to_compare() -> None:
    assert len(VEHICLES) >= 2


@pytest.mark.parametrize("name", VEHICLES)
def test_every_signal_of_every_profile_equals_cantools_at_the_edges(name: str) -> None:
    vehicle = VEHICLES[name]
    seen = 0
    for plan in vehicle.profile.messages:
        decoder = Decoder(vehicle.profile)
        for payload in edge_payloads(plan.length_bytes):
            decoder = Decoder(vehicle.profile) if _chooses_unit(vehicle, plan) else decoder
            seen += compare(vehicle, decoder, plan, payload, {})
    assert seen > len(vehicle.profile.paths)


def _chooses_unit(vehicle: Vehicle, plan: MessagePlan) -> bool:
    return any(
        signal.unit_choice is not None and signal.unit_choice.arbitration_id == plan.arbitration_id
        for message in vehicle.profile.messages
        for signal in message.signals
    )


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_every_signal_of_every_profile_equals_cantools_for_any_payload(drawn: st.DataObject) -> None:
    vehicle = VEHICLES[drawn.draw(st.sampled_from(sorted(VEHICLES)))]
    decoder = Decoder(vehicle.profile)
    for plan in vehicle.profile.messages:
        if _chooses_unit(vehicle, plan):
            continue
        payload = drawn.draw(st.binary(min_size=plan.length_bytes, max_size=plan.length_bytes))
        compare(vehicle, decoder, plan, payload, {})


@pytest.mark.parametrize("name", VEHICLES)
def test_every_chosen_unit_of_every_profile_equals_cantools(name: str) -> None:
    vehicle = VEHICLES[name]
    by_id = {(plan.bus, plan.arbitration_id, plan.is_extended_id): plan for plan in vehicle.profile.messages}
    for plan in vehicle.profile.messages:
        for signal in plan.signals:
            choice = signal.unit_choice
            if choice is None:
                continue
            source = by_id[plan.bus, choice.arbitration_id, choice.is_extended_id]
            for raw, factor in choice.factors.items():
                decoder = Decoder(vehicle.profile)
                chosen = choice.field.insert(bytes(source.length_bytes), raw)
                decoder.receive(Frame(plan.bus, choice.arbitration_id, chosen, 0.5, choice.is_extended_id))
                for payload in edge_payloads(plan.length_bytes):
                    compare(vehicle, decoder, plan, payload, {signal.path: factor})


def random_vehicle(message: RandomMessage) -> Vehicle:
    paths = dict(zip([signal.name for signal in message.signals], NUMBER_PATHS, strict=False))
    dbc = message.dbc({name: vss.PATHS[path].unit or "" for name, path in paths.items()})
    text = 'format = 1\nname = "random"\ntitle = "Random"\nvss = "6.0"\n[buses.body]\ndbc = ["random.dbc"]\n'
    text += "bitrate_bps = 500_000\nfd = true\nsilent_after_s = 1.0\n"
    for name, path in paths.items():
        text += f'[[signals]]\npath = "{path}"\nmessage = "Message"\nsignal = "{name}"\nfreshness_s = 1.0\n'
    profile = parse_profile(text, {"random.dbc": dbc.encode()}, source="profile.toml")
    assert not isinstance(profile, list), "\n".join([*map(str, profile), dbc])
    database = cantools.database.load_string(dbc, "dbc")
    assert isinstance(database, Database)
    return vehicle_of(profile, {"body": (database,)})


@given(random_messages(), st.data())
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_layout_a_dbc_can_describe_equals_cantools(message: RandomMessage, drawn: st.DataObject) -> None:
    """Intel and Motorola, signed, float, CAN FD, extended identifiers, multiplexers one below the other."""
    vehicle = random_vehicle(message)
    (plan,) = vehicle.profile.messages
    decoder = Decoder(vehicle.profile)
    for _ in range(5):
        payload = bytearray(drawn.draw(st.binary(min_size=plan.length_bytes, max_size=plan.length_bytes)))
        if any(signal.page is not None for signal in message.signals):
            payload[0] = drawn.draw(st.integers(0, 4))
            if any(signal.inner is not None for signal in message.signals):
                payload[1] = drawn.draw(st.integers(0, 3))
        compare(vehicle, decoder, plan, bytes(payload), {})


@given(random_messages(), st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_encoded_is_decoded_to_within_half_a_step(message: RandomMessage, drawn: st.DataObject) -> None:
    database = MessageDatabase.load({"random.dbc": message.dbc({}).encode()})
    assert isinstance(database, MessageDatabase)
    spec = database.messages["Message"]
    raws: dict[str, int] = {}
    values: dict[str, float] = {}
    for name, signal in spec.signals.items():
        if not all(raws.get(above) in pages for above, pages in signal.selections):
            continue
        if signal.is_multiplexer:
            raws[name] = drawn.draw(st.sampled_from(sorted(spec.known_values(name))))
            values[name] = raws[name]
        elif signal.field.is_float:
            values[name] = drawn.draw(st.floats(-1e6, 1e6, width=32))
        else:
            low = -(1 << signal.field.length - 1) if signal.field.is_signed else 0
            raw = drawn.draw(st.integers(low, low + (1 << min(signal.field.length, 50)) - 1))
            values[name] = raw * signal.scale + signal.offset
    decoded = database.decode("Message", database.encode("Message", values))
    assert set(decoded) == set(values)
    for name, value in values.items():
        scale = abs(spec.signals[name].scale)
        tolerance = max(abs(value) * 1e-6, 1e-3) if spec.signals[name].field.is_float else scale / 2
        assert abs(decoded[name] - value) <= tolerance + abs(value) * 1e-12
