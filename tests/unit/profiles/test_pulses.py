"""Actions by relays: what a profile may say of pulses, and the list of all that may be pulsed (SR-01)."""

from __future__ import annotations

import pytest

from agent.model.command import Action
from agent.model.pulse import Pulse
from agent.policy.sending import may_be_asked
from tests.support.small_car import HEAD, faults, parsed, signal_table

LOCKED = "Vehicle.Carshare.CentralLock.IsLocked"
SIGNALS = signal_table(LOCKED, "Lock", "IsLocked")
PULSES = '[ { line = "fob_unlock", pulse_s = 0.3, pause_s = 0.2, times = 2 } ]'


def action(pulses: str = PULSES, *, repeats_max: int = 2, interval_s: float = 2.0, further: str = "") -> str:
    return (
        f"{HEAD}{SIGNALS}\n[actions.unlock]\npulses = {pulses}\nrepeats_max = {repeats_max}\n"
        f'interval_s = {interval_s}\nfeedback = [ {{ path = "{LOCKED}", equals = false }} ]\n'
        f"feedback_window_s = 5.0\npreconditions = []\n{further}"
    )


def test_pulses_are_a_recipe_without_frames_and_without_a_bus() -> None:
    recipe = parsed(action()).recipes[Action.UNLOCK]
    pulse = Pulse("fob_unlock", 0.3, 0.2)
    assert (recipe.frames, recipe.pulses, recipe.round, recipe.bus) == ((), (pulse, pulse), (pulse, pulse), None)
    assert recipe.confirmed_s_min == pytest.approx(0.5)


def test_list_of_pulses_is_exactly_the_recipes_and_no_frame_comes_with_it_sr_01() -> None:
    profile = parsed(action())
    assert (profile.pulse_list, profile.send_list) == ((Pulse("fob_unlock", 0.3, 0.2),), ())
    for other in (
        Pulse("fob_lock", 0.3, 0.2),
        Pulse("fob_unlock", 0.31, 0.2),
        Pulse("fob_unlock", 0.29, 0.2),
        Pulse("fob_unlock", 0.3, 0.1),
    ):
        assert not may_be_asked(other, profile.send_list, profile.pulse_list)
    assert may_be_asked(Pulse("fob_unlock", 0.3, 0.2), profile.send_list, profile.pulse_list)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (action(PULSES.replace("0.3", "2.1")), "pulse_s"),
        (action(PULSES.replace("0.3", "0.01")), "pulse_s"),
        (action(PULSES.replace("0.2", "0.01")), "pause_s"),
        (action(PULSES.replace("0.2", "1.5")), "pause_s"),
        (action(PULSES.replace("times = 2", "times = 5")), "times"),
        (action(PULSES.replace("fob_unlock", "Fob Unlock")), "line"),
        (action(interval_s=0.9), "interval_s"),
        (action(repeats_max=11), "repeats_max"),
        (action("[]"), "actions.unlock"),
        (
            action(further='frames = [ { message = "Wide", values = { Cell = 0.5, Energy = 1.5 } } ]\n'),
            "actions.unlock",
        ),
    ],
)
def test_fault_of_a_pulse_is_told_with_its_place(text: str, key: str) -> None:
    (fault,) = faults(text)
    assert key in str(fault)
