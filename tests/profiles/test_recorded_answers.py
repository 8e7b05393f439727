"""Answers of real control units, where this machine has them, read by the polls of the profiles as they are shipped.

They are not ours to ship, so the tests are skipped elsewhere.  The frames are trusted, what others read in them is not
always: an answer of more than 100 % is invalid here, however it was cut off there.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from agent.decode.answer import Answers, Unanswered
from agent.decode.segments import Heard, Segments
from agent.model.reading import Quality, Reading, Value
from agent.profiles.schema import PollPlan
from tests.profiles.shipped import profile

LOGS = Path(__file__).parents[2].parent / "shared" / "logs"
BATTERY, OURS = "Vehicle.Powertrain.TractionBattery", "Vehicle.Carshare"
CABLE = f"{BATTERY}.Charging.ChargingPort.AnyPosition.IsChargingCableConnected"
DOOR = "Vehicle.Cabin.Door"
LEAF, I3 = "uds_leaf_dev", "uds_i3_dev"

pytestmark = pytest.mark.skipif(not LOGS.is_dir(), reason="recorded answers are not part of this repository")

Entry = dict[str, Any]
Meant = Callable[[Entry], Value | None]
"""What an answer says of a path in its unit; None for what the README calls no value."""


def number(key: str, unit: float = 1.0, *, none: tuple[float, ...] = (), most: float = 1e12) -> Meant:
    """The number that others read under `key`, in our unit; `none` are markers."""

    def meant(entry: Entry) -> Value | None:
        found = float(entry["obdb_expected"][key])
        return None if found in none or found > most else found * unit

    return meant


def word(key: str, values: Mapping[Any, Value]) -> Meant:
    return lambda entry: values.get(entry["obdb_expected"][key])


def raw(first: int, size: int, scale: float) -> Meant:
    """Read by hand from the frames where nobody's reading is to be trusted: bytes after service and identifier."""
    return lambda entry: round(int.from_bytes(data(entry)[first : first + size], "big") * scale, 6)


def by_length(first: Mapping[int, int], size: int, scale: Mapping[int, float]) -> Meant:
    return lambda entry: raw(first[len(data(entry))], size, scale[len(data(entry))])(entry)


def data(entry: Entry) -> bytes:
    """What follows service and identifier (of KWP) in the ISO-TP frames of a Leaf, put together by hand."""
    first, *further = [bytes.fromhex(text[3:]) for text in entry["response"]]
    length = (first[0] & 0xF) << 8 | first[1]
    return b"".join([first[2:], *(frame[1:] for frame in further)])[2:length]


def percent(key: str) -> Meant:
    """Others cut what is above 100 % off at 100: the frame's own number says which it was."""

    def meant(entry: Entry) -> Value | None:
        payload = bytes.fromhex(entry["response"][-2][5:])
        charge = int.from_bytes(payload[-2:], "big") / 10
        return None if charge > 100 else float(entry["obdb_expected"][key])

    return meant


YES = {0: False, 1: True}
SOC, AH, HX = {39: 29, 41: 29, 51: 31}, {39: 33, 41: 33, 51: 35}, {39: 26, 41: 26, 51: 28}
SMALL = dict.fromkeys((39, 41, 51), 0.0001)

