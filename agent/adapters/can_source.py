"""Where received messages come from: a file descriptor the event loop watches; `can_thread` where there is none.

Both say of each message when it arrived, never later than it did as far as a frame of ours sent since is concerned:
what arrived before a send is either drained before it, or keeps a time before it.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from agent.adapters.can_edge import arrival_s
from agent.adapters.can_port import bus_error, driver_errors
from agent.adapters.can_raw import Message, Port
from agent.adapters.can_sieve import Sieve
from agent.adapters.clock import boot_s, wall_offset_s
from agent.model.quick_dataclass import dataclass

# The wall clock may be slewed by 500 ppm; read anew after so long, it is never off by what a step is known by.
OFFSET_KEPT_S = 2.0

# A wake-up costs as much as to read and decode twenty frames. After one the next waits for so long, unless each frame
# counts: a serial line's buffer (4 KiB, and more behind it) holds what comes meanwhile, and so do CAN sockets.
PAUSE_S = 0.02

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

    def drain(self, messages_max: int) -> Iterable[tuple[Message, float]]:
        """What has arrived, with boot times, oldest first; BusError once the interface has failed."""

    def each_is_wanted(self) -> None:
        """The sieve has begun to let every frame through: none is to wait any more."""

    def close(self) -> None:
        """Stop listening; the bus itself stays open."""


class DescriptorSource:
    """Messages of a bus with a file descriptor, read in the event loop as they come.

    `on_ready` is called in the event loop when there is something to drain.  `has_wall_times`: the messages' time
    stamps are wall time at which they arrived, not some clock of the adapter's own, or that of whoever reads.
    """

    gathered_max = 0

    def __init__(
        self,
        bus: Port,
        descriptor: int,
        on_ready: Callable[[], None],
        counts: FrameCounts,
        sieve: Sieve,
        *,
        has_wall_times: bool,
        is_pausing: bool,
    ) -> None:
        self._bus = bus
        self._counts = counts
        self._sieve = sieve
        self._has_wall_times = has_wall_times
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._empty_at_s = self._arrived_at_s = boot_s()
        self._offset_s, self._offset_at_s = wall_offset_s(), self._empty_at_s
        self._on_ready = on_ready
        self._is_pausing = is_pausing
        self._pause: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(descriptor, self._come)

    def drain(self, messages_max: int) -> Iterator[tuple[Message, float]]:
        self._sieve.resume()
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
            if (message := self._receive()) is None:
                continue
            at_s = self._arrival_s(message, offset_s, now_s)
            if not self._sieve.keeps(message, at_s) and self._sieve.passes(message):
                yield message, at_s

    def close(self) -> None:
        self._is_closed = True
        if self._pause is None:
            self._loop.remove_reader(self._descriptor)
        else:
            self._pause.cancel()

    def each_is_wanted(self) -> None:
        """The sieve lets every frame through from now on: none waits for the end of a pause."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
            self._loop.add_reader(self._descriptor, self._come)

    def _come(self) -> None:
        """Something came: take it, and in a while what comes next."""
        self._on_ready()
        if self._is_pausing and not self._is_closed and not self._sieve.is_each_wanted:
            self._loop.remove_reader(self._descriptor)
            self._pause = self._loop.call_later(PAUSE_S, self._look_again)

    def _look_again(self) -> None:
        """After a pause: go on so as long as more comes."""
        is_more = bool(self._poll.poll(0))
        if is_more:
            self._on_ready()
        if self._is_closed or self._pause is None:
            return
        if is_more:
            self._pause = self._loop.call_later(PAUSE_S, self._look_again)
        else:
            self._pause = None
            self._loop.add_reader(self._descriptor, self._come)

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
            # Without a pause it woke us just now, and every send drains first: what comes after that is newer.
            self._arrived_at_s = now_s if self._pause is None else max(self._empty_at_s, self._arrived_at_s)
            return self._arrived_at_s
        self._arrived_at_s = arrival_s(
            message.timestamp,
            offset_s=offset_s,
            offset_before_s=self._offset_s,
            earliest_s=max(self._empty_at_s, self._arrived_at_s),
            now_s=now_s,
        )
        return self._arrived_at_s
