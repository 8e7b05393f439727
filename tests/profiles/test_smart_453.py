"""The recipes that `dbc/smart_453/README.md` prints and the profile does not have are what it says of them."""

from __future__ import annotations

from agent.model.command import Action
from agent.profiles.parse import parse_profile
from agent.profiles.schema import Profile
from tests.profiles.shipped import files, profile
from tests.profiles.smart_453_acting import acting_text


def test_shipped_profile_may_send_nothing_at_all_sr_01() -> None:
    shipped = profile("smart_453")
    assert (shipped.send_list, shipped.pulse_list, dict(shipped.recipes)) == ((), (), {})


def test_recipes_of_the_readme_are_sound_once_the_bus_may_be_spoken_on() -> None:
    told = parse_profile(acting_text(is_listen_only=True), files("smart_453"), source="profile.toml")
    assert not isinstance(told, Profile), "a bus that is listened to only is spoken on"
    changed = parse_profile(acting_text(), files("smart_453"), source="profile.toml")
    assert isinstance(changed, Profile), changed
    sent = {action: [each.frame for each in recipe.requests] for action, recipe in changed.recipes.items()}
    assert {frame.arbitration_id for frames in sent.values() for frame in frames} == {0x745}
    assert [frame.data.hex() for frame in sent[Action.LOCK]] == ["0210c00000000000", *5 * ["0430010000000000"]]
    assert [frame.data.hex() for frame in sent[Action.UNLOCK]] == ["0210c00000000000", *5 * ["0430010001000000"]]
    assert [frame.data.hex() for frame in sent[Action.LOCATE]] == ["0210c00000000000", "0430082002000000"]
    assert all(recipe.wake is None for recipe in changed.recipes.values())
    assert [action for action, recipe in changed.recipes.items() if not recipe.feedback] == [Action.LOCATE]
