"""Test 8 of `hw-tests/` on lines of the kernel's GPIO simulator, in an emulated PC; `./test --booted -k gpio`."""

# ruff: noqa: T201 - times and the guest's own words, for the report
from __future__ import annotations

import json
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from tests.booted import gpio_sim
from tests.booted.conftest import Package
from tests.booted.qemu import SUITE, boot, root_image
from tests.booted.system import ROOT, Boot

pytestmark = [pytest.mark.booted, pytest.mark.timeout(1500)]

BOOT_TIMEOUT_S = 1200.0

GUEST = """
. /host/mounts.sh
mount -t tmpfs tmp /tmp
{gpio}
cd {root} && PYTHONDONTWRITEBYTECODE=1 {python} -m pytest -p no:cacheprovider hw-tests \
    -k test_8 --bench hw-tests/bench.qemu.toml --reports /host --durations=5
echo $? >/host/status
"""

RELAY_TESTS = (
    "test_each_relay_closes_for_its_pulse_alone",
    "test_lines_are_held_under_the_agents_name_and_had_by_nobody_else",
    "test_relay_that_is_closed_is_opened_before_another_closes_and_by_giving_the_lines_back",
    "test_relay_opens_when_the_process_is_killed_within_a_pulse",
)


def relay_tests(_package: Package, folder: Path) -> Boot:
    shutil.copy(gpio_sim.module(root_image().with_suffix(".vmlinuz"), SUITE), folder / "gpio-sim.ko")
    root, python = shlex.quote(str(ROOT)), shlex.quote(sys.executable)
    (folder / "guest.sh").write_text(GUEST.format(root=root, python=python, gpio=gpio_sim.SET_UP))
    return boot(folder, timeout_s=BOOT_TIMEOUT_S)


@pytest.mark.boots(plan=relay_tests)
def test_gpio_lines_close_for_their_pulse_alone_and_fall_back_when_their_holder_is_killed(booted: Boot) -> None:
    """The adapter that the agent uses; how each line stands is read from beside the driver."""
    print(f"{booted.seconds:.0f} s from power-on to power-off\n{booted.said}")
    (report,) = (json.loads(path.read_text()) for path in booted.folder.glob("qemu*.json"))
    results = {each["name"]: each["outcome"] for each in report["results"]}
    assert results == dict.fromkeys(RELAY_TESTS, "passed"), booted.said
