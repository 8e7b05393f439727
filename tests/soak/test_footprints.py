"""Short days of a car and some seconds of a full bus; the long ones: `python -m tests.soak.week`, `….full_load`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.soak.footprint import Footprint, growth, is_flat

ROOT = Path(__file__).resolve().parents[2]


def run(*words: str) -> tuple[int, dict[str, object], str]:
    """Exit status, account and what else was said, of a soak in a process of its own."""
    command = [sys.executable, "-m", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.stdout, done.stderr
    account: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return done.returncode, account, done.stderr


@pytest.mark.timeout(300)  # five seconds of work in very many small steps: a busy machine takes minutes
@pytest.mark.broker
def test_two_short_days_leave_memory_and_open_files_as_they_were_sr_09() -> None:
    status, account, said = run("tests.soak.week", "--short", "--days", "2")
    assert status == 0 and account["is_right"], (account, said)
    assert account["hours"] == pytest.approx(0.26, abs=0.02)
    commands, lost = account["commands"], account["links lost"]
    assert isinstance(commands, int) and isinstance(lost, int)
    assert commands >= 10 and lost >= 4


@pytest.mark.vcan
def test_every_frame_of_a_full_bus_is_accounted_for() -> None:
    status, account, said = run("tests.soak.full_load", "--seconds", "15")
    assert status == 0 and account["is_right"], (account, said)
    everything = account["all"]
    assert isinstance(everything, dict)
    assert everything["lost"] > 0, "the bus did not wait for the slowest reader"
    assert everything["wanted"] == everything["read"] + everything["conflated"] + everything["lost"]


MB = 10**6


def test_growth_is_seen_in_either() -> None:
    flat = [Footprint(50 * MB, 20, 1000), Footprint(70 * MB, 25, 9000), Footprint(51 * MB, 20, 1010)]
    assert is_flat(flat, grown_bytes_max=MB, grown_blocks_max=10)
    assert not is_flat(flat, grown_bytes_max=MB, grown_blocks_max=9)
    assert not is_flat([*flat, Footprint(52 * MB, 20, 1000)], grown_bytes_max=MB)
    assert not is_flat([*flat, Footprint(50 * MB, 21, 1000)], grown_bytes_max=MB)
    assert growth(flat) == {
        "resident_mb": [50.0, 70.0, 51.0],
        "grown_mb": 1.0,
        "descriptors": [20, 25, 20],
        "blocks": [1000, 9000, 1010],
    }


def test_one_look_at_a_burst_is_no_growth_and_a_leak_is() -> None:
    looks = [Footprint(50 * MB, 20, 1000)] * 8
    assert is_flat([*looks, Footprint(60 * MB, 20, 9000)], grown_bytes_max=MB, grown_blocks_max=10)
    leaking = [Footprint(50 * MB + look * MB // 4, 20, 1000) for look in range(9)]
    assert not is_flat(leaking, grown_bytes_max=MB)
