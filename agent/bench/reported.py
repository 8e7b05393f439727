"""What the backend has heard of the car: the bench's only source for what it says the agent reported."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace

from agent.backend.watching import EventReport, LinkReport, PresenceReport, Report, ResultReport, StateReport
from agent.backend.words import ReportWords
from agent.model.quick_dataclass import dataclass

LOCKED = "Vehicle.Carshare.CentralLock.IsLocked"

LINES_MAX = 200  # more than any window shows


@dataclass(frozen=True, slots=True)
class Told:
    """One reading as the backend was told it, and when (this process's monotonic clock)."""

    value: object
    unit: str | None
    quality: str
    reason: str | None
    age_s: float | None
    last_value: object
    at_s: float

    @property
    def is_ok(self) -> bool:
        return self.quality == "ok"

    def age_now_s(self, now_s: float) -> float | None:
        return None if self.age_s is None else self.age_s + now_s - self.at_s


class Reported:
    """Newest of everything a watch brought. `follow` takes it in; `until` waits for a condition on it."""

    def __init__(self) -> None:
        self.readings: dict[str, Told] = {}
        self.buses: dict[str, str] = {}
        self.is_online: bool | None = None
        self.is_linked = True  # a backend that can be watched has connected
        self.lines: deque[str] = deque(maxlen=LINES_MAX)
        self._words = ReportWords()
        self._changed = asyncio.Condition()

    async def follow(self, reports: AsyncIterator[Report]) -> None:
        """Take in reports until they end, or the task is cancelled."""
        async for report in reports:
            self._take(report)
            async with self._changed:
                self._changed.notify_all()

    async def until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until `condition` holds; False if it did not within `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(condition)
        except TimeoutError:
            return False
        return True

    def note(self, line: str) -> None:
        """Something the bench itself has to tell, among what the car told."""
        self.lines.append(line)

    def value(self, path: str) -> object:
        """The value of `path` if the last report called it good, else None."""
        told = self.readings.get(path)
        return told.value if told is not None and told.is_ok else None

    def number(self, path: str) -> float | None:
        """Like `value`, for a path that must be a number."""
        value = self.value(path)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def _take(self, report: Report) -> None:
        now_s = time.monotonic()
        match report:
            case StateReport(_, document):
                self._take_readings(document.get("readings"), now_s)
                buses = document.get("buses")
                self.buses = {str(bus): str(word) for bus, word in buses.items()} if isinstance(buses, dict) else {}
            case EventReport(_, document) if "historical" not in document:
                rows = document.get("readings")
                named = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
                self._take_readings({str(row.get("path")): row for row in named}, now_s)
            case PresenceReport(_, is_online, _):
                self.is_online = is_online
            case LinkReport(is_connected, _):
                self.is_linked = is_connected
        self.lines.extend(self._words.lines(_without_readings(report)))

    def _take_readings(self, readings: object, now_s: float) -> None:
        for path, row in readings.items() if isinstance(readings, dict) else ():
            if isinstance(row, Mapping):
                self.readings[str(path)] = Told(
                    row.get("value"),
                    None if row.get("unit") is None else str(row["unit"]),
                    str(row.get("quality")),
                    None if row.get("reason") is None else str(row["reason"]),
                    _number(row.get("age_s")),
                    row.get("last_value"),
                    now_s,
                )


def _without_readings(report: Report) -> Report:
    """Values have a place of their own in the picture; among what happened they would push it out of a small window."""
    if isinstance(report, StateReport | EventReport):
        document = {key: value for key, value in report.document.items() if key != "readings"}
        return replace(report, document=document)
    if isinstance(report, ResultReport):  # who asked for the command is told what was seen
        return replace(report, result=replace(report.result, evidence=(), conditions=()))
    return report


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
