"""SR-01: a vehicle can be sent nothing but the frames of its own recipes, whatever the identifier and content."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent.model.frame import Frame, SendRule
from agent.model.pulse import Pulse
from agent.policy.sending import is_on_send_list, may_be_asked
from agent.profiles.schema import Profile
from tests.profiles.shipped import VEHICLES, profile

_PAYLOADS = (b"", *(bytes([fill]) * size for size in range(1, 9) for fill in (0x00, 0x01, 0x11, 0x60, 0xFF)))

SISTERS = {"nissan_leaf_aze0", "nissan_leaf_ze1", "nissan_env200"}
"""One maker's cars that obey the same frames on the same bus: of each other they refuse nothing."""


def recipe_identifiers(vehicle: Profile) -> set[tuple[str, int, bool]]:
    """What the recipes, wake-ups and polls name, read from themselves and not from the send list."""
    templates = [template for recipe in vehicle.recipes.values() for template in recipe.frames]
    for recipe in vehicle.recipes.values():
        templates += recipe.wake.frames if recipe.wake is not None else ()
    found = {(template.bus, template.arbitration_id, template.is_extended_id) for template in templates}
    return found | {(poll.bus, poll.request_id, poll.is_extended_id) for poll in vehicle.polls}


def identifiers(vehicle: Profile) -> Iterator[tuple[int, bool]]:
    """All 2,048 standard ones, the extended ones the profile knows, and each number as the other kind."""
    yield from ((arbitration_id, False) for arbitration_id in range(0x800))
    named = {(rule.arbitration_id, rule.is_extended_id) for rule in vehicle.send_list}
    named |= {(plan.arbitration_id, plan.is_extended_id) for plan in vehicle.messages}
    for arbitration_id, _ in sorted(named):
        yield arbitration_id, True
        yield arbitration_id & 0x7FF | 0x18DA0000, True


def frame_of(rule: SendRule, payload: bytes | None = None) -> Frame:
    data = rule.value if payload is None else payload
    return Frame(rule.bus, rule.arbitration_id, data, is_extended_id=rule.is_extended_id, is_fd=rule.is_fd)


@pytest.mark.parametrize("vehicle", VEHICLES)
def test_sr01_no_identifier_outside_the_recipes_may_be_sent_on_any_bus(vehicle: str) -> None:
    plan = profile(vehicle)
    allowed = recipe_identifiers(plan)
    for bus in plan.buses:
        for arbitration_id, is_extended_id in identifiers(plan):
            if (bus.name, arbitration_id, is_extended_id) in allowed:
                continue
            for data in _PAYLOADS:
                frame = Frame(bus.name, arbitration_id, data, is_extended_id=is_extended_id)
                assert not is_on_send_list(frame, plan.send_list), frame


@pytest.mark.parametrize("vehicle", VEHICLES)
def test_sr01_the_send_list_is_exactly_the_recipes_and_nothing_is_sent_where_the_agent_only_listens(
    vehicle: str,
) -> None:
    plan = profile(vehicle)
    assert {(rule.bus, rule.arbitration_id, rule.is_extended_id) for rule in plan.send_list} == recipe_identifiers(plan)
    listening = {bus.name for bus in plan.buses if bus.is_listen_only}
    assert not any(rule.bus in listening for rule in plan.send_list)


@pytest.mark.parametrize("vehicle", VEHICLES)
def test_sr01_one_changed_bit_outside_counter_and_checksum_takes_a_frame_off_the_list(vehicle: str) -> None:
    plan = profile(vehicle)
    for rule in plan.send_list:
        assert is_on_send_list(frame_of(rule), plan.send_list)
        for bit in range(8 * len(rule.value)):
            changed = bytearray(rule.value)
            changed[bit // 8] ^= 1 << bit % 8
            is_computed = not rule.mask[bit // 8] >> bit % 8 & 1
            is_another = any(bytes(changed) == other.value for other in plan.send_list if is_same_id(rule, other))
            assert is_on_send_list(frame_of(rule, bytes(changed)), plan.send_list) == (is_computed or is_another)


@pytest.mark.parametrize("vehicle", VEHICLES)
def test_sr01_another_length_bus_or_kind_of_frame_takes_a_frame_off_the_list(vehicle: str) -> None:
    plan = profile(vehicle)
    for rule in plan.send_list:
        frame = frame_of(rule)
        assert not is_on_send_list(frame._replace(data=frame.data + b"\x00"), plan.send_list)
        assert not is_on_send_list(frame._replace(data=frame.data[:-1]), plan.send_list)
        assert not is_on_send_list(frame._replace(bus=f"{frame.bus}_other"), plan.send_list)
        assert not is_on_send_list(frame._replace(is_extended_id=not frame.is_extended_id), plan.send_list)
        assert not is_on_send_list(frame._replace(is_fd=not frame.is_fd), plan.send_list)


@pytest.mark.parametrize("vehicle", VEHICLES)
def test_sr01_what_one_vehicle_may_be_sent_every_other_refuses(vehicle: str) -> None:
    for other in VEHICLES:
        if other == vehicle or {vehicle, other} <= SISTERS:
            continue
        for rule in profile(vehicle).send_list:
            for bus in profile(other).buses:
                assert not is_on_send_list(frame_of(rule)._replace(bus=bus.name), profile(other).send_list)


def is_same_id(rule: SendRule, other: SendRule) -> bool:
    return (rule.bus, rule.arbitration_id, rule.is_extended_id) == (
        other.bus,
        other.arbitration_id,
        other.is_extended_id,
    )


@pytest.mark.parametrize("vehicle", VEHICLES)
def test_sr01_no_relay_may_be_pulsed_but_by_the_profiles_own_recipes(vehicle: str) -> None:
    plan = profile(vehicle)
    assert set(plan.pulse_list) == {pulse for recipe in plan.recipes.values() for pulse in recipe.pulses}
    stranger = Pulse("fob_unlock", 0.3, 0.2)
    assert may_be_asked(stranger, plan.send_list, plan.pulse_list) == (stranger in plan.pulse_list)
