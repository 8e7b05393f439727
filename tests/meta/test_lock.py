"""`requirements.lock` pins one version of everything the project asks for, and each pin is one it allows."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK = (ROOT / "requirements.lock").read_text()
PINS = dict(re.findall(r"^([a-z0-9-]+)==(\S+)$", LOCK, re.MULTILINE))
OURS = PROJECT["project"]["name"]


def asked_for() -> list[Requirement]:
    """What `pyproject.toml` names, whether to run, to develop or to build."""
    project = PROJECT["project"]
    extras = [line for extra in project["optional-dependencies"].values() for line in extra]
    asked = map(Requirement, [*project["dependencies"], *extras, *PROJECT["build-system"]["requires"]])
    return [requirement for requirement in asked if requirement.name != OURS]


@pytest.mark.parametrize("requirement", asked_for(), ids=str)
def test_requirement_is_pinned_within_its_range(requirement: Requirement) -> None:
    assert PINS[canonicalize_name(requirement.name)] in requirement.specifier


def test_what_the_pinned_ask_for_is_pinned_too() -> None:
    """Without one of them pip would choose, and two machines would differ."""
    missing = {
        f"{pin} asks for {requirement.name}"
        for pin in PINS.keys() & installed()
        for requirement in map(Requirement, distribution(pin).requires or ())
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if canonicalize_name(requirement.name) not in PINS
    }
    assert missing == set()


def installed() -> set[str]:
    """The pinned distributions of this environment; the tools of the build alone need not be in it."""
    return {pin for pin in PINS if _is_installed(pin)}


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except ImportError:
        return False
    return True


def test_lock_names_no_index() -> None:
    """A person installs from the index that is theirs."""
    assert not re.search(r"^\s*--|https?:|file:", LOCK, re.MULTILINE)
