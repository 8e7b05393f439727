"""Programs under test as real processes: started, listened to, waited for with a bound, and always ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

Found = TypeVar("Found")

POLL_S = 0.05
END_S = 15.0
"""The agent gives a running command 8 s after SIGTERM; the rest is for a machine that does many things at once."""


def until(condition: Callable[[], Found], *, within_s: float, what: str) -> Found:
    """The first true value of `condition`; AssertionError naming `what` if it has none in time."""
    deadline = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {within_s:g} s"
        time.sleep(POLL_S)
    return found


class Process:
    """One program. Its output goes to files in `folder`, so that no pipe can fill up and what it said can be shown."""

    def __init__(
        self, name: str, command: Sequence[str | Path], folder: Path, environ: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self._stdout, self._stderr = folder / f"{name}.stdout", folder / f"{name}.stderr"
        with self._stdout.open("ab") as out, self._stderr.open("ab") as err:
            self._process = subprocess.Popen(
                [str(word) for word in command],
                cwd=folder,
                env=os.environ | {"PATH": path(), "PYTHONUNBUFFERED": "1"} | dict(environ or {}),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._process.poll() is None:
            self.kill()
        if kind is not None:  # pytest shows this beside the failure
            sys.stderr.write(f"--- {self.name}, status {self._process.returncode}\n{self.said()}\n")

    def stdout(self) -> str:
        return self._stdout.read_text(errors="replace")

    def said(self) -> str:
        """Everything it wrote, for a person."""
        return self.stdout() + self._stderr.read_text(errors="replace")

    def memory_bytes(self) -> int:
        """What it occupies now."""
        pages = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_running(self) -> bool:
        return self._process.poll() is None

    def until(self, condition: Callable[[], Found], *, within_s: float, what: str) -> Found:
        """`until`, given up as soon as this process has ended."""

        def found_or_ended() -> Found:
            found = condition()
            assert found or self.is_running(), f"{self.name} ended before: {what}"
            return found

        return until(found_or_ended, within_s=within_s, what=what)

    def wait(self, within_s: float) -> int:
        """Its exit status, once it has ended by itself."""
        return self._process.wait(within_s)

    def end(self) -> int:
        """Ask it to end (SIGTERM) and return its exit status."""
        self._process.terminate()
        return self._process.wait(END_S)

    def freeze(self) -> None:
        """Let it stand still where it is."""
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """End it between two instructions, as a power cut would."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(END_S)


def path() -> str:
    """PATH with the commands of this environment first and the system's last: `mosquitto` is in /usr/sbin."""
    return os.pathsep.join(
        [str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin"]
    )
