"""The numbered records of a car, typed by kind. What has a kind or a shape of its own is an `OtherRecord`, never lost.

They are unsigned, so as trustworthy as the broker (A15): good to show and to count, never to decide on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from agent.backend.numbering import SPANS_MAX
from agent.model.quick_dataclass import dataclass
from agent.model.records import Span

SEQUENCE_MAX = 2**53 - 1
"""JSON has no larger exact number."""

_BUS_KINDS = ("bus_health", "bus_awake", "bus_asleep", "frames_lost", "frames")


@dataclass(frozen=True, slots=True)
class Heading:
    """What every record has: the car's name, the record's number, and its time.

    `session_ms` is time since the start of the agent, `unix_s` is None where the clock was not known: then `sid` names
    the session, and that session's `ClockTold` says when it began.  `is_historical`: it had waited in the car.
    """

    car: str
    sequence: int
    session_ms: int | None
    unix_s: float | None
    sid: str | None
    is_historical: bool


@dataclass(frozen=True, slots=True)
class Record:
    """`document` is the whole record as it came."""

    heading: Heading
    document: Mapping[str, object]

    @property
    def sequence(self) -> int:
        return self.heading.sequence


@dataclass(frozen=True, slots=True)
class Told:
    """One reading: `value` is None unless `quality` is `ok` (SR-05). `age_s` counts to the time of the record."""

    path: str
    value: object
    unit: str | None
    quality: str
    age_s: float | None


@dataclass(frozen=True, slots=True)
class Readings(Record):
    """Samples."""

    readings: tuple[Told, ...]


@dataclass(frozen=True, slots=True)
class Happening(Record):
    """Something happened to the car: `word` says what, `by` who did it where that is known."""

    word: str
    by: str | None
    readings: tuple[Told, ...]


@dataclass(frozen=True, slots=True)
class CommandEnded(Record):
    """A command's end, in words; the signed result has the number `result_sequence`."""

    command: str
    cid: str
    stage: str
    reason: str
    executed: str
    result_sequence: int


@dataclass(frozen=True, slots=True)
class Started(Record):
    """A run of the agent began. `unknown_below`: what the car had not told of lower numbers is lost, and uncounted.

    `failed_starts`: after a crash loop, how often the agent had been started in vain.
    """

    cause: str
    unknown_below: int | None
    failed_starts: int | None = None


@dataclass(frozen=True, slots=True)
class GapTold(Record):
    """Records were given up to keep a bound, or numbers left unused."""

    dropped: int
    unused: int
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class ClockTold(Record):
    """The wall clock was compared; with `session_started_unix_s` the times of session `clock_sid` are known."""

    trust: str
    clock_sid: str
    session_started_unix_s: float | None


@dataclass(frozen=True, slots=True)
class StoreTold(Record):
    """A store of the car failed or works again, or had to be made anew (`is_durable` None; `detail` says why)."""

    is_durable: bool | None
    detail: str


@dataclass(frozen=True, slots=True)
class BusTold(Record):
    """A bus came, went, woke, fell asleep or lost frames: `word` is the record's kind."""

    bus: str
    word: str


@dataclass(frozen=True, slots=True)
class LinkTold(Record):
    """Something is wrong with the car's link to the broker; so often since it was last told."""

    problem: str
    count: int


@dataclass(frozen=True, slots=True)
class OtherRecord(Record):
    """Of a kind this version does not know, or not of the shape its kind has."""

    kind: str


class _ShapeError(Exception):
    """A field is missing or of another type."""


