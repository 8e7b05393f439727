"""Answers of real control units, where this machine has them: not ours to ship, so the tests are skipped elsewhere.

The frames are trusted, what others read in them is not always: an answer of more than 100 % is invalid here, however
it was cut off there.  The polls below say where values lie, from the published facts; some stand under paths that
only have the right type.
"""

from __future__ import annotations

import json
import lzma
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from agent.decode.answer import Answers, Unanswered
from agent.decode.segments import Heard, Segments
from agent.model.reading import Quality, Reading
from agent.profiles.schema import PollPlan
from tests.support.small_car import HEAD, SIGNALS, parsed, signal_table

LOGS = Path(__file__).parents[2].parent / "shared" / "logs"
BATTERY = "Vehicle.Powertrain.TractionBattery"
LEAF, I3 = "uds_leaf_dev", "uds_i3_dev"

pytestmark = pytest.mark.skipif(not LOGS.is_dir(), reason="recorded answers are not part of this repository")

# command -> lengths of the data, and of each value: key of the expectation, path, keys, its unit in ours
Row = tuple[str, str, str, float]
LEAF_POLLS: dict[str, tuple[str, tuple[Row, ...]]] = {
    "79B.7BB.2101": (
        "[39, 41, 51]",
        (
            (
                "LEAF_HVBAT_VOLT",
                f"{BATTERY}.CurrentVoltage",
                "byte = 18, bits = 16, scale = 0.01, min = 200.0, max = 450.0",
                1,
            ),
            (
                "soc",
                f"{BATTERY}.StateOfCharge.Current",
                "when_length = [39, 41], byte = 29, bits = 24, scale = 0.0001, min = 0.0, max = 100.0",
                1,
            ),
            (
                "soc",
                f"{BATTERY}.StateOfCharge.Current",
                "when_length = [51], byte = 31, bits = 24, scale = 0.0001, min = 0.0, max = 100.0",
                1,
            ),
        ),
    ),
    "79B.7BB.2161": (
        "[10, 329]",
        (("LEAF_HVBAT_SOH", f"{BATTERY}.StateOfHealth", "byte = 2, bits = 16, scale = 0.01", 1),),
    ),
    "743.763.220E01": ("[3]", (("LEAF_ODO", "Vehicle.TraveledDistance", 'byte = 0, bits = 24, unit = "km"', 1000),)),
    "743.763.220E2E": (
        "[2]",
        (("LEAF_RANGE", f"{BATTERY}.Range", 'byte = 0, bits = 16, unit = "km", invalid = [0x7FF]', 1000),),
    ),
    "797.79A.221103": (
        "[1]",
        (("LEAF_VPWR", "Vehicle.LowVoltageBattery.CurrentVoltage", "byte = 0, scale = 0.08", 1),),
    ),
    "797.79A.22114E": ("[1]", (("mode", "Vehicle.Carshare.TractionBattery.Gids", "byte = 0", 1),)),
    "797.79A.221156": ("[1]", (("gear", "Vehicle.Carshare.TractionBattery.GidsMax", "byte = 0", 1),)),
    "797.79A.22115D": (
        "[1]",
        (
            (
                "celsius",
                "Vehicle.Exterior.AirTemperature",
                'byte = 0, scale = 0.5, offset = -40.5, unit = "celsius", invalid = [0xFF]',
                1,
            ),
        ),
    ),
    "797.79A.221203": ("[2]", (("LEAF_QCKCHRG_CNT", "Vehicle.Carshare.IgnitionCycles", "byte = 0, bits = 16", 1),)),
    "797.79A.22121A": ("[2]", (("LEAF_VSS", "Vehicle.Speed", 'byte = 0, bits = 16, scale = 0.1, unit = "km/h"', 1),)),
    "797.79A.221234": (
        "[1]",
        (
            (
                "plug",
                f"{BATTERY}.Charging.ChargingPort.AnyPosition.IsChargingCableConnected",
                "byte = 0, choices = { 0 = false, 1 = false, 2 = true }",
                1,
            ),
        ),
    ),
    "797.79A.221304": ("[2]", (("LEAF_IGN", "Vehicle.Carshare.IsReadyToDrive", "byte = 0, bit = 7, bits = 1", 1),)),
}
I3_POLLS: dict[str, tuple[str, tuple[Row, ...]]] = {
    "6F1.607.226335": (
        "[4]",
        (("I3_HVBAT_SOH", f"{BATTERY}.StateOfHealth", "byte = 0, bits = 32, invalid = [0xFFFFFFFF], max = 100.0", 1),),
    ),
    "6F1.607.22DD68": (
        "[2]",
        (("I3_HVBAT_V", f"{BATTERY}.CurrentVoltage", "byte = 0, bits = 16, scale = 0.01, invalid = [0, 0xFFFF]", 1),),
    ),
    "6F1.607.22DD69": (
        "[4]",
        (("I3_HVBAT_C", f"{BATTERY}.CurrentCurrent", "byte = 0, bits = 32, signed = true, scale = 0.01", 1),),
    ),
    "6F1.607.22DDBC": (
        "[6]",
        (
            (
                "I3_HVBAT_SOC",
                f"{BATTERY}.StateOfCharge.Current",
                "byte = 0, bits = 16, scale = 0.1, invalid = [0xFFFF], max = 100.0",
                1,
            ),
        ),
    ),
    "6F1.660.22D107": ("[2]", (("I3_VSS", "Vehicle.Speed", 'byte = 0, bits = 16, scale = 0.1, unit = "km/h"', 1),)),
    "6F1.660.22D10D": ("[8]", (("I3_ODO1", "Vehicle.TraveledDistance", 'byte = 0, bits = 32, unit = "km"', 1000),)),
    "6F1.660.22D111": (
        "[12]",
        (
            (
                "I3_RANGE_E_CUR",
                f"{BATTERY}.Range",
                'byte = 0, bits = 16, scale = 0.1, unit = "km", invalid = [0xFFFF]',
                1000,
            ),
        ),
    ),
    "6F1.660.22D112": (
        "[2]",
        (("I3_AAT", "Vehicle.Exterior.AirTemperature", 'byte = 0, scale = 0.5, offset = -40.0, unit = "celsius"', 1),),
    ),
    "6F1.656.22DCDD": (
        "[12]",
        (("I3_TRUNK", "Vehicle.Body.Trunk.Rear.IsOpen", "byte = 5, choices = { 0 = false, 1 = true }", 1),),
    ),
    "6F1.61A.22DE00": (
        "[25]",
        (("I3_HVBAT_CHG_RDY", "Vehicle.Carshare.IsReadyToDrive", "byte = 5, choices = { 0 = false, 1 = true }", 1),),
    ),
    "6F1.663.22D031": ("[2]", (("I3_GEAR", "Vehicle.Carshare.TractionBattery.Gids", "byte = 0", 1),)),
}
POLLS = {LEAF: LEAF_POLLS, I3: I3_POLLS}
WORDS = {"PARK": 1, "REVERSE": 2, "NEUTRAL": 3, "DRIVE": 4, "UNPLUGGED": False, "PARTIAL": False, "PLUGGED": True}
UNITS = {
    f"{BATTERY}.CurrentVoltage": 'unit = "V"',
    f"{BATTERY}.CurrentCurrent": 'unit = "A"',
    f"{BATTERY}.StateOfCharge.Current": 'unit = "percent"',
    f"{BATTERY}.StateOfHealth": 'unit = "percent"',
    "Vehicle.LowVoltageBattery.CurrentVoltage": 'unit = "V"',
}
WORDS |= {"NOT_CHARGING": 0, "CHARGING_L1": 1, "CHARGING_L2": 2, "CHARGING_L3": 3}
GEAR = "Vehicle.Powertrain.Transmission.SelectedGear"


