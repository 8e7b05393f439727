"""Where received messages come from: a file descriptor the event loop watches, or a thread where there is none.

Both say of each message when it arrived, never later than it did as far as a frame of ours sent since is concerned:
what arrived before a send is either drained before it, or keeps a time before it.
"""

from __future__ import annotations

import asyncio
import select
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

from agent.adapters.can_edge import CLOCK_STEP_S, arrival_s
from agent.adapters.can_port import bus_error, driver_errors
from agent.adapters.can_raw import Message, Port
from agent.adapters.clock import boot_s, wall_offset_s
from agent.errors import BusError
from agent.model.quick_dataclass import dataclass

# A thread asks so often whether it is to end; it also bounds how old a message of unknown time can be made.
POLL_S = 0.1

# Of messages that wait already the clocks are read once for so many, 16 ms of a full bus; they count as older by that.
CLOCKS_READ_EVERY = 64

# The wall clock may be slewed by 500 ppm; read anew after so long, it is never off by what a step is known by.
OFFSET_KEPT_S = 2.0

# Messages a thread may have waiting for the event loop: two seconds of a full 500 kbit/s bus.
WAITING_MAX = 8192

# Of those so many are taken at once where only the newest of each id counts: most are not looked at any further.
_GATHERED_MAX = 4096

# A serial line that never ends its lines must not fill the memory; the longest frame takes 150 characters.
_LINE_BYTES_MAX = 4096


@dataclass(slots=True)
class FrameCounts:
    """What became of frames on a bus since start; `garbled` and `dropped` are an adapter's fault, or our load.

    `lost` had no room in the kernel's buffer, `lost_changes` of them were changes it had picked out.  `changes` are
    those of `received` that the kernel picked out for us, `doubled` those it picked out while the raw socket gave every
    frame of their message (nobody got them twice), `unwatched` the times it could not be had for that.  Of those
    `sent`, the driver gave `echoed` back because another node acknowledged them, and was not going to give back those
    that are `unconfirmed`.
    """

    received: int = 0
    unwanted: int = 0
    garbled: int = 0
    dropped: int = 0
    sent: int = 0
    refused: int = 0
    echoed: int = 0
    unconfirmed: int = 0
    reopened: int = 0
    lost: int = 0
    lost_changes: int = 0
    changes: int = 0
    doubled: int = 0
    unwatched: int = 0


class Source(Protocol):
    """Messages of one open bus. `gathered_max`: to take so many of them is cheap, for they are received already."""

    gathered_max: int

    def drain(self, messages_max: int) -> Iterator[tuple[Message, float]]:
        """What has arrived, with boot times, oldest first; BusError once the interface has failed."""

    def close(self) -> None:
        """Stop listening; the bus itself stays open."""


def source_of(bus: Port, *, has_wall_times: bool, on_ready: Callable[[], None], counts: FrameCounts) -> Source:
    """The source that suits `bus`; `on_ready` is called in the event loop when there is something to drain.

    `has_wall_times`: the messages' time stamps are wall time, not some clock of the adapter's own.
    """
    try:
        descriptor = bus.fileno()
    except NotImplementedError:
        descriptor = -1
    if descriptor >= 0:
        return DescriptorSource(bus, descriptor, has_wall_times=has_wall_times, on_ready=on_ready, counts=counts)
    return ThreadSource(bus, has_wall_times=has_wall_times, on_ready=on_ready, counts=counts)


class DescriptorSource:
    """Messages of a bus with a file descriptor, read in the event loop as they come."""

    gathered_max = 0

    def __init__(
        self,
        bus: Port,
        descriptor: int,
        *,
        has_wall_times: bool,
        on_ready: Callable[[], None],
        counts: FrameCounts,
    ) -> None:
        self._bus = bus
        self._counts = counts
        self._has_wall_times = has_wall_times
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._empty_at_s = self._arrived_at_s = boot_s()
        self._offset_s, self._offset_at_s = wall_offset_s(), self._empty_at_s
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(descriptor, on_ready)

    def drain(self, messages_max: int) -> Iterator[tuple[Message, float]]:
        now_s = boot_s()
        if not self._poll.poll(0) and now_s - self._offset_at_s < OFFSET_KEPT_S:
            # Nothing has come, and the wall clock is known well enough for what will.
            self._empty_at_s = now_s
            return
        # Read once for all that waits: what comes meanwhile counts as older than it is, by as long as this takes.
        offset_s = wall_offset_s(self._offset_s)
        for _ in range(messages_max):
            # Asking first, because a serial line's read waits a millisecond for what is not there.
            if not self._poll.poll(0):
                self._empty_at_s, self._offset_s, self._offset_at_s = now_s, offset_s, now_s
                return
            # None: half a line, or an adapter's answer to something we sent.
            if (message := self._receive()) is not None:
                yield message, self._arrival_s(message, offset_s, now_s)

    def close(self) -> None:
        self._loop.remove_reader(self._descriptor)

    def _receive(self) -> Message | None:
        try:
            message = self._bus.recv(0)
        except (ValueError, IndexError):
            # slcan: a line that is no frame.
            self._counts.garbled += 1
            return None
        except driver_errors() as error:
            if not isinstance(error.__cause__, UnicodeDecodeError):
                raise bus_error(str(self._bus), error) from error
            # slcan keeps what it could not decode, and would trip over it for ever.
            self._start_afresh()
            return None
        if len(getattr(self._bus, "_buffer", b"")) > _LINE_BYTES_MAX:
            self._start_afresh()
        return message

    def _start_afresh(self) -> None:
        """Throw away what the library holds of an unfinished line, and what waits behind it."""
        self._counts.garbled += 1
        if callable(flush := getattr(self._bus, "flush", None)):
            try:
                flush()
            except driver_errors() as error:
                raise bus_error(str(self._bus), error) from error

    def _arrival_s(self, message: Message, offset_s: float, now_s: float) -> float:
        if not self._has_wall_times:
            # It woke us just now, and every send drains first: whatever comes after a send is newer than it.
            return now_s
        self._arrived_at_s = arrival_s(
            message.timestamp,
            offset_s=offset_s,
            offset_before_s=self._offset_s,
            earliest_s=max(self._empty_at_s, self._arrived_at_s),
            now_s=now_s,
        )
        return self._arrived_at_s


