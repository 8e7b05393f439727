"""Somebody at a terminal that runs a program of ours: keys in, picture out."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 30.0
COLUMNS, LINES = 250, 50

SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Person:
    """Who started `command` there."""

    def __init__(self, tmp: Path, command: Sequence[str]) -> None:
        self._terminal, program_end = os.openpty()
        fcntl.ioctl(program_end, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self.modes_before = termios.tcgetattr(program_end)
        self._program_end = program_end
        self.seen = ""
        self.process = subprocess.Popen(
            command,
            stdin=program_end,
            stdout=program_end,
            stderr=program_end,
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(tmp), "NO_COLOR": "1", "TERM": "xterm"},
        )

    def press(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def sees(self, pattern: str) -> re.Match[str]:
        """Wait until something new on the screen matches; what stood there before does not count."""
        ends_at_s = time.monotonic() + TIMEOUT_S
        fresh = ""
        while (match := re.search(pattern, fresh)) is None:
            left_s = ends_at_s - time.monotonic()
            assert left_s > 0, f"{pattern!r} did not show; the last of it: {self.seen[-3000:]}"
            if select.select([self._terminal], [], [], left_s)[0]:
                text = SEQUENCE.sub("", os.read(self._terminal, 65_536).decode(errors="replace"))
                fresh += text
                self.seen += text
        return match

    def leaves(self) -> int:
        """Wait for the end of the program; its exit status."""
        ends_at_s = time.monotonic() + TIMEOUT_S
        while (status := self.process.poll()) is None:
            assert time.monotonic() < ends_at_s, "the program did not end"
            if select.select([self._terminal], [], [], 0.05)[0]:
                self.seen += os.read(self._terminal, 65_536).decode(errors="replace")
        while select.select([self._terminal], [], [], 0)[0]:
            self.seen += os.read(self._terminal, 65_536).decode(errors="replace")
        return status

    @property
    def modes(self) -> list[object]:
        return termios.tcgetattr(self._program_end)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._terminal)
        os.close(self._program_end)
