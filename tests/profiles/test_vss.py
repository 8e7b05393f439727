"""The table of VSS paths."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from agent.profiles import vss
from agent.profiles.units import known_units
from tests.profiles.shipped import ROOT, VEHICLES, profile


def test_no_path_stands_in_the_table_twice() -> None:
    listed = re.findall(r'"(Vehicle\.[A-Za-z0-9.]+)"', (ROOT / "agent" / "profiles" / "vss.py").read_text())
    assert not [path for path, times in Counter(listed).items() if times > 1]
    assert set(listed) == set(vss.PATHS)


def test_the_overlay_is_a_branch_of_its_own() -> None:
    for path, entry in vss.PATHS.items():
        assert path.startswith("Vehicle.Carshare.") == entry.is_overlay, path


def test_datatypes_are_those_of_vss_and_a_boolean_or_a_text_has_no_unit() -> None:
    for path, entry in vss.PATHS.items():
        assert entry.datatype in {"boolean", "float", "int8", "uint8", "uint16", "uint32", "string"}, path
        if entry.datatype in {"boolean", "string"}:
            assert entry.unit is None, path
            assert entry.datatype == "string" or re.search(r"\.Is[A-Z]\w+$", path), path


@pytest.mark.parametrize("unit", sorted({entry.unit for entry in vss.PATHS.values() if entry.unit}))
def test_every_unit_of_the_table_can_be_converted_to(unit: str) -> None:
    assert unit in known_units()


@pytest.mark.parametrize("vehicle", VEHICLES)
def test_profiles_are_written_for_the_release_of_the_table(vehicle: str) -> None:
    assert profile(vehicle).vss_release == vss.RELEASE
    assert set(profile(vehicle).paths) <= set(vss.PATHS)


def test_the_overlay_is_described_path_by_path() -> None:
    described = (ROOT / "dbc" / "README.md").read_text()
    assert not [path for path, entry in vss.PATHS.items() if entry.is_overlay and f"`{path}`" not in described]
