"""This run of the agent as a span of time: what every deadline and every label of a record is counted in."""

from __future__ import annotations

from agent.model.events import ClockTrust
from agent.model.quick_dataclass import dataclass
from agent.uplink import wire


@dataclass(slots=True)
class Session:
    """This run of the agent: its random id, when it began (boot time), and what is known of the wall clock."""

    sid: bytes
    started_s: float
    clock_offset_s: float | None = None
    clock_trust: ClockTrust = ClockTrust.FLOOR_ONLY

    def ms(self, now_s: float) -> int:
        """Session time: what every deadline of a command is counted in."""
        return int((now_s - self.started_s) * 1000)

    def unix_s(self, now_s: float) -> float | None:
        return None if self.clock_offset_s is None else now_s + self.clock_offset_s

    def moment(self, now_s: float) -> wire.Moment:
        """`now_s` as records tell it. A clock nobody vouches for is not told: a Pi begins in the past."""
        is_known = self.clock_trust is not ClockTrust.FLOOR_ONLY
        unix_s = self.unix_s(now_s) if is_known else None
        return wire.Moment(self.ms(now_s), unix_s, int(self.clock_trust), self.sid)
