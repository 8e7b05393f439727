"""The physical car: motion, battery, doors, plug.  Invented figures of a small electric car; no bus, no frames."""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum

from agent.model.quick_dataclass import dataclass

TICK_S = 0.02  # of physical time: a drive comes out the same however often the car is asked
_TICK_US = round(TICK_S * 1e6)
MASS_KG = 1450.0
ROLLING_N = 150.0
DRAG_N_PER_M2_S2 = 0.42
ACCELERATION_MS2 = 2.0
DRIVE_EFFICIENCY = 0.88
RECUPERATION_EFFICIENCY = 0.65
AUXILIARY_W = 900.0
CHARGE_EFFICIENCY = 0.9
CELL_OHM = 0.08
RESERVE_PERCENT = 4.0  # below what the dashboard calls empty, and above what it calls full
SUPPLY_V_MAX = 25.4  # what the DBC has room for
CONSUMPTION_WH_PER_KM = 130.0  # what the range shown is reckoned with


class CarRefusesError(Exception):
    """The driver asked for what this car does not do now; the text says why."""


class Gear(StrEnum):
    """Which lever position it is in."""

    PARK = "Park"
    DRIVE = "Drive"


class Ignition(StrEnum):
    """Whether it is switched on."""

    OFF = "Off"
    ON = "On"


class Opening(StrEnum):
    """Doors and the boot lid, by the words used at the bench."""

    DRIVER_DOOR = "driver_door"
    PASSENGER_DOOR = "passenger_door"
    REAR_DRIVER_DOOR = "rear_driver_door"
    REAR_PASSENGER_DOOR = "rear_passenger_door"
    TRUNK = "trunk"
    HOOD = "hood"


