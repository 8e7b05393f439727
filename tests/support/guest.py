"""A guest system as one process of this machine, whose console can be read and which always ends in time."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(slots=True, eq=False)
class Guest:
    """`console` is what the guest's own console says, as text; `is_late` once it was ended for taking too long."""

    process: subprocess.Popen[str]
    is_late: bool = False

    def console(self) -> str:
        """All that it says until its end."""
        said, _ = self.process.communicate()
        return said

    def end(self) -> None:
        """Kill it with all it runs; every process of it is in the group that it was started as."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return


_running: list[Guest] = []


def end_all() -> None:
    """End every guest of this process, whoever waits for it."""
    for each in tuple(_running):
        each.end()


@contextmanager
def guest(command: Sequence[str | Path], environ: Mapping[str, str], *, timeout_s: float) -> Iterator[Guest]:
    """Start a guest with `environ` beside this process's environment; it ends with the block, or after `timeout_s`."""
    process = subprocess.Popen(
        command,
        env=os.environ | dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    started = Guest(process)

    def end_late() -> None:
        started.is_late = True
        started.end()

    late = threading.Timer(timeout_s, end_late)
    late.start()
    _running.append(started)
    try:
        yield started
    finally:
        late.cancel()
        started.end()
        process.wait()
        _running.remove(started)
