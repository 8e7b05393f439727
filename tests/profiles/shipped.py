"""The vehicles under `dbc/`, found by themselves: a new folder is tested without a line here."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from agent.profiles.parse import named_files, parse_profile
from agent.profiles.schema import Profile

ROOT = Path(__file__).parents[2]
VEHICLES = tuple(sorted(path.parent.name for path in (ROOT / "dbc").glob("*/profile.toml")))


def folder(vehicle: str) -> Path:
    """Where a vehicle's files are."""
    return ROOT / "dbc" / vehicle


@cache
def files(vehicle: str) -> dict[str, bytes]:
    """The DBC files the vehicle's profile names."""
    return {name: (folder(vehicle) / name).read_bytes() for name in named_files(profile_text(vehicle))}


def profile_text(vehicle: str) -> str:
    """The vehicle's `profile.toml`."""
    return (folder(vehicle) / "profile.toml").read_text()


@cache
def profile(vehicle: str) -> Profile:
    """The vehicle's profile; its faults if it has any fail the test that asks."""
    parsed = parse_profile(profile_text(vehicle), files(vehicle), source=f"dbc/{vehicle}/profile.toml")
    assert isinstance(parsed, Profile), "\n".join(str(fault) for fault in parsed)
    return parsed