MEANT: Mapping[str, Mapping[str, Mapping[str, Meant]]] = {
    LEAF: {
        "79B.7BB.2101": {
            f"{BATTERY}.CurrentVoltage": number("LEAF_HVBAT_VOLT"),
            f"{BATTERY}.StateOfCharge.Current": by_length(SOC, 3, SMALL),
            f"{OURS}.TractionBattery.Capacity": by_length(AH, 3, SMALL),
            f"{OURS}.TractionBattery.Hx": by_length(HX, 2, {39: 0.01, 41: 0.01, 51: 1 / 102.4}),
        },
        "79B.7BB.2161": {f"{BATTERY}.StateOfHealth": number("LEAF_HVBAT_SOH")},
        "743.763.220E01": {"Vehicle.TraveledDistance": number("LEAF_ODO", 1000)},
        "743.763.220E2E": {f"{BATTERY}.Range": number("LEAF_RANGE", 1000, none=(2047,))},
        "797.79A.221103": {"Vehicle.LowVoltageBattery.CurrentVoltage": number("LEAF_VPWR")},
        "797.79A.22114E": {
            f"{OURS}.Charging.IsAC": word(
                "LEAF_CHARGE_MODE",
                {"NOT_CHARGING": False, "CHARGING_L1": True, "CHARGING_L2": True, "CHARGING_L3": False},
            )
        },
        "797.79A.221156": {
            "Vehicle.Powertrain.Transmission.SelectedGear": word(
                "LEAF_GEAR", {"PARK": 126, "REVERSE": -1, "NEUTRAL": 0, "DRIVE": 127, "ECO": 127}
            )
        },
        "797.79A.22115D": {
            # In degrees Fahrenheit there; 87 °C is the marker.
            "Vehicle.Exterior.AirTemperature": lambda entry: (
                None
                if entry["response"][0].endswith("FF")
                else round((float(entry["obdb_expected"]["LEAF_AAT"]) - 32) / 1.8, 1)
            )
        },
        "797.79A.221203": {f"{OURS}.Charging.QuickCharges": number("LEAF_QCKCHRG_CNT")},
        "797.79A.221205": {f"{OURS}.Charging.NormalCharges": number("LEAF_L1L2CHRG_CNT")},
        "797.79A.22121A": {"Vehicle.Speed": number("LEAF_VSS")},
        "797.79A.221234": {CABLE: word("LEAF_CHARGE_PLUG", {"UNPLUGGED": False, "PLUGGED": True})},
        "797.79A.221304": {f"{OURS}.IsIgnitionOn": word("LEAF_IGN", YES)},
    },
    I3: {
        "6F1.607.226335": {f"{BATTERY}.StateOfHealth": number("I3_HVBAT_SOH", most=100)},
        "6F1.607.22DD68": {f"{BATTERY}.CurrentVoltage": number("I3_HVBAT_V", none=(0, 655.35))},
        "6F1.607.22DD69": {f"{BATTERY}.CurrentCurrent": number("I3_HVBAT_C")},
        "6F1.607.22DDBC": {
            f"{BATTERY}.StateOfCharge.Current": percent("I3_HVBAT_SOC"),
        },
        "6F1.660.22D107": {"Vehicle.Speed": number("I3_VSS")},
        "6F1.660.22D10D": {"Vehicle.TraveledDistance": number("I3_ODO1", 1000)},
        "6F1.660.22D111": {
            f"{BATTERY}.Range": lambda entry: (
                None
                if entry["response"][0].endswith("FFFF")
                else float(entry["obdb_expected"]["I3_RANGE_E_CUR"]) * 1000
            )
        },
        "6F1.660.22420C": {"Vehicle.Powertrain.Range": number("I3_RANGE", 1000)},
        "6F1.660.22D112": {"Vehicle.Exterior.AirTemperature": number("I3_AAT")},
        "6F1.656.22DCDD": {
            f"{DOOR}.Row1.DriverSide.IsOpen": word("I3_DOOR_DRIVER", YES),
            f"{DOOR}.Row1.PassengerSide.IsOpen": word("I3_DOOR_PASSENGER", YES),
            f"{DOOR}.Row2.DriverSide.IsOpen": word("I3_DOOR_DRIVER_REAR", YES),
            f"{DOOR}.Row2.PassengerSide.IsOpen": word("I3_DOOR_PASSENGER_REAR", YES),
            "Vehicle.Body.Hood.IsOpen": word("I3_HOOD", YES),
            "Vehicle.Body.Trunk.Rear.IsOpen": word("I3_TRUNK", YES),
            f"{OURS}.CentralLock.IsLocked": word("I3_CENTRAL_LOCK", {1: False, 2: True}),
        },
        "6F1.61A.22DE00": {
            f"{OURS}.IsReadyToDrive": word("I3_HVBAT_CHG_RDY", YES),
        },
        "6F1.663.22D031": {
            "Vehicle.Powertrain.Transmission.CurrentGear": word("I3_GEAR", {0: -1, 1: 1, 2: 0}),
        },
    },
}


