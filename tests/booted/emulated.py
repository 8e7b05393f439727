"""Runs a command under Debian's kernel with CAN, on a PC that QEMU emulates: slower than user-mode Linux, and exact.

    python -m tests.booted.emulated [--timeout SECONDS] [--clock instructions|host] COMMAND [ARGUMENT…]

The guest has a `vcan0` that is up, a loopback interface, folders in memory, and copies of the project's code and of its
Python. It ends with the command's exit status, or with 125 when the guest itself failed. Its kernel counts processor
time by the nanosecond, thread by thread, where user-mode Linux counts ticks.

By `--clock instructions` (the rule) a nanosecond of the guest is an instruction carried out by its one processor, and
time in which it has nothing to do passes at once: what else this machine does has no part in any figure, and a run can
be repeated to the percent. What an instruction costs a real processor beyond that (a cache missed, a page table
changed) is not in it, and whoever waits for a file that was not read before waits for minutes. By `--clock host` the
guest has two processors and this machine's time, with all that it does beside.
"""

# ruff: noqa: T201 - a command's own output

from __future__ import annotations

import argparse
import hashlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from tests.booted.qemu import computer, root_image, shared, surroundings, tree
from tests.booted.system import BUILD, ROOT
from tests.support.guest import guest
from tests.support.uml import DONE, GUEST_FAILED, READY, command_script, find_tool, stream

CLOCKS = {
    "instructions": ("-accel", "tcg", "-icount", "shift=0,sleep=off", "-smp", "1"),
    "host": ("-accel", "tcg,thread=multi", "-smp", "2"),
}

FILES = "/host"
"""Where the guest finds what it is given."""

CODE = ("agent", "dbc", "tests")
"""What of the project the guest gets: a copy in memory, so that no start waits for this machine's files."""

UNUSED = frozenset({"site-packages", "test", "idlelib", "lib2to3", "tkinter", "turtledemo"})
"""Of the library of a Python that is not the system's."""

FIRST_PROCESS = (
    f"mkdir -p {FILES}; mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 host {FILES}; exec sh {FILES}/init.sh"
)

INIT = """
fail() {{ echo "emulated machine: $*"; exec systemctl poweroff --force --force; }}
exec </dev/null >/dev/ttyS0 2>&1
mount -t tmpfs -o mode=1777 tmp /tmp && mount -t tmpfs run /run && mkdir -m 1777 /run/tmp || fail "no tmpfs"
. /host/code.sh
modprobe -a can can-raw can-bcm vcan || fail "no CAN"
ip link set lo up && ip link add dev vcan0 type vcan && ip link set vcan0 up || fail "cannot bring up vcan0"
echo {ready}
sh /host/command
echo $? >/host/status
echo {done}
exec systemctl poweroff --force --force
"""


def python_image() -> Path:
    """This Python and its virtual environment as they lie here, as a file system; made if they have changed since.

    Read over 9p, every look for a module would go to this machine and back, at every start.
    """
    prefix, base = Path(sys.prefix), Path(sys.base_prefix).resolve()
    packages = Path(sysconfig.get_path("purelib"))
    stamp = hashlib.sha256(repr((prefix, base, packages.stat().st_mtime_ns)).encode()).hexdigest()[:12]
    image = BUILD / f"python-{stamp}.ext4"
    if image.exists():
        return image
    BUILD.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as scratch:
        stage = Path(scratch) / "stage"
        shutil.copytree(prefix, stage / "environment", symlinks=True)
        (stage / "python").mkdir()
        if base != Path("/usr"):
            library = Path(sysconfig.get_path("stdlib"))
            shutil.copytree(
                library,
                stage / "python" / library.relative_to(base),
                symlinks=True,
                ignore=lambda _, names: UNUSED.intersection(names),
            )
            shutil.copytree(base / "bin", stage / "python" / "bin", symlinks=True)
            for shared_library in (base / "lib").glob("libpython*"):
                shutil.copy(shared_library, stage / "python" / "lib", follow_symlinks=False)
        new = Path(scratch) / "image.ext4"
        mib = 64 + int(1.3 * sum(each.lstat().st_size + 4096 for each in stage.rglob("*")) / 2**20)
        make = [find_tool("mke2fs") or "mke2fs", "-q", "-t", "ext4", "-d", str(stage), str(new), f"{mib}M"]
        subprocess.run(make, check=True)
        new.rename(image)
    return image


def code_script() -> str:
    """Shell text that puts the project and its Python where they are here."""
    project, prefix, base = (shlex.quote(str(path)) for path in (ROOT, sys.prefix, Path(sys.base_prefix).resolve()))
    lines = [
        "mkdir -p /mnt/python /mnt/project",
        "mount -o ro /dev/vdb /mnt/python",
        "mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,ro,cache=loose project /mnt/project",
        f"mkdir -p {project} && mount -t tmpfs project {project}",
        f"cp -a {' '.join(f'/mnt/project/{name}' for name in CODE)} {project}",
        f"mkdir -p {prefix} && mount --bind /mnt/python/environment {prefix}",
    ]
    if base != "/usr":
        lines.append(f"mkdir -p {base} && mount --bind /mnt/python/python {base}")
    return "".join(f'{line} || fail "no project"\n' for line in lines)


def run_guest(
    command: Sequence[str],
    *,
    timeout_s: float,
    clock: str,
    files: Sequence[Path] = (),
    environment: Mapping[str, str] = MappingProxyType({}),
) -> int:
    """Boot, run, stream the output; see the module's docstring for the exit status.

    The command finds copies of `files` in the folder `FILES`, and has this process's environment with `environment`.
    """
    image, python, qemu = root_image(), python_image(), tree()
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        run, disk = Path(folder), Path(folder) / "root.ext4"
        subprocess.run(["cp", "--sparse=always", "--reflink=auto", image, disk], check=True)
        (run / "command").write_text(command_script(list(command), dict(os.environ) | dict(environment)))
        for path in files:
            shutil.copy(path, run)
        (run / "code.sh").write_text(code_script())
        (run / "init.sh").write_text(INIT.format(ready=READY, done=DONE))
        words = [
            *computer(qemu, image, disk, f'init=/bin/sh -- -c "{FIRST_PROCESS}"'),
            *CLOCKS[clock],
            *("-drive", f"file={python},if=virtio,format=raw,readonly=on"),
            *shared("host", run, is_read_only=False),
            *shared("project", ROOT),
        ]
        with guest(words, surroundings(qemu), timeout_s=timeout_s) as running:
            kernel_text = stream(running.process)
            running.process.wait()
        status = run / "status"
        if status.exists():
            return int(status.read_text())
        print(kernel_text, file=sys.stderr)
        why = f"was stopped after {timeout_s:g} s" if running.is_late else "ended without finishing its command"
        print(f"error: the emulated machine {why}", file=sys.stderr)
        return GUEST_FAILED


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.booted.emulated", description="Run a command on an emulated PC whose kernel has vcan0."
    )
    parser.add_argument(
        "--timeout", type=float, default=600.0, metavar="SECONDS", help="stop the guest after this long (600)"
    )
    parser.add_argument("--clock", choices=CLOCKS, default="instructions", help="what time is (instructions)")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    if not options.command:
        parser.error("no command given")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(GUEST_FAILED))  # so that `finally` ends the guest
    return run_guest(options.command, timeout_s=options.timeout, clock=options.clock)


if __name__ == "__main__":
    sys.exit(main())
