"""The operator's end as a library: `async with Backend(settings) as backend: await backend.unlock("demo")`."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from types import TracebackType
from typing import Self

from agent.backend.commands import PING_INTERVAL_S, Conversation, Send
from agent.backend.completeness import CarNumbers
from agent.backend.connection import RefusedError
from agent.backend.events import EventStream
from agent.backend.line import CarLine, settle
from agent.backend.link import Link
from agent.backend.outcome import CommandResult, Progress
from agent.backend.reception import Ignored, IgnoredCounts, open_hello, open_result
from agent.backend.settings import Settings
from agent.backend.watching import ChangeReport, LinkReport, Report, ResultReport, Watch, parse_report
from agent.command.envelope import Hello, MessageKind
from agent.command.fields import NONCE_BYTES
from agent.errors import AgentError, LinkError
from agent.model.command import Action
from agent.model.events import Delivery

# Each holds a few hundred bytes and sends a dozen messages; a depot that locks up at night stays far below.
COMMANDS_AT_ONCE_MAX = 1000
WATCHES_MAX = 64

OnProgress = Callable[[Progress], None]


def boot_s() -> float:
    """Seconds since this machine booted, suspend included: a laptop that slept must not think a hello fresh."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class TooMuchError(AgentError):
    """More at once than one backend is meant for."""


