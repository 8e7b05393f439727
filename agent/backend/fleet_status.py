"""What is known of each car of a fleet, from what it tells: newest of everything, and what is wrong with it.

Pure: times come in, `now_s` (a clock that only goes on) and `unix_s`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import field

from agent.backend.completeness import CarNumbers, Notice
from agent.backend.numbering import Fate
from agent.backend.records import CommandEnded, OtherRecord, Record, parse_record
from agent.backend.session import Change
from agent.backend.watching import (
    ChangeReport,
    EventReport,
    LinkReport,
    Missed,
    PresenceReport,
    Report,
    ResultReport,
    StateReport,
)
from agent.backend.words import plain
from agent.command.payloads import Result
from agent.model.command import Stage
from agent.model.quick_dataclass import dataclass
from agent.model.use import VehicleUse
from agent.policy.happenings import LOW_VOLTAGE
from agent.policy.power import Step

SILENT_S = 900.0
"""A car that is awake or charging tells something every few minutes; three times the longest default interval."""

LOCKED = "Vehicle.Carshare.CentralLock.IsLocked"
CHARGE = (
    "Vehicle.Powertrain.TractionBattery.StateOfCharge.Displayed",
    "Vehicle.Powertrain.TractionBattery.StateOfCharge.Current",
)
_PATHS = frozenset({LOCKED, LOW_VOLTAGE, *CHARGE})

_ENDED_WELL = frozenset(
    {Stage.ACCEPTED.name, Stage.EXECUTING.name, Stage.VERIFIED.name, Stage.EXECUTED_UNVERIFIED.name}
)


@dataclass(slots=True)
class CarStatus:
    """One car. `values` has only what was `ok` when it was told last; `since` times are None if it was so before."""

    name: str
    numbers: CarNumbers
    use: VehicleUse | None = None
    power: Step | None = None
    """Where on the ladder of its 12 V battery it says it stands; None if it does not say."""
    values: dict[str, object] = field(default_factory=dict)
    is_online: bool | None = None
    end: str | None = None
    """Of a car that is not connected: the end it announced, `asleep` or `stopped`; None if it was lost."""
    online_since_s: float | None = None
    seen_at_s: float | None = None
    """When we first knew whether it is connected."""
    heard_at_s: float | None = None
    command: str = ""
    command_at_s: float | None = None
    is_command_bad: bool = False
    is_old_image: bool = False
    unreadable_count: int = 0

    def is_silent(self, now_s: float) -> bool:
        """Connected, and yet it has not said a word for longer than it should."""
        is_quiet_by_right = self.use is VehicleUse.ASLEEP
        since_s = self.seen_at_s if self.heard_at_s is None else self.heard_at_s
        is_late = since_s is not None and now_s - since_s > SILENT_S
        return self.is_online is True and not is_quiet_by_right and is_late

    @property
    def is_low(self) -> bool:
        """By the car's own limits and times, which each has in its configuration; the voltage alone tells neither."""
        return self.power not in (None, Step.NORMAL)

    @property
    def missing_count(self) -> int:
        return self.numbers.count(Fate.MISSING)

    def troubles(self, now_s: float) -> tuple[str, ...]:
        """What is wrong, the gravest first."""
        found = {
            "old image": self.is_old_image,
            "missing": self.missing_count > 0,
            "command": self.is_command_bad,
            "offline": self.is_online is False and self.end != "asleep",
            "silent": self.is_silent(now_s),
            "12 V": self.is_low,
            "unreadable": self.unreadable_count > 0,
        }
        return tuple(word for word, is_so in found.items() if is_so)


class FleetStatus:
    """All cars by name; `take` brings it up to date."""

    def __init__(self, names: Iterable[str]) -> None:
        self.cars = {name: CarStatus(name, CarNumbers(name)) for name in sorted(names, key=_natural)}
        self.is_linked = True  # a backend that can be watched has connected
        self.link_detail = ""
        self.missed_count = 0
        self.refused_count = 0
        """What was no message of a car at all."""

    def take(self, report: Report, now_s: float, unix_s: float) -> tuple[Notice, ...]:
        """Take in a report; returns what it says of missing numbers."""
        match report:
            case LinkReport(is_connected, detail):
                self.is_linked, self.link_detail = is_connected, detail
            case Missed(count):
                self.missed_count += count
            case _ if (car := self.cars.get(report.car)) is not None:
                return _take(car, report, now_s, unix_s)
        return ()

    def look(self, now_s: float) -> tuple[Notice, ...]:
        """Time has passed: what is awaited may be missing by now."""
        told: list[Notice] = []
        for car in self.cars.values():
            car.numbers, notices = car.numbers.looked_at(now_s)
            told += notices
        return tuple(told)

    def in_order(self, now_s: float) -> list[CarStatus]:
        """Those in trouble first, the gravest of them above; then by name, numbers in it as numbers."""
        return sorted(self.cars.values(), key=lambda car: -_gravity(car, now_s))


