"""The profile folder the bench's car is built from."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

import agent
from agent.errors import ConfigurationError
from agent.profiles.database import MessageDatabase
from agent.profiles.parse import named_files, parse_profile
from agent.profiles.schema import Profile

DEMO = "demo_hatchback"
_FOLDERS = (Path(agent.__file__).parent.parent / "dbc", Path("/usr/share/carshare-agent/dbc"))


def demo_folder() -> Path:
    """Where the profile of the virtual car is: in the source tree, or where the package installs it."""
    for folder in _FOLDERS:
        if (folder / DEMO / "profile.toml").is_file():
            return folder / DEMO
    raise ConfigurationError(
        f"the profile {DEMO} is neither in {' nor in '.join(map(str, _FOLDERS))}; name its folder with --profile"
    )


def load_vehicle(folder: Path) -> tuple[Profile, Mapping[str, MessageDatabase]]:
    """The profile in `folder`, and what its DBC files say of each bus; `ConfigurationError` with every fault."""
    try:
        text = (folder / "profile.toml").read_text()
        files = {name: (folder / name).read_bytes() for name in named_files(text) if (folder / name).is_file()}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read the profile in {folder}: {error}") from error
    profile = parse_profile(text, files, source=str(folder / "profile.toml"))
    if isinstance(profile, list):
        raise ConfigurationError("\n".join(map(str, profile)))
    return profile, databases_of(profile, text, files)


def databases_of(profile: Profile, text: str, files: Mapping[str, bytes]) -> Mapping[str, MessageDatabase]:
    """The messages of each bus of a profile that was compiled from this text and these files."""
    buses = tomllib.loads(text)["buses"]
    databases: dict[str, MessageDatabase] = {}
    for bus in profile.buses:
        database = MessageDatabase.load({name: files[name] for name in buses[bus.name]["dbc"]})
        assert isinstance(database, MessageDatabase), database  # noqa: S101  # they were read for the profile
        databases[bus.name] = database
    return databases
