"""What a profile says about acting on its car, and the list of all that may be sent (SR-01)."""

from __future__ import annotations

import pytest

from agent.model.command import Action, Condition, Reason
from agent.model.frame import BitField, SendRule
from agent.model.recipe import Feedback, Precondition, Recipe
from tests.support.small_car import HEAD, faults, parsed, signal_table

LOCKED = "Vehicle.Carshare.CentralLock.IsLocked"

SIGNALS = (
    signal_table("Vehicle.Speed", "Motion", "Speed")
    + signal_table("Vehicle.Powertrain.Transmission.SelectedGear", "Motion", "Gear", "choices = { Park = 126 }")
    + signal_table(LOCKED, "Lock", "IsLocked")
)

RULES = """
[[messages]]
message = "Lock"
checksum = { algorithm = "crc8_sae_j1850", signal = "LockCrc" }
counter = { signal = "LockCounter", step_max = 1 }
"""

WAKE = """
[wake.body]
frames = [ { message = "Wide", values = { Cell = 0.5, Energy = 1.5 } } ]
tries_max = 10
interval_s = 0.1
settle_s = 2.0
"""

UNLOCK = f"""
[actions.unlock]
frames = [ {{ bus = "body", message = "Lock", values = {{ Request = "Unlock", IsLocked = 0, Miles = 0 }} }} ]
repeats_max = 10
interval_s = 0.1
wake = "body"
feedback = [ {{ path = "{LOCKED}", equals = false, confirmations = 2 }} ]
feedback_window_s = 3.0
preconditions = [
  {{ path = "Vehicle.Speed", max = 0.0, reason = "moving", unknown = "speed_unknown", stale = "precondition_stale" }},
  {{ path = "Vehicle.Powertrain.Transmission.SelectedGear", equals = 126, reason = "moving" }},
]
"""

SOUND = HEAD + SIGNALS + RULES + WAKE + UNLOCK


def unlock(text: str = SOUND) -> Recipe:
    return parsed(text).recipes[Action.UNLOCK]


def test_a_recipe_is_compiled_with_its_frames_encoded() -> None:
    recipe = unlock()
    (frame,) = recipe.frames
    assert (frame.bus, frame.arbitration_id, frame.is_extended_id, frame.is_fd) == ("body", 768, False, False)
    assert frame.data == bytes.fromhex("00100000")
    assert frame.counter == BitField(8, 4, True, 4)
    assert frame.checksum is not None
    assert (frame.checksum.algorithm, frame.checksum.field) == ("crc8_sae_j1850", BitField(0, 8, True, 4))
    assert (recipe.bus, recipe.repeats_max, recipe.interval_s, recipe.feedback_window_s) == ("body", 10, 0.1, 3.0)
    assert recipe.feedback == (Feedback(LOCKED, equals=False, confirmations=2),)
    assert recipe.preconditions == (
        Precondition(
            "Vehicle.Speed", Reason.MOVING, maximum=0.0,
            when_unknown=Reason.SPEED_UNKNOWN, when_stale=Reason.PRECONDITION_STALE,
        ),
        Precondition("Vehicle.Powertrain.Transmission.SelectedGear", Reason.MOVING, equals=126),
    )  # fmt: skip


def test_a_value_that_must_be_known_must_not_have_grown_old_either() -> None:
    """SR-06: leaving out `stale` does not let pass what `unknown` refuses."""
    precondition, _ = unlock(SOUND.replace(', stale = "precondition_stale"', "")).preconditions
    assert (precondition.when_unknown, precondition.when_stale) == (Reason.SPEED_UNKNOWN, Reason.SPEED_UNKNOWN)


def test_a_wake_up_is_compiled_with_its_frames() -> None:
    wake = unlock().wake
    assert wake is not None
    assert (wake.bus, wake.tries_max, wake.interval_s, wake.settle_s) == ("body", 10, 0.1, 2.0)
    assert [(frame.arbitration_id, frame.is_fd, len(frame.data)) for frame in wake.frames] == [(512, True, 16)]


def test_the_send_list_is_every_frame_but_for_the_bits_computed_when_it_is_sent() -> None:
    """SR-01: nothing else may ever be sent."""
    wide = SendRule("body", 512, False, True, parsed(SOUND).send_list[0].value, b"\xff" * 16)
    lock = SendRule("body", 768, False, False, bytes.fromhex("00100000"), bytes.fromhex("00F0FFFF"))
    assert parsed(SOUND).send_list == (wide, lock)


def test_a_frame_of_two_recipes_stands_on_the_send_list_once() -> None:
    text = SOUND + UNLOCK.replace("actions.unlock", "actions.lock").replace('"Unlock"', '"Lock"')
    twice = SOUND + UNLOCK.replace("actions.unlock", "actions.lock")
    assert (len(parsed(text).send_list), len(parsed(twice).send_list)) == (3, 2)


