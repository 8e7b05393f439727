"""`dbc/README.md` describes the profile format: the same keys and defaults as the code, and commands that exist."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, fields
from math import isclose
from typing import Any

import cantools.database
import pytest

from agent.model.table import Table
from agent.profiles import toml_model
from agent.profiles.checksums import ALGORITHMS
from agent.profiles.conditions import REASONS
from agent.profiles.recipes import ACTIONS
from agent.profiles.units import known_units
from tests.profiles.shipped import ROOT, VEHICLES, files, folder

README = (ROOT / "dbc" / "README.md").read_text()

# What stands before a table of keys -> what it describes.
TABLES: Mapping[str, type[Any]] = {
    "### Top level": toml_model.ProfileTable,
    "### `[buses.NAME]`": toml_model.BusTable,
    "### `[[messages]]`": toml_model.MessageTable,
    "\n`checksum`:": toml_model.ChecksumTable,
    "\n`counter`:": toml_model.CounterTable,
    "### `[[signals]]`": toml_model.SignalTable,
    "\n`unit_by`, for": toml_model.UnitByTable,
    "\n`valid_when`, for": toml_model.ValidWhenTable,
    "\n`report`:": toml_model.ReportTable,
    "\nEach of `driving`": toml_model.PaceTable,
    "### `[[polls]]`": toml_model.PollTable,
    "### `[[polls.values]]`": toml_model.PollValueTable,
    "### `[[derived]]`": toml_model.DerivedTable,
    "\nEach of `all` and `any`:": toml_model.ClauseTable,
    "\n`rises`:": toml_model.RiseTable,
    "### `[wake.NAME]`": toml_model.WakeTable,
    "### `[actions.ACTION]`": toml_model.ActionTable,
    "\nEach of `frames`:": toml_model.FrameTable,
    "\n`exchange`: a talk": toml_model.ExchangeTable,
    "\nEach of `requests`:": toml_model.RequestTable,
    "\nEach of `pulses`.": toml_model.PulseTable,
    "\nEach of `feedback`:": toml_model.FeedbackTable,
    "\nEach of `preconditions`:": toml_model.PreconditionTable,
    "### `[[return_conditions]]`": toml_model.ReturnConditionTable,
}


def rows_after(heading: str) -> dict[str, str]:
    """Key -> default of the first table after the heading."""
    text = README.split(heading, 1)[1].split("| key |", 1)[1].split("\n\n", 1)[0]
    cells = [re.split(r"(?<!\\)\|", row) for row in text.splitlines()[2:]]
    return {row[1].strip().strip("`"): row[3].strip() for row in cells}


@pytest.mark.parametrize("heading", TABLES)
def test_every_key_is_described_with_its_default(heading: str) -> None:
    of_table = {field.name: field for field in fields(TABLES[heading])}
    rows = rows_after(heading)
    assert list(rows) == list(of_table)
    for key, field in of_table.items():
        default = field.default if field.default_factory is MISSING else field.default_factory()
        if default is MISSING:
            assert rows[key] == "required", key
        elif default is None:
            assert not rows[key].startswith("`") or key == "event", key
            assert rows[key] != "required", key
        elif isinstance(default, Table):
            assert rows[key] == "`{}`", key
        else:
            assert tomllib.loads(f"default = {rows[key].strip('`')}")["default"] == default, key


def test_every_table_of_the_format_is_described() -> None:
    tables = {
        kind
        for kind in vars(toml_model).values()
        if isinstance(kind, type) and issubclass(kind, Table) and kind.__name__.endswith("Table")
    }
    assert tables - {Table} == set(TABLES.values())


def test_every_algorithm_action_and_reason_is_named() -> None:
    for word in (*ALGORITHMS, *ACTIONS, *REASONS):
        assert f"`{word}`" in README, word


def test_every_unit_named_is_one() -> None:
    units = README.split("\nUnits:", 1)[1].split("and what DBC files write", 1)[0]
    words = re.findall(r"`([^`]+)`", units)
    assert len(words) > 30
    assert not set(words) - {*known_units(), "%", "degC", "°C", "miles"}


def test_every_vehicle_has_a_line_and_a_table_of_its_signals() -> None:
    for vehicle in VEHICLES:
        assert f"[`{vehicle}`]({vehicle}/)" in README
        told = (folder(vehicle) / "README.md").read_text().replace("`….", "`Vehicle.Powertrain.TractionBattery.")
        profile = tomllib.loads((folder(vehicle) / "profile.toml").read_text())
        asked = [value for poll in profile.get("polls", ()) for value in poll["values"]]
        for table in (*profile["signals"], *profile.get("derived", ()), *asked):
            assert f"`{table['path']}`" in told, f"{vehicle}: {table['path']}"


_PLACE = re.compile(r"(?P<start>\d+)\|(?P<length>\d+)@(?P<order>[01])(?P<sign>[+-])")
_FACTOR, _PART = re.compile(r"×(-?[\d.]+)"), re.compile(r"÷ ?([\d.]+)")


@pytest.mark.parametrize("vehicle", VEHICLES)
def test_the_bits_a_vehicles_table_tells_are_those_of_its_dbc(vehicle: str) -> None:
    """Row by row: the identifier where the row has one, start, length, byte order and sign, and the factor."""
    rows = table_rows(vehicle)
    spoken = {name: cantools.database.load_string(files(vehicle)[name].decode(), "dbc") for name in files(vehicle)}
    tables = tomllib.loads((folder(vehicle) / "profile.toml").read_text())
    for table in tables["signals"]:
        (row,) = (row for row in rows if f"`{table['path']}`" in row)
        bus = tables["buses"][table.get("bus", next(iter(tables["buses"])))]
        (message,) = (
            message
            for name in bus["dbc"]
            for message in spoken[name].messages  # type: ignore[union-attr]
            if message.name == table["message"]
        )
        signal = message.get_signal_by_name(table["signal"])
        told = [match.groups() for match in _PLACE.finditer(row)]
        order, sign = str(int(signal.byte_order == "little_endian")), "-" if signal.is_signed else "+"
        assert (str(signal.start), str(signal.length), order, sign) in told, (table["path"], row)
        assert f"0x{message.frame_id:03X}" in row, (table["path"], row)
        factors = [float(factor) for factor in _FACTOR.findall(row)] + [1 / float(part) for part in _PART.findall(row)]
        assert signal.choices or any(isclose(signal.scale, each, rel_tol=1e-5) for each in factors or [1.0]), row


def table_rows(vehicle: str) -> list[str]:
    """The rows of tables in a vehicle's README, full paths in them; an identifier holds for the rows below it too."""
    rows, identifier = [], ""
    for line in parted(vehicle)[0].splitlines():
        if line.startswith("|"):
            found = re.search(r"\b0x[0-9A-F]{3,8}\b", line.split("|", 3)[2])
            identifier = found[0] if found else identifier
            rows.append(f"{identifier} {line}".replace("\\|", "|"))
    return rows


