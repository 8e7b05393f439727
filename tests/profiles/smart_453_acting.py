"""The profile of smart 453 as its README has it for who takes the risk: a bus that is spoken on, and its recipes."""

from __future__ import annotations

import re

from tests.profiles.shipped import folder, profile_text


def printed_recipes() -> str:
    """What the README says is to be added."""
    (printed,) = re.findall(r"```toml\n(.*?)```", (folder("smart_453") / "README.md").read_text(), re.DOTALL)
    return str(printed)


def acting_text(*, is_listen_only: bool = False) -> str:
    """`profile.toml`, changed as the README says; with `is_listen_only` but for the bus."""
    text = re.sub(r"^((un)?lock|locate) = .*\n", "", profile_text("smart_453"), flags=re.MULTILINE)
    assert text.count("listen_only = true") == 1
    if not is_listen_only:
        text = text.replace("listen_only = true", "listen_only = false")
    return text + printed_recipes()
