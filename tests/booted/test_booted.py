"""The package as a technician installs it, on Debian systems that are really booted; `./test --booted` runs these.

Each scenario is one boot, of which `guest.py` has the steps; what a step finds is told here under its name.
"""

# ruff: noqa: T201 - times and the guest's own words, for the report
from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.booted.system import BUILD, HERE, ROOT, boot

pytestmark = [pytest.mark.booted, pytest.mark.timeout(1500)]

BOOT_TIMEOUT_S = 1300.0
"""Four minutes on a machine of its own; on one that ten others use at the same time it was twelve."""

IN_THE_GUEST = ("guest.py", "confinement.py", "confinement.json", "frozen.py", "fatal_frame.py", "asking.py")

Scenario = Callable[[str, str], None]


@pytest.fixture(scope="session")
def package() -> Path:
    """The Debian package of this tree."""
    built = subprocess.run([ROOT / "systemd/build-deb", "amd64", BUILD / "deb"], stdout=subprocess.PIPE, text=True)
    assert built.returncode == 0
    return Path(built.stdout.strip())


@pytest.fixture
def scenario(package: Path, tmp_path: Path) -> Scenario:
    def run(suite: str, name: str) -> None:
        for file in IN_THE_GUEST:
            shutil.copy(HERE / file, tmp_path)
        shutil.copy(package, tmp_path)
        (tmp_path / "scenario").write_text(name)
        done = boot(suite, tmp_path, timeout_s=BOOT_TIMEOUT_S)
        said = (tmp_path / "guest.txt").read_text()
        print(f"{suite}, {name}: {len(done.steps)} steps in {done.seconds:.0f} s from power-on to power-off\n{said}")
        wrong = {step: what for step, what in done.steps.items() if what != "ok"}
        assert not wrong, "\n".join(wrong.values())
        assert len(done.steps) > 3

    return run


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_installed_without_network_it_unlocks_and_is_confined(scenario: Scenario, suite: str) -> None:
    scenario(suite, "install")


@pytest.mark.hazard("H90", "H92", "H98")
def test_killed_frozen_cut_off_and_full_it_goes_on(scenario: Scenario) -> None:
    scenario("bookworm", "faults")


@pytest.mark.hazard("H90")
def test_each_part_that_stops_is_seen_by_the_watchdog(scenario: Scenario) -> None:
    scenario("bookworm", "parts")


@pytest.mark.hazard("H86", "H91", "H93")
def test_out_of_memory_on_a_dead_card_and_with_an_old_image_it_tells_the_truth(scenario: Scenario) -> None:
    scenario("bookworm", "limits")


@pytest.mark.hazard("H89", "H134", "H136")
def test_wrong_credentials_and_configurations_are_refused(scenario: Scenario) -> None:
    scenario("bookworm", "refusals")


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_an_upgrade_keeps_the_car_and_a_removal_leaves_nothing(scenario: Scenario, suite: str) -> None:
    scenario(suite, "packages")
