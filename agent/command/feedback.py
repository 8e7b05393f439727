"""What the car says after our frame: the only thing that makes a command "verified" (SR-04)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator

from agent.model.command import Executed, Reason, Stage
from agent.model.quick_dataclass import dataclass
from agent.model.reading import Quality, Reading, Value
from agent.model.recipe import Feedback

REFUSALS_MAX = 1
"""Frames of a feedback message that may fail their counter or checksum in one window; noise makes one, a second
sender (whose frames push the true one's out of step) makes many (H96)."""


@dataclass(slots=True)
class _Source:
    """One message that reports one feedback path. `run` counts the frames in a row that show the asked state."""

    last: Reading
    run: int = 0
    run_since_s: float = math.inf
    asked: Reading | None = None
    other: Reading | None = None
    is_contradictory: bool = False
    """It showed the asked state and then another: somebody else acts on the car, or on the bus (H96)."""


class FeedbackWatch:
    """Feedback readings since our first command frame left, source by source, for as long as the window is open.

    A path may be reported by several messages; all of them that report must agree.  Where several frames in a row
    are asked for, they must span `run_s_min` as well: spoofed at a high rate, any number of them fits between two
    frames of the true sender, who is to have his say (H96).  Until `settled_at_s` a command before this one may still
    take effect, so nothing seen before counts.
    """

    def __init__(
        self,
        feedback: tuple[Feedback, ...],
        *,
        window_s: float,
        run_s_min: float,
        settled_at_s: float = -math.inf,
    ) -> None:
        self._feedback = feedback
        self._window_s = window_s
        self._run_s_min = run_s_min
        self._sources: dict[str, dict[str, _Source]] = {wanted.path: {} for wanted in feedback}
        self._settled_at_s = settled_at_s
        self.is_pulsing = False
        """A pulse was asked for and its end is not told yet: it may work already, and nobody can say since when."""
        # Shown before then, or within a pulse, it verifies nothing, and yet "unchanged" would not be true any more.
        self._has_shown_early = False
        self._refusals: Counter[str] = Counter()
        self._sent_first_s = math.inf
        self._sent_last_s = math.inf

    @property
    def is_open(self) -> bool:
        """Whether a command frame has left."""
        return self._sent_first_s < math.inf

    @property
    def ends_s(self) -> float:
        """When the verdict is due: never, before the first frame and for a car that gives no feedback."""
        return max(self._sent_first_s, self._settled_at_s) + self._window_s if self._feedback else math.inf

    @property
    def effect_until_s(self) -> float:
        """Until when the last frame that left, or may have left, may still take effect."""
        return self._sent_last_s + self._window_s if self._sent_last_s < math.inf else -math.inf

    def frame_sent(self, at_s: float) -> None:
        """A command frame left; the first one opens the window."""
        self._sent_first_s = min(self._sent_first_s, at_s)
        self._sent_last_s = at_s
        self.is_pulsing = False

    def frame_in_doubt(self, now_s: float) -> None:
        """A command frame may have left by now: it is no answer to anything, but "unchanged" must be said after it."""
        self._sent_last_s = now_s

    def receive(self, readings: Iterable[Reading]) -> None:
        """Take in readings; those of frames received no later than our first one left do not count (H97)."""
        for reading in readings:
            is_after = reading.at_s > self._sent_first_s
            if not (is_after or self.is_pulsing):
                continue
            for wanted in self._feedback:
                if wanted.path != reading.path:
                    continue
                if is_after and reading.at_s > self._settled_at_s:
                    self._take(wanted, reading)
                elif reading.quality is Quality.OK and _is_equal(reading.value, wanted.equals):
                    self._has_shown_early = True

    def refused(self, message: str) -> None:
        """A frame of this message was not believed: what it would have said is not known, so no run goes over it."""
        if not self.is_open:
            return
        self._refusals[message] += 1
        for by_message in self._sources.values():
            if message in by_message:
                by_message[message].run = 0

    def _take(self, wanted: Feedback, reading: Reading) -> None:
        source = self._sources[wanted.path].setdefault(reading.message, _Source(reading))
        source.last = reading
        if reading.quality is not Quality.OK:
            source.run = 0
        elif _is_equal(reading.value, wanted.equals):
            if source.run == 0:
                source.run_since_s = reading.at_s
            source.run += 1
            source.asked = reading
        else:
            source.is_contradictory = source.is_contradictory or source.asked is not None
            source.other = reading

    @property
    def is_verified(self) -> bool:
        """Every path shows the asked state, for as many frames in a row as asked, and no source took it back."""
        return bool(self._feedback) and all(
            bool(sources := self._sources[wanted.path])
            and all(self._is_confirmed(wanted, source) for source in sources.values())
            for wanted in self._feedback
        )

    def _is_confirmed(self, wanted: Feedback, source: _Source) -> bool:
        if source.is_contradictory or self._is_doubtful(source) or source.run < wanted.confirmations:
            return False
        return wanted.confirmations == 1 or source.last.at_s - source.run_since_s >= self._run_s_min

    def _is_doubtful(self, source: _Source) -> bool:
        return self._refusals[source.last.message] > REFUSALS_MAX

    def verdict(self) -> tuple[Stage, Reason, Executed]:
        """What is to be said at the end of the window."""
        if self.is_verified:
            return Stage.VERIFIED, Reason.OK, Executed.YES
        sources = [source for by_message in self._sources.values() for source in by_message.values()]
        has_asked = self._has_shown_early or any(source.asked is not None for source in sources)
        has_other = any(source.other is not None for source in sources)
        if has_asked and (has_other or any(self._is_doubtful(source) for source in sources)):
            return Stage.FAILED, Reason.CONFLICTING_STATE, Executed.UNKNOWN
        # "Unchanged" needs every source to say so last, after our last frame, and to the end of the window: one silent
        # since then may have changed, and one that shows no state at all (its motors run) is about to.
        needed_after_s = max(self._sent_last_s, self.ends_s - self._window_s * _LAST_WORD)
        is_unchanged = all(self._sources.values()) and all(
            source.last is source.other and source.last.at_s > needed_after_s and not self._is_doubtful(source)
            for source in sources
        )
        if has_other and is_unchanged:
            return Stage.FAILED, Reason.NO_STATE_CHANGE, Executed.NO
        return Stage.EXECUTED_UNVERIFIED, Reason.TIMEOUT, Executed.UNKNOWN

    def readings(self) -> Iterator[Reading]:
        """What the verdict rests on: the newest of each source, and both states where it showed both in vain."""
        if not self.is_open:
            return
        is_verified = self.is_verified
        for path, by_message in self._sources.items():
            for source in by_message.values():
                if is_verified or source.asked is None or source.other is None:
                    yield source.last
                else:
                    yield from (source.asked, source.other)
            if not by_message:
                yield Reading(path, None, None, self._sent_first_s, Quality.UNKNOWN, "not_received")


# The last part of the window in which a source must still have spoken for its silence not to count.
_LAST_WORD = 1 / 3


def _is_equal(value: Value | None, wanted: Value) -> bool:
    """Equality that tells `True` from 1, as cars do and Python does not."""
    return isinstance(value, bool) == isinstance(wanted, bool) and value == wanted
