"""A car and its operator as the bench sets them up, run as real processes with a broker between them."""

from __future__ import annotations

import socket
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.bench.choices import CanChoice
from agent.bench.setup import CAR_NAME, OPERATOR, BenchFolder, make_folder
from agent.bench.vehicle import demo_folder
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

    def agent(self) -> Process:
        return Process("agent", ["carshare-agent", "run", "--config", self.files.agent_toml], self.files.path)

    def backend(self, verb: str, *options: str) -> Process:
        """`carshare-backend VERB CAR --json …`."""
        command = ["carshare-backend", "--config", str(self.files.backend_toml), "--json", verb, CAR_NAME]
        return Process("backend", [*command, *options], self.files.path)


def install(
    folder: Path, *, broker_port: int, interface: str = "socketcan", channel: str = "vcan0", profile: Path | None = None
) -> Installation:
    """Make the keys and configurations of both sides in a new folder."""
    can = CanChoice("body", interface, channel, "")
    files = make_folder(
        folder, profile=profile or demo_folder(), can=can, broker_host="127.0.0.1", broker_port=broker_port
    )
    return Installation(files)


@contextmanager
def mosquitto(folder: Path) -> Iterator[int]:
    """A real broker on loopback, open to everybody; gives its port."""
    port = free_port()
    # As root it would become another user, who may not read this folder.
    (folder / "mosquitto.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nuser root\n")
    with Process("mosquitto", ["mosquitto", "-c", "mosquitto.conf"], folder) as broker:
        broker.until(lambda: is_open(port), within_s=10, what="Mosquitto listens")
        yield port


def free_port() -> int:
    """A TCP port of loopback on which nobody listened a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
