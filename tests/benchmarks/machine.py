"""Where a benchmark that needs a kernel with CAN runs, and how that kernel counts processor time.

`here`: this kernel, if it has vcan0.  `uml`: user-mode Linux, up in seconds; a system call costs there a hundred times
what it does elsewhere, and processor time is counted by ticks, which says nothing of a program that is awake for a
thousandth of the time.  `counted` and `emulated`: a PC by QEMU with Debian's kernel, which counts by the nanosecond; by
`counted` a nanosecond is an instruction, by `emulated` it is this machine's (`tests/booted/emulated.py`).
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from agent.errors import EXIT_FAILED
from tests.benchmarks.processor import is_exact
from tests.booted import emulated
from tests.support.uml import GUEST_FAILED, find_compiler

HERE = Path(__file__).resolve().parent
MACHINES = ("here", "uml", "counted", "emulated")
CLOCKS = {"counted": "instructions", "emulated": "host"}
PROGRAMS = ("bus_load", "bus_reader")
PROGRAMS_FOLDER = "BUS_PROGRAMS"
"""In the environment: where they lie ready. A guest has no compiler."""


def add_machine_option(
    parser: argparse.ArgumentParser, *, default: str = "here if this kernel has vcan0, else uml"
) -> None:
    parser.add_argument("--machine", choices=MACHINES, help=f"where to run (default: {default})")


def in_guest(
    module: str, arguments: Sequence[str], *, machine: str | None = None, seconds_max: float = 3600.0
) -> int | None:
    """Run the module on that machine and return its exit status; None if it is this one."""
    if machine is None:
        machine = "here" if has_can() else "uml"
    if machine == "here":
        if not has_can():
            print(f"{module}: this kernel has no vcan0; --machine uml has", file=sys.stderr)  # noqa: T201
            return EXIT_FAILED
        return None
    command = [sys.executable, "-m", module, *elsewhere(arguments), "--machine", "here"]
    if machine == "uml":
        guest = [sys.executable, "-m", "tests.support.uml", "--timeout", str(round(seconds_max)), *command]
        status = subprocess.run(guest).returncode
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_FAILED))  # so that the guest is ended with us
        with tempfile.TemporaryDirectory(prefix="bus-programs-") as folder:
            files = build_programs(Path(folder), is_for_guest=True)
            status = emulated.run_guest(
                command,
                timeout_s=seconds_max,
                clock=CLOCKS[machine],
                files=files,
                environment={PROGRAMS_FOLDER: emulated.FILES},
            )
    return EXIT_FAILED if status == GUEST_FAILED else status


def elsewhere(arguments: Sequence[str]) -> list[str]:
    """The arguments without `--machine`."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--machine")
    return parser.parse_known_args(list(arguments))[1]


def build_programs(folder: Path, *, is_for_guest: bool = False) -> list[Path]:
    """The bus and the plain reader as programs in `folder`; for a guest without this machine's C library."""
    static = ["-static"] if is_for_guest else []
    for name in PROGRAMS:
        source = HERE / f"{name}.c"
        subprocess.run([find_compiler() or "cc", "-O2", *static, "-o", folder / name, source], check=True)
    return [folder / name for name in PROGRAMS]


def programs_folder(folder: Path) -> Path:
    """Where the programs lie; made in `folder` if they do not lie ready."""
    if ready := os.environ.get(PROGRAMS_FOLDER):
        return Path(ready)
    build_programs(folder)
    return folder


def has_can() -> bool:
    """Whether this kernel has vcan."""
    try:
        socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW).close()
    except OSError:
        return False
    return Path("/sys/class/net/vcan0").exists()


@contextmanager
def interfaces(count: int) -> Iterator[None]:
    """vcan0 is there; the others are made and removed again."""
    made = [f"vcan{number}" for number in range(1, count) if not Path(f"/sys/class/net/vcan{number}").exists()]
    try:
        for name in made:
            subprocess.run(["ip", "link", "add", "dev", name, "type", "vcan"], check=True)
            subprocess.run(["ip", "link", "set", name, "up"], check=True)
        yield
    finally:
        for name in made:
            subprocess.run(["ip", "link", "del", "dev", name], check=False)


class Places:
    """Which processor is whose, and how the bus waits: a listener must have one for itself, or come before the bus."""

    def __init__(self) -> None:
        self.is_exact = is_exact()
        self._has_two = (os.cpu_count() or 1) > 1

    @property
    def listener(self) -> tuple[str, ...]:
        """Words before the listener's command. Counted by ticks, it has the processor until it waits again: the bus,
        which never waits there, would get whole ticks else."""
        if not self.is_exact:
            return ("chrt", "--fifo", "1")
        return ("taskset", "--cpu-list", "1") if self._has_two else ()

    @property
    def bus(self) -> tuple[str, ...]:
        """Words before the bus's command."""
        return ("taskset", "--cpu-list", "0") if self.is_exact and self._has_two else ()

    @property
    def bus_environ(self) -> dict[str, str]:
        return dict(os.environ) | ({"BUS_SLEEPS": "1"} if self.is_exact else {})
