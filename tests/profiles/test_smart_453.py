"""The recipes that `dbc/smart_453/README.md` prints and the profile does not have are what it says of them."""

from __future__ import annotations

import re

from agent.model.command import Action
from agent.profiles.parse import parse_profile
from agent.profiles.schema import Profile
from tests.profiles.shipped import files, folder, profile, profile_text


def test_shipped_profile_may_send_nothing_at_all_sr_01() -> None:
    shipped = profile("smart_453")
    assert (shipped.send_list, shipped.pulse_list, dict(shipped.recipes)) == ((), (), {})


def test_recipes_of_the_readme_are_sound_once_the_bus_may_be_spoken_on() -> None:
    (printed,) = re.findall(r"```toml\n(.*?)```", (folder("smart_453") / "README.md").read_text(), re.DOTALL)
    text = re.sub(r"^((un)?lock|locate) = .*\n", "", profile_text("smart_453"), flags=re.MULTILINE)
    assert text.count("listen_only = true") == 1
    told = parse_profile(text + printed, files("smart_453"), source="profile.toml")
    assert not isinstance(told, Profile), "a bus that is listened to only is spoken on"
    changed = parse_profile(
        text.replace("listen_only = true", "listen_only = false") + printed, files("smart_453"), source="profile.toml"
    )
    assert isinstance(changed, Profile), changed
    sent = {action: [each.frame for each in recipe.requests] for action, recipe in changed.recipes.items()}
    assert {frame.arbitration_id for frames in sent.values() for frame in frames} == {0x745}
    assert [frame.data.hex() for frame in sent[Action.LOCK]] == ["0210c00000000000", *5 * ["0430010000000000"]]
    assert [frame.data.hex() for frame in sent[Action.UNLOCK]] == ["0210c00000000000", *5 * ["0430010001000000"]]
    assert [frame.data.hex() for frame in sent[Action.LOCATE]] == ["0210c00000000000", "0430082002000000"]
    assert all(recipe.wake is None for recipe in changed.recipes.values())
    assert [action for action, recipe in changed.recipes.items() if not recipe.feedback] == [Action.LOCATE]
