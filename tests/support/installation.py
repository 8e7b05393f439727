"""A car and its operator as the bench sets them up, run as real processes with a broker between them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.bench.choices import CanChoice
from agent.bench.setup import CAR_NAME, OPERATOR, BenchFolder, make_folder
from agent.bench.vehicle import demo_folder
from agent.loading import load_profile
from tests.support.process import Process


@dataclass(frozen=True, slots=True)
class Installation:
    """The files of one car and one operator; they outlive the processes, as on a disk."""

    files: BenchFolder

    @property
    def store(self) -> Path:
        return self.files.agent_toml.parent / "store"

    @property
    def car(self) -> str:
        """The car's id in hex."""
        car: str = tomllib.loads(self.files.agent_toml.read_text())["car"]["id"]
        return car

    def topic(self, kind: str) -> str:
        return f"v1/{OPERATOR}/{self.car}/{kind}"

    def agent(self, environ: Mapping[str, str] | None = None) -> Process:
        return Process("agent", ["carshare-agent", "run", "--config", self.files.agent_toml], self.files.path, environ)

    def backend(self, verb: str, *options: str) -> Process:
        """`carshare-backend VERB CAR --json …`."""
        command = ["carshare-backend", "--config", str(self.files.backend_toml), "--json", verb, CAR_NAME]
        return Process("backend", [*command, *options], self.files.path)


def install(
    folder: Path,
    *,
    broker_port: int,
    interface: str = "socketcan",
    channel: str = "vcan0",
    profile: Path | None = None,
) -> Installation:
    """Make the keys and configurations of both sides in a new folder, for the demo car or that of a one-bus profile."""
    profile = profile or demo_folder()
    can = CanChoice(load_profile(profile).buses[0].name, interface, channel, "")
    return Installation(make_folder(folder, profile=profile, can=can, broker_host="127.0.0.1", broker_port=broker_port))
