"""The emulated machine on which the benchmarks count exactly boots, and counts; `./test --booted`."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.booted.emulated import CLOCKS

pytestmark = [pytest.mark.booted, pytest.mark.timeout(1500)]


@pytest.mark.parametrize("clock", CLOCKS)
def test_a_command_runs_on_a_kernel_that_has_can_and_counts_exactly(clock: str) -> None:
    say = "import os, sys; from tests.benchmarks import machine, processor;"
    say += " print(machine.has_can(), processor.is_exact(), processor.busy_s() > 0); sys.exit(7)"
    command = [sys.executable, "-m", "tests.booted.emulated", "--clock", clock, sys.executable, "-c", say]
    done = subprocess.run(command, capture_output=True, text=True)
    # What makes the images the first time has something to say before it.
    assert (done.stdout.splitlines()[-1:], done.returncode) == (["True True True"], 7), done.stdout + done.stderr


def test_a_quiet_car_costs_the_agent_less_than_its_frames_cost_a_reader() -> None:
    ways = [word for name in ("c_reader", "agent_half") for word in ("--way", name)]
    command = [sys.executable, "-m", "tests.benchmarks.full_bus", "--machine", "counted", *ways, "--json"]
    done = subprocess.run([*command, "--seconds", "10", "--rounds", "1"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout.splitlines()[-1])["ways"]
    assert rows["c_reader"]["wakes_a_second"] > 3900, "it was woken by every frame"
    assert rows["agent_half"]["wakes_a_second"] < 50
    assert rows["agent_half"]["ns_a_frame"]["median"] < rows["c_reader"]["ns_a_frame"]["median"] / 4
