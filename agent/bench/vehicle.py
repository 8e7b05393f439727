"""The profile folder the bench's car is built from."""

from __future__ import annotations

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


def load_vehicle(folder: Path) -> tuple[Profile, MessageDatabase]:
    """The profile in `folder` and the DBC of its first bus; `ConfigurationError` with every fault."""
    try:
        text = (folder / "profile.toml").read_text()
        files = {name: (folder / name).read_bytes() for name in named_files(text) if (folder / name).is_file()}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read the profile in {folder}: {error}") from error
    profile = parse_profile(text, files, source=str(folder / "profile.toml"))
    if isinstance(profile, list):
        raise ConfigurationError("\n".join(map(str, profile)))
    database = MessageDatabase.load(files)
    if isinstance(database, list):
        raise ConfigurationError("\n".join(map(str, database)))
    return profile, database
