"""SR-01: a vehicle can be sent nothing but the frames of its own recipes, whatever the identifier and content.

Every frame is asked of both lists, the engine's and the adapters', which must agree.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent.adapters.can_edge import SendList
from agent.model.frame import Frame, SendRule
from agent.model.pulse import Pulse
from agent.model.recipe import FrameTemplate
from agent.policy.sending import is_on_send_list, may_be_asked
from agent.profiles.schema import Profile
from tests.profiles.shipped import VEHICLES, profile

_PAYLOADS = (b"", *(bytes([fill]) * size for size in range(1, 9) for fill in (0x00, 0x01, 0x11, 0x60, 0xFF)))

SISTERS = {"nissan_leaf_aze0", "nissan_leaf_ze1", "nissan_env200"}
OBEYED_ALIKE = {(0x68C, "00"), (0x56E, "46080000"), (0x56E, "11000000"), (0x56E, "60800000")}
"""One maker's cars with the same telematics unit: they wake up, unlock and lock by the same frames on the same bus, as
the sources have it (README.md of each). Nothing else that one of them obeys may be sent to another."""

READING_SERVICES = {0x21, 0x22}
FLOW_CONTROL = 0x30


class Lists:
    """Both lists of a vehicle: the engine's, and those of the adapters of its buses, each made of all its rules."""

    def __init__(self, vehicle: Profile) -> None:
        self._rules = vehicle.send_list
        self._adapters = [SendList(bus.name, vehicle.send_list) for bus in vehicle.buses]

    def allow(self, frame: Frame) -> bool:
        by_engine = is_on_send_list(frame, self._rules)
        assert any(frame in adapter for adapter in self._adapters) is by_engine, frame
        return by_engine


def recipe_templates(vehicle: Profile) -> list[FrameTemplate]:
    """What actions and wake-ups send."""
    found: list[FrameTemplate] = []
    for recipe in vehicle.recipes.values():
        found += (*recipe.frames, *(recipe.wake.frames if recipe.wake is not None else ()))
    return found


def recipe_identifiers(vehicle: Profile) -> set[tuple[str, int, bool]]:
    """What the recipes, wake-ups and polls name, read from themselves and not from the send list."""
    found = {(template.bus, template.arbitration_id, template.is_extended_id) for template in recipe_templates(vehicle)}
    asked = {(poll.bus, poll.request_id, poll.is_extended_id) for poll in vehicle.polls}
    return found | {each for each in asked if each[0] not in listening(vehicle)}


def listening(vehicle: Profile) -> set[str]:
    return {bus.name for bus in vehicle.buses if bus.is_listen_only}


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
    lists, allowed = Lists(plan), recipe_identifiers(plan)
    for bus in plan.buses:
        for arbitration_id, is_extended_id in identifiers(plan):
            if (bus.name, arbitration_id, is_extended_id) in allowed:
                continue
            for data in _PAYLOADS:
                frame = Frame(bus.name, arbitration_id, data, is_extended_id=is_extended_id)
                assert not lists.allow(frame), frame


@pytest.mark.parametrize("vehicle", VEHICLES)
def test_sr01_the_send_list_is_exactly_the_recipes_and_nothing_is_sent_where_the_agent_only_listens(
    vehicle: str,
) -> None:
    plan = profile(vehicle)
    assert {(rule.bus, rule.arbitration_id, rule.is_extended_id) for rule in plan.send_list} == recipe_identifiers(plan)
    assert not any(rule.bus in listening(plan) for rule in plan.send_list)


@pytest.mark.parametrize("vehicle", VEHICLES)
def test_sr01_one_changed_bit_outside_counter_and_checksum_takes_a_frame_off_the_list(vehicle: str) -> None:
    """By the recipes themselves: which bits are computed the list's own masks do not say here."""
    plan = profile(vehicle)
    lists = Lists(plan)
    for rule in plan.send_list:
        assert lists.allow(frame_of(rule))
        for bit in range(8 * len(rule.value)):
            changed = bytearray(rule.value)
            changed[bit // 8] ^= 1 << bit % 8
            is_another = any(bytes(changed) == other.value for other in plan.send_list if is_same_id(rule, other))
            is_allowed = is_computed(rule, bytes(changed), plan) or is_another
            assert lists.allow(frame_of(rule, bytes(changed))) == is_allowed, (rule, bit)


def is_computed(rule: SendRule, changed: bytes, vehicle: Profile) -> bool:
    """Whether the payload differs from the rule's in a counter or checksum of the template that it is the rule of."""
    fields = [
        field
        for template in recipe_templates(vehicle)
        if (template.bus, template.arbitration_id, template.data) == (rule.bus, rule.arbitration_id, rule.value)
        for field in (template.counter, template.checksum.field if template.checksum is not None else None)
        if field is not None
    ]
    return any(field.extract(changed) != field.extract(rule.value) for field in fields)


@pytest.mark.parametrize("vehicle", VEHICLES)
def test_sr01_another_length_bus_or_kind_of_frame_takes_a_frame_off_the_list(vehicle: str) -> None:
    plan = profile(vehicle)
    lists = Lists(plan)
    for rule in plan.send_list:
        frame = frame_of(rule)
        for size in set(range(9)) - {len(other.value) for other in plan.send_list if is_same_id(rule, other)}:
            assert not lists.allow(frame._replace(data=frame.data.ljust(size, b"\x00")[:size]))
            assert not lists.allow(frame._replace(data=(bytes(8) + frame.data)[8 + len(frame.data) - size :]))
        assert not lists.allow(frame._replace(bus=f"{frame.bus}_other"))
        assert not lists.allow(frame._replace(is_extended_id=not frame.is_extended_id))
        assert not lists.allow(frame._replace(is_fd=not frame.is_fd))


@pytest.mark.parametrize("vehicle", VEHICLES)
def test_sr01_what_one_vehicle_may_be_sent_every_other_refuses(vehicle: str) -> None:
    for other in VEHICLES:
        if other == vehicle:
            continue
        lists = Lists(profile(other))
        for rule in profile(vehicle).send_list:
            is_obeyed_alike = {vehicle, other} <= SISTERS and (rule.arbitration_id, rule.value.hex()) in OBEYED_ALIKE
            for bus in profile(other).buses:
                frame = frame_of(rule)._replace(bus=bus.name)
                if not is_obeyed_alike and not is_asked_alike(profile(vehicle), profile(other), frame):
                    assert not lists.allow(frame), (other, frame)


def is_asked_alike(vehicle: Profile, other: Profile, frame: Frame) -> bool:
    """Cars of one maker have the same control units, and both profiles read the same of one: that changes nothing in
    either car.  A frame that is more than a read request, or what fetches the answer to one, is never alike."""
    return vehicle.title.split()[0] == other.title.split()[0] and all(
        any(
            (poll.request_id, poll.is_extended_id) == (frame.arbitration_id, frame.is_extended_id)
            and frame.data in (poll.request, poll.flow_control)
            for poll in each.polls
        )
        for each in (vehicle, other)
    )


@pytest.mark.parametrize("vehicle", VEHICLES)
def test_sr01_what_is_asked_is_a_read_request_or_fetches_its_answer_and_nothing_that_could_act(vehicle: str) -> None:
    for poll in profile(vehicle).polls:
        address = len(poll.address)
        kind, service = poll.request[address], poll.request[address + 1]
        assert service in READING_SERVICES
        assert kind == {0x21: 2, 0x22: 3}[service]
        assert poll.flow_control[address] == FLOW_CONTROL
        assert set(poll.request[address + 1 + kind :]) | set(poll.flow_control[address + 3 :]) <= {0x00}


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
