"""The recording of `dbc/renault_zoe_ph1`."""

from __future__ import annotations

from tests.profiles import golden_renault as renault
from tests.profiles import golden_series
from tests.profiles.golden_log import GoldenLog, Stands
from tests.profiles.golden_series import Place, Sent
from tests.profiles.golden_signals import BATTERY, OURS, SYSTEM, derived, flag, number, word


def write() -> GoldenLog:
    """The whole recording."""
    messages = (
        _lever(),
        _body_command(),
        _battery_state(),
        renault.motion(),
        renault.openings(),
        _front_doors(),
        renault.charge(charge_bits=7),
        _outside(),
        renault.battery_health(),
        _supply(),
    )
    return golden_series.write(messages, derived=derived(renault.OPENINGS, is_always_ac=True))


def _lever() -> Sent:
    path = "Vehicle.Powertrain.Transmission.SelectedGear"
    lever = word(path, Place(6, 4, 4), {0: 126, 1: -1, 2: 0, 7: 127}, (0, 1, 2, 7, 3, 15, 8))
    return Sent("v", 0x17E, 7, 500, 5000, {0: [lever]})


def _body_command() -> Sent:
    states = {**dict.fromkeys(range(7), False), 7: True}
    signals = [
        word(f"{OURS}.IsReadyToDrive", Place(0, 0, 3), states),
        word(f"{OURS}.PowerState", Place(0, 0, 3), {state: state for state in states}),
        flag(f"{OURS}.CentralLock.IsLocked", 6, 0),
    ]
    return Sent("v", 0x35C, 7, 100, 1000, {0: signals})


def _battery_state() -> Sent:
    signals = [
        number(
            f"{BATTERY}.StateOfCharge.Current",
            Place(1, 3, 13),
            (0x1FFF, 5001, 5000, 4999, 0x0AAA, 0x0AAB, 4500, 1, 0, 0x0555),
            lambda raw: round(raw * 0.02, 2),
            markers=(0x1FFF,),
            limits=(0.0, 100.0),
            stands=Stands(300, 5.0),
        ),
        renault.pack_voltage(),
        number(f"{OURS}.Charging.PilotCurrent", Place(5, 4, 6), (0x3F, 0, 16, 42, 21, 32), float, markers=(0x3F,)),
        number(
            f"{BATTERY}.Temperature.Average",
            Place(6, 5, 7),
            (0x7F, 121, 120, 85, 42, 0, 1),
            lambda raw: raw - 40.0,
            markers=(0, 0x7F),
            limits=(-40.0, 80.0),
        ),
        number(
            f"{OURS}.Charging.Power",
            Place(7, 0, 8),
            (0xFF, 166, 167, 1, 85, 130, 0),
            lambda raw: raw * 300.0,
            markers=(0xFF,),
            limits=(0.0, 50_000.0),
        ),
    ]
    return Sent("v", 0x42E, 8, 100, 1000, {0: signals}, hold=5)


def _front_doors() -> Sent:
    signals = [
        flag("Vehicle.Cabin.Door.Row1.DriverSide.IsOpen", 3, 4, (0, 1, 0, 1)),
        flag("Vehicle.Cabin.Door.Row1.PassengerSide.IsOpen", 3, 3, (0, 0, 1, 1)),
    ]
    return Sent("v", 0x5EE, 4, 500, 5000, {0: signals})


def _outside() -> Sent:
    path, raws = "Vehicle.Exterior.AirTemperature", (0xFF, 101, 100, 85, 42, 0, 1)
    outside = number(path, Place(6, 0, 8), raws, lambda raw: raw - 40.0, markers=(0, 0xFF), limits=(-40.0, 60.0))
    return Sent("v", 0x656, 7, 500, 60_000, {0: [outside]})


def _supply() -> Sent:
    signals = [
        word(SYSTEM, Place(1, 4, 1), {0: "OFF", 1: "ON"}, (0, 1, 0, 0, 1, 1, 0, 1)),
        number(
            "Vehicle.LowVoltageBattery.CurrentVoltage",
            Place(2, 0, 8),
            (0xFF, 95, 96, 203, 170, 254, 213),
            lambda raw: raw * 0.0625,
            markers=(0xFF,),
            limits=(6.0, 16.0),
        ),
    ]
    return Sent("v", 0x6F8, 3, 100, 1000, {0: signals})
