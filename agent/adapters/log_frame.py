"""A frame as a log states it, made ours; what no CAN bus can carry is told instead of passed on."""

from __future__ import annotations

import math

import can

from agent.model.frame import Frame

DATA_BYTES_MAX = 8
FD_DATA_BYTES_MAX = 64


class LogFaultError(ValueError):
    """What a log says at this place is wrong."""


def checked_id(arbitration_id: int, *, is_extended_id: bool) -> int:
    """The identifier, if it is one of 29 or 11 bits; raises LogFaultError."""
    # A log in a database can hold any type in any place, and True is an int to Python.
    if type(arbitration_id) is not int or not 0 <= arbitration_id <= (0x1FFF_FFFF if is_extended_id else 0x7FF):
        shown = f"{arbitration_id:X}" if type(arbitration_id) is int else repr(arbitration_id)
        raise LogFaultError(f"{shown:.60} is no {29 if is_extended_id else 11}-bit id")
    return arbitration_id


def checked_data(data: bytes, *, is_fd: bool) -> bytes:
    """The payload, if it fits into one frame; raises LogFaultError."""
    if len(data) > (bytes_max := FD_DATA_BYTES_MAX if is_fd else DATA_BYTES_MAX):
        raise LogFaultError(f"{len(data)} bytes of data, at most {bytes_max} fit")
    return data


def frame_of(message: can.Message) -> Frame | None:
    """Frame in a message of python-can; None for error and remote frames, LogFaultError for what is no frame."""
    if message.is_error_frame or message.is_remote_frame:
        return None
    if not math.isfinite(message.timestamp):
        raise LogFaultError(f"{message.timestamp} is no time")
    return Frame(
        bus="" if message.channel is None else str(message.channel),
        arbitration_id=checked_id(message.arbitration_id, is_extended_id=message.is_extended_id),
        data=checked_data(bytes(message.data), is_fd=message.is_fd),
        received_at_s=float(message.timestamp),
        is_extended_id=message.is_extended_id,
        is_fd=message.is_fd,
    )
