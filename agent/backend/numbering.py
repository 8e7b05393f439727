"""Which of a car's record numbers have come, which were given up, and which are missing.

Pure: one `Numbering` is one run of numbers, as one store of the car gave them out; time comes in as `now_s`.

A number that was skipped is `AWAITED` at first, for the car tells samples, events that waited, and live events by
three lanes, each in order of its numbers (`agent.uplink.outbox`): the number may still be on its way by a lane that is
behind.  It is `MISSING` once a sample and a waiting event with higher numbers have come, or nothing is waiting any
more, and a minute's gap record has had its time to explain it.  A record that the broker refused is told after later
ones, so `MISSING` means missing so far: what comes after all is said to.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field, replace
from enum import StrEnum

from agent.model.quick_dataclass import dataclass
from agent.model.records import Span

SETTLE_S = 90.0
"""A car says once a minute what it gave up, and a lane with anything to tell has a share of the link at all times."""

HOLES_MAX = 1000
"""A hole is some hundred bytes. Beyond that the lowest are no longer followed, and said to be missing if need be."""

SPANS_MAX = 64
"""So many has one gap record at most."""


class Fate(StrEnum):
    """What is known of a number that has not come."""

    AWAITED = "awaited"
    MISSING = "missing"
    GIVEN_UP = "given_up"
    """A gap record of the car accounts for it: given up to keep a bound, or never any record's."""


class Arrival(StrEnum):
    """How a record came, by its number."""

    NEXT = "next"
    """Above all before it."""
    LATE = "late"
    """After higher ones, as a record does that had waited."""
    AFTER_ALL = "after_all"
    """It had been said to be missing or given up, and that is herewith withdrawn."""
    UNCOUNTED = "uncounted"
    """From before the counting began: it may be a repetition."""
    REPEATED = "repeated"
    """Its number has come before."""