@dataclass(slots=True)
class CarBody:
    """The physical truth that frames are made from, and that tests compare readings with."""

    capacity_wh: float = 39_000.0
    energy_wh: float = 27_300.0
    state_of_health_percent: float = 96.5
    odometer_m: float = 18_234_560.0
    speed_ms: float = 0.0
    gear: Gear = Gear.PARK
    ignition: Ignition = Ignition.OFF
    is_parking_brake_set: bool = True
    is_plugged: bool = False
    grid_power_w: float = 0.0
    battery_current_a: float = 0.0
    cell_temperature_c: float = 19.0
    outside_temperature_c: float = 12.5
    resting_v: float = 12.6  # of the 12 V battery, which nothing here empties but who says so
    openings: dict[Opening, bool] = field(default_factory=lambda: dict.fromkeys(Opening, False))
    destination_m: float | None = None
    cruise_ms: float = 0.0
    charger_w: float = 0.0
    _untaken_us: int = 0

    # --- what a driver does -------------------------------------------------------------------------------------

    def drive(self, distance_m: float, *, cruise_kmh: float = 50.0) -> None:
        """Set off for a drive of `distance_m` and stop after exactly that; raises `CarRefusesError`."""
        if self.is_driving:
            raise CarRefusesError("the car is driving already")
        if self.is_plugged:
            raise CarRefusesError("the charging cable is plugged in")
        if open_ones := [name.value for name, is_open in self.openings.items() if is_open]:
            raise CarRefusesError("open: " + ", ".join(open_ones))
        if distance_m <= 0 or cruise_kmh <= 0:
            raise CarRefusesError("distance and speed must be above 0")
        self.ignition, self.gear, self.is_parking_brake_set = Ignition.ON, Gear.DRIVE, False
        self.destination_m = self.odometer_m + distance_m
        self.cruise_ms = cruise_kmh / 3.6

    def set_opening(self, opening: Opening, *, is_open: bool) -> None:
        """Open or close a door; raises `CarRefusesError` while the car moves."""
        if is_open and self.is_driving:
            raise CarRefusesError("nobody opens a door while the car drives")
        self.openings[opening] = is_open

    def set_ignition(self, *, is_on: bool) -> None:
        """Switch on or off; raises `CarRefusesError` while the car drives."""
        if self.is_driving:
            raise CarRefusesError("the car is driving")
        self.ignition = Ignition.ON if is_on else Ignition.OFF

    def plug_in(self, *, charger_kw: float = 7.4) -> None:
        """Plug the cable in and charge; raises `CarRefusesError` while the car drives."""
        if self.is_driving:
            raise CarRefusesError("the car is driving")
        if charger_kw <= 0:
            raise CarRefusesError("the charger's power must be above 0")
        self.is_plugged = True
        self.charger_w = charger_kw * 1000

    def unplug(self) -> None:
        self.is_plugged = False
        self.charger_w = self.grid_power_w = self.battery_current_a = 0.0

    def set_resting(self, volts: float) -> None:
        """The 12 V battery has this voltage while nothing feeds it; raises `CarRefusesError`."""
        if not 0.0 <= volts <= SUPPLY_V_MAX:
            raise CarRefusesError(f"a 12 V battery has 0 to {SUPPLY_V_MAX:g} V")
        self.resting_v = volts

    # --- what follows from it -----------------------------------------------------------------------------------

    @property
    def is_driving(self) -> bool:
        return self.destination_m is not None

    @property
    def is_full(self) -> bool:
        return self.energy_wh >= self.capacity_wh

    @property
    def is_charging(self) -> bool:
        return self.is_plugged and not self.is_full

    @property
    def speed_kmh(self) -> float:
        return self.speed_ms * 3.6

    @property
    def state_of_charge_percent(self) -> float:
        return 100 * self.energy_wh / self.capacity_wh

    @property
    def state_of_charge_shown_percent(self) -> float:
        """What the dashboard shows: 0 and 100 lie within the battery's own 0 and 100."""
        shown = (self.state_of_charge_percent - RESERVE_PERCENT) / (100 - 2 * RESERVE_PERCENT) * 100
        return min(100.0, max(0.0, shown))

    @property
    def range_km(self) -> float:
        usable_wh = self.capacity_wh * (1 - 2 * RESERVE_PERCENT / 100)
        return self.state_of_charge_shown_percent / 100 * usable_wh / CONSUMPTION_WH_PER_KM

    @property
    def pack_voltage_v(self) -> float:
        return 322.0 + 0.7 * self.state_of_charge_percent + CELL_OHM * self.battery_current_a

    @property
    def charging_left_s(self) -> float:
        """Until it is full; 0 if it does not charge."""
        if not self.is_charging:
            return 0.0
        return (self.capacity_wh - self.energy_wh) / (self.charger_w * CHARGE_EFFICIENCY) * 3600

    @property
    def low_voltage_v(self) -> float:
        """The 12 V battery at rest, or fed by the converter."""
        return 14.2 if self.ignition is Ignition.ON or self.is_charging else self.resting_v

    def advance(self, elapsed_s: float) -> None:
        """Let physical time pass, in whole ticks; the rest is kept, in whole microseconds, for the next call."""
        self._untaken_us += round(elapsed_s * 1e6)
        while self._untaken_us >= _TICK_US:
            self._untaken_us -= _TICK_US
            if self.is_driving:
                self._drive_tick()
            elif self.is_charging:
                self._charge_tick()
            else:
                self.battery_current_a = self.grid_power_w = 0.0

    def _drive_tick(self) -> None:
        assert self.destination_m is not None  # noqa: S101  # `is_driving`, asked by the only caller
        left_m = self.destination_m - self.odometer_m
        # As fast as the cruise, the acceleration and the way left to brake in allow.
        braking_ms = (2 * ACCELERATION_MS2 * left_m) ** 0.5
        before_ms = self.speed_ms
        self.speed_ms = min(self.cruise_ms, before_ms + ACCELERATION_MS2 * TICK_S, braking_ms)
        step_m = max(self.speed_ms * TICK_S, 0.001)  # braking by the root above would never quite arrive
        if step_m >= left_m:
            self._arrive()
            return
        self.odometer_m += step_m
        force_n = ROLLING_N + DRAG_N_PER_M2_S2 * self.speed_ms**2 + MASS_KG * (self.speed_ms - before_ms) / TICK_S
        power_w = force_n * self.speed_ms
        power_w = power_w / DRIVE_EFFICIENCY if power_w > 0 else power_w * RECUPERATION_EFFICIENCY
        self._draw(power_w + AUXILIARY_W)
        if self.energy_wh <= 0:
            self._arrive()

    def _arrive(self) -> None:
        """Stand, parked and switched off: at the destination, or where the battery ran out."""
        if self.energy_wh > 0 and self.destination_m is not None:
            self.odometer_m = self.destination_m
        self.destination_m = None
        self.speed_ms = self.battery_current_a = 0.0
        self.ignition, self.gear, self.is_parking_brake_set = Ignition.OFF, Gear.PARK, True

    def _charge_tick(self) -> None:
        self.grid_power_w = self.charger_w
        self._draw(-self.charger_w * CHARGE_EFFICIENCY)
        if self.is_full:
            self.grid_power_w = self.battery_current_a = 0.0

    def _draw(self, power_w: float) -> None:
        self.energy_wh = min(self.capacity_wh, max(0.0, self.energy_wh - power_w * TICK_S / 3600))
        self.battery_current_a = -power_w / self.pack_voltage_v