class ThreadSource:
    """Messages of a bus that can only be waited for, read by a thread and handed to the event loop."""

    gathered_max = _GATHERED_MAX

    def __init__(self, bus: Port, *, has_wall_times: bool, on_ready: Callable[[], None], counts: FrameCounts) -> None:
        self._bus = bus
        self._counts = counts
        self._has_wall_times = has_wall_times
        self._on_ready = on_ready
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[Message, float]] = deque(maxlen=WAITING_MAX)
        self._failure: BusError | None = None
        self._is_told = False
        self._is_ending = threading.Event()
        self._thread = threading.Thread(target=self._read, name=f"can-{bus}", daemon=True)
        self._thread.start()

    def drain(self, messages_max: int) -> Iterator[tuple[Message, float]]:
        # First, so that a message handed over while this runs wakes the loop again.
        self._is_told = False
        waiting = self._waiting
        # Nobody else takes any out.
        count = min(messages_max, len(waiting))
        yield from [waiting.popleft() for _ in range(count)]
        if count == messages_max:
            self._loop.call_soon(self._on_ready)
            return
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        self._is_ending.set()
        self._thread.join(2 * POLL_S)

    def _read(self) -> None:
        """The thread. However it fails, the event loop learns of it: a bus that is only silent is never reopened."""
        try:
            self._read_on()
        except Exception as error:  # noqa: BLE001 - the thread's outermost frame; drivers raise what they like
            self._failure = bus_error(str(self._bus), error)
            self._tell_loop()

    def _read_on(self) -> None:
        """Read until told to end. A message counts as no older than the last time the bus was seen to have none.

        What is done here for each message is all that is done for those that are overtaken before the loop has time.
        """
        waiting, receive, has_wall_times = self._waiting, self._bus.recv, self._has_wall_times
        empty_at_s = now_s = boot_s()
        offset_before_s = offset_s = wall_offset_s()
        arrived_at_s, wait_s, in_a_row, is_steady = empty_at_s, POLL_S, 0, True
        while True:
            try:
                message = receive(wait_s)
            except (ValueError, IndexError):
                self._counts.garbled += 1
                if self._is_ending.is_set():
                    return
                continue
            if message is None:
                if self._is_ending.is_set():
                    return
                # Whatever comes from here on came after the clocks were read last; of a wait that is its beginning.
                empty_at_s, offset_before_s, wait_s = now_s, offset_s, POLL_S
                now_s, offset_s = boot_s(), wall_offset_s(offset_s)
                is_steady = abs(offset_s - offset_before_s) <= CLOCK_STEP_S
                continue
            in_a_row += 1
            if wait_s or in_a_row == CLOCKS_READ_EVERY:
                if self._is_ending.is_set():
                    return
                now_s, offset_s, in_a_row = boot_s(), wall_offset_s(offset_s), 0
                is_steady = abs(offset_s - offset_before_s) <= CLOCK_STEP_S
                arrived_at_s = max(empty_at_s, arrived_at_s)
                wait_s = 0
            if has_wall_times and is_steady:
                # `arrival_s` without the call.
                at_s = message.timestamp - offset_s
                if at_s > now_s:
                    arrived_at_s = now_s
                elif at_s > arrived_at_s:
                    arrived_at_s = at_s
            if len(waiting) == WAITING_MAX:
                self._counts.dropped += 1
            waiting.append((message, arrived_at_s))
            if not self._is_told:
                self._tell_loop()

    def _tell_loop(self) -> None:
        self._is_told = True
        try:
            self._loop.call_soon_threadsafe(self._on_ready)
        except RuntimeError:
            # The loop has closed without closing us; there is nobody left to read for.
            self._is_ending.set()
