"""The rest of a car on a SocketCAN bus, and the interfaces it is on."""

from __future__ import annotations

import os
import socket
import struct
import subprocess

EXTENDED = 0x8000_0000
ERROR = 0x2000_0000
MARK_ID = 0x7FF


def administer(*command: str) -> None:
    """Run `ip` or `tc`, which plain users' PATH leaves out."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    subprocess.run(command, check=True, env=os.environ | {"PATH": path})


def ip(*words: str) -> None:
    administer("ip", "link", *words)


class Wire:
    """A raw socket on the bus: the rest of the car."""

    def __init__(self, channel: str, *, is_fd: bool = False) -> None:
        self._socket = socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW)
        self._socket.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FD_FRAMES, int(is_fd))
        self._socket.bind((channel,))
        self._socket.settimeout(5)
        self._witness = socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW)
        self._witness.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FILTER, struct.pack("=II", MARK_ID, 0x7FF))
        self._witness.bind((channel,))
        self._witness.settimeout(5)

    def send(self, can_id: int, data: bytes, *, is_fd: bool = False) -> None:
        size = 64 if is_fd else 8
        self._socket.send(struct.pack(f"=IBBBB{size}s", can_id, len(data), 0, 0, 0, data))

    def settle(self) -> None:
        """Return once all that was sent has reached every socket: a frame sent behind it has reached one."""
        self.send(MARK_ID, b"")
        self._witness.recv(72)

    def receive(self) -> tuple[int, bytes]:
        packet = self._socket.recv(72)
        can_id, length = struct.unpack_from("=IB", packet)
        return can_id, packet[8 : 8 + length]

    def is_silent(self) -> bool:
        self._socket.setblocking(False)
        try:
            self._socket.recv(72)
        except BlockingIOError:
            return True
        finally:
            self._socket.settimeout(5)
        return False

    def close(self) -> None:
        self._socket.close()
        self._witness.close()
