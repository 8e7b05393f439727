"""What the CAN edge computes: when a frame arrived, what a controller says of itself, and what may be sent.

Pure functions.  The send list here is the second of two (SR-01): it is made from the profile's rules alone and
shares no code with the engine's check, so that a fault in either does not put a frame on the bus.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from agent.model.frame import BusState, Frame, SendRule

# A wall clock that was set is off by more than this; slewing (500 ppm at most) takes ten seconds to get here.
CLOCK_STEP_S = 0.005

# linux/can/error.h: classes in the id of an error frame, and bits of its second byte.
_ERROR_CONTROLLER = 0x004
_ERROR_BUS_OFF = 0x040
_ERROR_RESTARTED = 0x100
_CONTROLLER_PASSIVE = 0x30
_CONTROLLER_ACTIVE = 0x40


def arrival_s(
    timestamp_unix_s: float, offset_s: float, offset_before_s: float, earliest_s: float, now_s: float
) -> float:
    """Boot time at which a frame arrived, from the wall time the kernel stamped it with.

    `offset_s` is wall minus boot time now, `offset_before_s` the same when the socket was last seen empty, at
    `earliest_s`; the result lies in `earliest_s … now_s`.  If the wall clock was set in between, the stamp means
    nothing and the frame counts as old as it can be: age is only ever overstated, so that no frame passes for
    newer than one of ours that was sent after it (SR-04).
    """
    at_s = timestamp_unix_s - offset_s
    # Negated, so that a time that is not a number counts as old too.
    if not (abs(offset_s - offset_before_s) <= CLOCK_STEP_S and at_s >= earliest_s):
        return earliest_s
    return min(at_s, now_s)


def controller_state(error_class: int, data: bytes) -> BusState | None:
    """What an error frame says of the controller's state; None if it speaks of something else (linux/can/error.h)."""
    if error_class & _ERROR_BUS_OFF:
        return BusState.BUS_OFF
    if error_class & _ERROR_RESTARTED:
        return BusState.UP
    if error_class & _ERROR_CONTROLLER and len(data) > 1:
        if data[1] & _CONTROLLER_PASSIVE:
            return BusState.ERROR_PASSIVE
        if data[1] & _CONTROLLER_ACTIVE:
            return BusState.UP
    return None


class SendList:
    """The frames one bus may carry from us: looked up by exact id, format and length, then compared bit by bit."""

    def __init__(self, bus: str, rules: Sequence[SendRule]) -> None:
        patterns: dict[tuple[int, bool, bool, int], list[tuple[int, int]]] = defaultdict(list)
        for rule in rules:
            if rule.bus != bus:
                continue
            if len(rule.mask) != len(rule.value):
                raise ValueError(f"send rule {rule.arbitration_id:#x} on {bus}: mask and value differ in length")
            key = (rule.arbitration_id, rule.is_extended_id, rule.is_fd, len(rule.value))
            patterns[key].append((int.from_bytes(rule.mask), int.from_bytes(rule.value)))
        self._bus = bus
        self._patterns = dict(patterns)

    def __contains__(self, frame: Frame) -> bool:
        key = (frame.arbitration_id, frame.is_extended_id, frame.is_fd, len(frame.data))
        bits = int.from_bytes(frame.data)
        return frame.bus == self._bus and any(not (bits ^ value) & mask for mask, value in self._patterns.get(key, ()))
