"""A car small enough to work out by hand: one of each kind of signal, and frames whose values were not computed by us.

The payloads in `VECTORS` were put together bit by bit from the layout in the comments; they are what the decoder is
held against when cantools is not asked.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.faults import Fault
from agent.model.frame import Frame
from agent.model.reading import Value
from agent.profiles.parse import parse_profile
from agent.profiles.schema import Profile

DBC = """VERSION ""
NS_ :
BS_:
BU_: Car Agent

BO_ 256 Motion: 8 Car
 SG_ Speed : 7|16@0+ (0.01,0) [0|0] "km/h" Agent
 SG_ Outside : 16|10@1- (0.1,-5) [0|0] "degC" Agent
 SG_ Gear : 26|3@1+ (1,0) [0|0] "" Agent
 SG_ Odometer : 39|20@0+ (0.1,0) [0|0] "km" Agent

BO_ 2566853172 Battery: 8 Car
 SG_ Voltage : 0|32@1- (1,0) [0|0] "V" Agent
 SG_ Page M : 32|8@1+ (1,0) [0|0] "" Agent
 SG_ Current m201 : 55|16@0- (0.1,0) [0|0] "A" Agent
 SG_ Health m2 : 40|7@1+ (1,0) [0|0] "%" Agent

BO_ 512 Wide: 16 Car
 SG_ Cell : 55|12@0+ (0.001,0) [0|0] "V" Agent
 SG_ Energy : 64|64@1- (1,0) [0|0] "kWh" Agent

BO_ 768 Lock: 4 Car
 SG_ LockCrc : 0|8@1+ (1,0) [0|255] "" Agent
 SG_ LockCounter : 8|4@1+ (1,0) [0|15] "" Agent
 SG_ Request : 12|2@1+ (1,0) [0|2] "" Car
 SG_ IsLocked : 16|1@1+ (1,0) [0|1] "" Agent
 SG_ Miles : 17|1@1+ (1,0) [0|1] "" Agent

BA_DEF_ BO_  "GenMsgCycleTime" INT 0 10000;
BA_DEF_DEF_  "GenMsgCycleTime" 100;

VAL_ 256 Gear 5 "Drive" 4 "Park" 7 "NotAvailable" ;
VAL_ 768 Request 2 "Lock" 1 "Unlock" 0 "None" ;

SIG_VALTYPE_ 2566853172 Voltage : 1;
SIG_VALTYPE_ 512 Energy : 2;
"""

HEAD = """format = 1
name = "small_car"
title = "Small car"
vss = "6.0"

[buses.body]
dbc = ["small.dbc"]
bitrate_bps = 500_000
fd = true
silent_after_s = 2.0
"""

BATTERY = "Vehicle.Powertrain.TractionBattery"

SIGNALS: Mapping[str, tuple[str, str, str]] = {
    # path: (message, signal, further keys)
    "Vehicle.Speed": ("Motion", "Speed", ""),
    "Vehicle.Exterior.AirTemperature": ("Motion", "Outside", ""),
    "Vehicle.TraveledDistance": ("Motion", "Odometer", ""),
    "Vehicle.Powertrain.Transmission.SelectedGear": ("Motion", "Gear", "choices = { Drive = 127, Park = 126 }"),
    f"{BATTERY}.CurrentVoltage": ("Battery", "Voltage", ""),
    f"{BATTERY}.CurrentCurrent": ("Battery", "Current", ""),
    f"{BATTERY}.StateOfHealth": ("Battery", "Health", ""),
    f"{BATTERY}.StateOfCharge.CurrentEnergy": ("Wide", "Energy", ""),
    "Vehicle.LowVoltageBattery.CurrentVoltage": ("Wide", "Cell", ""),
}

# (arbitration id, is extended, payload, value by path)
VECTORS: tuple[tuple[int, bool, str, Mapping[str, Value]], ...] = (
    (
        256,
        False,
        # 9039: 36921 x 0.01 | 0C and the low bits of F6: 10 0000 1100 = -500 | F6: 111 101 10, gear 5
        # 849EA: 543210 x 0.1 km | 000
        "9039" + "0C" + "F6" + "849EA" + "000",
        {
            "Vehicle.Speed": 369.21,
            "Vehicle.Exterior.AirTemperature": -55.0,
            "Vehicle.TraveledDistance": 54_321_000,
            "Vehicle.Powertrain.Transmission.SelectedGear": 127,
        },
    ),
    (
        0x18FF1234,
        True,
        # float 396.5 = 43C64000, lowest byte first | page 201 | - | FDB7 = -585 x 0.1
        "0040C643" + "C9" + "00" + "FDB7",
        {f"{BATTERY}.CurrentVoltage": 396.5, f"{BATTERY}.CurrentCurrent": -58.5},
    ),
    (
        0x18FF1234,
        True,
        # page 2 | DB: 1 101 1011, health 91, the top bit is not its
        "0040C643" + "02" + "DB" + "0000",
        {f"{BATTERY}.CurrentVoltage": 396.5, f"{BATTERY}.StateOfHealth": 91.0},
    ),
    (
        512,
        False,
        # ABC = 2748 x 0.001, then a nibble of something else | double 40.25 = 4044200000000000, lowest byte first
        "000000000000" + "ABC5" + "0000000000204440",
        {
            f"{BATTERY}.StateOfCharge.CurrentEnergy": 40.25,
            "Vehicle.LowVoltageBattery.CurrentVoltage": 2.748,
        },
    ),
)


def signal_table(path: str, message: str, signal: str, further: str = "") -> str:
    return f'\n[[signals]]\npath = "{path}"\nmessage = "{message}"\nsignal = "{signal}"\n{further}\n'


def small_profile_text(further: str = "") -> str:
    """The profile of all `SIGNALS`, and whatever tables are to come behind them."""
    return HEAD + "".join(signal_table(path, *row) for path, row in SIGNALS.items()) + further


def parsed(text: str, dbc: str = DBC, *, files: Mapping[str, bytes] | None = None) -> Profile:
    """The profile in a text that must be sound."""
    profile = parse(text, dbc, files=files)
    assert not isinstance(profile, list), "\n".join(map(str, profile))
    return profile


def faults(text: str, dbc: str = DBC, *, files: Mapping[str, bytes] | None = None) -> list[Fault]:
    """The faults of a text that must have some."""
    found = parse(text, dbc, files=files)
    assert isinstance(found, list), "no fault was found"
    return found


def parse(text: str, dbc: str = DBC, *, files: Mapping[str, bytes] | None = None) -> Profile | list[Fault]:
    return parse_profile(
        text, {"small.dbc": dbc.encode()} if files is None else files, source="dbc/small_car/profile.toml"
    )


def frame(arbitration_id: int, payload: str, at_s: float = 1.0, *, is_extended_id: bool = False) -> Frame:
    return Frame("body", arbitration_id, bytes.fromhex(payload), at_s, is_extended_id)