def _take(car: CarStatus, report: Report, now_s: float, unix_s: float) -> tuple[Notice, ...]:
    match report:
        case PresenceReport(_, is_online, _, end):
            car.end = end
            if car.is_online is not None and car.is_online is not is_online:
                car.online_since_s = now_s
            car.is_online = is_online
            car.seen_at_s = now_s if car.seen_at_s is None else car.seen_at_s
        case StateReport(_, document, is_retained):
            _heard(car, document, now_s, unix_s, is_kept=is_retained)
            use = document.get("use")
            car.use = VehicleUse(use) if isinstance(use, str) and use in frozenset(VehicleUse) else None
            power = document.get("power")
            step = power.get("step") if isinstance(power, dict) else None
            car.power = Step(step) if isinstance(step, str) and step in frozenset(Step) else None
            readings = document.get("readings")
            car.values.clear()
            _take_readings(car, readings.items() if isinstance(readings, dict) else ())
        case EventReport(_, document):
            return _take_record(car, document, now_s, unix_s)
        case ResultReport(_, result):
            _take_result(car, result, now_s)
        case ChangeReport(_, change):
            car.is_old_image = car.is_old_image or change is Change.EVENTS_WENT_BACK
    return ()


def _take_record(car: CarStatus, document: Mapping[str, object], now_s: float, unix_s: float) -> tuple[Notice, ...]:
    if (record := parse_record(car.name, document)) is None:
        car.unreadable_count += 1
        return ()
    car.numbers, notices = car.numbers.taken(record, now_s)
    _heard(car, document, now_s, unix_s, is_kept=record.heading.is_historical)
    if not record.heading.is_historical:
        _take_readings(car, _rows(record))
    if isinstance(record, CommandEnded):
        _take_end(car, record, now_s)
    return notices


def _rows(record: Record) -> list[tuple[str, object]]:
    rows = record.document.get("readings") if not isinstance(record, OtherRecord) else None
    return [(str(row.get("path")), row) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _take_readings(car: CarStatus, rows: Iterable[tuple[str, object]]) -> None:
    """A value that is not good any more is gone (SR-05)."""
    for path, row in rows:
        if path in _PATHS and isinstance(row, dict):
            car.values.pop(path, None)
            value = row.get("value")
            if row.get("quality") == "ok" and isinstance(value, bool | int | float):
                car.values[path] = value


def _heard(car: CarStatus, document: Mapping[str, object], now_s: float, unix_s: float, *, is_kept: bool) -> None:
    """When it spoke: what had waited, in the car or at the broker, is as old as it says, if it says so."""
    if not is_kept:
        car.heard_at_s = now_s
        return
    told_unix_s = document.get("time_unix_s")
    if isinstance(told_unix_s, int | float) and not isinstance(told_unix_s, bool) and 0 <= told_unix_s <= unix_s:
        at_s = now_s - (unix_s - told_unix_s)
        car.heard_at_s = at_s if car.heard_at_s is None else max(at_s, car.heard_at_s)


def _take_result(car: CarStatus, result: Result, now_s: float) -> None:
    car.command = f"{result.cid.hex()[:8]} {_words(result.stage.name, result.reason.name)}"
    car.command_at_s, car.is_command_bad = now_s, result.stage.name not in _ENDED_WELL


def _take_end(car: CarStatus, record: CommandEnded, now_s: float) -> None:
    """What the record says of a command is unsigned, but has its name; an old one is no news."""
    if record.heading.is_historical:
        return
    car.command = plain(f"{record.command} {_words(record.stage, record.reason)}")
    car.command_at_s, car.is_command_bad = now_s, record.stage.upper() not in _ENDED_WELL


def _words(stage: str, reason: str) -> str:
    words = stage.lower().replace("_", " ")
    return words if reason.lower() == "ok" else f"{words}: {reason.lower().replace('_', ' ')}"


_GRAVITY = {"old image": 64, "missing": 32, "command": 16, "silent": 8, "offline": 4, "12 V": 2, "unreadable": 1}


def _gravity(car: CarStatus, now_s: float) -> int:
    return sum(_GRAVITY[trouble] for trouble in car.troubles(now_s))


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """ "car-9" before "car-10"."""
    parts = re.split(r"([0-9]{1,18})", name)
    return [
        (part.isascii() and part.isdigit(), int(part) if part.isascii() and part.isdigit() else 0, part)
        for part in parts
    ]
