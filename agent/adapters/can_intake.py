"""From what a bus receives to frames of the car: in order of arrival, without what need not be told one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from operator import itemgetter

from agent.adapters.can_conflation import Conflation, MessageKey
from agent.adapters.can_controller import Controller
from agent.adapters.can_echo import Echoes
from agent.adapters.can_raw import Message, Port
from agent.adapters.can_sieve import Sieve
from agent.adapters.can_source import DescriptorSource, FrameCounts, Source
from agent.adapters.clock import boot_s
from agent.errors import BusError
from agent.model.frame import BusState, Frame
from agent.model.quick_dataclass import dataclass

_arrival = itemgetter(1)
_tuple = tuple.__new__  # what a named tuple's own constructor calls in the end, at half its price


@dataclass(frozen=True, slots=True)
class Told:
    """Who is told of what: frames of the car, error frames, frames of ours seen back; and what became of each."""

    on_frame: Callable[[Frame], None]
    controller: Controller
    echoes: Echoes
    counts: FrameCounts


class Intake:
    """The frames of one bus, over all the times it is opened. `may_conflate`: whether not each is wanted by itself.

    `has_wall_times`: its messages' time stamps are wall time of arrival. `is_pausing`: after a wake-up the next waits.
    """

    def __init__(
        self,
        bus: str,
        told: Told,
        sieve: Sieve,
        conflation: Conflation,
        may_conflate: Callable[[], bool],
        *,
        has_wall_times: bool,
        is_pausing: bool,
    ) -> None:
        self._name = bus
        self._on_frame = told.on_frame
        self._controller = told.controller
        self._echoes = told.echoes
        self._counts = told.counts
        self._sieve = sieve
        self._conflation = conflation
        self._may_conflate = may_conflate
        self._has_wall_times = has_wall_times
        self._is_pausing = is_pausing
        self._source: Source | None = None

    def begin(self, bus: Port, on_ready: Callable[[], None]) -> None:
        """Listen to a bus that was opened; `on_ready` is called in the event loop when there is something to take."""
        self._sieve.forget()
        self._sieve.want_each(is_each_wanted=not self._may_conflate())
        try:
            descriptor = bus.fileno()
        except NotImplementedError:
            descriptor = -1
        reader = (on_ready, self._counts, self._sieve)
        if descriptor < 0:
            from agent.adapters.can_thread import ThreadSource  # SocketCAN has a descriptor, and its start no time

            self._source = ThreadSource(bus, *reader, has_wall_times=self._has_wall_times)
        else:
            self._source = DescriptorSource(
                bus, descriptor, *reader, has_wall_times=self._has_wall_times, is_pausing=self._is_pausing
            )

    def end(self) -> None:
        """Stop listening; the bus itself stays open."""
        source, self._source = self._source, None
        if source is not None:
            source.close()

    def take(self, frames_max: int, *, is_asked: bool = False, is_all: bool = False) -> None:
        """Give what has arrived, if it `is_asked` also repetitions that are due, or all; BusError if the bus failed."""
        if (source := self._source) is None:
            return
        # Found out first: what goes on by itself meanwhile has overtaken them.
        due = self._sieve.due(boot_s(), is_all=is_all) if is_asked else ()
        given, failure = self._drained(source, frames_max)
        news = self._sieve.take_news(boot_s())
        if given:
            # First where the times are the same: a frame that waits beside news of its message came after them.
            for message, at_s in sorted([*news, *given], key=_arrival) if news else given:
                self._accept(message, at_s)
        elif news:
            self._give(news)
        if due:
            self._give(self._sieve.take_due(due, boot_s()))
        if failure is not None:
            raise failure

    def take_each(self, frames_max: int) -> None:
        """From now on give each frame by itself, if that is wanted now; all that came before at once."""
        is_each_wanted = not self._may_conflate()
        self._sieve.want_each(is_each_wanted=is_each_wanted)
        if is_each_wanted:
            # In this order: what waited through a pause is no younger than that.
            self.take(frames_max, is_asked=True, is_all=True)
            if self._source is not None:
                self._source.each_is_wanted()

    def left_out(self) -> Counter[MessageKey]:
        """How many frames gave way to a newer one of their message, by id."""
        self._sieve.count_left_out(self._conflation.counts)
        return self._conflation.counts

    def _drained(self, source: Source, frames_max: int) -> tuple[list[tuple[Message, float]], BusError | None]:
        """What has arrived, and what the interface failed with after that, if it did."""
        is_gathered = self._may_conflate()
        came = source.drain(max(frames_max, source.gathered_max) if is_gathered else frames_max)
        given: list[tuple[Message, float]] = []
        if came == given:
            return given, None
        try:
            given += self._conflation.newest(came) if is_gathered else came
        except BusError as error:
            return given, error
        return given, None

    def _accept(self, message: Message, at_s: float) -> None:
        if message.is_error_frame:
            self._controller.error_frame(message.arbitration_id, bytes(message.data))
            return
        if not message.is_rx:
            # No frame of ours may pass for the car's (SR-04).
            if self._echoes.are_due:
                self._echoes.take(message, at_s)
            return
        self._give([(message, at_s)])

    def _give(self, frames: Sequence[tuple[Message, float]]) -> None:
        """Give data frames of the car."""
        if self._controller.state is BusState.BUS_OFF:
            self._controller.heard()
        self._counts.received += len(frames)
        name, on_frame = self._name, self._on_frame
        for message, at_s in frames:
            number, data = message.arbitration_id, bytes(message.data)
            on_frame(_tuple(Frame, (name, number, data, at_s, message.is_extended_id, message.is_fd)))
