"""`[[derived]]` of a profile: compiled, or every fault of it told."""

from __future__ import annotations

import pytest

from agent.model.clause import Clause
from agent.profiles.schema import Derivation
from tests.support.small_car import HEAD, faults, parsed, signal_table

LOCKED = "Vehicle.Carshare.CentralLock.IsLocked"
GEAR = "Vehicle.Powertrain.Transmission.SelectedGear"

SIGNALS = (
    signal_table("Vehicle.Speed", "Motion", "Speed")
    + signal_table(GEAR, "Motion", "Gear", "choices = { Park = 126 }")
    + signal_table(LOCKED, "Lock", "IsLocked")
)


LOCK = """
[[messages]]
message = "Lock"
checksum = { algorithm = "crc8_sae_j1850", signal = "LockCrc" }
counter = { signal = "LockCounter", step_max = 1 }

[actions.lock]
frames = [ { bus = "body", message = "Lock", values = { Request = "Unlock", IsLocked = 0, Miles = 0 } } ]
repeats_max = 1
interval_s = 1.0
feedback = [ { path = "Vehicle.IsMoving", equals = false } ]
feedback_window_s = 1.0
preconditions = [ { path = "Vehicle.IsMoving", equals = false, reason = "moving" } ]
"""


def derived(*lines: str, path: str = "Vehicle.IsMoving") -> str:
    return HEAD + SIGNALS + "\n".join(("", "[[derived]]", f'path = "{path}"', *lines, ""))


def test_each_kind_is_compiled() -> None:
    (moving,) = parsed(
        derived(f'any = [ {{ path = "Vehicle.Speed", min = 1.0 }}, {{ path = "{GEAR}", equals = 126 }} ]')
    ).derived
    assert (moving.how, moving.datatype, moving.report.is_event) == (Derivation.ANY, "boolean", True)
    assert moving.clauses == (Clause("Vehicle.Speed", minimum=1.0), Clause(GEAR, equals=126))
    (rides,) = parsed(
        derived(f'rises = {{ path = "{LOCKED}", equals = true }}', path="Vehicle.Carshare.IgnitionCycles")
    ).derived
    assert (rides.how, rides.maximum, rides.digits) == (Derivation.RISES, 2**32 - 1, 0)
    (energy,) = parsed(
        derived('product = ["Vehicle.Speed"]', "factor = 0.5", path="Vehicle.Powertrain.TractionBattery.CurrentPower")
    ).derived
    assert (energy.how, energy.factor, energy.unit, energy.digits) == (Derivation.PRODUCT, 0.5, "W", 3)


def test_its_path_is_one_of_the_profile_and_decides_through_its_inputs() -> None:
    profile = parsed(derived('all = [ { path = "Vehicle.Speed", max = 0.0 } ]'))
    assert profile.paths[-1] == "Vehicle.IsMoving"
    assert profile.sources_of("Vehicle.IsMoving") == ("Vehicle.Speed",)
    assert profile.sources_of(LOCKED) == (LOCKED,)


@pytest.mark.parametrize(
    ("lines", "path", "words"),
    [
        ((), "Vehicle.IsMoving", "says nothing"),
        (
            ('all = [ { path = "Vehicle.Speed", max = 0 } ]', 'product = ["Vehicle.Speed"]'),
            "Vehicle.IsMoving",
            "exclude",
        ),
        (('all = [ { path = "Vehicle.Speed" } ]',), "Vehicle.IsMoving", "says nothing, or two things"),
        (
            ('all = [ { path = "Vehicle.Speed", min = 2.0, max = 1.0 } ]',),
            "Vehicle.IsMoving",
            "min 2.0 is above max 1.0",
        ),
        (('all = [ { path = "Vehicle.Speeed", max = 1.0 } ]',), "Vehicle.IsMoving", "no signal for 'Vehicle.Speeed'"),
        ((f'all = [ {{ path = "{LOCKED}", max = 1.0 }} ]',), "Vehicle.IsMoving", "is a boolean"),
        ((f'all = [ {{ path = "{GEAR}", equals = 5 }} ]',), "Vehicle.IsMoving", "is never 5"),
        ((f'all = [ {{ path = "{GEAR}", equals = "P" }} ]',), "Vehicle.IsMoving", "not of the type"),
        ((f'product = ["{LOCKED}"]',), "Vehicle.Powertrain.TractionBattery.CurrentPower", "is a boolean"),
        (('product = ["Vehicle.Speed"]',), "Vehicle.IsMoving", "Vehicle.IsMoving is a boolean"),
        ((f'rises = {{ path = "{LOCKED}", equals = true }}',), "Vehicle.IsMoving", "Vehicle.IsMoving is a boolean"),
        (
            ('all = [ { path = "Vehicle.Speed", max = 0.0 } ]',),
            "Vehicle.AverageSpeed",
            "Vehicle.AverageSpeed is a float",
        ),
        (('all = [ { path = "Vehicle.Speed", max = 0.0 } ]', "factor = 2.0"), "Vehicle.IsMoving", "for a product only"),
        (('all = [ { path = "Vehicle.Speed", max = 0.0 } ]',), "Vehicle.IsMovin", "unknown path"),
        (('all = [ { path = "Vehicle.Speed", max = 0.0 } ]',), LOCKED, "is given already"),
        (
            ('all = [ { path = "Vehicle.Speed", max = 0.0 } ]', "report = { deadband = 1.0 }"),
            "Vehicle.IsMoving",
            "yes or no",
        ),
    ],
)
def test_fault_is_told_at_its_place(lines: tuple[str, ...], path: str, words: str) -> None:
    told = faults(derived(*lines, path=path))
    assert [fault for fault in told if words in str(fault) and "derived" in str(fault)], told


def test_feedback_asks_for_a_signal_itself() -> None:
    """SR-04: of a derived state no frame is received."""
    text = derived('all = [ { path = "Vehicle.Speed", max = 0.0 } ]') + LOCK
    told = [str(fault) for fault in faults(text)]
    assert len(told) == 1, told
    assert "Vehicle.IsMoving is derived" in told[0]
