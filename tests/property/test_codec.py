"""The decoder reads what cantools reads: every signal of every profile, and of layouts nobody has thought of.

The oracle is `tests.support.cantools_oracle`.
"""

from __future__ import annotations

import cantools.database
import pytest
from cantools.database.can import Database
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.decode.decoder import Decoder
from agent.model.frame import Frame
from agent.profiles.database import MessageDatabase
from agent.profiles.parse import parse_profile
from agent.profiles.schema import MessagePlan
from tests.support.cantools_oracle import FOLDERS, Vehicle, compare, load, vehicle_of
from tests.support.random_dbc import RandomMessage, random_messages, random_profile

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
    text, dbc = random_profile(message)
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
