"""`agent/backend/README.md` is walked through, every command as printed, in order.

Only places are exchanged: the broker's name for a port of this machine, folders of the system for folders of the test,
and the id of a key that stands on the page for the one that was drawn.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from agent.backend.settings import load_settings
from tests.meta.test_docs import BLOCK, ROOT
from tests.support.fleet_bench import FleetBench, FleetBroker
from tests.support.mosquitto import free_port
from tests.support.process import path

PAGE = ROOT / "agent/backend/README.md"
COMMAND_S = 60


class Walk:
    """A person at one keyboard: where the last block ended, the next begins."""

    def __init__(self, folder: Path, places: dict[str, str]) -> None:
        self.folder = folder
        self._places = places
        self._here = folder

    def take(self, commands: str) -> str:
        """Run one block; what it printed."""
        for printed, place in self._places.items():
            commands = commands.replace(printed, place)
        end = self.folder / "where"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"{commands}\npwd > {end}"],
            cwd=self._here,
            env=os.environ | {"PATH": path()},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        self._here = Path(end.read_text().strip())
        return done.stdout


@pytest.mark.broker
@pytest.mark.timeout(240)
def test_the_page_can_be_walked_through(tmp_path: Path) -> None:
    port, car, media = free_port(), tmp_path / "car", tmp_path / "media"
    for number in (1, 2, 3):
        (media / f"root-{number}").mkdir(parents=True)
    places = {
        "broker.example.org": f"127.0.0.1:{port}",
        "/etc/carshare-agent": str(car),
        "/usr/share/carshare-agent": str(ROOT),
        "/media": str(media),
    }
    walk, bench = Walk(tmp_path, places), FleetBench(tmp_path, port)
    broker = FleetBroker(bench)
    printed = ""
    blocks = [found["commands"] for found in BLOCK.finditer(PAGE.read_text()) if not found["reason"]]
    try:
        for number, commands in enumerate(blocks):
            printed += walk.take(commands)
            if number == 0:
                broker.start()
                places["c0de0001"] = load_settings(bench.backend_toml).operator.kid.hex()
            if (car / "request.json").exists():  # somebody carries it over
                shutil.copy(car / "request.json", bench.fleet)
    finally:
        broker.stop()

    settings = load_settings(bench.backend_toml)
    assert settings.operator.kid.hex() != places["c0de0001"]
    assert settings.cars == {}
    assert [car.name for car in settings.revoked] == ["demo", "demo"]
    assert sorted(path.name for path in car.iterdir()) == ["agent.toml", "ca.pem"]
    assert f"command key {places['c0de0001']} REVOKED" in printed
    bundle = json.loads(
        subprocess.run(
            ["carshare-backend", "--config", bench.backend_toml, "bundle", "show", "--json"],
            env=os.environ | {"PATH": path()},
            capture_output=True,
            timeout=COMMAND_S,
            check=True,
        ).stdout
    )
    assert bundle["version"] == 3
