"""Each part of the agent stops in turn while the rest goes on: it is named, and the watchdog not fed (SR-10, H90).

What systemd makes of that, a new start, is seen on a booted system: `tests/booted`, whose `frozen.py` is run here.
"""

from __future__ import annotations

import json
import socket
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.booted import frozen
from tests.support.installation import Installation, install
from tests.support.mosquitto import mosquitto
from tests.support.process import Process

pytestmark = pytest.mark.broker

FROZEN = Path(frozen.__file__)
WATCHDOG_S = 2.0
MISSED_WITHIN_S = 60.0
"""A tenth of 60 s and of a pause, once it is ready; the rest is for a machine that does many things at once."""


class FrozenAgent:
    """An agent of which one part stops, and what systemd would hear of it."""

    def __init__(self, process: Process, listener: socket.socket) -> None:
        self.process = process
        self._listener = listener
        self._fed_at_s: float | None = None

    def hear(self) -> None:
        """Take in what it has said."""
        with suppress(BlockingIOError):
            while True:
                if b"WATCHDOG=1" in self._listener.recv(4096):
                    self._fed_at_s = time.monotonic()

    def is_missed(self) -> bool:
        """Whether the watchdog was fed once, and not for twice its time."""
        return self._fed_at_s is not None and time.monotonic() - self._fed_at_s > 2 * WATCHDOG_S

    def named(self) -> set[str]:
        """What its log called stopped."""
        lines = [json.loads(line) for line in self.process.said().splitlines() if line.startswith("{")]
        return {str(line["parts"]) for line in lines if line["event"] == "part_stopped"}


def installed(folder: Path, broker_port: int) -> Installation:
    """The demo car's agent with a power supervisor that is not there."""
    installation = install(folder, broker_port=broker_port, interface="virtual", channel=f"test-{uuid.uuid4()}")
    with installation.files.agent_toml.open("a") as toml:
        toml.write(f'\n[power]\nsupervisor = "{folder / "no-such-port"}"\n')
    return installation


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, FrozenAgent]]:
    """By part: all begun at once, for each mostly waits."""
    root = tmp_path_factory.mktemp("parts")
    found: dict[str, FrozenAgent] = {}
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(root))
        for part in frozen.PARTS:
            files = installed(root / part, broker.port).files
            listener = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            name = f"carshare-{uuid.uuid4()}"
            listener.bind(f"\0{name}")
            listener.setblocking(False)
            environ = {"NOTIFY_SOCKET": f"@{name}", "WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6))}
            command: list[str | Path] = [sys.executable, FROZEN, part, "run", "--config", files.agent_toml]
            found[part] = FrozenAgent(stack.enter_context(Process("agent", command, files.path, environ)), listener)
        yield found


@pytest.mark.parametrize("part", frozen.PARTS)
def test_a_part_that_stops_is_named_and_the_watchdog_not_fed(agents: dict[str, FrozenAgent], part: str) -> None:
    agent = agents[part]

    def is_missed() -> bool:
        for each in agents.values():
            each.hear()
        return agent.is_missed()

    agent.process.until(is_missed, within_s=MISSED_WITHIN_S, what=f"{part} is missed")
    assert agent.named() == {part}


def test_while_all_parts_go_on_the_watchdog_is_fed_in_time_sr_10(tmp_path: Path) -> None:
    """By count, for a busy machine may be late by itself: five times in the time of eight."""
    fed_s: list[float] = []
    with mosquitto(tmp_path) as broker, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        name = f"carshare-{uuid.uuid4()}"
        listener.bind(f"\0{name}")
        listener.setblocking(False)
        environ = {"NOTIFY_SOCKET": f"@{name}", "WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6))}

        def is_fed_enough() -> bool:
            with suppress(BlockingIOError):
                while len(fed_s) < 5:
                    if b"WATCHDOG=1" in listener.recv(4096):
                        fed_s.append(time.monotonic())
            return len(fed_s) == 5

        with installed(tmp_path / "car", broker.port).agent(environ) as process:
            process.until(is_fed_enough, within_s=MISSED_WITHIN_S, what="the watchdog is fed")
    assert fed_s[-1] - fed_s[0] < 8 * WATCHDOG_S
