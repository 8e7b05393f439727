"""Frames worked out by hand, and the proof that they would catch a slip in the DBC."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from agent.decode.decoder import Decoder
from agent.model.frame import Frame
from agent.model.reading import Quality
from tests.support.small_car import DBC, VECTORS, parse, parsed, small_profile_text


def differences(dbc: str) -> list[str]:
    """What the known vectors find wrong with a DBC."""
    profile = parse(small_profile_text(), dbc)
    if isinstance(profile, list):
        return [str(fault) for fault in profile]
    found = []
    for arbitration_id, is_extended_id, payload, values in VECTORS:
        frame = Frame("body", arbitration_id, bytes.fromhex(payload), 1.0, is_extended_id)
        read = {reading.path: reading.value for reading in Decoder(profile).receive(frame)}
        if read != values:
            found.append(f"{payload}: {read} is not {values}")
    return found


def test_known_vectors_decode_to_the_values_they_were_made_of() -> None:
    assert differences(DBC) == []


def test_known_vectors_carry_time_unit_message_and_quality() -> None:
    decoder = Decoder(parsed(small_profile_text()))
    frame = Frame("body", 256, bytes.fromhex(VECTORS[0][2]), 12.5)
    by_path = {reading.path: reading for reading in decoder.receive(frame)}
    speed, distance = by_path["Vehicle.Speed"], by_path["Vehicle.TraveledDistance"]
    assert (speed.at_s, speed.unit, speed.message, speed.quality, speed.reason) == (
        12.5, "km/h", "Motion", Quality.OK, None,
    )  # fmt: skip
    assert (distance.value, distance.unit) == (54_321_000, "m")


SIGNAL = re.compile(r" SG_ (\w+)( M| m\d+)? : (\d+)\|(\d+)@([01])([+-]) \(([^,]+),([^)]+)\)")


def mutants() -> Iterator[tuple[str, str]]:
    """Every signal line of the small car with one thing wrong."""
    for line in DBC.splitlines():
        found = SIGNAL.match(line)
        if found is None or found[1] in ("LockCrc", "LockCounter", "Request", "IsLocked", "Miles"):
            continue  # not in the vectors: `Lock` has its own tests
        name, mark, start, length, order, sign, scale, offset = found.groups(default="")
        changes: dict[str, tuple[int | str | float, ...]] = {
            "start + 1": (int(start) + 1, length, order, sign, scale, offset),
            "start - 1": (int(start) - 1, length, order, sign, scale, offset),
            "length + 1": (start, int(length) + 1, order, sign, scale, offset),
            "length - 1": (start, int(length) - 1, order, sign, scale, offset),
            "byte order": (start, length, 1 - int(order), sign, scale, offset),
            "sign": (start, length, order, "-" if sign == "+" else "+", scale, offset),
            "scale": (start, length, order, sign, float(scale) * 2, offset),
            "offset": (start, length, order, sign, scale, float(offset) + 1),
        }
        if name in ("Voltage", "Energy"):
            del changes["sign"]  # a float has its sign in its own bits: the mark says nothing
        if name == "Gear":
            del changes["scale"], changes["offset"]  # read by its table of choices, not by number
        for what, (new_start, new_length, new_order, new_sign, new_scale, new_offset) in changes.items():
            if str(new_start).startswith("-"):
                continue
            new = f" SG_ {name}{mark} : {new_start}|{new_length}@{new_order}{new_sign} ({new_scale},{new_offset})"
            yield f"{name}: {what}", DBC.replace(found[0], new)


@pytest.mark.parametrize(("what", "dbc"), [pytest.param(what, dbc, id=what) for what, dbc in mutants()])
def test_a_slip_in_the_dbc_is_seen_red_by_the_known_vectors(what: str, dbc: str) -> None:
    assert dbc != DBC
    assert differences(dbc), f"{what} went unseen"


def test_two_swapped_multiplexer_pages_are_seen_red_by_the_known_vectors() -> None:
    assert differences(DBC.replace(" m201 ", " mX ").replace(" m2 ", " m201 ").replace(" mX ", " m2 "))


def test_a_swapped_value_table_is_seen_red_by_the_known_vectors() -> None:
    assert differences(DBC.replace('5 "Drive" 4 "Park"', '4 "Drive" 5 "Park"'))
