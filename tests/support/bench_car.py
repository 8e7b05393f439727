"""The virtual car as a process of its own, and its conversation by lines."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 20.0


class BenchCar:
    """`carshare-bench car` with the arguments given, ready when entered; every wait is bounded."""

    def __init__(self, *arguments: str, timeout_s: float = TIMEOUT_S) -> None:
        self._arguments = arguments
        self._timeout_s = timeout_s
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.process: subprocess.Popen[str]

    def __enter__(self) -> BenchCar:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "agent.bench.cli", "car", *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        threading.Thread(target=self._read, daemon=True).start()
        self.event("ready")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()

    def say(self, command: str) -> None:
        """Hand the car one command line."""
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def event(self, name: str, *, within_s: float | None = None) -> dict[str, Any]:
        """The next event of that name; those before it are left out. `queue.Empty` if nothing is said for so long."""
        while (line := self._lines.get(timeout=within_s or self._timeout_s)) is not None:
            if line["event"] == name:
                return line
        raise AssertionError(f"the car ended without an event {name!r}")

    def state(self) -> dict[str, Any]:
        """The physical truth, now."""
        self.say("state")
        return self.event("state")

    def leaves(self) -> int:
        """Wait for its end; the exit status."""
        return self.process.wait(timeout=TIMEOUT_S)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(json.loads(line))
        self._lines.put(None)
