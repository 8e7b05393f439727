"""One identifier, two meanings: what is a cell voltage on one Zoe is no speed and no odometer of another (SR-05)."""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from agent.cli import main
from agent.decode.decoder import Decoder
from agent.doctor.listening import mismatches_of
from agent.errors import EXIT_FAILED
from agent.model.frame import Frame
from agent.profile_tools.coverage import Coverage
from tests.profiles import candump
from tests.profiles.shipped import folder, profile
from tests.profiles.test_recorded_logs import LOGS, NEEDS_LOGS

ZOES = ("renault_zoe_ph1", "renault_zoe_ph2")


def cells(millivolts: Sequence[int], number: int) -> Frame:
    """Five cells of twelve bits, raw + 2000 mV, as they come on the battery bus."""
    packed = 0
    for each in millivolts:
        packed = packed << 12 | each - 2000
    return Frame("v", 0x5D7, (packed << 4 | number % 16).to_bytes(8, "big"), received_at_s=1.0 + number / 10)


def frames() -> Iterator[Frame]:
    """Batteries at rest for ten seconds each, from almost empty to full, of cells that all differ."""
    number = 0
    for volts in range(3000, 4200, 37):
        for _ in range(100):
            yield cells([volts + step for step in (0, 3, 11, 7, 250)], number)
            number += 1


@pytest.mark.parametrize("vehicle", [*ZOES, "smart_453"])
def test_sr05_cell_voltages_are_no_speed_and_no_odometer(vehicle: str) -> None:
    decoder = Decoder(profile(vehicle))
    readings = [reading for frame in frames() for reading in decoder.receive(frame)]
    assert not [reading for reading in readings if reading.value is not None]


@pytest.mark.parametrize(("vehicle", "message"), [(ZOES[0], "Motion"), (ZOES[1], "CellVoltages")])
def test_cell_voltages_on_the_wrong_bus_are_a_named_mismatch(vehicle: str, message: str) -> None:
    coverage = Coverage(profile(vehicle))
    coverage.hear(frames())
    assert {mismatch.plan.name for mismatch in coverage.mismatches()} == {message}
    told = mismatches_of(coverage, "v")
    assert told
    assert all(each.startswith(f"0x5D7 {message}: ") for each in told)


@pytest.mark.parametrize(
    ("vehicle", "buses", "kind", "message"),
    [(ZOES[0], [], "values", "Motion"), (ZOES[1], ["--bus", "v"], "bus", "CellVoltages")],
)
def test_coverage_as_it_is_typed_names_the_mismatch_and_has_no_value(
    vehicle: str, buses: list[str], kind: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "cells.log"
    log.write_text(
        "".join(f"({1e9 + frame.received_at_s:.6f}) can0 5D7#{frame.data.hex().upper()}\n" for frame in frames())
    )
    command = ["profile", "coverage", str(folder(vehicle)), str(log), *buses]
    assert main(command) == EXIT_FAILED
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("MISMATCH"))
    assert line.startswith(f"MISMATCH ({kind}) v 0x5D7 {message}: ")
    assert main([*command, "--json"]) == EXIT_FAILED
    told = json.loads(capsys.readouterr().out)
    assert told["frames"] == len(list(frames()))
    assert [(each["bus"], each["id"], each["message"], each["kind"]) for each in told["mismatches"]] == [
        ("v", "0x5D7", message, kind)
    ]
    ok = {each["path"]: each["ok"] for each in told["signals"]}
    assert {"Vehicle.Speed", "Vehicle.TraveledDistance"} <= ok.keys()
    assert set(ok.values()) == {0}


def test_the_car_of_before_2019_drives_and_counts() -> None:
    """The condition and the limits let a real ride through: 36 km/h, 1 m each tenth of a second."""
    decoder = Decoder(profile("renault_zoe_ph1"))
    ways = []
    for tick in range(50):
        data = (3600).to_bytes(2, "big") + ((1_234_567 + tick // 10) << 4).to_bytes(4, "big") + bytes(2)
        readings = {reading.path: reading for reading in decoder.receive(Frame("v", 0x5D7, data, 1.0 + tick / 10))}
        assert readings["Vehicle.Speed"].value == 36.0
        ways.append(readings["Vehicle.TraveledDistance"].value)
    assert ways[:3] == [None, None, None]  # it has to stand
    counted = [way for way in ways[3:] if isinstance(way, int)]
    assert len(counted) == len(ways) - 3
    assert all(before <= after for before, after in pairwise(counted))


@NEEDS_LOGS
@pytest.mark.parametrize("bus", ["v", "hev"])
@pytest.mark.parametrize("vehicle", [*ZOES, "smart_451", "smart_453"])
def test_a_battery_that_says_nothing_of_itself_leaves_every_signal_unknown(vehicle: str, bus: str) -> None:
    decoder = Decoder(profile(vehicle))
    with lzma.open(LOGS / "zoe_ph2_hevcan_isolator_removed.log.xz", "rt") as lines:
        heard = 0
        for frame in candump.frames(lines):
            heard += 1
            assert not decoder.receive(frame._replace(bus=bus))
    assert heard == 23_181
