"""Every vehicle decodes its own recording to exactly what the recording's author meant."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest

from agent.replay import Replay
from tests.profiles import candump
from tests.profiles.make_golden import SCRIPTS
from tests.profiles.shipped import ROOT, VEHICLES, folder, profile


def replayed(vehicle: str, lines: Iterable[str]) -> list[dict[str, object]]:
    replay = Replay(profile(vehicle), bus=None, is_every_reading=False)
    return sorted(replay.run(candump.frames(lines)), key=lambda line: (line["time_s"], line["path"]))


def exact(line: dict[str, object]) -> tuple[object, ...]:
    """A line for comparison: 1 is not true, but 1 is 1.0, and log times are good to a microsecond."""
    value = line["value"]
    return (*(line[key] for key in ("time_s", "path", "unit", "quality", "reason")), isinstance(value, bool), value)


def test_the_vehicles_are_found() -> None:
    assert {"demo_hatchback", "nissan_leaf_ze1"} <= set(VEHICLES)


@pytest.mark.parametrize("vehicle", VEHICLES)
def test_a_vehicle_folder_is_complete_and_named_as_its_profile(vehicle: str) -> None:
    assert profile(vehicle).name == vehicle
    for name in ("README.md", "drive.log", "expected.jsonl"):
        assert (folder(vehicle) / name).stat().st_size, name


@pytest.mark.parametrize("vehicle", VEHICLES)
def test_a_recording_decodes_to_what_it_must(vehicle: str) -> None:
    expected = [json.loads(line) for line in (folder(vehicle) / "expected.jsonl").read_text().splitlines()]
    found = replayed(vehicle, (folder(vehicle) / "drive.log").read_text().splitlines())
    differences = [pair for pair in zip(map(exact, found), map(exact, expected), strict=False) if pair[0] != pair[1]]
    assert not differences, differences[:3]
    assert len(found) == len(expected)


@pytest.mark.parametrize("vehicle", VEHICLES)
def test_a_recording_shows_every_path_of_its_profile_with_a_value_and_every_start_up_marker_as_none(
    vehicle: str,
) -> None:
    expected = [json.loads(line) for line in (folder(vehicle) / "expected.jsonl").read_text().splitlines()]
    valued = {line["path"] for line in expected if line["quality"] == "ok"}
    assert valued == set(profile(vehicle).paths)
    assert all(line["value"] is None for line in expected if line["quality"] != "ok")
    assert {"invalid_marker", "no_meaning", "not_received"} <= {line["reason"] for line in expected}


@pytest.mark.parametrize("vehicle", VEHICLES)
def test_frames_of_a_bus_the_profile_does_not_have_and_of_no_known_id_give_nothing(vehicle: str) -> None:
    known = {(bus, plan.arbitration_id) for plan in profile(vehicle).messages for bus in plan.buses}
    buses = [plan.name for plan in profile(vehicle).buses]
    strange = [
        f"(1.0) {bus} {arbitration_id:03X}#0102030405060708"
        for bus in buses
        for arbitration_id in range(0x800)
        if (bus, arbitration_id) not in known
    ]
    assert not replayed(vehicle, strange)
    assert not replayed(
        vehicle,
        (
            f"(1.0) {plan.bus} {plan.arbitration_id | 0x10000000:08X}#0102030405060708"
            for plan in profile(vehicle).messages
            if not plan.is_extended_id
        ),
    )


@pytest.mark.parametrize("vehicle", SCRIPTS)
def test_golden_files_are_what_their_script_writes(vehicle: str) -> None:
    golden = SCRIPTS[vehicle]()
    command = "python -m tests.profiles.make_golden"
    assert golden.log_text() == (ROOT / "dbc" / vehicle / "drive.log").read_text(), command
    assert golden.expected_text() == (ROOT / "dbc" / vehicle / "expected.jsonl").read_text(), command
