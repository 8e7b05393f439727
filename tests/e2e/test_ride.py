"""The ride as a person starts it: one program with the agent, a broker, the virtual car and a backend in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = [sys.executable, "-m", "agent.bench.cli", "run"]
ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 90

STEPS = ["ready", "asleep", "unlock", "drive", "lock_with_door_open", "lock", "report", "end"]


def run_bench(*arguments: str, tmp: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*BENCH, *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=TIMEOUT_S,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp)},
    )


@pytest.mark.parametrize("broker", ["embedded", pytest.param("mosquitto", marks=pytest.mark.broker)])
def test_a_ride_comes_out_right_and_shows_it(broker: str, tmp_path: Path) -> None:
    """SR-04: each verified result carries the lock state read after the request. H102, H103."""
    done = run_bench("--script", "ride", "--broker", broker, tmp=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = {line["step"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert list(lines) == STEPS
    assert all(line["ok"] for line in lines.values())
    for step, is_locked in (("unlock", False), ("lock", True)):
        assert (lines[step]["outcome"], lines[step]["executed"]) == ("verified", "yes")
        locks = [piece for piece in lines[step]["evidence"] if piece["path"].endswith("CentralLock.IsLocked")]
        assert [piece["value"] for piece in locks] == [is_locked]
    refusal = lines["lock_with_door_open"]
    assert (refusal["outcome"], refusal["reason"], refusal["executed"]) == ("rejected", "door_open", "no")
    assert lines["drive"]["driven_m"] == pytest.approx(2000, abs=10)
    assert lines["report"]["battery"]["quality"] == lines["report"]["odometer"]["quality"] == "ok"
    assert 60 < lines["report"]["battery"]["value"] < 70
    assert lines["end"]["took_s"] < 60
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.vcan
def test_a_ride_on_a_real_kernels_can_comes_out_right_too(tmp_path: Path) -> None:
    done = run_bench("--script", "ride", "--broker", "embedded", tmp=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = {line["step"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert list(lines) == STEPS
    assert lines["ready"]["can"].startswith("vcan0")


@pytest.mark.hazard("H95")
def test_a_lock_unit_that_ignores_requests_ends_the_ride_without_a_verified_result(tmp_path: Path) -> None:
    """H95, SR-04."""
    done = run_bench("--script", "ride", "--fault", "lock_ignores", "--broker", "embedded", tmp=tmp_path)
    assert done.returncode == 1
    assert "verified" not in done.stdout + done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert (last["step"], last["ok"], last["outcome"]) == ("unlock", False, "failed")
    assert (last["reason"], last["executed"], last["lock_unit"]) == ("no_state_change", "no", "Locked")
    assert "unlock: expected the lock unit seen unlocked" in done.stderr


@pytest.mark.hazard("H94", "H103")
@pytest.mark.parametrize(
    ("fault", "outcome", "reason"),
    [
        ("lock_silent", "executed_unverified", None),
        ("wake_deaf", "rejected", "bus_asleep"),
        ("checksum_wrong", None, None),
    ],
)
def test_a_faulty_car_is_never_said_to_be_unlocked(
    fault: str, outcome: str | None, reason: str | None, tmp_path: Path
) -> None:
    """H94, H103."""
    done = run_bench("--script", "ride", "--fault", fault, "--broker", "embedded", tmp=tmp_path)
    assert done.returncode == 1
    last = json.loads(done.stdout.splitlines()[-1])
    assert (last["step"], last["ok"]) == ("unlock", False)
    assert last["outcome"] == outcome if outcome else last["outcome"] != "verified"
    assert reason is None or last["reason"] == reason


def test_without_a_terminal_the_bench_says_what_to_do_instead(tmp_path: Path) -> None:
    done = run_bench(tmp=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--script ride" in done.stderr


def test_a_folder_that_is_there_already_is_refused(tmp_path: Path) -> None:
    done = run_bench("--script", "ride", "--folder", str(tmp_path), tmp=tmp_path)
    assert done.returncode == 2
    assert "is there already" in done.stderr


def test_a_profile_that_is_not_there_is_refused_with_its_name(tmp_path: Path) -> None:
    done = run_bench("--script", "ride", "--profile", str(tmp_path / "nothing"), tmp=tmp_path)
    assert done.returncode == 2
    assert str(tmp_path / "nothing") in done.stderr


def test_a_profile_that_the_ride_cannot_be_ridden_with_is_refused_with_what_it_lacks(tmp_path: Path) -> None:
    done = run_bench("--script", "ride", "--profile", "dbc/nissan_leaf_ze1", tmp=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no Vehicle.Carshare.CentralLock.IsLocked" in done.stderr
    assert "carshare-bench car --profile" in done.stderr