def test_a_profile_without_actions_may_send_nothing() -> None:
    """SR-01"""
    profile = parsed(HEAD + SIGNALS + '\n[unsupported]\nunlock = "no unlock is known"\n')
    assert (profile.send_list, profile.recipes) == ((), {})
    assert profile.unsupported == {Action.UNLOCK: "no unlock is known"}


def test_a_wake_frame_of_no_action_may_be_sent_too() -> None:
    assert len(parsed(HEAD + SIGNALS + WAKE).send_list) == 1


@pytest.mark.parametrize(
    ("old", "new", "key", "problem"),
    [
        ('Request = "Unlock"', 'Request = "Unlok"', "unlock.frames[0].values.Request", "no value is called 'Unlok'"),
        ('Request = "Unlock"', 'Reqest = "Unlock"', "unlock.frames[0].values.Reqest", "Lock has no such signal"),
        ('Request = "Unlock", ', "", "unlock.frames[0].values.Request", "Request: missing"),
        ('Request = "Unlock"', "Request = 3", "unlock.frames[0].values.Request", "beyond the DBC's limits"),
        ('Request = "Unlock"', "Request = 4", "unlock.frames[0].values.Request", "does not fit"),
        ('Request = "Unlock"', 'Request = "Unlock", LockCrc = 0', "values.LockCrc", "is computed when"),
        ('message = "Lock", values', 'message = "Lokc", values', "frames[0].message", "unknown message 'Lokc'"),
        ('bus = "body", message', 'bus = "bdoy", message', "frames[0].bus", "unknown bus 'bdoy'"),
        ("[actions.unlock]", "[actions.unlok]", "actions.unlok", "unknown action 'unlok'"),
        ("[actions.unlock]", "[actions.report]", "actions.report", "unknown action 'report'"),
        ('wake = "body"', 'wake = "boddy"', "actions.unlock.wake", "unknown wake-up 'boddy'"),
        ("feedback_window_s = 3.0\n", "", "feedback_window_s", "missing"),
        (f'feedback = [ {{ path = "{LOCKED}"', 'feedback = [ { path = "Vehicle.IsLocked"', "feedback[0].path", "no"),
        ("equals = false", 'equals = "no"', "feedback[0].equals", "'no' is not of the type"),
        ("equals = 126", "equals = 127", "preconditions[1].equals", "is never 127"),
        ("max = 0.0, ", "", "preconditions[0]", "says nothing, or two things"),
        ("max = 0.0, ", "max = 0.0, equals = 0.0, ", "preconditions[0]", "says nothing, or two things"),
        ("max = 0.0, ", "max = 0.0, min = 1.0, ", "preconditions[0].min", "min 1.0 is above max 0.0"),
        ("equals = 126", "max = 0.0", None, ""),
        ('reason = "moving", unknown', 'reason = "mov", unknown', "preconditions[0].reason", "unknown reason 'mov'"),
        ('reason = "moving", unknown', 'reason = "busy", unknown', "preconditions[0].reason", "unknown reason 'busy'"),
        ('unknown = "speed_unknown"', 'unknown = "yes"', "preconditions[0].unknown", "unknown reason 'yes'"),
        ('stale = "precondition_stale"', 'stale = "yes"', "preconditions[0].stale", "unknown reason 'yes'"),
        ("interval_s = 0.1\nwake", "interval_s = 0.01\nwake", "actions.unlock.interval_s", "more than 50 a second"),
        ("interval_s = 0.1\nsettle", "interval_s = 0.015\nsettle", "wake.body.interval_s", "more than 50 a second"),
        ("silent_after_s", "listen_only = true\nsilent_after_s", "actions.unlock.frames[0]", "is listen_only"),
        ("silent_after_s", "listen_only = true\nsilent_after_s", "wake.body.frames[0]", "is listen_only"),
        ("[wake.body]", "[wake.car]", "wake.car.bus", "unknown bus 'car'"),
        ("{ Cell = 0.5,", "{ Cell = 5.0,", "wake.body.frames[0].values.Cell", "does not fit"),
        ("feedback = [", "feedbak = [", "actions.unlock.feedbak", "unknown key"),
    ],
)  # fmt: skip
def test_an_action_that_cannot_be_carried_out_as_written_is_a_fault(
    old: str, new: str, key: str | None, problem: str
) -> None:
    assert old in SOUND
    text = SOUND.replace(old, new)
    if key is None:
        parsed(text)
        return
    found = faults(text)
    assert any(fault.key.endswith(key) and problem in fault.problem for fault in found), found
    assert all(fault.line for fault in found)


