"""A car whose id 0x5D7 is speed and odometer, and frames of another car on which it is cell voltages."""

from __future__ import annotations

from collections.abc import Iterator

from agent.model.frame import Frame
from agent.profiles.checksums import ALGORITHMS
from agent.profiles.parse import parse_profile
from agent.profiles.schema import Profile

DBC = b"""VERSION ""
NS_ :
BS_:
BU_: Car Agent

BO_ 1495 Journey: 7 Car
 SG_ Speed : 7|16@0+ (0.01,0) [0|0] "km/h" Agent
 SG_ Odometer : 23|28@0+ (0.01,0) [0|0] "km" Agent

BO_ 497 Lock: 4 Car
 SG_ Crc : 0|8@1+ (1,0) [0|0] "" Agent
 SG_ Counter : 8|4@1+ (1,0) [0|0] "" Agent
 SG_ Locked : 16|3@1+ (1,0) [0|0] "" Agent

BO_ 800 Battery: 2 Car
 SG_ Page M : 0|4@1+ (1,0) [0|0] "" Agent
 SG_ Charge m1 : 8|8@1+ (1,0) [0|0] "%" Agent

BA_DEF_ BO_ "GenMsgCycleTime" INT 0 10000;
BA_DEF_DEF_ "GenMsgCycleTime" 100;
VAL_ 497 Locked 0 "Unlocked" 1 "Locked" 7 "NotAvailable" ;
"""

PROFILE = """format = 1
name = "my_car"
title = "My car"
vss = "6.0"

[buses.body]
dbc = ["car.dbc"]
bitrate_bps = 500_000
silent_after_s = 2.0

[[messages]]
message = "Lock"
checksum = { algorithm = "crc8_sae_j1850", signal = "Crc" }
counter = { signal = "Counter", step_max = 3 }

[[signals]]
path = "Vehicle.Speed"
message = "Journey"
signal = "Speed"
max = 200.0

[[signals]]
path = "Vehicle.TraveledDistance"
message = "Journey"
signal = "Odometer"

[[signals]]
path = "Vehicle.Carshare.CentralLock.IsLocked"
message = "Lock"
signal = "Locked"
choices = { Locked = true, Unlocked = false }

[[signals]]
path = "Vehicle.Powertrain.TractionBattery.StateOfCharge.Current"
message = "Battery"
signal = "Charge"
max = 100.0
"""


def profile(of_odometer: str = "") -> Profile:
    """The car; `of_odometer` is further keys of its odometer."""
    text = PROFILE.replace('signal = "Odometer"\n', f'signal = "Odometer"\n{of_odometer}\n')
    found = parse_profile(text, {"car.dbc": DBC}, source="profile.toml")
    assert isinstance(found, Profile), found
    return found


def journey(at_s: float, speed_kmh: float, odometer_km: float) -> Frame:
    raw = round(speed_kmh * 100) << 40 | round(odometer_km * 100) << 12
    return Frame("body", 0x5D7, raw.to_bytes(7, "big"), at_s)


def cell_voltages(at_s: float, *millivolts: int) -> Frame:
    """The same id on a battery's bus: four cells of 16 bits."""
    return Frame("body", 0x5D7, b"".join(each.to_bytes(2, "big") for each in millivolts), at_s)


def lock(at_s: float, count: int, state: int, *, is_crc_wrong: bool = False) -> Frame:
    rest = bytes([count % 16, state, 0])
    crc = ALGORITHMS["crc8_sae_j1850"].over(rest) ^ is_crc_wrong
    return Frame("body", 0x1F1, bytes([crc]) + rest, at_s)


def voltages() -> Iterator[Frame]:
    for tenth in range(600):
        jitter = tenth // 7 % 5
        yield cell_voltages(tenth / 10, 3700 + jitter, 3702 - jitter, 3699 + jitter, 3705)