@cache
def poll(log: str, command: str) -> PollPlan:
    request, answer, service = command.split(".")
    lengths, rows = POLLS[log][command]
    is_extended = log == I3
    values = "".join(
        f'[[polls.values]]\npath = "{path}"\n' + "\n".join(_keys(keys)) + f"\n{UNITS.get(path, '')}\n"
        for _, path, keys, _ in rows
    )
    address = f"address = 0x{answer[1:]}\ntester_address = 0xF1\n" if is_extended else ""
    table = (
        f'[[polls]]\nname = "asked"\nrequest_id = 0x{request}\nresponse_id = 0x{answer}\n{address}'
        f"service = 0x{service[:2]}\nidentifier = 0x{service[2:]}\nperiod_s = 60.0\nlengths = {lengths}\n{values}"
    )
    (plan,) = parsed(HEAD + signal_table(GEAR, *SIGNALS[GEAR]) + table).polls
    return plan


def _keys(keys: str) -> list[str]:
    """The keys of an inline table, one a line."""
    return re.split(r", (?=[a-z_]+ = )", keys)


def readings(log: str, command: str, response: list[str]) -> tuple[Reading, ...]:
    """What the agent makes of the frames, of which some are the echo of another question."""
    plan = poll(log, command)
    segments, answers = Segments(plan.address), Answers(plan)
    for text in response:
        taken = segments.take(bytes.fromhex(text[3:]))
        if isinstance(taken, bytes):
            found = answers.read(taken, 1.0)
            if not isinstance(found, Unanswered):
                return found
        else:
            assert taken in (Heard.BEGUN, Heard.MORE), (command, text, taken)
    raise AssertionError((command, response))


