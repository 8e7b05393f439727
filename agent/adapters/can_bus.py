"""One CAN bus by python-can: frames in, permitted frames out, and what the interface says of itself."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from functools import partial

from agent.adapters.bcm_message import Watched
from agent.adapters.beat import next_beat_s
from agent.adapters.can_conflation import Conflation, MessageKey
from agent.adapters.can_controller import INTERFACES, Controller
from agent.adapters.can_echo import Echoes
from agent.adapters.can_edge import SendList, next_back_off_s
from agent.adapters.can_intake import Intake, Told
from agent.adapters.can_port import (
    bus_error,
    driver_errors,
    open_bus,
    opened_in_thread,
    receive_buffer_bytes,
    shut_down,
)
from agent.adapters.can_raw import Port, RawSocket
from agent.adapters.can_reception import Reception, Watching
from agent.adapters.can_sending import (
    SEND_RETRY_S,
    SEND_TRIES_MAX,
    FrameRefused,
    hand_over,
    refusal_of,
)
from agent.adapters.can_sieve import Sieve
from agent.adapters.can_source import FrameCounts
from agent.adapters.clock import boot_s
from agent.errors import BusError
from agent.model.bus import BusLook, BusSign
from agent.model.command import Reason
from agent.model.frame import BusState, Frame, SendRule
from agent.model.reception import MessageId, Repeating

# A wake-up takes what has come in a tenth of a second at full load, then lets the rest of the agent run.
FRAMES_PER_WAKE = 256

# Before a send everything must be out; more than this has not arrived since the last wake-up on any bus.
FRAMES_BEFORE_SEND = 4096

# Whatever asks us to, no bus gets more than this from us in any second.
FRAMES_PER_S_MAX = 50

# A bus on which nothing fails is looked at so often, which also shows that somebody still does.
PROGRESS_S = 10.0

# Interfaces whose time stamps are wall time of arrival; others' count from when the adapter was plugged in, are of when
# they were read, or not at all.
_WALL_TIME_INTERFACES = frozenset({"socketcan", "virtual"})


class CanBus:
    """A bus as python-can's `interface` and `channel`; `run` keeps it open, `send` puts frames on it.

    `on_frame` gets data frames of the `wanted_ids` (id, is extended) in order of arrival; `on_state` and `on_look` as
    `Controller` has them.  All are called in the event loop; what they raise ends `run`.  `on_progress` is called at
    every turn of `run`, with the seconds that are waited on purpose before the next, `on_taken` after `on_frame` was
    called for what came together.  Of frames of one of the
    `conflatable_ids` that wait together while the loop is behind only the newest is given, and of those of the
    `repeating` messages that repeat the last only what `confirm` gives, as long as `may_conflate` says so; `attend` has
    to be called when it begins to say otherwise.
    """

    def __init__(
        self,
        bus: str,
        *,
        interface: str,
        channel: str,
        bitrate_bps: int,
        is_fd: bool,
        send_list: Sequence[SendRule],
        wanted_ids: Sequence[tuple[int, bool]],
        on_frame: Callable[[Frame], None],
        on_state: Callable[[BusState, BusSign], None],
        on_look: Callable[[BusLook], None] = lambda look: None,
        on_progress: Callable[[float], None] = lambda pause_s: None,
        on_taken: Callable[[], None] = lambda: None,
        conflatable_ids: Sequence[tuple[int, bool]] = (),
        repeating: Sequence[Repeating] = (),
        may_conflate: Callable[[], bool] = lambda: True,
        watching: Watching | None = None,
    ) -> None:
        self.counts = FrameCounts()
        self._name = bus
        self._interface = interface
        self._channel = channel
        self._bitrate_bps = bitrate_bps
        self._is_fd = is_fd
        self._send_list = SendList(bus, send_list)
        self._wanted = frozenset(wanted_ids)
        self.echoes = Echoes(send_list, self.counts)
        self._on_progress = on_progress
        self._on_taken = on_taken
        self._reception: Reception | None = None
        if watching is not None and interface == "socketcan":
            room = receive_buffer_bytes(bitrate_bps, is_fd=is_fd)
            self._reception = Reception(bus, watching, self._wanted, self.counts, self.echoes, buffer_bytes=room)
        self.has_begun = asyncio.Event()  # it was opened once, or could not be
        self.has_worked = asyncio.Event()  # it was opened once
        folder = INTERFACES / channel if interface == "socketcan" else None
        self._controller = Controller(folder, sent=lambda: self.counts.sent, on_state=on_state, on_look=on_look)
        # What the kernel watches does not repeat itself, and an echo must not stand in the place of a frame of the car.
        is_watching = self._reception is not None and watching is not None and bool(watching.watches)
        patient = frozenset(conflatable_ids) - self.echoes.ids
        self._intake = Intake(
            bus,
            Told(on_frame, self._controller, self.echoes, self.counts),
            Sieve(self.counts, self._wanted, () if is_watching else repeating, patient),
            Conflation(patient),
            may_conflate,
            has_wall_times=interface in _WALL_TIME_INTERFACES,
            is_pausing=not is_watching,
        )
        self._back_off_s = 0.0
        self._bus: Port | None = None
        self._failed: asyncio.Future[None] | None = None
        self._sent_at_s: deque[float] = deque(maxlen=FRAMES_PER_S_MAX)

    @property
    def back_off_s(self) -> float:
        """How long was waited before the interface was opened again, or is being waited; 0 if it never failed."""
        return self._back_off_s

    async def run(self) -> None:
        """Keep the bus open until cancelled: after a failure it is opened again, at growing intervals."""
        try:
            while True:
                opened_at_s = boot_s()
                try:
                    if self._failed is None:
                        await self.open()
                    if self._failed is not None:
                        await self._watched(self._failed)
                except BusError as error:
                    self._shut()
                    self._controller.failed(error)
                    self.has_begun.set()
                self._back_off_s = next_back_off_s(self._back_off_s, boot_s() - opened_at_s)
                self._on_progress(self._back_off_s)
                await asyncio.sleep(self._back_off_s)
                self.counts.reopened += 1
        finally:
            self.close()

    async def _watched(self, failed: asyncio.Future[None]) -> None:
        """Wait for the interface to fail, and raise what it failed with; in between look at it, and show so."""
        loop = asyncio.get_running_loop()
        while not failed.done():
            self._on_progress(PROGRESS_S)
            self._controller.look()
            now_s = loop.time()
            await asyncio.wait({failed}, timeout=next_beat_s(now_s, PROGRESS_S) - now_s)
        failed.result()

    async def open(self) -> None:
        """Open the interface; BusError if it is not there or down, ConfigurationError if it cannot exist."""
        open_it = partial(
            open_bus,
            self._interface,
            self._channel,
            bitrate_bps=self._bitrate_bps,
            is_fd=self._is_fd,
            wanted_ids=self._wanted if self._reception is None else self._reception.raw_ids,
        )
        # The kernel's sockets are there at once; serial adapters are given two seconds to boot, and drivers may block.
        bus = open_it() if self._interface == "socketcan" else await opened_in_thread(open_it)
        self._bus = bus
        self._failed = asyncio.get_running_loop().create_future()
        self._intake.begin(bus, self.take_what_came)
        try:
            if self._reception is not None and isinstance(bus, RawSocket):
                self._reception.begin(bus, self._channel, self._take_changes)
            # An interface that is down can be opened; reading from it tells.
            self._take(FRAMES_PER_WAKE)
        except BusError:
            self._shut()
            raise
        self._controller.opened()
        self.has_worked.set()
        self.has_begun.set()

    def send(
        self,
        frame: Frame,
        not_after_s: float,
        may_leave: Callable[[], bool] = lambda: True,
        on_echo: Callable[[float], None] = lambda at_s: None,
    ) -> float:
        """Put a frame on the bus now, and return the boot time just after; FrameRefused if it did not leave.

        Reasons: `internal` not on the send list (SR-01), `can_down`, `bus_off`, `expired` too late for `not_after_s`,
        faster than `FRAMES_PER_S_MAX`, or `may_leave` said no; `timeout` no room in the queue for 20 ms.  What
        arrived before is given to `on_frame` first, so that nothing older than the frame can be taken for an answer
        to it; `may_leave` is asked after that, so that it knows all there is to know.  `on_echo`: see `Echoes.sent`.
        """
        try:
            at_s = self._send(frame, not_after_s, may_leave)
        except FrameRefused:
            self.counts.refused += 1
            raise
        self._sent_at_s.append(at_s)
        self.counts.sent += 1
        self.echoes.sent(frame, on_echo)
        return at_s

    def close(self) -> None:
        """Close the interface; nothing is received or sent afterwards."""
        self._shut()
        self._controller.close()

    def attend(self, messages: Collection[MessageId]) -> None:
        """From now on give every frame of these messages, and of no others that the kernel can watch.

        What changed before is given first.
        """
        try:
            self._intake.take_each(FRAMES_BEFORE_SEND)
            if self._reception is not None:
                self._reception.attend(messages, FRAMES_BEFORE_SEND)
            self._on_taken()
        except (BusError, OSError) as error:
            self._fail(bus_error(self._name, error))

    def watch_afresh(self, message: MessageId) -> None:
        """Have the next frame of a watched message given even if it changes nothing."""
        if self._reception is not None:
            self._reception.watch_afresh(message)

    def confirm(self) -> None:
        """Take in what has come, and tell what is known of messages that do not change, and what was lost."""
        self._take_guarded(FRAMES_PER_WAKE, is_asked=True)
        if self._reception is not None:
            self._reception.tell_lost()

    def left_out(self) -> Counter[MessageKey]:
        """How many frames gave way to a newer one of their message, by id."""
        return self._intake.left_out()

    def statistics(self) -> dict[tuple[int, bool], Watched]:
        """What the kernel says of the messages it watches, by id; nothing if it watches none, or does not say."""
        return {} if self._reception is None else self._reception.statistics()

    def _send(self, frame: Frame, not_after_s: float, may_leave: Callable[[], bool]) -> float:
        if frame not in self._send_list:
            raise FrameRefused(Reason.INTERNAL, f"{self._name}: {frame.arbitration_id:#x} is not on the send list")
        for _ in range(SEND_TRIES_MAX):
            try:
                self._take(FRAMES_BEFORE_SEND)
            except BusError as error:
                self._fail(error)
            if self._bus is None:
                raise FrameRefused(Reason.CAN_DOWN, f"{self._name}: the interface is not open")
            if self._controller.state is BusState.BUS_OFF:
                raise FrameRefused(Reason.BUS_OFF, f"{self._name}: the controller is bus-off")
            now_s = boot_s()
            if now_s > not_after_s:
                raise FrameRefused(Reason.EXPIRED, f"{self._name}: {now_s - not_after_s:.3f} s too late")
            if len(self._sent_at_s) == FRAMES_PER_S_MAX and now_s - self._sent_at_s[0] < 1.0:
                raise FrameRefused(Reason.EXPIRED, f"{self._name}: {FRAMES_PER_S_MAX} frames were sent this second")
            if not may_leave():
                raise FrameRefused(Reason.EXPIRED, f"{self._name}: the frame is not wanted or not permitted any more")
            if self._hand_over(self._bus, frame):
                return boot_s()
            time.sleep(SEND_RETRY_S)
        raise FrameRefused(Reason.TIMEOUT, f"{self._name}: no room in the send queue")

    def _hand_over(self, bus: Port, frame: Frame) -> bool:
        """Give a frame to the driver; False if its queue is full just now."""
        try:
            return hand_over(bus, frame)
        except driver_errors() as error:
            self._fail(bus_error(self._name, error))
            raise refusal_of(self._name, error) from error

    def take_what_came(self) -> None:
        """Give what has arrived, at most as much as one wake-up takes."""
        self._take_guarded(FRAMES_PER_WAKE)

    def _take_guarded(self, frames_max: int, *, is_asked: bool = False) -> None:
        try:
            self._take(frames_max, is_asked=is_asked)
        except Exception as error:  # noqa: BLE001 - outermost frame of a loop callback; `run` raises it
            self._fail(error)

    def _take_changes(self) -> None:
        """What the kernel picked out alone: frames beside it wake us by themselves."""
        try:
            if self._reception is not None:
                self._reception.take(FRAMES_PER_WAKE)
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(error)

    def _take(self, frames_max: int, *, is_asked: bool = False) -> None:
        received = self.counts.received
        try:
            self._intake.take(frames_max, is_asked=is_asked)
            if self._reception is not None:
                self._reception.take(frames_max)
        finally:
            if self.counts.received != received:
                self._on_taken()

    def _fail(self, error: Exception) -> None:
        """Close at once (a descriptor that failed stays readable and would spin) and let `run` know why."""
        failed = self._failed
        self._shut()
        if failed is not None and not failed.done():
            failed.set_exception(error)
            self._failed = failed

    def _shut(self) -> None:
        bus, self._bus = self._bus, None
        if self._failed is not None and self._failed.done() and not self._failed.cancelled():
            self._failed.exception()  # seen; asyncio would complain of it otherwise
        self._failed = None
        if self._reception is not None:
            self._reception.end()
        self._intake.end()
        if bus is not None:
            shut_down(bus)
