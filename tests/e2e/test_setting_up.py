"""A car and an operator are set up with the commands of the README, and what each prints fits into the other's file."""

from __future__ import annotations

import json
import subprocess
import tomllib
from pathlib import Path

from agent.bench.vehicle import demo_folder
from tests.support.process import path


def run(command: str, folder: Path) -> str:
    """Standard output of a command line that must succeed."""
    done = subprocess.run(
        command.split(),
        cwd=folder,
        env={"PATH": path(), "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_car_and_operator_come_to_know_each_other(tmp_path: Path) -> None:
    request = json.loads(run("carshare-agent provision --standalone car", tmp_path))
    tables = run("carshare-backend keys new operator --operator 1", tmp_path)
    run("carshare-backend --config operator/backend.toml keys add-car demo car/request.json", tmp_path)

    (tmp_path / "car" / "agent.toml").write_text(
        f'[car]\nid = "{request["car"]}"\nprofile = "{demo_folder()}"\nkey_file = "vehicle.key"\n'
        '[buses.body]\nchannel = "vcan0"\n[broker]\nhost = "127.0.0.1"\n' + tables
    )
    assert request["car"] in run("carshare-agent check --config car/agent.toml", tmp_path)

    known = tomllib.loads((tmp_path / "operator" / "backend.toml").read_text())["cars"]
    assert known == [{"name": "demo", "id": request["car"], "public_key": request["public_key"]}]


def test_secret_keys_are_their_owners_alone(tmp_path: Path) -> None:
    """H135, H139: neither is printed, neither can be read by others."""
    printed = run("carshare-agent provision --standalone car", tmp_path) + run(
        "carshare-backend keys new ops --operator 1", tmp_path
    )
    keys = [*(tmp_path / "car").glob("*.key"), *(tmp_path / "ops").glob("*.key")]
    assert {key.name for key in keys} == {"vehicle.key", "tls.key", "operator-1.key"}
    for key in keys:
        assert key.stat().st_mode & 0o077 == 0
        assert not any(line in printed for line in key.read_text().splitlines() if "-----" not in line)
