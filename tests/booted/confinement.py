"""Runs in the agent's unit on a booted system: what can be done from there, and what is refused with which error.

One JSON object on standard output: attempt → "ok", or the name of the error.
"""

# ruff: noqa: T201 - a command's own output
from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

CLONE_NEWUSER, CLONE_NEWNS = 0x1000_0000, 0x0002_0000

libc = ctypes.CDLL(None, use_errno=True)


def call(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), "")


def write(path: str) -> None:
    Path(path).write_text("x")


def writable_code() -> None:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


def connect(address: str) -> None:
    try:
        socket.create_connection((address, 9), 5).close()
    except TimeoutError:
        # Some kernels refuse the call, others drop what it sends.
        raise PermissionError(errno.EPERM, "") from None


def can_socket() -> None:
    with socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW) as raw:
        raw.bind(("vcan0",))


ATTEMPTS: dict[str, Callable[[], object]] = {
    "write to the state directory": lambda: write("/var/lib/carshare-agent/probe"),
    "write to the configuration": lambda: write("/etc/carshare-agent/probe"),
    "write to the program": lambda: write("/usr/lib/carshare-agent/probe"),
    "write to /var/lib": lambda: write("/var/lib/probe"),
    "read /root": lambda: list(Path("/root").iterdir()),
    "see process 1": lambda: Path("/proc/1").stat(),
    "read /proc/sys": lambda: Path("/proc/sys/kernel/hostname").read_text(),
    "new user namespace": lambda: call(libc.unshare(CLONE_NEWUSER)),
    "new mount namespace": lambda: call(libc.unshare(CLONE_NEWNS)),
    "writable code": writable_code,
    "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0),
    "packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0),
    "an address that is not allowed": lambda: connect("203.0.113.5"),
    "set the clock": lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()),
    "a device that is not allowed": lambda: os.open("/dev/ubda", os.O_RDONLY),
    "a CAN socket": can_socket,
    "its credential": lambda: Path(os.environ["CREDENTIALS_DIRECTORY"], "vehicle.key").read_bytes(),
    "the sealed credential": lambda: Path("/etc/credstore.encrypted/carshare-agent.vehicle.key").read_bytes(),
}


def outcome(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return "ok"


print(json.dumps({name: outcome(attempt) for name, attempt in ATTEMPTS.items()}))
