"""Iteration over what cars record, that says which numbers are missing and loses nothing over restarts of either end.

async with backend.events(session="billing", numbers=load_numbers(path)) as events:
    async for told in events:
        ...
        save_numbers(path, events.numbers)
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from agent.backend.completeness import CarNumbers, Notice, numbers_document, read_numbers
from agent.backend.connection import Connection, Subscription
from agent.backend.documents import line
from agent.backend.files import read_object, replace, write_new
from agent.backend.link import Link
from agent.backend.records import parse_record
from agent.backend.settings import Car, Settings
from agent.backend.watching import LinkReport, PresenceReport, json_object, parse_report
from agent.errors import ConfigurationError
from agent.model.events import Delivery
from agent.model.quick_dataclass import dataclass
from agent.uplink.wire import Topics

KEPT_S = 7 * 86_400
"""As long as a car keeps its records by default; a broker's own bound (Mosquitto: 1000 messages) may come first."""

LOOK_S = 5.0
"""How often it is asked whether what is awaited is missing by now; the bound it is held against is 90 s."""

WAITING_MAX = 1024
"""A broker has 32 deliveries under way at most. Over many cuts there may be more: the oldest go, and are missing."""

SAVED_BYTES_MAX = 64 << 20
"""A thousand cars with a thousand holes each."""

_SESSION = re.compile(r"[A-Za-z0-9_-]{1,32}")


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Something came as a car's record and is none: no JSON object, or without a number. `payload` is its beginning."""

    car: str
    payload: bytes


Told = Notice | Unreadable | PresenceReport | LinkReport

_SHOWN_BYTES_MAX = 1024