@dataclass(frozen=True, slots=True)
class Hole:
    """Numbers `first` to `last` have not come; `since_s` is when something was last learned of them."""

    first: int
    last: int
    fate: Fate = Fate.AWAITED
    is_behind_sample: bool = False
    is_behind_event: bool = False
    since_s: float = 0.0

    @property
    def size(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Settled:
    """These numbers have another fate now.

    `is_unsure`: some may have been given up, or never any record's; it was not said which.
    """

    first: int
    last: int
    fate: Fate
    was_missing: bool = False
    is_unsure: bool = False


@dataclass(frozen=True, slots=True)
class Numbering:
    """All numbers from `known_from` to `last` have come, but for those in `holes`, which ascend.

    `spans` are gap records' that cannot be told apart yet: more is open in them than was given up.
    """

    known_from: int
    last: int
    holes: tuple[Hole, ...] = ()
    spans: tuple[Span, ...] = ()
    waited_at_s: float = field(default=float("-inf"))
    """When the last event came that had waited in the car."""

    def count(self, fate: Fate) -> int:
        """How many numbers have this fate."""
        return sum(hole.size for hole in self.holes if hole.fate is fate)

    def arrived(
        self, number: int, now_s: float, *, is_sample: bool, is_historical: bool
    ) -> tuple[Numbering, Arrival, tuple[Settled, ...]]:
        """Take in that a record with this number has come; what that settles is told."""
        if number < self.known_from:
            return self, Arrival.UNCOUNTED, ()
        if number > self.last:
            opened = (Hole(self.last + 1, number - 1, since_s=now_s),) if number > self.last + 1 else ()
            after, arrival = replace(self, last=number, holes=(*self.holes, *opened)), Arrival.NEXT
        elif (hole := self._hole_of(number)) is not None:
            after = replace(self, holes=_cut(self.holes, number, number, None))
            arrival = Arrival.LATE if hole.fate is Fate.AWAITED else Arrival.AFTER_ALL
        else:
            return self, Arrival.REPEATED, ()
        after, settled = after._passed(number, now_s, is_sample=is_sample, is_historical=is_historical).explained(())
        after, forgotten = after._bounded()
        return after, arrival, (*settled, *forgotten)

    def accounted(self, number: int) -> Numbering:
        """The number is that of something told elsewhere: no record has it."""
        return replace(self, holes=_cut(self.holes, number, number, None))

    def explained(self, spans: Iterable[Span]) -> tuple[Numbering, tuple[Settled, ...]]:
        """Take in what a gap record says.

        A span of neighbours that became one says how many of its numbers are gone, not which: it explains them once no
        more are open in it.
        """
        after, settled, waiting = self, list[Settled](), list[Span]()
        for span in (*self.spans, *spans):
            open_parts = [part for part in _parts(after.holes, span.first, span.last) if part.fate is not Fate.GIVEN_UP]
            if not open_parts:
                continue
            if sum(part.size for part in open_parts) > span.count + span.unused:
                waiting.append(span)
                continue
            for part in open_parts:
                after = replace(after, holes=_cut(after.holes, part.first, part.last, Fate.GIVEN_UP))
                was_missing = part.fate is Fate.MISSING
                settled.append(Settled(part.first, part.last, Fate.GIVEN_UP, was_missing=was_missing))
        if after is self and tuple(waiting) == self.spans:
            return self, ()
        return replace(after, holes=_joined(after.holes), spans=tuple(waiting[-SPANS_MAX:])), tuple(settled)

    def looked_at(self, now_s: float) -> tuple[Numbering, tuple[Settled, ...]]:
        """Time has passed: what both lanes have passed long enough ago is missing."""
        due = [
            hole
            for hole in self.holes
            if hole.fate is Fate.AWAITED
            and hole.is_behind_sample
            and hole.is_behind_event
            and now_s - hole.since_s >= SETTLE_S
        ]
        return self._lost(due) if due else (self, ())

    def ended(self) -> tuple[Settled, ...]:
        """The car has lost what it had not told of this run of numbers: all that was awaited is missing."""
        return self._lost([hole for hole in self.holes if hole.fate is Fate.AWAITED])[1]

    def ended_below(self, first: int) -> tuple[Numbering, tuple[Settled, ...]]:
        """The car has lost what it had not told of the numbers below `first`, and with it how many those were."""
        awaited = [part for part in _parts(self.holes, 0, first - 1) if part.fate is Fate.AWAITED]
        return self._lost(awaited, is_unsure=True)

    def has(self, number: int) -> bool:
        """Whether a record with this number has come; those from before the counting began are not known to have."""
        return self.known_from <= number <= self.last and self._hole_of(number) is None

    def resumed(self, now_s: float) -> Numbering:
        """As it was saved, in a process whose clock is another: what is awaited gets its time anew."""
        return replace(self, holes=tuple(replace(hole, since_s=now_s) for hole in self.holes), waited_at_s=now_s)

    def _lost(self, holes: Iterable[Hole], *, is_unsure: bool = False) -> tuple[Numbering, tuple[Settled, ...]]:
        after, settled = self.holes, list[Settled]()
        for hole in holes:
            after = _cut(after, hole.first, hole.last, Fate.MISSING)
            is_in_span = any(span.first <= hole.last and hole.first <= span.last for span in self.spans)
            settled.append(Settled(hole.first, hole.last, Fate.MISSING, is_unsure=is_unsure or is_in_span))
        return replace(self, holes=_joined(after)), tuple(settled)

    def _hole_of(self, number: int) -> Hole | None:
        return next((hole for hole in self.holes if hole.first <= number <= hole.last), None)

    def _passed(self, number: int, now_s: float, *, is_sample: bool, is_historical: bool) -> Numbering:
        """What a record overtakes cannot be on its way by the same lane."""
        waited_at_s = now_s if is_historical and not is_sample else self.waited_at_s

        def look(hole: Hole) -> Hole:
            if hole.fate is not Fate.AWAITED or hole.last > number:
                return hole
            is_nothing_waiting = not is_historical and now_s - max(hole.since_s, waited_at_s) >= SETTLE_S
            behind_sample = hole.is_behind_sample or is_sample
            behind_event = hole.is_behind_event or is_nothing_waiting or (is_historical and not is_sample)
            if (behind_sample, behind_event) == (hole.is_behind_sample, hole.is_behind_event):
                return hole
            return replace(hole, is_behind_sample=behind_sample, is_behind_event=behind_event, since_s=now_s)

        return replace(self, holes=tuple(map(look, self.holes)), waited_at_s=waited_at_s)

    def _bounded(self) -> tuple[Numbering, tuple[Settled, ...]]:
        excess = len(self.holes) - HOLES_MAX
        if excess <= 0:
            return self, ()
        let_go, kept = self.holes[:excess], self.holes[excess:]
        _, settled = self._lost([hole for hole in let_go if hole.fate is Fate.AWAITED])
        return replace(self, known_from=let_go[-1].last + 1, holes=kept), settled


def _parts(holes: Iterable[Hole], first: int, last: int) -> list[Hole]:
    """The holes within these bounds, cut to them."""
    return [
        replace(hole, first=max(first, hole.first), last=min(last, hole.last))
        for hole in holes
        if hole.first <= last and first <= hole.last
    ]


def _cut(holes: Iterable[Hole], first: int, last: int, fate: Fate | None) -> tuple[Hole, ...]:
    """The holes with another fate within these bounds, None for none at all: no longer a hole."""
    cut: list[Hole] = []
    for hole in holes:
        if hole.last < first or last < hole.first:
            cut.append(hole)
            continue
        if hole.first < first:
            cut.append(replace(hole, last=first - 1))
        if fate is not None:
            cut.append(replace(hole, first=max(first, hole.first), last=min(last, hole.last), fate=fate))
        if last < hole.last:
            cut.append(replace(hole, first=last + 1))
    return tuple(cut)


def _joined(holes: Iterable[Hole]) -> tuple[Hole, ...]:
    """Neighbours of one fate that is settled are one hole."""
    joined: list[Hole] = []
    for hole in holes:
        if (
            joined
            and hole.fate is not Fate.AWAITED
            and joined[-1].fate is hole.fate
            and joined[-1].last + 1 == hole.first
        ):
            joined[-1] = replace(joined[-1], last=hole.last)
        else:
            joined.append(hole)
    return tuple(joined)
