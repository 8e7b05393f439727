"""The numbered suite of `hw-tests/` on vcan: what changes on a bench is its file, so that the rest is proven here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.vcan, pytest.mark.broker, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]

ELSEWHERE = "not not_called_verified and not ignition and not test_5"
"""Of the virtual car on vcan test_unlock.py and the simulation show these already, and each takes an agent's start."""


def test_numbered_tests_pass_on_vcan_and_report(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "hw-tests", "-k", ELSEWHERE),
            *("--bench", "hw-tests/bench.vcan.toml", "--reports", str(tmp_path)),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    report = json.loads((tmp_path / "vcan.json").read_text())
    outcomes = {(each["number"], each["outcome"]) for each in report["results"]}
    assert {(number, "passed") for number in (1, 2, 3, 6)} <= outcomes
    no_relays = "bench 'vcan' has no relay_watcher: [ports] relay_watcher"
    assert {each["name"]: each["reason"] for each in report["results"] if each["outcome"] == "skipped"} == {
        "test_frames_arrive_both_ways_at_each_bit_rate": "bench 'vcan' has no bit rates to be set: bitrates_bps",
        "test_what_was_told_before_a_power_cut_holds_after_it": "bench 'vcan' has no power: [ports] power",
        "test_nothing_grows_over_hours_of_commands": "bench 'vcan' is not to be run for hours: soak_hours",
        "test_each_relay_closes_for_its_pulse_alone": no_relays,
        "test_lines_are_held_under_the_agents_name_and_had_by_nobody_else": no_relays,
        "test_relay_that_is_closed_is_opened_before_another_closes_and_by_giving_the_lines_back": no_relays,
        "test_relay_opens_when_the_process_is_killed_within_a_pulse": no_relays,
    }
    assert report["board"] and report["kernel"] and report["date"]
    assert report["channels"]["agent"]["driver"] == "vcan"
    rows = [line for line in (tmp_path / "vcan.md").read_text().splitlines() if line.startswith("| ")]
    assert len(rows) > len(report["results"])
