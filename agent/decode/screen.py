"""Is this frame to be believed? Length, checksum and rolling counter of one message, every refusal counted."""

from __future__ import annotations

from enum import Enum

from agent.model.frame import BitField
from agent.model.quick_dataclass import dataclass
from agent.profiles.schema import CounterRule, MessagePlan


class Verdict(Enum):
    BELIEVED = "believed"
    LENGTH = "length"
    CHECKSUM = "checksum"
    COUNTER = "counter"


# Looked up once, for nearly every frame is.
_BELIEVED = Verdict.BELIEVED


@dataclass(slots=True)
class FrameCounts:
    """Frames of one message since start: all, and those refused by cause.

    `unknown_selector` counts believed frames whose multiplexer value the DBC does not know.
    """

    received: int = 0
    refused_length: int = 0
    refused_checksum: int = 0
    refused_counter: int = 0
    unknown_selector: int = 0


class Screen:
    """Judges the frames of one message in the order they came."""

    def __init__(self, plan: MessagePlan) -> None:
        self.counts = FrameCounts()
        self.is_refused_last = False
        self._length_bytes = plan.length_bytes
        self._checksum = plan.checksum
        self._counter = _Counter(plan.counter) if plan.counter is not None else None
        self._has_checks = plan.checksum is not None or plan.counter is not None

    def judge(self, data: bytes, at_s: float) -> Verdict:
        """Whether a frame that came at `at_s` is to be believed; bytes beyond the message's length do not count."""
        counts = self.counts
        counts.received += 1
        self.is_refused_last = True
        if len(data) < self._length_bytes:
            counts.refused_length += 1
            return Verdict.LENGTH
        if self._has_checks:
            if len(data) > self._length_bytes:
                data = data[: self._length_bytes]
            if self._checksum is not None and self._checksum.field.extract(data) != self._checksum.compute(data):
                counts.refused_checksum += 1
                return Verdict.CHECKSUM
            # After the checksum: a corrupt counter must not move what the next frame is compared with.
            if self._counter is not None and not self._counter.may_follow(data, at_s):
                counts.refused_counter += 1
                return Verdict.COUNTER
        self.is_refused_last = False
        return _BELIEVED

    def forget_count(self) -> None:
        """The next frame is not the one that follows the last: any counter is a new beginning."""
        if self._counter is not None:
            self._counter.forget()


class _Counter:
    """A rolling counter: a repeated value is a frozen or replayed sender, a jump is somebody else's frame.

    One foreign frame between two good ones costs nothing but itself, because both the last good value and the last
    jump are kept: a frame that follows the jump shows that the sender really went on from there.
    """

    def __init__(self, rule: CounterRule) -> None:
        self._field: BitField = rule.field
        self._modulus_mask = (1 << rule.field.length) - 1
        self._step_max = rule.step_max
        self._reset_after_s = rule.reset_after_s
        self._good: int | None = None
        self._jump: int | None = None
        self._at_s = 0.0

    def may_follow(self, data: bytes, at_s: float) -> bool:
        value = self._field.extract(data)
        is_new_beginning = self._good is None or at_s - self._at_s > self._reset_after_s
        self._at_s = at_s
        if is_new_beginning or self._follows(self._good, value) or self._follows(self._jump, value):
            self._good, self._jump = value, None
            return True
        self._jump = value
        return False

    def forget(self) -> None:
        self._good = self._jump = None

    def _follows(self, before: int | None, value: int) -> bool:
        return before is not None and 1 <= (value - before & self._modulus_mask) <= self._step_max
