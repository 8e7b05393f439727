"""A raw socket on a SocketCAN interface, with the few calls of a python-can bus that are made here.

python-can has the same and a hundred modules beside it, which an agent on SocketCAN would load at each start for this
alone.  It stays the way to every other adapter.  Layouts and flags: linux/can.h, linux/can/raw.h.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Collection
from typing import Protocol

from agent.model.frame import Frame
from agent.model.quick_dataclass import dataclass

# Linux alone has these; the numbers let the module be imported, and checked, elsewhere.
_SOL_CAN_RAW = getattr(socket, "SOL_CAN_RAW", 101)
_FILTER, _ERR_FILTER, _RECV_OWN_MSGS, _FD_FRAMES = 1, 2, 4, 5
SO_TIMESTAMPNS = 35

# Kernel limit (CAN_RAW_FILTER_MAX); with more ids than this frames are picked by the agent.
KERNEL_FILTERS_MAX = 512
_MSG_CONFIRM = 0x800

_EXTENDED, _REMOTE, _ERROR = 0x8000_0000, 0x4000_0000, 0x2000_0000
_ID_BITS, _EXTENDED_ID_BITS = 0x7FF, 0x1FFF_FFFF
_BIT_RATE_SWITCH = 0x01

_HEAD = struct.Struct("=IBB2x")
_FRAME = struct.Struct("=IBB2x8s")
_FD_FRAME = struct.Struct("=IBB2x64s")
_FILTER_PAIR = struct.Struct("=II")
_TIMESPEC = struct.Struct("@ll")
_TIMESPEC_BYTES, _unpack_timespec = _TIMESPEC.size, _TIMESPEC.unpack  # looked up once, for each frame has one
_SOL_SOCKET = socket.SOL_SOCKET
ANCILLARY_BYTES = socket.CMSG_SPACE(_TIMESPEC.size) if hasattr(socket, "CMSG_SPACE") else 0


class Message(Protocol):
    """A frame as received, in python-can's names; it may be an error frame, and of a serial line be cut short."""

    @property
    def timestamp(self) -> float: ...
    @property
    def arbitration_id(self) -> int: ...
    @property
    def is_extended_id(self) -> bool: ...
    @property
    def is_remote_frame(self) -> bool: ...
    @property
    def is_error_frame(self) -> bool: ...
    @property
    def is_fd(self) -> bool: ...
    @property
    def is_rx(self) -> bool: ...
    @property
    def dlc(self) -> int: ...
    @property
    def data(self) -> bytes | bytearray: ...


class Port(Protocol):
    """An open bus: what python-can's `BusABC` and `RawSocket` have in common."""

    def __str__(self) -> str: ...
    def fileno(self) -> int: ...
    def recv(self, timeout: float | None = None) -> Message | None: ...
    def shutdown(self) -> None: ...


@dataclass(frozen=True, slots=True)
class RawMessage:
    """See `Message`. `is_rx` is False for a frame that this very socket sent."""

    timestamp: float
    arbitration_id: int
    is_extended_id: bool
    is_remote_frame: bool
    is_error_frame: bool
    is_fd: bool
    is_rx: bool
    dlc: int
    data: bytes


class RawSocket:
    """Frames with one of the `wanted_ids`, and every error frame, of an interface; OSError whatever fails."""

    def __init__(
        self, channel: str, *, is_fd: bool, wanted_ids: Collection[tuple[int, bool]], buffer_bytes: int
    ) -> None:
        self._channel = channel
        self.socket = socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW)
        try:
            self.socket.setblocking(False)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
            self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            self.socket.setsockopt(_SOL_CAN_RAW, _ERR_FILTER, _EXTENDED_ID_BITS)
            if is_fd:
                self.socket.setsockopt(_SOL_CAN_RAW, _FD_FRAMES, 1)
            # Before it is bound: nothing else is ever let in.
            self.let_in(wanted_ids)
            self.socket.bind((channel,))
        except BaseException:
            self.socket.close()
            raise

    def __str__(self) -> str:
        return f"socketcan {self._channel}"

    def fileno(self) -> int:
        return self.socket.fileno()

    def shutdown(self) -> None:
        self.socket.close()

    def let_in(self, wanted_ids: Collection[tuple[int, bool]]) -> None:
        """Receive frames with one of these `(id, is extended)` from now on."""
        self.socket.setsockopt(_SOL_CAN_RAW, _FILTER, kernel_filters(wanted_ids))

    def give_own_back(self) -> None:
        """Receive what this socket sends too."""
        self.socket.setsockopt(_SOL_CAN_RAW, _RECV_OWN_MSGS, 1)

    def send(self, frame: Frame) -> None:
        """Hand a frame over; OSError with ENOBUFS or EAGAIN if there is no room just now."""
        number = frame.arbitration_id | (_EXTENDED if frame.is_extended_id else 0)
        # Bit rate switch: what a bus with CAN FD is there for.
        layout, flags = (_FD_FRAME, _BIT_RATE_SWITCH) if frame.is_fd else (_FRAME, 0)
        self.socket.send(layout.pack(number, len(frame.data), flags, frame.data))

    def recv(self, timeout: float | None = None) -> RawMessage | None:
        """The oldest frame that waits, None if none does. It is never waited for: the event loop does that."""
        try:
            content, ancillary, told, _ = self.socket.recvmsg(_FD_FRAME.size, ANCILLARY_BYTES)
        except BlockingIOError:
            return None
        number, length, _ = _HEAD.unpack_from(content)
        is_extended_id = bool(number & _EXTENDED)
        return RawMessage(
            timestamp=timestamp_s(ancillary),
            arbitration_id=number & (_EXTENDED_ID_BITS if is_extended_id else _ID_BITS),
            is_extended_id=is_extended_id,
            is_remote_frame=bool(number & _REMOTE),
            is_error_frame=bool(number & _ERROR),
            is_fd=len(content) == _FD_FRAME.size,
            is_rx=not told & _MSG_CONFIRM,
            dlc=length,
            data=content[_HEAD.size : _HEAD.size + length],
        )


def timestamp_s(ancillary: list[tuple[int, int, bytes]]) -> float:
    """The wall time at which the kernel took the frame in; not a number if it does not say."""
    for level, kind, data in ancillary:
        if kind == SO_TIMESTAMPNS and level == _SOL_SOCKET and len(data) == _TIMESPEC_BYTES:
            seconds: int
            nanos: int
            seconds, nanos = _unpack_timespec(data)
            return seconds + nanos * 1e-9
    return float("nan")


def kernel_filters(wanted_ids: Collection[tuple[int, bool]]) -> bytes:
    """The kernel's filters for exactly these ids, each in its format alone; for every frame, if they are too many."""
    if len(wanted_ids) > KERNEL_FILTERS_MAX:
        return _FILTER_PAIR.pack(0, 0)
    return b"".join(
        _FILTER_PAIR.pack(arbitration_id | _EXTENDED, _EXTENDED_ID_BITS | _EXTENDED)
        if is_extended_id
        else _FILTER_PAIR.pack(arbitration_id, _ID_BITS | _EXTENDED)
        for arbitration_id, is_extended_id in sorted(wanted_ids)
    )