def vehicle_of(log: str, entry: Entry) -> str:
    """The profile of the car that answered."""
    if log == I3:
        return "bmw_i3"
    year = int(entry["year"])
    return "nissan_leaf_ze0" if year < 2013 else "nissan_leaf_aze0" if year < 2018 else "nissan_leaf_ze1"


def poll_of(log: str, entry: Entry) -> PollPlan:
    """The one of its profile that asks this very question of this very control unit."""
    request, answer, asked = entry["command"].split(".")
    head = bytes([int(answer[1:], 16)]) if log == I3 else b""
    asked_bytes = bytes.fromhex(asked)
    frame = (head + bytes([len(asked_bytes)]) + asked_bytes).ljust(8, b"\x00")
    found = [
        poll
        for poll in profile(vehicle_of(log, entry)).polls
        if (poll.request_id, poll.response_id, poll.request) == (int(request, 16), int(answer, 16), frame)
    ]
    assert len(found) == 1, entry["command"]
    return found[0]


def readings(log: str, entry: Entry) -> dict[str, Reading]:
    """What the agent makes of the frames, of which some are the echo of another question."""
    plan = poll_of(log, entry)
    segments, answers = Segments(plan.address), Answers(plan)
    for text in entry["response"]:
        taken = segments.take(bytes.fromhex(text[3:]))
        if isinstance(taken, bytes):
            found = answers.read(taken, 1.0)
            if not isinstance(found, Unanswered):
                return {reading.path: reading for reading in found}
            assert found is Unanswered.WRONG_ECHO, entry
        else:
            assert taken in (Heard.BEGUN, Heard.MORE), entry
    raise AssertionError(entry)


def recorded(log: str) -> list[Entry]:
    with lzma.open(LOGS / f"{log}.jsonl.xz", "rt") as lines:
        return [json.loads(line) for line in lines]


def test_every_command_recorded_is_held_against_what_it_means() -> None:
    for log, commands in MEANT.items():
        assert {entry["command"] for entry in recorded(log)} == set(commands)


@pytest.mark.parametrize(("log", "command"), [(log, command) for log, meant in MEANT.items() for command in meant])
def test_each_recorded_answer_is_read_by_the_shipped_profile_to_its_value_or_invalid(log: str, command: str) -> None:
    entries = [entry for entry in recorded(log) if entry["command"] == command]
    assert entries
    for entry in entries:
        found = readings(log, entry)
        for path, meant in MEANT[log][command].items():
            reading, expected = found[path], meant(entry)
            if expected is None:
                assert (reading.value, reading.quality) == (None, Quality.INVALID), (entry, reading)
            elif isinstance(expected, bool):
                assert reading.value is expected, (entry, reading)
            else:
                assert reading.value == pytest.approx(expected, rel=1e-4, abs=0.06), (entry, reading)


def test_the_charge_a_newer_leaf_shows_is_reckoned_from_the_battery_s_own_as_others_do() -> None:
    shown, entries = f"{BATTERY}.StateOfCharge.Displayed", recorded(LEAF)
    blocks = [entry for entry in entries if entry["command"] == "79B.7BB.2101"]
    newest = [entry for entry in blocks if len(data(entry)) == 51]
    assert newest
    for entry in blocks:
        found = readings(LEAF, entry)
        assert (shown in found) is (entry in newest)
        if shown in found:
            assert found[shown].value == pytest.approx(entry["obdb_expected"]["LEAF_HVBAT_SOC"], abs=0.001), entry


def test_of_the_values_that_are_read_most_are_values() -> None:
    """Were all of a command's answers invalid, the test above would be content."""
    for log, commands in MEANT.items():
        for command in commands:
            read = [readings(log, entry) for entry in recorded(log) if entry["command"] == command]
            for path in MEANT[log][command]:
                assert any(found[path].quality is Quality.OK for found in read), (command, path)
