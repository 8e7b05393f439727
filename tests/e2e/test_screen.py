"""The bench with a person at it, through a real terminal: keys in, picture out, the terminal left as it was."""

from __future__ import annotations

import fcntl
import os
import re
import select
import shlex
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

BENCH = [sys.executable, "-m", "agent.bench.cli", "run", "--broker", "embedded"]
ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 30.0
COLUMNS, LINES = 250, 50

SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Person:
    """Somebody at a terminal that runs the bench."""

    def __init__(self, tmp: Path) -> None:
        self._terminal, program_end = os.openpty()
        fcntl.ioctl(program_end, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self.modes_before = termios.tcgetattr(program_end)
        self._program_end = program_end
        self.seen = ""
        self.process = subprocess.Popen(
            BENCH,
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
        """Wait for the end of the bench; its exit status."""
        ends_at_s = time.monotonic() + TIMEOUT_S
        while (status := self.process.poll()) is None:
            assert time.monotonic() < ends_at_s, "the bench did not end"
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


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    person = Person(tmp_path)
    yield person
    person.close()


def test_a_person_unlocks_drives_is_refused_and_locks(person: Person, tmp_path: Path) -> None:
    person.sees("bus body asleep")
    person.press("u")
    person.sees(r"backend: demo: unlock verified")
    person.press("g")
    person.sees(r"car: drive ended")
    person.press("d")
    person.sees(r"Row1\.DriverSide\.IsOpen +true ok")
    person.press("l")
    person.sees(r"backend: demo: lock rejected .*: a door is open")
    person.press("d")
    person.sees(r"Row1\.DriverSide\.IsOpen +false ok")
    person.press("l")
    person.sees(r"backend: demo: lock verified")
    person.press("q")
    assert person.leaves() == 0
    assert person.modes == person.modes_before
    assert list(tmp_path.iterdir()) == []


def test_every_action_has_a_key(person: Person) -> None:
    person.sees("agent online")
    person.press("x")
    person.sees("backend: demo: disable drive verified")
    person.sees("immobiliser Engaged")
    person.press("u")
    person.sees("backend: demo: unlock verified")
    person.press("g")
    person.sees("car: no drive: the immobiliser is engaged")
    person.press("e")
    person.sees("backend: demo: enable drive verified")
    person.press("i")
    person.sees("car: switched on")
    person.sees(r"LowVoltageSystemState +ON ok")
    person.press("x")
    person.sees("backend: demo: disable drive rejected .*: the ignition is on")
    person.press("k")
    person.sees("backend: demo: check return rejected .*: the ignition is on")
    person.press("i")
    person.sees(r"LowVoltageSystemState +OFF ok")
    person.press("f")
    person.sees("backend: demo: locate")
    person.press("k")
    person.sees("backend: demo: check return (?!rejected)")
    person.press("5")
    person.sees("faults: immobiliser_dead")


def test_the_command_for_the_second_terminal_works_as_printed(person: Person) -> None:
    """It runs while nobody reads the first terminal: a picture that cannot be drawn stops neither agent nor car."""
    command = person.sees(r"(\S+carshare-backend|\S+ -m agent\.backend\.cli) --config (\S+) unlock demo").group()
    person.sees("agent online")
    done = subprocess.run(shlex.split(command), capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert (done.returncode, "verified" in done.stdout) == (0, True), done.stdout + done.stderr
    person.sees("the car itself: awake, Unlocked")


def test_faults_are_switched_on_and_off(person: Person) -> None:
    person.sees("agent online")
    person.press("2")
    person.sees("faults: lock_ignores")
    person.press("u")
    person.sees("backend: demo: unlock failed .*: the car reports its state, and that did not change")
    person.press("2u")
    person.sees("backend: demo: unlock verified")
    person.press("3")
    person.sees(r"Speed +– stale \(was 0")
    person.press("3")
    person.sees(r"Speed +0(\.0)? km/h ok")


def test_the_broker_goes_and_comes_back(person: Person) -> None:
    person.sees("agent online")
    person.press("4")
    person.sees("backend not connected; broker GONE")
    person.press("4")
    person.sees("agent online; backend connected; broker there")
    person.press("r")
    person.sees("backend: demo: report .* in|backend: demo: report .* after")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)])
def test_a_signal_ends_the_bench_in_order(person: Person, tmp_path: Path, number: signal.Signals, status: int) -> None:
    person.sees("agent online")
    person.process.send_signal(number)
    assert person.leaves() == status
    assert person.modes == person.modes_before
    assert person.seen.rstrip().endswith("\x1b[?25h\x1b[?1049l")
    assert list(tmp_path.iterdir()) == []
