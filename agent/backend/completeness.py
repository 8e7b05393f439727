"""What a car's numbered records say of those that did not come, over new stores of the car and restarts of ours.

Pure.  A `CarNumbers` is a value: it can be kept, saved as JSON, and gone back to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import cast

from agent.backend.documents import line
from agent.backend.numbering import HOLES_MAX, Arrival, Fate, Hole, Numbering, Settled
from agent.backend.records import SEQUENCE_MAX, CommandEnded, GapTold, Readings, Record, Started
from agent.errors import ConfigurationError
from agent.model.quick_dataclass import dataclass
from agent.model.records import Span

ANOTHER_STORE = 2**32
"""No car numbers so many records; one that lost its store goes on at 2^51 or beyond, each time elsewhere."""

STORES_MAX = 4
"""A car whose card comes and goes has two runs of numbers; more are a fault, or forged."""


REPEATED_MAX = 100
"""What a car and a broker have under way at once, and so may tell again after a cut, is less."""


@dataclass(frozen=True, slots=True)
class Numbered:
    """A record, and how it came by its number. Repeated ones are left out, unless that is not sure (`UNCOUNTED`)."""

    record: Record
    arrival: Arrival


@dataclass(frozen=True, slots=True)
class Missing:
    """These numbers should have come and have not: missing so far; what comes all the same is `AFTER_ALL`.

    `is_unsure`: some may have been given up, or never any record's: a gap record or a lost store leaves open which.
    """

    car: str
    first: int
    last: int
    is_unsure: bool = False


@dataclass(frozen=True, slots=True)
class GivenUp:
    """A gap record of the car accounts for these numbers; `was_missing` if they had been said to be missing."""

    car: str
    first: int
    last: int
    was_missing: bool = False


@dataclass(frozen=True, slots=True)
class NewStore:
    """The car's numbers begin anew with `first`: counting begins there, and what was awaited is `Missing`."""

    car: str
    first: int


Notice = Numbered | Missing | GivenUp | NewStore


@dataclass(frozen=True, slots=True)
class Run:
    """One run of numbers; `begun` tells the record that began it from another of the same number, "" if not seen."""

    numbering: Numbering
    begun: str = ""


@dataclass(frozen=True, slots=True)
class CarNumbers:
    """The runs of numbers of one car, the one heard of last at the end."""

    car: str
    runs: tuple[Run, ...] = ()

    def count(self, fate: Fate) -> int:
        """How many numbers have this fate."""
        return sum(run.numbering.count(fate) for run in self.runs)

    def taken(self, record: Record, now_s: float) -> tuple[CarNumbers, tuple[Notice, ...]]:
        """Take in a record: what it settles, and the record itself at the end unless it is a repetition."""
        number, begun = record.sequence, _begun(record)
        own = next((run for run in reversed(self.runs) if _is_near(run.numbering, number)), None)
        others = tuple(run for run in self.runs if run is not own)
        before, is_new = list[Notice](), False
        if own is None or _is_begun_anew(own, record, begun):
            is_new = True
            let_go = (*(() if own is None else (own,)), *others[: max(0, len(others) - STORES_MAX + 1)])
            others = others[-(STORES_MAX - 1) :]
            before += [notice for run in let_go for notice in self._notices(run.numbering.ended())]
            before += [NewStore(self.car, number)] if self.runs else []
            own = Run(Numbering(number, number - 1), begun)
        numbering, arrival, settled = own.numbering.arrived(
            number, now_s, is_sample=isinstance(record, Readings), is_historical=record.heading.is_historical
        )
        before += self._notices(settled)
        if arrival is Arrival.REPEATED:
            return self, ()
        numbering, told = self._told_of_others(numbering, record, is_new=is_new)
        run = Run(numbering, own.begun or begun)
        return replace(self, runs=(*others, run)), (*before, *told, Numbered(record, arrival))

    def _told_of_others(
        self, numbering: Numbering, record: Record, *, is_new: bool
    ) -> tuple[Numbering, tuple[Notice, ...]]:
        """What a record says of other numbers than its own."""
        match record:
            case CommandEnded():
                return numbering.accounted(record.result_sequence), ()
            case GapTold():
                numbering, settled = numbering.explained(record.spans)
                return numbering, self._notices(settled)
            case Started(unknown_below=int(below)) if below <= record.sequence and not is_new:
                numbering, settled = numbering.ended_below(below)
                return numbering, (*self._notices(settled), NewStore(self.car, below))
            case _:
                return numbering, ()

    def looked_at(self, now_s: float) -> tuple[CarNumbers, tuple[Notice, ...]]:
        """Time has passed."""
        runs, notices = list[Run](), list[Notice]()
        for run in self.runs:
            numbering, settled = run.numbering.looked_at(now_s)
            runs.append(replace(run, numbering=numbering) if settled else run)
            notices += self._notices(settled)
        return (replace(self, runs=tuple(runs)), tuple(notices)) if notices else (self, ())

    def resumed(self, now_s: float) -> CarNumbers:
        """As it was saved, under another clock."""
        return replace(self, runs=tuple(replace(run, numbering=run.numbering.resumed(now_s)) for run in self.runs))

    def _notices(self, settled: Iterable[Settled]) -> tuple[Notice, ...]:
        return tuple(
            GivenUp(self.car, each.first, each.last, each.was_missing)
            if each.fate is Fate.GIVEN_UP
            else Missing(self.car, each.first, each.last, each.is_unsure)
            for each in settled
        )