def parted(vehicle: str) -> tuple[str, str]:
    """A vehicle's README without what it asks for, and that; paths in full."""
    text = (folder(vehicle) / "README.md").read_text().replace("`….", "`Vehicle.Powertrain.TractionBattery.")
    before, _, rest = text.partition("\n## Asked for\n")
    asked, heading, after = rest.partition("\n## ")
    return before + heading + after, asked


@pytest.mark.parametrize("vehicle", VEHICLES)
def test_what_a_vehicles_table_says_is_asked_for_is_what_the_profile_asks_for(vehicle: str) -> None:
    """Row by row: path, whether it is broadcast too, bus and identifiers, question, place, and how often."""
    tables = tomllib.loads((folder(vehicle) / "profile.toml").read_text())
    spoken = {table["path"] for table in tables["signals"]}
    told = [line.split("|")[1:-1] for line in parted(vehicle)[1].splitlines() if line.startswith("| `")]
    asked = [
        [
            f"`{value['path']}`" + (r" \*" if value["path"] in spoken else ""),
            _ids(poll, next(iter(tables["buses"]))),
            f"{poll['service']:02X} {poll['identifier']:0{2 if poll['service'] == 0x21 else 4}X}",
            _place(value),
            f"{poll['period_s']:g} s" if poll["period_s"] < 60 else f"{poll['period_s'] / 60:g} min",
        ]
        for poll in tables.get("polls", ())
        for value in poll["values"]
    ]
    assert [[row[column].strip() for column in (0, 1, 2, 3, 6)] for row in told] == asked


def _ids(poll: dict[str, Any], only_bus: str) -> str:
    digits = 8 if poll.get("extended_id") else 3
    address = f" {poll['address']:02X}" if "address" in poll else ""
    bus = poll.get("bus", only_bus)
    return f"{bus} 0x{poll['request_id']:0{digits}X}{address} → 0x{poll['response_id']:0{digits}X}"


def _place(value: dict[str, Any]) -> str:
    bits, of = value.get("bits", 8), ", ".join(map(str, value.get("when_length", ())))
    size = f", bit {value.get('bit', 0)}" if bits == 1 else "" if bits == 8 else f", {bits} bits"
    return f"byte {value['byte']}{size}" + (", signed" if value.get("signed") else "") + (f" of {of}" if of else "")


def test_commands_named_are_those_of_the_agent() -> None:
    commands = set(re.findall(r"carshare-agent ([a-z]+)", README))
    assert commands == {"check", "decode", "profile"}
