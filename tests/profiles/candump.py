"""Reads candump's log text without python-can, so that a recording's test rests on the decoder alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from agent.model.frame import Frame


def frames(lines: Iterable[str]) -> Iterator[Frame]:
    """Data frames of `(seconds) bus ID#DATA` lines; an identifier of eight digits is an extended one."""
    for line in lines:
        stamp, bus, frame = line.split()[:3]
        identifier, payload = frame.split("#")
        yield Frame(
            bus=bus,
            arbitration_id=int(identifier, 16),
            data=bytes.fromhex(payload),
            received_at_s=float(stamp[1:-1]),
            is_extended_id=len(identifier) == 8,
        )
