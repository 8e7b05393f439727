"""Messages to and from the kernel's CAN broadcast manager, as bytes (linux/can/bcm.h). Pure functions."""

from __future__ import annotations

import re
import struct
from typing import Final, NamedTuple

from agent.model.quick_dataclass import dataclass
from agent.model.reception import Watch

# opcode, flags, count, ival1 (s, µs), ival2 (s, µs), id, number of frames; the frames behind it begin on 8 bytes.
_HEAD: Final = struct.Struct("@3I4l2I0q")
_FRAME: Final = {False: struct.Struct("=IBBBB8s"), True: struct.Struct("=IBBBB64s")}

_PAYLOAD_OFFSET: Final = struct.calcsize("=IBBBB")

RX_SETUP: Final = 5
RX_TIMEOUT: Final = 11
RX_CHANGED: Final = 12

_SETTIMER: Final = 0x0001
_STARTTIMER: Final = 0x0002
_RX_CHECK_DLC: Final = 0x0040
_RX_ANNOUNCE_RESUME: Final = 0x0100
_CAN_FD_FRAME: Final = 0x0800

# bcm_proc_show of net/can/bcm.c; of a message of which nothing came there is no line.
_STATISTICS: Final = re.compile(r"rx_op: (?P<id>[0-9A-F]+) .*# recv (?P<told>\d+) \((?P<came>\d+)\)")

EXTENDED: Final = 0x8000_0000
EXTENDED_ID: Final = EXTENDED | 0x1FFF_FFFF
_REMOTE: Final = 0x4000_0000
_ID_MASK: Final = 0x1FFF_FFFF

MESSAGE_BYTES_MAX: Final = _HEAD.size + _FRAME[True].size
"""Of one that the kernel sends: it holds one frame at most."""

KIND_BYTES: Final = _HEAD.size + _PAYLOAD_OFFSET
"""Of its messages that are alike in these first bytes and in length, `parse` says the same but for the payload, which
begins behind them."""


class Heard(NamedTuple):
    """A frame that changed a watched bit; `data` None: the message has not come for its time-out.

    `can_id` is the kernel's: the identifier, with `EXTENDED` if it is an extended one.
    """

    can_id: int
    is_fd: bool
    data: bytes | None


@dataclass(frozen=True, slots=True)
class Watched:
    """Frames of one watched message that `came`, and how many of them the kernel `told`: the others changed nothing
    that is wanted, or gave way to a newer one while the throttle held them."""

    came: int
    told: int

    def __add__(self, other: Watched) -> Watched:
        return Watched(self.came + other.came, self.told + other.told)


def parse_statistics(text: str) -> dict[tuple[int, bool], Watched]:
    """What the kernel's file about one socket says of each message, by id and whether that is extended."""
    found = {}
    for line in text.splitlines():
        if (match := _STATISTICS.match(line)) is not None:
            can_id = int(match["id"], 16)
            found[can_id & _ID_MASK, bool(can_id & EXTENDED)] = Watched(int(match["came"]), int(match["told"]))
    return found


def rx_setup(watch: Watch) -> bytes:
    """What has the kernel begin, or begin again, to watch a message: its next frame is given whatever it holds."""
    # Always: a frame of another length is a change, and what comes back after its time-out is told again.
    flags = _SETTIMER | _STARTTIMER | _RX_CHECK_DLC | _RX_ANNOUNCE_RESUME | (_CAN_FD_FRAME if watch.is_fd else 0)
    message = watch.message
    can_id = message.arbitration_id | (EXTENDED if message.is_extended_id else 0)
    times = (*_timeval(watch.timeout_s), *_timeval(watch.throttle_s))
    head = _HEAD.pack(RX_SETUP, flags, 0, *times, can_id, len(watch.masks))
    frame = _FRAME[watch.is_fd]
    return head + b"".join(frame.pack(can_id, len(mask), 0, 0, 0, mask) for mask in watch.masks)


def parse(packet: bytes) -> Heard | None:
    """A message of the kernel; None for one that was not asked for (a remote frame, an opcode unknown here)."""
    if len(packet) < _HEAD.size:
        return None
    opcode, flags, _, _, _, _, _, can_id, count = _HEAD.unpack_from(packet)
    if opcode == RX_TIMEOUT:
        return Heard(can_id & EXTENDED_ID, bool(flags & _CAN_FD_FRAME), None)
    frame = _FRAME[is_fd := bool(flags & _CAN_FD_FRAME)]
    if opcode != RX_CHANGED or count != 1 or len(packet) < _HEAD.size + frame.size:
        return None
    can_id, length, _, _, _, data = frame.unpack_from(packet, _HEAD.size)
    if can_id & _REMOTE:
        return None
    return Heard(can_id & EXTENDED_ID, is_fd, data[:length])


def _timeval(seconds: float) -> tuple[int, int]:
    """Seconds and microseconds; never 0, which means "no time", for what is more than that."""
    micros = max(round(seconds * 1e6), 1 if seconds > 0 else 0)
    return divmod(micros, 1_000_000)
