"""What a change of an input means to an operator: a door was opened, the car was locked, and by whom.

Pure: changes and times in, words out.  Whatever a profile calls an event is told; what has no word here is `changed`.
"""

from __future__ import annotations

from agent.model.quick_dataclass import dataclass
from agent.model.reading import Value
from agent.policy.vehicle_use import IGNITION_ON, LOW_VOLTAGE_SYSTEM

# The lock reports a command's effect up to so long after its result: the feedback needs fewer frames than an event.
COMMAND_ECHO_S = 3.0

# Cars lock themselves again when nobody opened a door after an unlock (R22); after this it is somebody else.
RELOCK_WATCH_S = 45.0

LOW_VOLTAGE = "Vehicle.LowVoltageBattery.CurrentVoltage"
"""Of the 12 V battery; what is too low is a car's own to say, by the ladder in its `agent.toml` (R7)."""

_WORDS: tuple[tuple[str, str, str], ...] = (
    # Ending of the path → the word if it became true, and if it became false; the first that fits.
    ("ChargingPort.AnyPosition.IsChargingCableConnected", "plugged", "unplugged"),
    ("ChargingPort.AnyPosition.IsChargingCableLocked", "cable_locked", "cable_unlocked"),
    ("ChargingPort.AnyPosition.IsFlapOpen", "flap_opened", "flap_closed"),
    ("Charging.IsCharging", "charging_started", "charging_stopped"),
    ("Charging.IsAC", "ac_charging_started", "ac_charging_stopped"),
    ("Charging.IsDC", "dc_charging_started", "dc_charging_stopped"),
    ("Charging.IsDischarging", "discharging_started", "discharging_stopped"),
    ("CentralLock.IsLocked", "locked", "unlocked"),
    ("CentralLock.IsLockedBesideDriver", "locked_beside_driver", "unlocked_beside_driver"),
    ("IsLocked", "door_locked", "door_unlocked"),
    ("IsOpen", "door_opened", "door_closed"),
    ("Doors.IsAllClosed", "doors_closed", "doors_not_closed"),
    ("IsAcRelayClosed", "ac_relay_closed", "ac_relay_opened"),
    ("IsQuickChargeRelayClosed", "quick_charge_relay_closed", "quick_charge_relay_opened"),
    ("IsReadyToDrive", "ready", "not_ready"),
    ("IsReadyLampOn", "ready_lamp_on", "ready_lamp_off"),
    ("IsIgnitionOn", "ignition_on", "ignition_off"),
    ("IsDriveEnabled", "drive_enabled", "drive_disabled"),
    ("IsKeyInHolder", "key_in_holder", "key_taken"),
    ("IsKeyInIgnitionLock", "key_inserted", "key_removed"),
    ("IsMoving", "moving", "standing"),
    ("ParkingBrake.IsEngaged", "brake_set", "brake_released"),
    ("IsParkLockEngaged", "park_lock_set", "park_lock_released"),
    ("IsBeingCharged", "battery_charging", "battery_not_charging"),
    ("IsHighVoltageOn", "high_voltage_on", "high_voltage_off"),
    ("IsPowerConnected", "power_connected", "power_disconnected"),
    ("IsBrokenDown", "broken_down", "repaired"),
)


def happening(path: str, before: Value, after: Value) -> str:
    """The word for one change, `changed` if there is none."""
    if path == LOW_VOLTAGE_SYSTEM:
        was_on, is_on = before in IGNITION_ON, after in IGNITION_ON
        return "changed" if was_on == is_on else "ignition_on" if is_on else "ignition_off"
    if not isinstance(after, bool):
        return "changed"
    return next((yes if after else no for ending, yes, no in _WORDS if path.endswith("." + ending)), "changed")


@dataclass(frozen=True, slots=True)
class Asked:
    """A command of ours that locks or unlocks, under way or just ended."""

    operator: int
    cid: bytes
    is_locked: bool


_LOCKED = ("locked", "door_locked", "locked_beside_driver")
_UNLOCKED = ("unlocked", "door_unlocked", "unlocked_beside_driver")


class LockWatch:
    """Who locked and unlocked: a command of ours, the car itself soon after an unlock, or somebody with a key.

    Whether the car tells its lock as a whole or door by door: of several that move together each is told of.
    """

    def __init__(self) -> None:
        self._asked: Asked | None = None
        self._asked_until_s = float("inf")
        self._unlocked_at_s: float | None = None
        self._has_somebody_come = False

    def command_begun(self, asked: Asked) -> None:
        self._asked, self._asked_until_s = asked, float("inf")
        self._has_somebody_come = False

    def command_ended(self, now_s: float, *, is_unlocked: bool = False) -> None:
        """`is_unlocked`: it was an unlock, and done. A car that slept may show its lock too late to tell a change."""
        self._asked_until_s = min(self._asked_until_s, now_s + COMMAND_ECHO_S)
        if is_unlocked and not self._has_somebody_come:
            self._unlocked_at_s = now_s

    def note(self, word: str, now_s: float) -> dict[str, object]:
        """Further fields of an event with this word: `by`, and of a command its operator and id."""
        if word == "door_opened":
            self._has_somebody_come = True
            self._unlocked_at_s = None  # somebody came: a car that locks now was locked by them
        if word not in _LOCKED and word not in _UNLOCKED:
            return {}
        is_locked, unlocked_at_s = word in _LOCKED, self._unlocked_at_s
        if not is_locked:
            self._unlocked_at_s = now_s
        asked = self._asked
        if asked is not None and now_s <= self._asked_until_s and asked.is_locked is is_locked:
            return {"by": "command", "operator": asked.operator, "cid": asked.cid.hex()}
        if is_locked and unlocked_at_s is not None and now_s - unlocked_at_s <= RELOCK_WATCH_S:
            return {"by": "relock"}
        return {"by": "key"}