class Backend:
    """Commands to cars, and what they tell, over one connection to the broker.

    Entering connects, and raises `LinkError` if that fails; a connection lost later is made again by itself.
    Methods may be called from several tasks of the loop that entered.  `ignored` counts what arrived and was not used.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.ignored = IgnoredCounts()
        self._tasks = asyncio.TaskGroup()
        self._link_task: asyncio.Task[None] | None = None
        self._cars = {name: CarLine(car, settings) for name, car in settings.cars.items()}
        self._routes = {topic: (line, kind) for line in self._cars.values() for topic, kind in line.routes()}
        self._watches: list[Watch] = []
        client_id = f"backend-{settings.operator.number}-{secrets.token_hex(4)}"
        self._link = Link(settings.broker, client_id, on_delivery=self._deliver, on_change=self._link_changed)

    async def __aenter__(self) -> Self:
        connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        await self._tasks.__aenter__()
        self._link_task = self._tasks.create_task(self._link.run(connected), name="backend-link")
        try:
            await connected
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._link_task is not None:
            self._link_task.cancel()
        # Only a cancellation is the task group's business; what else went wrong in the body stays what it is.
        is_cancelled = isinstance(error, asyncio.CancelledError)
        await self._tasks.__aexit__(*((kind, error, traceback) if is_cancelled else (None, None, None)))

    async def unlock(
        self, car: str, *, timeout_s: float | None = None, on_progress: OnProgress | None = None
    ) -> CommandResult:
        """Unlock the car of that name. Ends within `timeout_s` (default: 30 s to begin, and 15 s to finish)."""
        return await self.command(car, Action.UNLOCK, timeout_s=timeout_s, on_progress=on_progress)

    async def lock(
        self, car: str, *, timeout_s: float | None = None, on_progress: OnProgress | None = None
    ) -> CommandResult:
        """Lock the car of that name. Ends within `timeout_s` (default: 120 s to begin, and 15 s to finish)."""
        return await self.command(car, Action.LOCK, timeout_s=timeout_s, on_progress=on_progress)

    async def report(
        self, car: str, *, timeout_s: float | None = None, on_progress: OnProgress | None = None
    ) -> CommandResult:
        """Ask the car of that name for a signed report of its state; the readings are the result's evidence."""
        return await self.command(car, Action.REPORT, timeout_s=timeout_s, on_progress=on_progress)

    async def check_return(
        self, car: str, *, timeout_s: float | None = None, on_progress: OnProgress | None = None
    ) -> CommandResult:
        """Ask the car of that name whether a rental could end now: the conditions are the result's evidence."""
        return await self.command(car, Action.CHECK_RETURN, timeout_s=timeout_s, on_progress=on_progress)

    async def locate(
        self, car: str, *, timeout_s: float | None = None, on_progress: OnProgress | None = None
    ) -> CommandResult:
        """Have the car of that name show where it is, by its lights or horn."""
        return await self.command(car, Action.LOCATE, timeout_s=timeout_s, on_progress=on_progress)

    async def enable_drive(
        self, car: str, *, timeout_s: float | None = None, on_progress: OnProgress | None = None
    ) -> CommandResult:
        """Let the car of that name be driven. Ends within `timeout_s` (default: 30 s to begin, and 15 s to finish)."""
        return await self.command(car, Action.ENABLE_DRIVE, timeout_s=timeout_s, on_progress=on_progress)

    async def disable_drive(
        self, car: str, *, timeout_s: float | None = None, on_progress: OnProgress | None = None
    ) -> CommandResult:
        """Keep the car of that name from being driven; it refuses unless it stands with its ignition off (SR-06)."""
        return await self.command(car, Action.DISABLE_DRIVE, timeout_s=timeout_s, on_progress=on_progress)

    async def command(
        self, car: str, action: Action, *, timeout_s: float | None = None, on_progress: OnProgress | None = None
    ) -> CommandResult:
        """Have the car of that name carry out `action`, and wait for its final, signed answer.

        No answer in time is a result too (`is_answered` false).  Raises `ConfigurationError` for an unknown car and
        `LinkError` if the broker refuses the command, which then nobody has received.  A caller that is cancelled
        leaves the command to its deadline: the car may still carry it out.
        """
        line = self._line(car)
        if sum(len(one.conversations) for one in self._cars.values()) >= COMMANDS_AT_ONCE_MAX:
            raise TooMuchError(f"There are {COMMANDS_AT_ONCE_MAX} commands under way already.")
        conversation = Conversation(
            car, action, line.signer, line.session, draw=secrets.token_bytes, now_s=boot_s(), wait_s=timeout_s
        )
        wake = asyncio.Event()
        line.conversations[conversation] = wake
        try:
            await self._listen_to(line)
            return await self._converse(line, conversation, wake, on_progress)
        finally:
            del line.conversations[conversation]

    async def ping(self, car: str, *, timeout_s: float = 10.0) -> Hello | None:
        """The car's signed answer to a question asked now, or None if none came in time."""
        line = self._line(car)
        await self._listen_to(line)
        answer: asyncio.Future[Hello] = asyncio.get_running_loop().create_future()
        ends_at_s = boot_s() + timeout_s
        nonces = []
        try:
            while (left_s := ends_at_s - boot_s()) > 0:
                nonces.append(secrets.token_bytes(NONCE_BYTES))
                line.pings[nonces[-1]] = answer
                line.session.ask(nonces[-1], boot_s())
                sending = self._publish(line, line.signer.ping(nonces[-1]))
                try:
                    async with asyncio.timeout(min(left_s, PING_INTERVAL_S)):
                        await asyncio.wait((answer, sending), return_when=asyncio.FIRST_COMPLETED)
                        if not answer.done() and isinstance(refusal := sending.result(), RefusedError):
                            raise refusal
                        return await asyncio.shield(answer)
                except TimeoutError:
                    sending.cancel()
            return None
        finally:
            for nonce in nonces:
                line.pings.pop(nonce, None)

    async def publish_bundle(self, car: str, raw: bytes) -> bool:
        """Leave a trust bundle with the broker for the car of that name; whether it is there to get it now.

        Retained, because a bundle is state: a car judges it by its signatures, and an older one has no effect.
        Raises `LinkError` if the broker does not confirm it.
        """
        topic = self._line(car).topic("bundle")
        return await self._link.publish(topic, raw, expiry_s=None, is_retained=True)

    def watch(self, *cars: str) -> AsyncGenerator[Report, None]:
        """What the cars of these names (none: every car) tell from the first `anext` on, until closed or cancelled.

        Starts with what the broker keeps: presence and the last snapshot. Reports not read in time are dropped,
        the oldest first, and `Missed` says how many.
        """
        lines = [self._line(car) for car in dict.fromkeys(cars or self._cars)]
        return self._watch(Watch(cars or None, len(lines)), lines)

    def events(
        self, cars: Iterable[str] | None = None, *, session: str | None = None, numbers: Iterable[CarNumbers] = ()
    ) -> EventStream:
        """What the cars of these names (None: every car) record, each record typed and each missing number told.

        See `EventStream`, which is a connection of its own.  Raises `ConfigurationError` for an unknown car.
        """
        return EventStream(self._settings, cars, session=session, numbers=numbers)

    async def _watch(self, watch: Watch, lines: list[CarLine]) -> AsyncGenerator[Report, None]:
        if len(self._watches) >= WATCHES_MAX:
            raise TooMuchError(f"There are {WATCHES_MAX} watchers already.")
        self._watches.append(watch)
        for line in lines:
            line.watch_count += 1
        try:
            await self._listen_to(*lines)
            await self._link.subscribe([topic for line in lines for topic in line.telemetry_topics])
            while True:
                yield await watch.get()
        finally:
            self._watches.remove(watch)
            for line in lines:
                line.watch_count -= 1
            unwatched = [line for line in lines if not line.watch_count]
            await self._link.unsubscribe([one.topic for line in unwatched for one in line.telemetry_topics])

    # --- out ----------------------------------------------------------------------------------------------------

    async def _converse(
        self, line: CarLine, conversation: Conversation, wake: asyncio.Event, on_progress: OnProgress | None
    ) -> CommandResult:
        under_way: dict[asyncio.Task[bool | LinkError], Send] = {}
        try:
            while True:
                wake.clear()
                for task in [task for task in under_way if task.done()]:
                    settle(conversation, under_way.pop(task), task.result(), boot_s())
                for step in conversation.advance(boot_s(), time.time_ns() // 1_000_000):
                    if isinstance(step, CommandResult):
                        return step
                    if isinstance(step, Send):
                        task = self._publish(line, step)
                        task.add_done_callback(lambda _: wake.set())
                        under_way[task] = step
                    elif on_progress is not None:
                        on_progress(step)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(conversation.next_timer() - boot_s()):
                        await wake.wait()
        finally:
            for task in under_way:
                task.cancel()

    def _publish(self, line: CarLine, send: Send) -> asyncio.Task[bool | LinkError]:
        """Publish in a task of its own, because the car's answer may come although the broker's never does.

        Its result: whether anybody was subscribed, or why the broker did not take it, or did not say so.
        """

        async def attempt() -> bool | LinkError:
            try:
                return await self._link.publish(line.topic(send.kind), send.raw, expiry_s=send.expiry_s)
            except LinkError as error:
                return error

        return self._tasks.create_task(attempt(), name=f"backend-{send.kind}")

    async def _listen_to(self, *lines: CarLine) -> None:
        await self._link.subscribe([topic for line in lines for topic in line.answer_topics])

    # --- in -----------------------------------------------------------------------------------------------------

    def _deliver(self, delivery: Delivery) -> None:
        """Everything the broker delivers passes here, one at a time."""
        if (route := self._routes.get(delivery.topic)) is None:
            return self.ignored.add(Ignored.UNKNOWN_TOPIC)
        line, kind = route
        if kind not in (MessageKind.HELLO, MessageKind.RES):
            return self._receive_telemetry(line, kind, delivery)
        if delivery.is_retained:
            return self.ignored.add(Ignored.RETAINED)
        if kind == MessageKind.HELLO:
            return self._receive_hello(line, delivery.payload)
        return self._receive_result(line, delivery.payload)

    def _receive_hello(self, line: CarLine, raw: bytes) -> None:
        hello = open_hello(raw, line.car)
        if isinstance(hello, Ignored):
            return self.ignored.add(hello)
        reception = line.session.receive(hello, boot_s())
        if hello.nonce is None:  # sent on connecting: the car is there again
            line.hurry(boot_s())
        elif not reception.answered:
            self.ignored.add(Ignored.UNASKED)
        for nonce in reception.answered & line.pings.keys():
            if not line.pings[nonce].done():
                line.pings[nonce].set_result(hello)
        for change in sorted(reception.changes):
            self._tell(ChangeReport(line.car.name, change))
        return line.wake()

    def _receive_result(self, line: CarLine, raw: bytes) -> None:
        result = open_result(raw, line.car, self._settings.operator.number)
        if isinstance(result, Ignored):
            return self.ignored.add(result)
        now_s = boot_s()
        if not any(conversation.receive(result, now_s) for conversation in line.conversations):
            self.ignored.add(Ignored.UNASKED)
        self._tell(ResultReport(line.car.name, result))
        return line.wake()

    def _receive_telemetry(self, line: CarLine, kind: str, delivery: Delivery) -> None:
        if not self._watches:
            return
        report = parse_report(kind, line.car.name, delivery.payload, is_retained=delivery.is_retained)
        if report is None:
            self.ignored.add(Ignored.MALFORMED)
        else:
            self._tell(report)

    def _link_changed(self, is_connected: bool, detail: str) -> None:
        for line in self._cars.values():
            if is_connected:
                line.hurry(boot_s())
            line.wake()
        self._tell(LinkReport(is_connected, detail))

    def _tell(self, report: Report) -> None:
        for watch in self._watches:
            watch.put(report)

    def _line(self, name: str) -> CarLine:
        return self._cars[self._settings.car(name).name]
