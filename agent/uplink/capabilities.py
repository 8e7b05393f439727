"""What this car can do, for whoever wants to ask it."""

from __future__ import annotations

from agent import __version__
from agent.model.command import Action
from agent.profiles.schema import Profile
from agent.uplink import wire


def capabilities_of(profile: Profile) -> bytes:
    """The `caps` document of a profile: an action without feedback can be executed and not verified."""
    actions = {
        action.name.lower(): "verified" if recipe.feedback else "executed_unverified"
        for action, recipe in profile.recipes.items()
    }
    if profile.return_conditions:
        actions[Action.CHECK_RETURN.name.lower()] = "executed_unverified"
    unsupported = {action.name.lower(): words for action, words in profile.unsupported.items()}
    return wire.capabilities_document(
        __version__, profile.name, profile.vss_release, actions, unsupported, profile.paths
    )
