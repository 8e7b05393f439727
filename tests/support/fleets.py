"""A fleet's folder made by the very command, and cars that ask to be enrolled."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent.backend.cli import main
from agent.backend.fleet import Fleet
from agent.provisioning import provision


@dataclass(frozen=True, slots=True)
class Said:
    """What a command line said, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


class FleetDesk:
    """Runs `carshare-backend` in this process on one fleet."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.fleet = Fleet(folder)
        self.scratch = folder.parent
        self._capsys = capsys

    def run(self, *words: str | Path) -> Said:
        """`carshare-backend --config FLEET/backend.toml WORDS…`."""
        self._capsys.readouterr()
        status = main(["--config", str(self.fleet.configuration), *map(str, words)])
        told = self._capsys.readouterr()
        return Said(status, told.out, told.err)

    def root(self, number: int) -> tuple[str, str]:
        """The option with which this root signs."""
        return "--root", str(self.fleet.root_file(number))

    def car_folder(self, name: str) -> Path:
        return self.scratch / name

    def provision(self, name: str) -> Path:
        """A car makes its keys; its request."""
        provision(self.car_folder(name))
        return self.car_folder(name) / "request.json"

    def enroll(self, name: str) -> Path:
        """A car is provisioned and enrolled; its answer."""
        answer = self.scratch / f"{name}.answer.json"
        said = self.run("enroll", self.provision(name), "--name", name, "--answer", answer)
        assert said.status == 0, said.err
        return answer


def fleet_desk(folder: Path, capsys: pytest.CaptureFixture[str], *options: str) -> FleetDesk:
    """A new fleet of operator 1 in `folder`/fleet."""
    desk = FleetDesk(folder / "fleet", capsys)
    assert main(["fleet", "init", str(desk.fleet.folder), "--operator", "1", *options]) == 0
    return desk