def recorded(log: str) -> list[dict[str, Any]]:
    with lzma.open(LOGS / f"{log}.jsonl.xz", "rt") as lines:
        return [json.loads(line) for line in lines]


def test_every_command_recorded_is_asked_here() -> None:
    for log, polls in POLLS.items():
        unknown = {entry["command"] for entry in recorded(log)} - set(polls)
        assert unknown <= {"797.79A.221205", "6F1.660.22420C"}, unknown  # a second count and a second range alike


@pytest.mark.parametrize(("log", "command"), [(log, command) for log, polls in POLLS.items() for command in polls])
def test_each_recorded_answer_is_decoded_to_its_value_or_invalid(log: str, command: str) -> None:
    entries = [entry for entry in recorded(log) if entry["command"] == command]
    assert entries
    for entry in entries:
        found = {reading.path: reading for reading in readings(log, command, entry["response"])}
        for key, path, keys, unit in POLLS[log][command][1]:
            reading, expected = found[path], _expected(key, entry)
            if expected is None:
                assert reading.quality in (Quality.OK, Quality.INVALID)
                continue
            if _is_no_value(key, expected, entry["response"]):
                assert (reading.value, reading.quality) == (None, Quality.INVALID), (entry, reading)
            else:
                assert reading.value == pytest.approx(expected * unit, rel=1e-4, abs=0.011 * unit), (entry, keys)


def _expected(key: str, entry: dict[str, Any]) -> float | None:
    expected = entry["obdb_expected"]
    data = "".join(text[5 if index else 7 :] for index, text in enumerate(entry["response"]))
    match key:
        case "soc":  # 51 bytes: two further in
            start = 2 * (2 + (31 if entry["response"][0][3:7] == "1035" else 29))
            return int(data[start : start + 6], 16) / 10_000
        case "celsius":
            return (float(expected["LEAF_AAT"]) - 32) / 1.8
        case "mode":
            return WORDS.get(expected["LEAF_CHARGE_MODE"])
        case "gear":
            return WORDS.get(expected["LEAF_GEAR"])
        case "plug":
            return WORDS.get(expected["LEAF_CHARGE_PLUG"])
    found = expected.get(key)
    return None if isinstance(found, str) else found


def _is_no_value(key: str, expected: float, response: list[str]) -> bool:
    """By what is known of the cars: out of their range, cut off at 100 %, or a marker."""
    match key:
        case "LEAF_RANGE":
            return expected == 2047
        case "I3_HVBAT_SOC":
            return expected > 100 or (expected == 100 and response[-2][-4:] > "03E8")
        case "I3_HVBAT_V":
            return expected in (0, 655.35)
        case "I3_HVBAT_SOH":
            return expected > 100
        case "I3_RANGE_E_CUR":
            return response[0][-4:] == "FFFF"
    return False