def test_limits_need_a_number() -> None:
    found = faults(
        SOUND.replace("preconditions = [", f'preconditions = [ {{ path = "{LOCKED}", max = 1, reason = "moving" }},')
    )
    assert [(fault.key, fault.expected) for fault in found] == [("actions.unlock.preconditions[0]", "`equals`")]


def test_an_action_with_a_recipe_is_not_unsupported() -> None:
    (fault,) = faults(SOUND + '\n[unsupported]\nunlock = "no"\n')
    assert (fault.key, fault.problem) == ("unsupported.unlock", "unlock has a recipe too")
    (fault,) = faults(SOUND + '\n[unsupported]\nopen = "no"\n')
    assert (fault.key, fault.problem) == ("unsupported.open", "unknown action 'open'")


DISABLE = UNLOCK.replace("actions.unlock", "actions.disable_drive").replace("wake =", "# wake =")
OFF = (
    '  { path = "Vehicle.LowVoltageSystemState", equals = "OFF", reason = "ignition_on", unknown = "ignition_on",'
    ' stale = "precondition_stale" },\n'
)
RETURN = """
[[return_conditions]]
path = "Vehicle.Speed"
max = 0.0
reason = "moving"
unknown = "speed_unknown"

[[return_conditions]]
path = "Vehicle.Powertrain.Transmission.SelectedGear"
equals = 126
reason = "moving"
unknown = "precondition_stale"
"""


def test_return_conditions_are_compiled_in_their_order() -> None:
    assert parsed(SOUND).return_conditions == ()
    assert parsed(SOUND + RETURN).return_conditions == (
        Precondition(
            "Vehicle.Speed", Reason.MOVING, maximum=0.0,
            when_unknown=Reason.SPEED_UNKNOWN, when_stale=Reason.SPEED_UNKNOWN, condition=Condition.NOT_MOVING,
        ),
        Precondition(
            "Vehicle.Powertrain.Transmission.SelectedGear", Reason.MOVING, equals=126,
            when_unknown=Reason.PRECONDITION_STALE, when_stale=Reason.PRECONDITION_STALE,
            condition=Condition.NOT_MOVING,
        ),
    )  # fmt: skip


def test_all_faults_of_return_conditions_are_told_at_once() -> None:
    """SR-05: what must hold for a rental to end must be known, so `unknown` is no matter of choice."""
    broken = (
        RETURN.replace('unknown = "speed_unknown"\n', "")
        .replace("SelectedGear", "SelectedGears")
        .replace('"precondition_stale"', '"stale"')
    )
    found = {fault.key: fault.problem for fault in faults(SOUND + broken + "min = true\n")}
    assert found == {
        "return_conditions[0].unknown": "missing",
        "return_conditions[1].min": "True does not fit",
        "return_conditions[1].path": "the profile has no signal for 'Vehicle.Powertrain.Transmission.SelectedGears'",
        "return_conditions[1].unknown": "unknown reason 'stale'",
    }
    (fault,) = faults(SOUND + RETURN.replace("max = 0.0\n", ""))
    assert (fault.key, fault.problem) == ("return_conditions[0]", "says nothing, or two things")


def test_return_conditions_have_a_bound() -> None:
    """SR-09: 11 kinds of them, and five doors."""
    one = RETURN.split("\n\n")[0] + "\n"
    assert len(parsed(SOUND + one * 16).return_conditions) == 16
    (fault,) = faults(SOUND + one * 17)
    assert fault.key == "return_conditions"


def test_return_condition_says_what_it_is_about() -> None:
    one = RETURN.split("\n\n")[0].replace('"moving"', '"return_condition"')
    (fault,) = faults(SOUND + one)
    assert (fault.key, "reason does not say it" in str(fault)) == ("return_conditions[0].condition", True)
    (rule,) = parsed(SOUND + one + '\ncondition = "lights_off"\n').return_conditions
    assert (rule.reason, rule.condition) == (Reason.RETURN_CONDITION, Condition.LIGHTS_OFF)
    (fault,) = faults(SOUND + one + '\ncondition = "lights_of"\n')
    assert "unknown condition 'lights_of'" in str(fault) and "lights_off" in str(fault)


def test_question_about_the_return_is_answered_or_unsupported_and_never_both() -> None:
    why = '\n[unsupported]\ncheck_return = "nobody has said when a rental may end"\n'
    assert list(parsed(SOUND + why).unsupported) == [Action.CHECK_RETURN]
    (fault,) = faults(SOUND + RETURN + why)
    assert (fault.key, fault.problem) == ("unsupported.check_return", "check_return has its return_conditions too")


