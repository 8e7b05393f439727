"""Words for what happened: doors, locks with who, ignition, charging."""

from __future__ import annotations

import pytest

from agent.model.reading import Value
from agent.policy.happenings import (
    COMMAND_ECHO_S,
    RELOCK_WATCH_S,
    Asked,
    LockWatch,
    happening,
)
from agent.profiles.vss import PATHS

IGNITION = "Vehicle.LowVoltageSystemState"
CHARGING = "Vehicle.Powertrain.TractionBattery.Charging"
UNLOCK = Asked(operator=1, cid=b"unlock--", is_locked=False)
LOCK = Asked(operator=1, cid=b"lock----", is_locked=True)


@pytest.mark.parametrize(
    ("path", "before", "after", "word"),
    [
        ("Vehicle.Carshare.CentralLock.IsLocked", True, False, "unlocked"),
        ("Vehicle.Carshare.CentralLock.IsLocked", False, True, "locked"),
        ("Vehicle.Carshare.CentralLock.IsLockedBesideDriver", False, True, "locked_beside_driver"),
        ("Vehicle.Cabin.Door.Row1.DriverSide.IsLocked", False, True, "door_locked"),
        ("Vehicle.Cabin.Door.Row1.DriverSide.IsOpen", False, True, "door_opened"),
        ("Vehicle.Body.Trunk.Rear.IsOpen", True, False, "door_closed"),
        (f"{CHARGING}.IsCharging", False, True, "charging_started"),
        (f"{CHARGING}.IsCharging", True, False, "charging_stopped"),
        (f"{CHARGING}.ChargingPort.AnyPosition.IsChargingCableConnected", False, True, "plugged"),
        (f"{CHARGING}.ChargingPort.AnyPosition.IsChargingCableConnected", True, False, "unplugged"),
        (f"{CHARGING}.ChargingPort.AnyPosition.IsChargingCableLocked", True, False, "cable_unlocked"),
        (f"{CHARGING}.ChargingPort.AnyPosition.IsFlapOpen", False, True, "flap_opened"),
        ("Vehicle.Carshare.IsReadyToDrive", False, True, "ready"),
        ("Vehicle.Carshare.IsKeyInIgnitionLock", False, True, "key_inserted"),
        ("Vehicle.Carshare.IsKeyInIgnitionLock", True, False, "key_removed"),
        (IGNITION, "OFF", "ON", "ignition_on"),
        (IGNITION, "ACC", "START", "ignition_on"),
        (IGNITION, "ON", "OFF", "ignition_off"),
        (IGNITION, "START", "ON", "changed"),
        (IGNITION, "OFF", "ACC", "changed"),
        ("Vehicle.Powertrain.Transmission.SelectedGear", 126, 127, "changed"),
    ],
)
def test_change_has_its_word(path: str, before: Value, after: Value, word: str) -> None:
    assert path in PATHS
    assert happening(path, before, after) == word


def test_every_yes_or_no_of_the_table_of_paths_has_two_words() -> None:
    for path, entry in PATHS.items():
        if entry.datatype == "boolean":
            words = {happening(path, before=not after, after=after) for after in (True, False)}
            assert len(words) == 2 and "changed" not in words, path


# --- who locked ---------------------------------------------------------------------------------------------------


def test_lock_that_moves_during_a_command_of_ours_was_moved_by_it() -> None:
    watch = LockWatch()
    watch.command_begun(UNLOCK)
    assert watch.note("unlocked", 10.0) == {"by": "command", "operator": 1, "cid": UNLOCK.cid.hex()}


def test_lock_may_be_told_shortly_after_the_result() -> None:
    watch = LockWatch()
    watch.command_begun(LOCK)
    watch.command_ended(10.0)
    assert watch.note("locked", 10.0 + COMMAND_ECHO_S)["by"] == "command"
    assert watch.note("locked", 10.1 + COMMAND_ECHO_S)["by"] == "key"


def test_lock_that_moves_the_other_way_is_not_by_the_command() -> None:
    watch = LockWatch()
    watch.command_begun(LOCK)
    assert watch.note("unlocked", 10.0) == {"by": "key"}


def test_car_that_locks_itself_soon_after_an_unlock_is_told_as_relock() -> None:
    """R22: the renter who does not come finds a locked car."""
    watch = LockWatch()
    watch.command_begun(UNLOCK)
    watch.note("unlocked", 10.0)
    watch.command_ended(10.0)
    assert watch.note("locked", 10.0 + RELOCK_WATCH_S) == {"by": "relock"}


@pytest.mark.parametrize(
    ("unlocked", "locked"),
    [("unlocked", "locked"), ("door_unlocked", "door_locked"), ("unlocked_beside_driver", "locked_beside_driver")],
)
def test_relock_is_noticed_however_the_car_tells_its_locks(unlocked: str, locked: str) -> None:
    watch = LockWatch()
    watch.command_begun(UNLOCK)
    assert watch.note(unlocked, 9.0)["by"] == "command"
    watch.command_ended(10.0)
    assert watch.note(locked, 20.0) == {"by": "relock"}
    # A second door that locks in the same moment.
    assert watch.note(locked, 20.0) == {"by": "relock"}
    watch.note("door_opened", 21.0)
    assert watch.note(locked, 22.0) == {"by": "key"}


def test_relock_is_noticed_after_an_unlock_of_which_no_change_was_seen() -> None:
    watch = LockWatch()
    watch.command_begun(UNLOCK)
    watch.command_ended(10.0, is_unlocked=True)
    assert watch.note("locked", 20.0) == {"by": "relock"}
    watch = LockWatch()
    watch.command_begun(UNLOCK)
    watch.note("door_opened", 9.0)
    watch.command_ended(10.0, is_unlocked=True)
    assert watch.note("locked", 20.0) == {"by": "key"}
    watch = LockWatch()
    watch.command_begun(UNLOCK)
    watch.command_ended(10.0)
    assert watch.note("locked", 20.0) == {"by": "key"}


def test_lock_long_after_an_unlock_or_after_a_door_was_somebodys() -> None:
    watch = LockWatch()
    watch.note("unlocked", 10.0)
    assert watch.note("locked", 10.1 + RELOCK_WATCH_S) == {"by": "key"}
    watch.note("unlocked", 100.0)
    watch.note("door_opened", 101.0)
    assert watch.note("locked", 110.0) == {"by": "key"}


def test_other_events_have_nobody() -> None:
    assert LockWatch().note("door_closed", 1.0) == {}
