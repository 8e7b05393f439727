"""What a watcher of cars sees: typed, in the order of arrival, never more waiting than a bound."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Collection, Mapping
from typing import NoReturn

from agent.backend.session import Change
from agent.command.envelope import Result
from agent.model.quick_dataclass import dataclass

# What a watcher that has stopped reading may leave waiting: a minute of a lively car. Then the oldest give way.
WAITING_MAX = 256

# Of many cars each has its presence and its snapshot with the broker, which come at once.
WAITING_MAX_A_CAR = 8


@dataclass(frozen=True, slots=True)
class StateReport:
    """The car's snapshot; `document` as `agent.uplink.wire.state_document` writes it.

    `is_retained` if the broker had kept it: it tells how the car was then, its ages are counted to that moment.
    """

    car: str
    document: Mapping[str, object]
    is_retained: bool = False


@dataclass(frozen=True, slots=True)
class EventReport:
    """A numbered record: readings, or something that happened; `document["kind"]` says which."""

    car: str
    document: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class PresenceReport:
    """Whether the car is connected, by its birth message, the end it announced (`end`: `asleep` if it switches its
    computer off, `stopped`), or its last will; `sid` is the session it speaks of."""

    car: str
    is_online: bool
    sid: bytes
    end: str | None = None


@dataclass(frozen=True, slots=True)
class ResultReport:
    """A result that the car signed, for a command of this operator, whoever sent it."""

    car: str
    result: Result


@dataclass(frozen=True, slots=True)
class ChangeReport:
    """Something in a car's hello that an operator should know of."""

    car: str
    change: Change


@dataclass(frozen=True, slots=True)
class LinkReport:
    """Our own connection to the broker came or went; `detail` says why it went."""

    is_connected: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Missed:
    """So many reports were dropped because they were not read in time."""

    count: int


Report = StateReport | EventReport | PresenceReport | ResultReport | ChangeReport | LinkReport | Missed


class Watch:
    """One watcher's queue. `cars` are the names of those it wants to hear of, None for all; so many are `car_count`."""

    def __init__(self, cars: Collection[str] | None, car_count: int = 1) -> None:
        self._cars = cars
        self._waiting_max = max(WAITING_MAX, WAITING_MAX_A_CAR * car_count)
        self._waiting: deque[Report] = deque()
        self._missed_count = 0
        self._has_more = asyncio.Event()

    def put(self, report: Report) -> None:
        """Append, dropping and counting the oldest if the watcher does not keep up."""
        if self._cars is not None and (car := getattr(report, "car", None)) is not None and car not in self._cars:
            return
        if len(self._waiting) >= self._waiting_max:
            self._waiting.popleft()
            self._missed_count += 1
        self._waiting.append(report)
        self._has_more.set()

    async def get(self) -> Report:
        """The next report; how many were missed comes before those that follow the gap."""
        await self._has_more.wait()
        if self._missed_count:
            missed, self._missed_count = Missed(self._missed_count), 0
            return missed
        report = self._waiting.popleft()
        if not self._waiting:
            self._has_more.clear()
        return report


def parse_report(
    kind: str, car: str, payload: bytes, *, is_retained: bool = False
) -> StateReport | EventReport | PresenceReport | None:
    """A telemetry payload of topic level `kind` (`state`, `evt`, `presence`); None if it is not what it should be.

    It is unsigned, so as trustworthy as the broker (A15): good to show, never to decide on.
    """
    document = json_object(payload)
    if document is None:
        return None
    if kind == "state":
        return StateReport(car, document, is_retained)
    if kind == "evt":
        return EventReport(car, document)
    is_online, sid, end = document.get("online"), document.get("sid"), document.get("end")
    if not isinstance(is_online, bool) or not isinstance(sid, str):
        return None
    # A word this version does not know is no word; and a car that is there has not ended.
    known_end = end if end in ("asleep", "stopped") and not is_online else None
    try:
        return PresenceReport(car, is_online, bytes.fromhex(sid), known_end)
    except ValueError:
        return None


def json_object(payload: bytes) -> Mapping[str, object] | None:
    """The JSON object in a payload; None if it is anything else, or has a number that JSON has not."""
    try:
        document = json.loads(payload, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
