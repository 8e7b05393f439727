"""The bench's virtual car, made cheap enough for a hundred thousand commands, and with the truth of each frame kept.

The model is `agent.bench.car.VirtualCar` itself.  Three of its costs are taken away without changing one bit of what
it sends: frames are encoded once for each set of values and then taken from memory, a body at rest does not count its
ticks, and the time of the next frame is not worked out twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

from agent.bench.car import CATCH_UP_S_MAX, VirtualCar
from agent.bench.car_body import CarBody
from agent.bench.car_messages import CarMessages
from agent.model.frame import Frame
from agent.model.reading import Value
from agent.profiles.schema import Profile
from tests.support.pair import vehicle

Truth = Mapping[str, Value | None]
"""What one frame truly says, by VSS path and in its unit; None where the car itself did not know."""

# Encoded frames kept between two worlds; a car that drives makes new ones all the time.
REMEMBERED_MAX = 40_000


def _number(factor: float = 1.0) -> Callable[[Value], Value | None]:
    return lambda value: float(value) * factor


def _choice(**meanings: Value) -> Callable[[Value], Value | None]:
    return lambda name: meanings.get(str(name))


_CONTACT = _choice(Closed=False, Open=True)

MEANINGS: Mapping[tuple[str, str], tuple[str, Callable[[Value], Value | None]]] = {
    ("MotionStatus", "WheelSpeed"): ("Vehicle.Speed", _number()),
    ("MotionStatus", "Odometer"): ("Vehicle.TraveledDistance", _number(1000)),
    ("LockStatus", "CentralLock"): (
        "Vehicle.Carshare.CentralLock.IsLocked",
        _choice(Unlocked=False, Locked=True),
    ),
    ("DriveStatus", "Immobiliser"): (
        "Vehicle.Carshare.IsDriveEnabled",
        _choice(Released=True, Engaged=False),
    ),
    ("BatteryStatus", "StateOfCharge"): ("Vehicle.Powertrain.TractionBattery.StateOfCharge.Current", _number()),
    ("BatteryStatus", "StateOfChargeShown"): ("Vehicle.Powertrain.TractionBattery.StateOfCharge.Displayed", _number()),
    ("BatteryStatus", "ChargingState"): (
        "Vehicle.Powertrain.TractionBattery.Charging.IsCharging",
        _choice(Idle=False, Charging=True, Finished=False, Fault=False),
    ),
    ("BatteryStatus", "PlugState"): (
        "Vehicle.Powertrain.TractionBattery.Charging.ChargingPort.AnyPosition.IsChargingCableConnected",
        _choice(Unplugged=False, Plugged=True, PluggedAndLatched=True),
    ),
    ("BatteryStatus", "RangeLeft"): ("Vehicle.Powertrain.TractionBattery.Range", _number(1000)),
    ("BatteryStatus", "ChargePower"): ("Vehicle.Carshare.TractionBattery.GridPower", _number(1000)),
    ("BatteryDetails", "PackVoltage"): ("Vehicle.Powertrain.TractionBattery.CurrentVoltage", _number()),
    ("BatteryDetails", "PackCurrent"): ("Vehicle.Powertrain.TractionBattery.CurrentCurrent", _number()),
    ("BatteryDetails", "CellTemperatureMin"): ("Vehicle.Powertrain.TractionBattery.Temperature.Min", _number()),
    ("BatteryDetails", "CellTemperatureMax"): ("Vehicle.Powertrain.TractionBattery.Temperature.Max", _number()),
    ("BatteryDetails", "StateOfHealth"): ("Vehicle.Powertrain.TractionBattery.StateOfHealth", _number()),
    ("BodyStatus", "DoorFrontDriver"): ("Vehicle.Cabin.Door.Row1.DriverSide.IsOpen", _CONTACT),
    ("BodyStatus", "DoorFrontPassenger"): ("Vehicle.Cabin.Door.Row1.PassengerSide.IsOpen", _CONTACT),
    ("BodyStatus", "DoorRearDriver"): ("Vehicle.Cabin.Door.Row2.DriverSide.IsOpen", _CONTACT),
    ("BodyStatus", "DoorRearPassenger"): ("Vehicle.Cabin.Door.Row2.PassengerSide.IsOpen", _CONTACT),
    ("BodyStatus", "Trunk"): ("Vehicle.Body.Trunk.Rear.IsOpen", _CONTACT),
    ("BodyStatus", "ParkingBrake"): ("Vehicle.Chassis.ParkingBrake.IsEngaged", _choice(Released=False, Set=True)),
    ("BodyStatus", "ReadyToDrive"): ("Vehicle.Carshare.IsReadyToDrive", _choice(NotReady=False, Ready=True)),
    ("BodyStatus", "Ignition"): (
        "Vehicle.LowVoltageSystemState",
        _choice(Off="OFF", Accessory="ACC", On="ON", Start="START"),
    ),
    ("BodyStatus", "Gear"): ("Vehicle.Powertrain.Transmission.SelectedGear", _choice(Park=126, Drive=127)),
    ("BodyStatus", "LowVoltage"): ("Vehicle.LowVoltageBattery.CurrentVoltage", _number()),
    ("BodyStatus", "OutsideTemperature"): ("Vehicle.Exterior.AirTemperature", _number()),
}
"""What the physical value under a signal of the DBC is as a reading: written by hand, not taken from the profile."""

RESOLUTION: Mapping[str, float] = {
    "Vehicle.Speed": 0.01,
    "Vehicle.TraveledDistance": 10.0,
    "Vehicle.Powertrain.TractionBattery.StateOfCharge.Displayed": 1.0,
    "Vehicle.Powertrain.TractionBattery.Range": 1000.0,
    "Vehicle.Powertrain.TractionBattery.Temperature.Min": 0.5,
    "Vehicle.Powertrain.TractionBattery.Temperature.Max": 0.5,
    "Vehicle.Powertrain.TractionBattery.StateOfHealth": 0.5,
}
"""How finely a path is told, in its unit; 0.1 where nothing stands here."""


OPENINGS = (
    "Vehicle.Cabin.Door.Row1.DriverSide.IsOpen",
    "Vehicle.Cabin.Door.Row1.PassengerSide.IsOpen",
    "Vehicle.Cabin.Door.Row2.DriverSide.IsOpen",
    "Vehicle.Cabin.Door.Row2.PassengerSide.IsOpen",
    "Vehicle.Body.Trunk.Rear.IsOpen",
)

# What follows from one message, by the profile's words and not by its code; speed as finely as the car tells it.
DERIVED: Mapping[str, tuple[tuple[str, ...], Callable[..., Value]]] = {
    "Vehicle.IsMoving": (("Vehicle.Speed",), lambda speed_kmh: round(speed_kmh, 2) >= 0.5),
    "Vehicle.Carshare.Doors.IsAllClosed": (OPENINGS, lambda *are_open: not any(are_open)),
}


def is_true(path: str, value: Value | None, truth: Value | None) -> bool:
    """Whether `value` is `truth` as finely as the car can tell it."""
    if value is None or truth is None or isinstance(value, bool | str) or isinstance(truth, bool | str):
        return type(value) is type(truth) and value == truth
    return abs(value - truth) <= RESOLUTION.get(path, 0.1) * 1.001


class RememberedMessages(CarMessages):
    """`CarMessages` with a memory: the same values give the same bytes, and the same bytes the same truth."""

    def __init__(self) -> None:
        super().__init__(*vehicle())
        self._frames: dict[tuple[object, ...], Frame] = {}
        self._truths: dict[tuple[int, bytes], Truth] = {}

    def forget_if_full(self) -> None:
        """To be called between two worlds: frames under way are looked up here."""
        if len(self._frames) > REMEMBERED_MAX:
            self._frames.clear()
            self._truths.clear()

    def truth(self, frame: Frame) -> Truth | None:
        """What a frame of this car says; None if it is not to be believed."""
        return self._truths.get((frame.arbitration_id, frame.data))

    def encode(
        self,
        message: str,
        values: Mapping[str, Value],
        *,
        at_s: float,
        counter: int = 0,
        is_measured: bool = True,
        is_checksum_wrong: bool = False,
    ) -> Frame:
        counter = counter & 0xF if self._protections[message].counter is not None else 0
        key = (message, counter, is_measured, is_checksum_wrong, *values.values())
        known = self._frames.get(key)
        if known is None:
            known = super().encode(
                message,
                values,
                at_s=0.0,
                counter=counter,
                is_measured=is_measured,
                is_checksum_wrong=is_checksum_wrong,
            )
            self._frames[key] = known
            if not (is_checksum_wrong and self._plans[message].checksum is not None):
                self._truths[known.arbitration_id, known.data] = _truth(message, values, is_measured=is_measured)
        return Frame(known.bus, known.arbitration_id, known.data, at_s, known.is_extended_id, known.is_fd)


def _truth(message: str, values: Mapping[str, Value], *, is_measured: bool) -> Truth:
    meanings = ((MEANINGS[message, name], value) for name, value in values.items() if (message, name) in MEANINGS)
    truth = {path: meaning(value) if is_measured else None for (path, meaning), value in meanings}
    for path, (inputs, rule) in DERIVED.items():
        if all(each in truth for each in inputs):
            values_of = [truth[each] for each in inputs]
            truth[path] = None if None in values_of else rule(*values_of)
    return truth


@cache
def remembered_messages() -> RememberedMessages:
    """One memory for all worlds of a process."""
    return RememberedMessages()


class RestingBody(CarBody):
    """A body that takes no time where nothing happens in it."""

    __slots__ = ()

    def advance(self, elapsed_s: float) -> None:
        if self.is_driving or self.is_charging:
            super().advance(elapsed_s)
        else:
            self.battery_current_a = self.grid_power_w = 0.0


class WorldCar(VirtualCar):
    """The virtual car with the memory above, which also remembers when it is to be asked next."""

    def __init__(
        self,
        profile: Profile | None = None,
        *,
        now_s: float,
        is_asleep: bool,
        is_locked: bool,
        is_drive_enabled: bool,
        sleep_after_s: float,
    ) -> None:
        """`profile` may differ from the demo car's in what it can be told and asked; not in its messages."""
        self._is_next_known = False
        self._next_s: float | None = None
        demo, databases = vehicle()
        super().__init__(
            profile or demo,
            databases,
            now_s=now_s,
            is_asleep=is_asleep,
            is_locked=is_locked,
            is_drive_enabled=is_drive_enabled,
            sleep_after_s=sleep_after_s,
        )
        self.body = RestingBody()
        self._messages = remembered_messages()
        remembered_messages().forget_if_full()

    def next_step_at(self) -> float | None:
        if not self._is_next_known:
            self._next_s = super().next_step_at()
            self._is_next_known = True
        return self._next_s

    def step(self, now_s: float) -> list[Frame]:
        if now_s - self._now_s > CATCH_UP_S_MAX:
            return super().step(now_s)
        frames: list[Frame] = []
        while (next_s := self.next_step_at()) is not None and next_s <= now_s:
            self._advance(next_s)
            frames += self._send_due()
        if now_s > self._now_s:
            self._advance(now_s)
        return frames

    def _advance(self, now_s: float) -> None:
        # Everything that is done with the car, by whomever, begins with this.
        self._is_next_known = False
        super()._advance(now_s)
