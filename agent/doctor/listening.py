"""Hearing SocketCAN interfaces for a few seconds. Nothing here sends: no socket is ever written to."""

from __future__ import annotations

import selectors
import socket
import struct
import time
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import replace

from agent.doctor.checks.bus import HeardFacts
from agent.model.frame import Frame
from agent.model.quick_dataclass import dataclass
from agent.profile_tools.coverage import Coverage
from agent.profile_tools.traffic import id_text
from agent.profiles.schema import Profile

# linux/can.h: flags in the id, and the two frame layouts (id, length, flags, reserved, data).
_EXTENDED, _REMOTE, _ERROR = 0x80000000, 0x40000000, 0x20000000
_ID_STANDARD, _ID_EXTENDED, _ERROR_CLASSES = 0x7FF, 0x1FFFFFFF, 0x1FFFFFFF
_CLASSIC = struct.Struct("=IB3x8s")
_FD = struct.Struct("=IBB2x64s")

# linux/can/raw.h; Python's own name for it is not on every system.
_RAW_ERROR_FILTER = 2

# A bus with an error flood would otherwise keep the loop from its end.
_FRAMES_PER_TURN = 256


@dataclass(slots=True)
class _Ear:
    bus: str
    frames: int = 0
    errors: int = 0


def listen(channels: Mapping[str, str], profile: Profile, seconds: float) -> dict[str, HeardFacts | str]:
    """Each bus (name → SocketCAN interface) → what was heard, or in words why nothing could be."""
    ears: list[_Ear] = []
    coverage = Coverage(profile)
    found: dict[str, HeardFacts | str] = {}
    with ExitStack() as opened, selectors.DefaultSelector() as selector:
        for bus, channel in channels.items():
            try:
                can = opened.enter_context(_open(channel))
            except OSError as error:
                found[bus] = f"{channel} cannot be listened to: {error.strerror or error}"
                continue
            ears.append(ear := _Ear(bus))
            selector.register(can, selectors.EVENT_READ, ear)
        end_s = time.monotonic() + seconds
        while ears and (left_s := end_s - time.monotonic()) > 0:
            for key, _ in selector.select(left_s):
                try:
                    _hear(key.fileobj, key.data, coverage)  # type: ignore[arg-type]
                except OSError as error:
                    selector.unregister(key.fileobj)
                    ears.remove(key.data)
                    found[key.data.bus] = f"{channels[key.data.bus]} failed while listening: {error.strerror or error}"
    coverage.end_log()
    for ear in ears:
        messages = [message.name for message in profile.messages if ear.bus in message.buses]
        how = f"listened for {seconds:g} s on {channels[ear.bus]}"
        facts = heard_facts(how, ear.frames, ear.errors, counts_of(coverage), messages)
        found[ear.bus] = replace(facts, mismatches=mismatches_of(coverage, ear.bus))
    return found


def counts_of(coverage: Coverage) -> dict[str, tuple[int, int]]:
    """Frames that came of each message, and how many of them were refused."""
    return {
        name: (
            seen.counts.received,
            seen.counts.refused_length + seen.counts.refused_checksum + seen.counts.refused_counter,
        )
        for name, seen in coverage.messages.items()
    }


def mismatches_of(coverage: Coverage, bus: str) -> tuple[str, ...]:
    """In words, the messages of a bus whose id means something else on this car."""
    return tuple(
        f"{id_text(mismatch.plan.arbitration_id, is_extended_id=mismatch.plan.is_extended_id)} "
        f"{mismatch.plan.name}: {mismatch.problem}"
        for mismatch in coverage.mismatches()
        if bus in (mismatch.plan.buses if mismatch.other_bus is None else (mismatch.other_bus,))
    )


def heard_facts(
    how: str, frames: int, errors: int, counts: Mapping[str, tuple[int, int]], messages: Collection[str]
) -> HeardFacts:
    """Facts of the bus that `messages` are of, from what came and was refused of each message."""
    came = {name: counts[name] for name in messages if counts.get(name, (0, 0))[0]}
    believed = frozenset(name for name, (received, refused) in came.items() if received > refused)
    return HeardFacts(how, frames, errors, believed, frozenset(came) - believed)


def _open(channel: str) -> socket.socket:
    if not hasattr(socket, "AF_CAN"):
        raise OSError("this Python knows no CAN")
    can = socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW)
    try:
        can.setblocking(False)
        can.setsockopt(socket.SOL_CAN_RAW, _RAW_ERROR_FILTER, _ERROR_CLASSES)
        can.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FD_FRAMES, 1)
        can.bind((channel,))
    except BaseException:
        can.close()
        raise
    return can


def _hear(can: socket.socket, ear: _Ear, coverage: Coverage) -> None:
    for _ in range(_FRAMES_PER_TURN):
        try:
            raw = can.recv(_FD.size)
        except BlockingIOError:
            return
        is_fd = len(raw) == _FD.size
        identifier, length, *_, data = (_FD if is_fd else _CLASSIC).unpack(raw)
        if identifier & _ERROR:
            ear.errors += 1
            continue
        ear.frames += 1
        if not identifier & _REMOTE:
            is_extended = bool(identifier & _EXTENDED)
            arbitration_id = identifier & (_ID_EXTENDED if is_extended else _ID_STANDARD)
            coverage.take(Frame(ear.bus, arbitration_id, data[:length], time.monotonic(), is_extended, is_fd))