class EventStream:
    """An asynchronous iterator of `Told`, for as long as it is entered; one task at a time may ask it.

    With a `session` (a name of this consumer's own) the broker keeps for it what comes while it is away, and is told
    that a record was taken only when the next one is asked for: whoever dies in between gets it again.  `numbers` is
    what was saved of an earlier stream: records it has seen are left out, and what was lost in between is `Missing`.
    Entering raises `LinkError` if there is no connection; a connection lost later is made again.
    """

    def __init__(
        self,
        settings: Settings,
        cars: Iterable[str] | None = None,
        *,
        session: str | None = None,
        numbers: Iterable[CarNumbers] = (),
    ) -> None:
        if session is not None and not _SESSION.fullmatch(session):
            raise ConfigurationError(f"session {session!r}: expected 1 to 32 letters, digits, '-' or '_'")
        wanted = [settings.car(name) for name in (settings.cars if cars is None else cars)]
        operator = settings.operator.number
        self._routes = {topic: route for car in wanted for topic, route in _routes(car, operator)}
        self._numbers = {each.car: each for each in numbers}
        self._after: CarNumbers | None = None
        self._told: deque[Told] = deque()
        self._waiting: deque[tuple[Delivery, Connection | None] | LinkReport] = deque(maxlen=WAITING_MAX)
        self._has_more = asyncio.Event()
        self._taken: tuple[Delivery, Connection | None] | None = None
        self._is_kept = session is not None
        self._link = Link(
            settings.broker,
            f"events-{operator}-{session or secrets.token_hex(4)}",
            on_delivery=self._deliver,
            on_change=self._link_changed,
            kept_s=KEPT_S if self._is_kept else None,
        )
        self._running: asyncio.Task[None] | None = None
        self._look_at_s = 0.0

    @property
    def numbers(self) -> tuple[CarNumbers, ...]:
        """What is to be saved once the item told last has been dealt with."""
        return tuple(self._numbers.values())

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._numbers = {car: numbers.resumed(loop.time()) for car, numbers in self._numbers.items()}
        await self._link.subscribe(
            Subscription(topic, is_retained=kind == "presence") for topic, (_, kind) in self._routes.items()
        )
        connected: asyncio.Future[None] = loop.create_future()
        self._running = asyncio.create_task(self._link.run(connected), name="backend-events")
        try:
            await connected
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait((self._running,))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Told:
        while not self._told:
            self._acknowledge()
            if not self._waiting:
                await self._wait()
            if self._waiting:
                self._take(self._waiting.popleft())
            self._look()
        told = self._told.popleft()
        if not self._told:
            self._advance()
        return told

    def _advance(self) -> None:
        """The numbers go on with the last item that they brought: saved before, they would lose the items after."""
        if self._after is not None:
            self._numbers[self._after.car], self._after = self._after, None

    def _acknowledge(self) -> None:
        if self._taken is not None:
            (delivery, connection), self._taken = self._taken, None
            if connection is not None and connection is self._link.delivering:
                connection.acknowledge(delivery)

    async def _wait(self) -> None:
        self._has_more.clear()
        if self._running is None or self._running.done():
            raise StopAsyncIteration
        more = asyncio.ensure_future(self._has_more.wait())
        try:
            await asyncio.wait((more, self._running), timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            more.cancel()
        if self._running.done() and not self._running.cancelled():
            self._running.result()

    def _take(self, waiting: tuple[Delivery, Connection | None] | LinkReport) -> None:
        if isinstance(waiting, LinkReport):
            self._told.append(waiting)
            return
        self._taken = waiting
        delivery, _ = waiting
        car, kind = self._routes[delivery.topic]
        if kind == "presence":
            report = parse_report(kind, car, delivery.payload)
            if isinstance(report, PresenceReport):
                self._told.append(report)
                return
        document = json_object(delivery.payload)
        record = parse_record(car, document) if document is not None and kind == "evt" else None
        if record is None:
            self._told.append(Unreadable(car, delivery.payload[:_SHOWN_BYTES_MAX]))
            return
        before = self._numbers.get(car, CarNumbers(car))
        self._hold(*before.taken(record, asyncio.get_running_loop().time()))

    def _look(self) -> None:
        """One car at a time, between deliveries: what it is told of it goes out before anything else of it."""
        now_s = asyncio.get_running_loop().time()
        if self._told or now_s < self._look_at_s:
            return None
        for numbers in tuple(self._numbers.values()):
            after, notices = numbers.looked_at(now_s)
            if notices:
                return self._hold(after, notices)
        self._look_at_s = now_s + LOOK_S
        return None

    def _hold(self, after: CarNumbers, notices: Iterable[Notice]) -> None:
        self._after = after
        self._told.extend(notices)
        if not self._told:
            self._advance()

    def _deliver(self, delivery: Delivery) -> None:
        if delivery.topic not in self._routes or (delivery.is_retained and delivery.topic.endswith("/evt")):
            # Not asked for, or kept by the broker though records never are; the next time it is not repeated.
            if self._link.delivering is not None:
                self._link.delivering.acknowledge(delivery)
            return
        self._waiting.append((delivery, self._link.delivering))
        self._has_more.set()

    def _link_changed(self, is_connected: bool, detail: str) -> None:
        if not is_connected and self._is_kept:  # the broker repeats what it was not told of
            kept = [each for each in self._waiting if isinstance(each, LinkReport)]
            self._waiting.clear()
            self._waiting.extend(kept)
        self._waiting.append(LinkReport(is_connected, detail))
        self._has_more.set()


def load_numbers(path: Path) -> tuple[CarNumbers, ...]:
    """What `save_numbers` wrote, nothing if there is no such file yet; ConfigurationError if it is something else."""
    if not path.exists():
        return ()
    try:
        return tuple(read_numbers(read_object(path, SAVED_BYTES_MAX)).values())
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from None


def save_numbers(path: Path, numbers: Iterable[CarNumbers]) -> None:
    """Write them as a whole, synced, whatever the file held before."""
    content = (line(numbers_document(numbers)) + "\n").encode()
    if not path.exists():
        with contextlib.suppress(ConfigurationError):
            return write_new(path, content)
    return replace(path, content)


def _routes(car: Car, operator: int) -> Iterable[tuple[str, tuple[str, str]]]:
    """Topic → the car's name, and the topic's last level."""
    topics = Topics(car.id)
    return (topics.of(operator, "evt"), (car.name, "evt")), (topics.presence, (car.name, "presence"))