def _begun(record: Record) -> str:
    """What tells the first record of a new store from another's; "" for every other record."""
    if not isinstance(record, Started) or record.cause != "first_start":
        return ""
    document = {key: value for key, value in record.document.items() if key != "historical"}
    return hashlib.blake2b(line(document).encode(), digest_size=8).hexdigest()


def _is_begun_anew(own: Run, record: Record, begun: str) -> bool:
    """Whether a number that we have is of another store: a first start we do not know, or live and far below.

    Live numbers only grow, but for what a broker repeats after a cut.
    """
    if not own.numbering.has(record.sequence):
        return False
    is_far_below = record.sequence + REPEATED_MAX < own.numbering.last
    return bool(begun and own.begun and own.begun != begun) or (is_far_below and not record.heading.is_historical)


def _is_near(numbering: Numbering, number: int) -> bool:
    return numbering.known_from - ANOTHER_STORE <= number <= numbering.last + ANOTHER_STORE


# --- saved --------------------------------------------------------------------------------------------------------


def numbers_document(numbers: Iterable[CarNumbers]) -> dict[str, object]:
    """All there is to save, as JSON."""
    return {"v": 1, "cars": {each.car: [_run_document(run) for run in each.runs] for each in numbers}}


def read_numbers(document: Mapping[str, object]) -> dict[str, CarNumbers]:
    """What `numbers_document` wrote; ConfigurationError saying which car's part is not that."""
    cars = document.get("cars")
    if document.get("v") != 1 or not isinstance(cars, dict):
        raise ConfigurationError("saved numbers: expected version 1 and cars; without the file counting begins anew")
    return {name: CarNumbers(name, _read_runs(name, runs)) for name, runs in cars.items()}


def _run_document(run: Run) -> dict[str, object]:
    numbering = run.numbering
    return {
        "begun": run.begun,
        "known_from": numbering.known_from,
        "last": numbering.last,
        "holes": [
            [hole.first, hole.last, hole.fate.value, hole.is_behind_sample, hole.is_behind_event]
            for hole in numbering.holes
        ],
        "spans": [[span.first, span.last, span.count, span.unused] for span in numbering.spans],
    }


def _read_runs(car: str, runs: object) -> tuple[Run, ...]:
    try:
        return tuple(_read_run(run) for run in cast("list[dict[str, object]]", runs))
    except (TypeError, ValueError, KeyError, AttributeError):
        raise ConfigurationError(
            f"saved numbers of {car!r}: not as they were written; take the car out of the file to count anew"
        ) from None


def _read_run(run: Mapping[str, object]) -> Run:
    begun, known_from, last = run["begun"], _whole(run["known_from"]), _whole(run["last"])
    if not isinstance(begun, str) or last < known_from - 1:
        raise ValueError
    holes, before = list[Hole](), known_from - 1
    for first, until, fate, *behind in cast("list[list[object]]", run["holes"]):
        hole = Hole(_whole(first), _whole(until), Fate(str(fate)), *(each is True for each in behind))
        if not before < hole.first <= hole.last < last:
            raise ValueError
        before = hole.last
        holes.append(hole)
    if len(holes) > HOLES_MAX:
        raise ValueError
    spans = tuple(Span(*map(_whole, span)) for span in cast("list[list[object]]", run["spans"]))
    return Run(Numbering(known_from, last, tuple(holes), spans), begun)


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= SEQUENCE_MAX:
        raise ValueError
    return value
