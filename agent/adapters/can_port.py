"""Opening and closing buses, and their failures in words: SocketCAN by a raw socket, all else by python-can.

python-can is imported when a bus wants it: an agent on SocketCAN does without, which a tenth of its start went into.
"""

from __future__ import annotations

import asyncio
import errno
import math
import socket
import struct
import sys
from collections.abc import Callable, Collection
from typing import Any, cast

from agent.adapters.can_raw import Port, RawSocket
from agent.errors import BusError, ConfigurationError
from agent.model.frame import BusState

# A serial adapter that takes no byte for so long hangs.
WRITE_WAIT_S = 0.1

# The event loop may be kept from reading for so long (a slow core, a long list to decode) on a full bus.
STALL_S = 0.25
# What the kernel counts for a frame, or for a message about one; of all together it allows 208 KiB unless the system
# was told otherwise (net.core.rmem_max).
KERNEL_FRAME_BYTES = 768
# A frame of eight bytes without stuffing; in CAN FD's data phase eight times as many bits leave in the same time.
_FRAME_BITS = 111
_FD_SPEED = 8

# linux/sock_diag.h: the last of nine numbers about a socket's memory is what was dropped (since Linux 4.12).
_SO_MEMINFO = 55
_MEMINFO_BYTES, _DROPS = 36, struct.Struct("=32xI")

_GONE = frozenset({errno.ENODEV, errno.ENXIO, errno.ENOENT, errno.EIO, errno.EAFNOSUPPORT})


def open_bus(
    interface: str, channel: str, *, bitrate_bps: int, is_fd: bool, wanted_ids: Collection[tuple[int, bool]]
) -> Port:
    """Open a bus; may block for seconds. BusError if it is not there, ConfigurationError if it cannot exist.

    SocketCAN links get their bit rate from systemd-networkd (the agent may not set it); other adapters get it here.
    """
    if interface == "socketcan":
        # The default holds some 280 frames, 70 ms of a bus of which all are wanted.
        buffer_bytes = receive_buffer_bytes(bitrate_bps, is_fd=is_fd)
        try:
            return RawSocket(channel, is_fd=is_fd, wanted_ids=wanted_ids, buffer_bytes=buffer_bytes)
        except OSError as error:
            raise bus_error(f"{interface} {channel}", error) from error
    return _opened_by_library(interface, channel, bitrate_bps=bitrate_bps, is_fd=is_fd)


def _opened_by_library(interface: str, channel: str, *, bitrate_bps: int, is_fd: bool) -> Port:
    import can

    options: dict[str, Any]
    if interface == "virtual":
        options = {"receive_own_messages": False}
    else:
        options = {"bitrate": bitrate_bps} | ({"fd": True} if is_fd else {})
    try:
        # ignore_config: a ~/.canrc or CAN_INTERFACE in the environment must not decide what a car sends on.
        bus = can.Bus(channel=channel, interface=interface, ignore_config=True, **options)
    except (NotImplementedError, ImportError, TypeError, ValueError) as error:
        raise ConfigurationError(f"python-can cannot open {interface!r} on {channel!r}: {error}") from error
    except (can.CanError, OSError) as error:
        raise bus_error(f"{interface} {channel}", error) from error
    if (port := _serial_port(bus)) is not None:
        # Waiting for the last byte to leave (tcdrain) has no time limit, and a hung adapter would hang the agent.
        port.flush = lambda: None
        port.write_timeout = WRITE_WAIT_S
    return cast(Port, bus)


def receive_buffer_bytes(bitrate_bps: int, *, is_fd: bool) -> int:
    """Room for all that a full bus of this bit rate brings while nobody reads."""
    frames = math.ceil(STALL_S * bitrate_bps * (_FD_SPEED if is_fd else 1) / _FRAME_BITS)
    return frames * KERNEL_FRAME_BYTES


def shut_down(bus: Port) -> None:
    """Close a bus, also one whose adapter has gone."""
    try:
        bus.shutdown()
    except driver_errors():
        # slcan says goodbye to its adapter first, and leaves the port open if that is not there to hear it.
        if (port := _serial_port(bus)) is not None:
            port.close()


async def opened_in_thread(open_it: Callable[[], Port]) -> Port:
    """Open a bus that may take its time; if nobody waits for it any more it is closed once it is there."""
    opening = asyncio.ensure_future(asyncio.to_thread(open_it))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_shut_down_late)
        raise


def _shut_down_late(opening: asyncio.Future[Port]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        shut_down(opening.result())


def lost_messages(receiver: socket.socket) -> int:
    """What the kernel threw away since the socket was opened because its buffer was full; 0 if it does not say."""
    try:
        told = receiver.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO_BYTES)
    except OSError:
        return 0
    return int(_DROPS.unpack(told)[0]) if len(told) == _MEMINFO_BYTES else 0


def driver_errors() -> tuple[type[Exception], ...]:
    """What a driver raises when it fails; python-can's own only where it has been loaded."""
    return OSError, getattr(sys.modules.get("can"), "CanError", OSError)


def bus_error(place: str, error: Exception) -> BusError:
    """What an interface raised, as ours; `errno_of` finds the number it came with."""
    failure = BusError(f"{place}: {error}")
    failure.__cause__ = error
    return failure


def errno_of(error: BaseException | None) -> int | None:
    """The system's number for a failure, looked for along its causes; None if there is none."""
    while error is not None:
        number = getattr(error, "error_code", None) or getattr(error, "errno", None)
        if isinstance(number, int):
            return number
        error = error.__cause__
    return None


def state_after(error: BusError) -> BusState:
    """Whether an interface that failed so is there and down, or not there at all."""
    return BusState.GONE if errno_of(error) in _GONE else BusState.DOWN


def _serial_port(bus: object) -> Any:
    return getattr(bus, "serialPortOrig", None)
