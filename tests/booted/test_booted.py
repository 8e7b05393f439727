"""The package as a technician installs it, on Debian systems that are really booted; `./test --booted` runs these.

Each scenario is one boot, of which `guest.py` has the steps; what a step finds is told here under its name.
"""

# ruff: noqa: T201 - times and the guest's own words, for the report
from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.booted.conftest import Package, write_newer
from tests.booted.system import HERE, Boot, boot

pytestmark = [pytest.mark.booted, pytest.mark.timeout(1500)]

BOOT_TIMEOUT_S = 1300.0
"""Four minutes on a machine of its own; on one that ten others use at the same time it was twelve."""

IN_THE_GUEST = ("guest.py", "confinement.py", "confinement.json", "frozen.py", "fatal_frame.py", "asking.py")


def scenario(suite: str, name: str) -> pytest.MarkDecorator:
    def plan(package: Package, folder: Path) -> Boot:
        for file in IN_THE_GUEST:
            shutil.copy(HERE / file, folder)
        shutil.copy(package(), folder)
        if name == "install":
            write_newer(package(), folder / "newer/carshare-agent.deb")
        (folder / "scenario").write_text(name)
        return boot(suite, folder, timeout_s=BOOT_TIMEOUT_S)

    return pytest.mark.boots(plan=plan)


def assert_all_went_well(booted: Boot) -> None:
    name, steps = (booted.folder / "scenario").read_text(), booted.steps()
    print(f"{name}: {len(steps)} steps in {booted.seconds:.0f} s from power-on to power-off\n{booted.said}")
    wrong = {step: what for step, what in steps.items() if what != "ok"}
    assert not wrong, "\n".join(wrong.values())
    assert len(steps) > 3


@pytest.mark.parametrize(
    "suite",
    [pytest.param(suite, marks=scenario(suite, "install")) for suite in ("bookworm", "trixie")],
)
def test_installed_without_network_it_unlocks_is_confined_upgraded_and_removed(suite: str, booted: Boot) -> None:
    """An upgrade keeps the car, and a removal leaves nothing."""
    assert_all_went_well(booted)


@pytest.mark.hazard("H90", "H92", "H98")
@scenario("bookworm", "faults")
def test_killed_frozen_cut_off_and_full_it_goes_on(booted: Boot) -> None:
    assert_all_went_well(booted)


@pytest.mark.hazard("H90")
@scenario("bookworm", "parts")
def test_each_of_the_parts_that_stops_is_seen_by_the_watchdog(booted: Boot) -> None:
    assert_all_went_well(booted)


@pytest.mark.hazard("H86", "H91", "H93")
@scenario("bookworm", "limits")
def test_at_its_limits_out_of_memory_on_a_dead_card_and_with_an_old_image_it_tells_the_truth(booted: Boot) -> None:
    assert_all_went_well(booted)


@pytest.mark.hazard("H89", "H134", "H136")
@scenario("bookworm", "refusals")
def test_refusals_of_wrong_credentials_and_configurations(booted: Boot) -> None:
    assert_all_went_well(booted)