IGNITION = signal_table("Vehicle.LowVoltageSystemState", "Lock", "Request", 'choices = { None = "OFF", Lock = "ON" }')


def test_driving_is_disabled_only_with_fresh_speed_0_and_ignition_off() -> None:
    """SR-06: a profile cannot leave it out."""
    base = HEAD + SIGNALS + IGNITION + RULES
    sound = DISABLE.replace("preconditions = [\n", "preconditions = [\n" + OFF)
    assert Action.DISABLE_DRIVE in parsed(base + sound).recipes
    for weaker in (
        DISABLE,
        sound.replace("max = 0.0", "max = 5.0"),
        sound.replace("max = 0.0", "min = 0.0"),
        sound.replace(', unknown = "speed_unknown"', ""),
        sound.replace(', unknown = "ignition_on"', ""),
        sound.replace(', stale = "precondition_stale"', ""),
        sound.replace('equals = "OFF"', 'equals = "ON"'),
    ):
        assert any("disable_drive without" in fault.problem for fault in faults(base + weaker))


def test_a_faulty_rule_is_not_told_again_by_every_frame_that_needs_it() -> None:
    for broken in (
        RULES.replace('"LockCrc"', '"LockCRC"'),
        RULES.replace('"LockCrc"', "1"),
        RULES.replace('message = "Lock"', 'message = "Lokc"'),
        RULES.replace("crc8_sae_j1850", "crc8"),
    ):
        assert len(faults(SOUND.replace(RULES, broken))) == 1


def test_a_faulty_signal_is_not_told_again_by_every_condition_on_its_path() -> None:
    assert len(faults(SOUND.replace('signal = "IsLocked"', 'signal = "IsLokced"'))) == 1
    assert len(faults(SOUND.replace('signal = "IsLocked"', "signal = 1"))) == 1


def test_a_faulty_wake_up_is_not_told_again_by_the_action_that_names_it() -> None:
    assert len(faults(SOUND.replace("[wake.body]", "[wake.body]\ntries = 1"))) == 1
    assert len(faults(SOUND.replace("tries_max = 10", 'tries_max = "10"'))) == 1


def test_a_faulty_value_is_not_told_again_by_what_follows_from_it() -> None:
    for old, new in (
        ("fd = true", "fd = 7"),
        ('signal = "Gear"\n', 'signal = "Gear"\nunit = 1\n'),
        ("choices = { Park = 126 }", "choices = { Park = [] }"),
        ('message = "Motion"\nsignal = "Speed"\n', 'message = "Motion"\nsignal = "Odometer"\nunit = 1\n'),
        ("[buses.body]", "[buses.body]\nsilent = 1"),
    ):
        assert old in SOUND
        assert len(faults(SOUND.replace(old, new))) == 1


def test_a_wake_up_of_a_bus_the_action_does_not_use_is_a_fault() -> None:
    other = '\n[buses.drive]\ndbc = ["small.dbc"]\nbitrate_bps = 500_000\nfd = true\nsilent_after_s = 1.0\n'
    text = (HEAD + other + SIGNALS + RULES).replace("message = ", 'bus = "body"\nmessage = ')
    found = faults(text + WAKE.replace("wake.body", "wake.drive") + UNLOCK.replace('wake = "body"', 'wake = "drive"'))
    assert [(fault.key, "waits on body" in fault.problem) for fault in found] == [("actions.unlock.wake", True)]


def test_a_wake_up_of_another_bus_than_the_action_waits_on_is_a_fault() -> None:
    """The agent waits for the bus of the first frame: another that wakes up would never be noticed."""
    other = '\n[buses.drive]\ndbc = ["small.dbc"]\nbitrate_bps = 500_000\nfd = true\nsilent_after_s = 1.0\n'
    text = (HEAD + other + SIGNALS + RULES).replace("message = ", 'bus = "body"\nmessage = ')
    second = ', { bus = "drive", message = "Wide", values = { Cell = 0.5, Energy = 1.5 } } ]\nrepeats'
    unlock_both = UNLOCK.replace(" ]\nrepeats", second, 1)
    assert unlock_both != UNLOCK
    assert parsed(text + WAKE + unlock_both).recipes[Action.UNLOCK].bus == "body"
    (fault,) = faults(
        text + WAKE.replace("wake.body", "wake.drive") + unlock_both.replace('wake = "body"', 'wake = "drive"')
    )
    assert (fault.key, fault.problem) == ("actions.unlock.wake", "drive wakes drive, and this action waits on body")


def test_a_wake_frame_on_another_bus_is_a_fault() -> None:
    (fault,) = faults(SOUND.replace('frames = [ { message = "Wide"', 'frames = [ { bus = "drive", message = "Wide"'))
    assert "cannot wake body" in fault.problem
