"""What the CAN edge computes: when a frame arrived, what a controller says, when to try again, what may be sent.

Pure functions.  The send list here is the second of two (SR-01): it is made from the profile's rules alone and
shares no code with the engine's check, so that a fault in either does not put a frame on the bus.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from agent.model.bus import BusSign
from agent.model.frame import BusState, Frame, SendRule

# A wall clock that was set is off by more than this; slewing (500 ppm at most) takes ten seconds to get here.
CLOCK_STEP_S = 0.005

# So long a change may wait for others, at most: of what a person sees of a car nobody misses it. One that comes alone,
# longer than this after the one before, does not wait.
GATHER_S = 0.5

BACK_OFF_S_MIN = 1.0
BACK_OFF_S_MAX = 60.0

# linux/can/error.h: classes in the id of an error frame, the weightiest first, and bits of its second byte.
_ERROR_CONTROLLER = 0x004
_CLASSES: tuple[tuple[int, BusSign], ...] = (
    (0x040, BusSign.CONTROLLER_OFF),
    (0x100, BusSign.CONTROLLER_RESTARTED),
    (0x001, BusSign.SEND_TIMEOUT),
    (0x020, BusSign.NO_ACKNOWLEDGEMENT),
    (0x08A, BusSign.PROTOCOL_ERROR),  # protocol violation, lost arbitration, bus error
)
_CONTROLLER: tuple[tuple[int, BusSign], ...] = (
    (0x30, BusSign.CONTROLLER_PASSIVE),
    (0x0C, BusSign.CONTROLLER_WARNING),
    (0x40, BusSign.CONTROLLER_ACTIVE),
    (0x03, BusSign.OVERFLOW),
)

STATE_SHOWN: Mapping[BusSign, BusState] = {
    BusSign.LINK_UP: BusState.UP,
    BusSign.LINK_DOWN: BusState.DOWN,
    BusSign.LINK_GONE: BusState.GONE,
    BusSign.NO_CARRIER: BusState.BUS_OFF,
    BusSign.CONTROLLER_OFF: BusState.BUS_OFF,
    BusSign.CONTROLLER_RESTARTED: BusState.UP,
    BusSign.CONTROLLER_PASSIVE: BusState.ERROR_PASSIVE,
    # A level of warning is still error-active.
    BusSign.CONTROLLER_WARNING: BusState.UP,
    BusSign.CONTROLLER_ACTIVE: BusState.UP,
}
"""The state of the interface that a sign shows, where it shows one whatever was before."""


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


def next_back_off_s(before_s: float, open_for_s: float) -> float:
    """How long to wait before an interface is opened again, `before_s` the wait before this try, 0 if there was none.

    One that stayed open for longer than the longest wait has failed for the first time.
    """
    if before_s == 0.0 or open_for_s > BACK_OFF_S_MAX:
        return BACK_OFF_S_MIN
    return min(2 * before_s, BACK_OFF_S_MAX)


def sign_of(error_class: int, data: bytes) -> BusSign | None:
    """The weightiest thing an error frame says, the controller's state before single faults; None: nothing of use."""
    classes = (sign for mask, sign in _CLASSES if error_class & mask)
    first = next(classes, None)
    if first in (BusSign.CONTROLLER_OFF, BusSign.CONTROLLER_RESTARTED):
        return first
    if error_class & _ERROR_CONTROLLER and len(data) > 1:
        return next((sign for mask, sign in _CONTROLLER if data[1] & mask), first)
    return first


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
