"""Unit conversion: exact where it can be, and refused where it would be a guess."""

from __future__ import annotations

import pytest

from agent.profiles import vss
from agent.profiles.units import ALIASES, conversion, known_units


@pytest.mark.parametrize(
    ("value", "from_unit", "to_unit", "expected"),
    [
        (1.0, "mi", "m", 1609.344),
        (1.0, "km", "m", 1000.0),
        (36.0, "km/h", "m/s", 10.0),
        (10.0, "m/s", "km/h", 36.0),
        (1.0, "mph", "km/h", 1.609344),
        (20.0, "celsius", "kelvin", 293.15),
        (212.0, "fahrenheit", "celsius", 100.0),
        (-40.0, "fahrenheit", "celsius", -40.0),
        (12.0, "V", "mV", 12000.0),
        (1.5, "kWh", "Wh", 1500.0),
        (22.0, "kW", "W", 22000.0),
        (2.5, "bar", "kPa", 250.0),
        (1.0, "psi", "Pa", 6894.757293),
        (1.0, "bar", "mbar", 1000.0),
        (90.0, "min", "h", 1.5),
        (0.5, "ratio", "percent", 50.0),
    ],
)
def test_a_value_converts_to_what_a_person_expects(value: float, from_unit: str, to_unit: str, expected: float) -> None:
    found = conversion(from_unit, to_unit)
    assert found is not None
    assert value * found[0] + found[1] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("from_unit", "to_unit"),
    [("km", "km/h"), ("V", "A"), ("", "km/h"), ("km/h", ""), ("kmm", "m"), ("kWh", "kW"), ("Ah", "A"), ("percent", "")],
)
def test_units_of_different_things_do_not_convert(from_unit: str, to_unit: str) -> None:
    assert conversion(from_unit, to_unit) is None


def test_every_unit_converts_there_and_back() -> None:
    units = known_units()
    assert len(units) == len(set(units))
    for one in units:
        for other in units:
            there, back = conversion(one, other), conversion(other, one)
            assert (there is None) == (back is None)
            if there and back:
                assert (7.0 * there[0] + there[1]) * back[0] + back[1] == pytest.approx(7.0, rel=1e-9, abs=1e-9)


def test_an_alias_is_its_unit() -> None:
    for alias, unit in ALIASES.items():
        assert conversion(alias, unit) == (1.0, 0.0)


def test_equal_units_convert_even_if_nothing_else_becomes_them() -> None:
    assert conversion("stars", "stars") == (1.0, 0.0)
    assert conversion("", "") == (1.0, 0.0)


def test_every_unit_of_a_vss_path_is_known() -> None:
    units = {entry.unit for entry in vss.PATHS.values() if entry.unit is not None}
    assert units <= set(known_units())
