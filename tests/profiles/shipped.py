"""The vehicles under `dbc/`, found by themselves: a new folder is tested without a line here."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from agent.profiles.database import MessageDatabase
from agent.profiles.parse import named_files, parse_profile
from agent.profiles.schema import Profile

ROOT = Path(__file__).parents[2]
VEHICLES = tuple(sorted(path.parent.name for path in (ROOT / "dbc").glob("*/profile.toml")))


def folder(vehicle: str) -> Path:
    """Where a vehicle's files are."""
    return ROOT / "dbc" / vehicle


@cache
def profile(vehicle: str) -> Profile:
    """The vehicle's profile; its faults if it has any fail the test that asks."""
    text = (folder(vehicle) / "profile.toml").read_text()
    files = {name: (folder(vehicle) / name).read_bytes() for name in named_files(text)}
    parsed = parse_profile(text, files, source=f"dbc/{vehicle}/profile.toml")
    assert isinstance(parsed, Profile), "\n".join(str(fault) for fault in parsed)
    return parsed


@cache
def database(vehicle: str, file: str) -> MessageDatabase:
    """One DBC of the vehicle."""
    loaded = MessageDatabase.load({file: (folder(vehicle) / file).read_bytes()})
    assert isinstance(loaded, MessageDatabase), loaded
    return loaded
