"""What doctor is given of a configuration. By itself, because every start of the agent imports it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from agent.model.quick_dataclass import dataclass

if TYPE_CHECKING:
    from agent.config import Config
    from agent.profiles.schema import Profile


@dataclass(frozen=True, slots=True)
class Configured:
    """What the configuration came to: all of it that could be read, and everything that is wrong with it in words."""

    path: Path
    config: Config | None
    profile: Profile | None
    problems: tuple[str, ...]


Load = Callable[[Path, Callable[[Path], bool]], Configured]
"""Reads a configuration; keys for which the second says so are somebody else's to look at."""
