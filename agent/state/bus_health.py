"""The health of one CAN bus as a state machine: signs and time in, changes out.

Two layers.  What the bus *shows* follows each sign at once, by `TABLE`.  Its *state* is the worst it has shown within
the last `STAND_S`: it gets worse at once, and better only when the better has stood.  So a bus that comes and goes is
told as gone, not as coming and going.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.model.bus import BusHealth, BusLook, BusSign
from agent.model.quick_dataclass import dataclass

# The kernel restarts a controller a second after bus-off (systemd/network); one that goes off again, with nothing
# mended, does so with the first frame it sends. Three such seconds without a relapse are taken for a recovery.
STAND_S = 3.0

_U, _A, _S, _P, _B, _D, _R = BusHealth

_ROWS: Mapping[BusSign, tuple[BusHealth, ...]] = {
    # Shown before:                 unknown, error_active, silent, error_passive, bus_off, down, removed
    # An interface opened anew has begun anew; no sign but this leads back from one that is down or not there.
    BusSign.LINK_UP: (_A, _A, _A, _A, _A, _A, _A),
    BusSign.LINK_DOWN: (_D, _D, _D, _D, _D, _D, _D),
    BusSign.LINK_GONE: (_R, _R, _R, _R, _R, _R, _R),
    BusSign.CARRIER: (_A, _A, _S, _P, _A, _D, _R),
    BusSign.NO_CARRIER: (_B, _B, _B, _B, _B, _D, _R),
    # A controller that counts errors is in use: whatever it says ends a silence.
    BusSign.CONTROLLER_ACTIVE: (_A, _A, _A, _A, _A, _D, _R),
    # A level of warning (96 errors) is still error-active; one that was passive (128) has got better.
    BusSign.CONTROLLER_WARNING: (_A, _A, _A, _A, _A, _D, _R),
    BusSign.CONTROLLER_PASSIVE: (_P, _P, _P, _P, _P, _D, _R),
    BusSign.CONTROLLER_OFF: (_B, _B, _B, _B, _B, _D, _R),
    BusSign.CONTROLLER_RESTARTED: (_A, _A, _A, _A, _A, _D, _R),
    # Single faults: the controller counts them itself, and says when they are too many.
    BusSign.PROTOCOL_ERROR: (_U, _A, _S, _P, _B, _D, _R),
    BusSign.NO_ACKNOWLEDGEMENT: (_U, _A, _S, _P, _B, _D, _R),
    BusSign.SEND_TIMEOUT: (_U, _A, _S, _P, _B, _D, _R),
    BusSign.OVERFLOW: (_U, _A, _S, _P, _B, _D, _R),
    # A controller that is off hears nothing; a passive one hears as well as any.
    BusSign.HEARD: (_A, _A, _A, _P, _A, _D, _R),
    BusSign.TRAFFIC: (_A, _A, _A, _P, _A, _D, _R),
    # Of a controller that is passive or off that says more than the silence which follows from it.
    BusSign.SILENCE: (_U, _S, _S, _P, _B, _D, _R),
    BusSign.REST: (_U, _A, _A, _P, _B, _D, _R),
}

TABLE: Mapping[BusHealth, Mapping[BusSign, BusHealth]] = {
    before: {sign: row[number] for sign, row in _ROWS.items()} for number, before in enumerate(BusHealth)
}
"""What a bus shows after a sign, by what it showed before."""

RANK: Mapping[BusHealth, int] = {health: number for number, health in enumerate(BusHealth)}
"""Of two states the one with the higher rank is worse."""


@dataclass(frozen=True, slots=True)
class HealthChange:
    """A bus is in another state since `at_s` (boot time); `cause` is the sign that showed it first."""

    state: BusHealth
    before: BusHealth
    cause: BusSign
    at_s: float


class HealthWatch:
    """One bus. Times must not go back; what is returned is the change this call made, None if it made none."""

    def __init__(self, silent_after_s: float, now_s: float) -> None:
        self._silent_after_s = silent_after_s
        self._shown = BusHealth.UNKNOWN
        self._shown_at_s = self._sound_at_s = now_s
        # Of each state: when the bus showed it last before now, and by which sign it came to show it.
        self._left_at_s: dict[BusHealth, float] = {}
        self._shown_by: dict[BusHealth, BusSign] = {}
        self.last: HealthChange | None = None
        self.changes = 0
        self.look = BusLook({})

    @property
    def state(self) -> BusHealth:
        """The worst of the last `STAND_S`, as of the last call."""
        return BusHealth.UNKNOWN if self.last is None else self.last.state

    @property
    def shown(self) -> BusHealth:
        """What the last sign showed, whether it has stood or not."""
        return self._shown

    def note(self, sign: BusSign, now_s: float) -> HealthChange | None:
        """Take in one sign."""
        shown = TABLE[self._shown][sign]
        if sign in _SOUNDS:
            self._sound_at_s = now_s
        if shown is not self._shown:
            self._left_at_s[self._shown] = now_s
            self._shown, self._shown_at_s, self._shown_by[shown] = shown, now_s, sign
        return self._settle(now_s)

    def take_look(self, look: BusLook, now_s: float) -> HealthChange | None:
        """Take in what was counted since the last look."""
        before, self.look = self.look, look
        if before.link is None or look.link is None:
            return None
        # Kernels before 5.17 count error frames as received, virtual interfaces our own frames too.
        errors = sum(look.errors.values()) - sum(before.errors.values())
        if look.link.rx_packets - before.link.rx_packets > errors + look.sent - before.sent:
            return self.note(BusSign.TRAFFIC, now_s)
        return None

    def handle_time(self, now_s: float, *, heard_at_s: float | None, is_in_use: bool) -> HealthChange | None:
        """Notice what time alone changes. `heard_at_s`: the last frame of the profile, None if there was none.

        `is_in_use`: the car was driving by the last it said of itself, however long ago.  Only then is silence a fault.
        """
        # A frame from before a bus-off says nothing of the time since.
        is_heard = heard_at_s is not None and heard_at_s > max(self._sound_at_s, self._shown_at_s)
        self._sound_at_s = max(self._sound_at_s, heard_at_s or self._sound_at_s)
        if now_s - self._sound_at_s > self._silent_after_s and is_in_use:
            return self.note(BusSign.SILENCE, now_s)
        if is_heard:
            return self.note(BusSign.HEARD, now_s)
        return self._settle(now_s) if is_in_use else self.note(BusSign.REST, now_s)

    def next_at(self, now_s: float) -> float | None:
        """When what it showed before has been left for long enough; None if there is nothing such."""
        return min((at_s + STAND_S for at_s in self._left_at_s.values() if at_s + STAND_S >= now_s), default=None)

    def _settle(self, now_s: float) -> HealthChange | None:
        recent = (state for state, at_s in self._left_at_s.items() if now_s - at_s < STAND_S)
        state = max((self._shown, *recent), key=RANK.__getitem__)
        if state is self.state:
            return None
        self.last = HealthChange(state, self.state, self._shown_by[state], now_s)
        self.changes += 1
        return self.last


# A bus that has only just come back has had no time to be heard. Frames of the profile have a time of their own.
_SOUNDS = frozenset({BusSign.LINK_UP, BusSign.CONTROLLER_RESTARTED, BusSign.TRAFFIC})
