"""Runs a command under a kernel with CAN, as user-mode Linux, on any x86-64 Linux host.

    python -m tests.support.uml [--timeout SECONDS] COMMAND [ARGUMENT…]

The guest sees the host's files, so the project and its virtual environment are simply there; it has one processor,
a `vcan0` that is up, a loopback interface, and a temporary folder of its own. It ends with the command's exit status,
or with 125 when the guest itself failed. Needs Debian's `user-mode-linux`, `kmod`, `iproute2` and a C compiler.
"""

# ruff: noqa: T201 - a command's own output
from __future__ import annotations

import argparse
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.guest import guest

ROOT = Path(__file__).resolve().parents[2]
SUPPORT = Path(__file__).resolve().parent
BUILD = ROOT / "build" / "uml"
GUEST_FAILED = 125
READY, DONE = "user-mode-linux-is-up", "user-mode-linux-is-done"
"""Lines around the command's output; what stands before and after is the kernel's."""
MEMORY_MIB = 1024
"""A Python process of the agent takes 60 MiB; the tests run a handful, and their temporary files lie in memory too."""

POWER_OFF = "import ctypes; ctypes.CDLL(None).reboot(0x4321FEDC)"
"""reboot(2) with LINUX_REBOOT_CMD_POWER_OFF: small systems have no `poweroff` command, but Python is here."""


def find_tool(name: str) -> str | None:
    """Path of a program; a plain user's PATH leaves out the folders that hold half of those needed here."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin")


def missing_tools() -> list[str]:
    """What the host lacks to boot a guest, in words; empty if it can."""
    missing = [name for name in ("linux.uml", "insmod", "ip") if find_tool(name) is None]
    if find_compiler() is None:
        missing.append("a C compiler")
    if platform.machine() != "x86_64":
        missing.append("an x86-64 processor")
    return missing


def find_compiler() -> str | None:
    return next((path for name in ("cc", "gcc", "clang", "tcc") if (path := find_tool(name))), None)


def build_shim() -> Path:
    """Compile `um_xstate.c`, which see, unless that was done since it last changed."""
    source, shim = SUPPORT / "um_xstate.c", BUILD / "um_xstate.so"
    if not shim.exists() or shim.stat().st_mtime < source.stat().st_mtime:
        BUILD.mkdir(parents=True, exist_ok=True)
        compiler = find_compiler()
        assert compiler is not None
        subprocess.run([compiler, "-shared", "-fPIC", "-o", shim, source], check=True)
    return shim


def command_script(command: list[str], environment: dict[str, str]) -> str:
    """Shell text that runs `command` in the folder and with the environment it was asked for in."""
    own = {"HOME": "/run/tmp", "TMPDIR": "/run/tmp", "PYTHONUNBUFFERED": "1"}
    if not sys.stdout.isatty():
        own["TERM"] = "dumb"  # the guest's console is a terminal even where its output ends up in a file
    exports = [
        f"export {name}={shlex.quote(value)}" for name, value in (environment | own).items() if name.isidentifier()
    ]
    return (
        "\n".join([*exports, f"cd {shlex.quote(str(Path.cwd()))} || exit {GUEST_FAILED}", shlex.join(command)]) + "\n"
    )


def memory_folder() -> str:
    """Where the guest's memory lies as a file: in the host's memory if there is room (containers often give 64 MiB)."""
    shared = Path("/dev/shm")
    has_room = shared.is_dir() and shutil.disk_usage(shared).free > MEMORY_MIB * 2**20
    return str(shared if has_room else BUILD)


def run_guest(command: list[str], *, timeout_s: float) -> int:
    """Boot, run, stream the output; see the module's docstring for the exit status."""
    shim = build_shim()
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        run = Path(folder)
        (run / "command").write_text(command_script(command, dict(os.environ)))
        (run / "power_off").write_text(f"exec {shlex.quote(sys.executable)} -c {shlex.quote(POWER_OFF)}\n")
        command_line = [
            find_tool("linux.uml") or "linux.uml",
            *(f"mem={MEMORY_MIB}M", f"uml_dir={run}/", "umid=guest"),
            *("rootfstype=hostfs", "rootflags=/", "rw", f"init={SUPPORT / 'um_init.sh'}"),
            *("con=null", "con0=fd:0,fd:1", "quiet"),
            *(f"UM_RUN={run}", f"UM_READY={READY}", f"UM_DONE={DONE}"),
        ]
        with guest(command_line, {"LD_PRELOAD": str(shim), "TMPDIR": memory_folder()}, timeout_s=timeout_s) as running:
            kernel_text = stream(running.process)
            running.process.wait()
        status = run / "status"
        if status.exists():
            return int(status.read_text())
        print(kernel_text, file=sys.stderr)
        why = f"was stopped after {timeout_s:g} s" if running.is_late else "ended without finishing its command"
        print(f"error: user-mode Linux {why}", file=sys.stderr)
        return GUEST_FAILED


def stream(process: subprocess.Popen[str]) -> str:
    """Pass the command's output on as it comes; what the kernel says around it is returned, for when it fails."""
    assert process.stdout is not None
    kernel: list[str] = []
    is_command = False
    for line in process.stdout:
        text = line.rstrip("\r\n")
        if text in (READY, DONE):
            is_command = text == READY
        elif is_command:
            print(text, flush=True)
        else:
            kernel.append(text)
    return "\n".join(kernel)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.uml", description="Run a command under a kernel with vcan0."
    )
    parser.add_argument(
        "--timeout", type=float, default=600.0, metavar="SECONDS", help="stop the guest after this long (600)"
    )
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    if not options.command:
        parser.error("no command given")
    if missing := missing_tools():
        print(f"error: user-mode Linux cannot run here, missing: {', '.join(missing)}", file=sys.stderr)
        return GUEST_FAILED
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(GUEST_FAILED))  # so that `finally` ends the guest
    return run_guest(options.command, timeout_s=options.timeout)


if __name__ == "__main__":
    sys.exit(main())