def parse_record(car: str, document: Mapping[str, object]) -> Record | None:
    """The record in a JSON object of topic level `evt`; None if it has no number, and so is none of the car's."""
    sequence = document.get("seq")
    if not isinstance(sequence, int) or isinstance(sequence, bool) or not 0 < sequence <= SEQUENCE_MAX:
        return None
    session_ms, sid = document.get("session_ms"), document.get("sid")
    heading = Heading(
        car,
        sequence,
        session_ms if isinstance(session_ms, int) and not isinstance(session_ms, bool) else None,
        _number(document.get("time_unix_s")),
        sid if isinstance(sid, str) else None,
        is_historical=document.get("historical") is True,
    )
    kind = document.get("kind")
    build = _BUILD.get(kind) if isinstance(kind, str) else None
    if build is not None:
        try:
            return build(heading, document)
        except _ShapeError:
            pass
    return OtherRecord(heading, document, kind if isinstance(kind, str) else "")


def _readings(document: Mapping[str, object]) -> Iterator[Told]:
    rows = document.get("readings", [])
    if not isinstance(rows, list):
        raise _ShapeError
    for row in rows:
        if not isinstance(row, dict):
            raise _ShapeError
        quality, unit = _text(row, "quality"), row.get("unit")
        value = row.get("value") if quality == "ok" else None
        yield Told(
            _text(row, "path"), value, unit if isinstance(unit, str) else None, quality, _number(row.get("age_s"))
        )


def _text(document: Mapping[str, object], key: str) -> str:
    value = document.get(key)
    if not isinstance(value, str):
        raise _ShapeError
    return value


def _count(document: Mapping[str, object], key: str) -> int:
    value = document.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= SEQUENCE_MAX:
        raise _ShapeError
    return value


def _number(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def _spans(document: Mapping[str, object]) -> tuple[Span, ...]:
    rows = document.get("spans")
    if not isinstance(rows, list) or len(rows) > SPANS_MAX:
        raise _ShapeError
    spans = []
    for row in rows:
        if not isinstance(row, list) or len(row) != 4:
            raise _ShapeError
        first, last, count, unused = (_count({"n": number}, "n") for number in row)
        if not 0 < first <= last:
            raise _ShapeError
        spans.append(Span(first, last, count, unused))
    return tuple(spans)


def _store(heading: Heading, document: Mapping[str, object]) -> StoreTold:
    is_durable = document.get("is_durable")
    detail = document.get("detail", document.get("note", ""))
    return StoreTold(heading, document, is_durable if isinstance(is_durable, bool) else None, str(detail))


def _happening(heading: Heading, document: Mapping[str, object]) -> Happening:
    by = document.get("by")
    word = _text(document, "event")
    return Happening(heading, document, word, by if isinstance(by, str) else None, tuple(_readings(document)))


def _command(heading: Heading, document: Mapping[str, object]) -> CommandEnded:
    command, cid, stage, reason, executed = (
        _text(document, key) for key in ("command", "cid", "stage", "reason", "executed")
    )
    return CommandEnded(heading, document, command, cid, stage, reason, executed, _count(document, "result_seq"))


def _started(heading: Heading, document: Mapping[str, object]) -> Started:
    below = _count(document, "unknown_below") if "unknown_below" in document else None
    failed = _count(document, "failed_starts") if "failed_starts" in document else None
    return Started(heading, document, _text(document, "cause"), below, failed)


def _gap(heading: Heading, document: Mapping[str, object]) -> GapTold:
    return GapTold(heading, document, _count(document, "dropped"), _count(document, "unused"), _spans(document))


def _clock(heading: Heading, document: Mapping[str, object]) -> ClockTold:
    started_s = _number(document.get("session_started_unix_s"))
    return ClockTold(heading, document, _text(document, "trust"), _text(document, "sid"), started_s)


_BUILD: Mapping[str, Callable[[Heading, Mapping[str, object]], Record]] = {
    "readings": lambda heading, document: Readings(heading, document, tuple(_readings(document))),
    "event": _happening,
    "command": _command,
    "started": _started,
    "gap": _gap,
    "clock": _clock,
    "store": _store,
    **{
        kind: lambda heading, document, kind=kind: BusTold(heading, document, _text(document, "bus"), kind)  # type: ignore[misc]
        for kind in _BUS_KINDS
    },
    "link": lambda heading, document: LinkTold(
        heading, document, _text(document, "problem"), _count(document, "count")
    ),
}
