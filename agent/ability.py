"""What this installation can do of what its profile says: by its buses that only listen and the relays it has."""

from __future__ import annotations

from dataclasses import replace

from agent.config import Config
from agent.model.recipe import Recipe
from agent.profiles.schema import Profile


def as_allowed(profile: Profile, config: Config) -> Profile:
    """The profile without what cannot be done here: an action that sends on a bus that only listens, or pulses a line
    without a relay, is unsupported, with the reason in words, and nothing of it is on the lists of what may be sent."""
    silent = {name for name, table in config.buses.items() if table.listen_only}
    words = {
        action: why
        for action, recipe in profile.recipes.items()
        if (why := _why_not(recipe, silent, set(config.relays)))
    }
    recipes = {action: recipe for action, recipe in profile.recipes.items() if action not in words}
    kept = {pulse for recipe in recipes.values() for pulse in recipe.pulses}
    return replace(
        profile,
        recipes=recipes,
        unsupported={**profile.unsupported, **words},
        send_list=tuple(rule for rule in profile.send_list if rule.bus not in silent),
        pulse_list=tuple(pulse for pulse in profile.pulse_list if pulse in kept),
    )


def as_wired(profile: Profile, config: Config) -> Profile:
    """The profile with the buses there are here: one on which the car only answers may be left out."""
    return replace(profile, buses=tuple(bus for bus in profile.buses if bus.name in config.buses))


def sends_on(recipe: Recipe) -> set[str]:
    """Names of the buses that carrying out an action puts frames on: none, if pulses alone do it."""
    frames_on = recipe.bus if recipe.frames or recipe.requests else None
    woken = None if recipe.wake is None else recipe.wake.bus
    return {bus for bus in (frames_on, woken) if bus is not None}


def _why_not(recipe: Recipe, silent: set[str], relays: set[str]) -> str | None:
    if barred := sends_on(recipe) & silent:
        return (
            f"listen only: agent.toml has buses.{min(barred)}.listen_only = true; "
            "carshare-agent doctor says when sending may be allowed"
        )
    if missing := {pulse.line for pulse in recipe.pulses} - relays:
        return f"no relay: agent.toml has no table [relays.{min(missing)}]"
    return None
