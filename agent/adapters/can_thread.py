"""Received messages of a bus that can only be waited for, read by a thread and handed to the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from agent.adapters.beat import next_beat_s
from agent.adapters.can_edge import CLOCK_STEP_S, GATHER_S
from agent.adapters.can_port import bus_error
from agent.adapters.can_raw import Message, Port
from agent.adapters.can_sieve import Sieve
from agent.adapters.can_source import FrameCounts
from agent.adapters.clock import boot_s, wall_offset_s
from agent.errors import BusError

# A thread asks so often whether it is to end; it also bounds how old a message of unknown time can be made.
POLL_S = 0.1

# Whether the bus has nothing more is looked at so often, and with it how old a message can be at most. While each frame
# counts it is looked at after every one.
LOOK_INTERVAL_S = 0.1

# After so many waits without a frame a bus was asleep, or away: what comes then is told at once, whatever it says.
SILENT_POLLS = 10

# To wake the loop from a thread costs as much as to read and decode thirty frames. What can wait does so for as long as
# where the kernel watches, unless nothing came in the time before.
PAUSE_S = GATHER_S

# Messages a thread may have waiting for the event loop: two seconds of a full 500 kbit/s bus.
WAITING_MAX = 8192

# What wakes the loop: any frame, one that cannot wait, nothing (it was told already).
_ANY, _URGENT, _NOTHING = range(3)


class ThreadSource:
    """See `Source`. `has_wall_times`: the messages' time stamps are wall time, not some clock of the adapter's own."""

    gathered_max = WAITING_MAX

    def __init__(
        self, bus: Port, on_ready: Callable[[], None], counts: FrameCounts, sieve: Sieve, *, has_wall_times: bool
    ) -> None:
        self._bus = bus
        self._counts = counts
        self._sieve = sieve
        self._has_wall_times = has_wall_times
        self._on_ready = on_ready
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[Message, float]] = deque(maxlen=WAITING_MAX)
        self._failure: BusError | None = None
        self._woken_by = _ANY
        # What waits is never older than a repetition of it may be: that is looked at twice in its time.
        self._pause_s = min(PAUSE_S, 2 * sieve.interval_s or PAUSE_S)
        self._pause: asyncio.TimerHandle | None = None
        self._is_ending = threading.Event()
        self._thread = threading.Thread(target=self._read, name=f"can-{bus}", daemon=True)
        self._thread.start()

    def drain(self, messages_max: int) -> Iterable[tuple[Message, float]]:
        # First, so that a message handed over while this runs is not forgotten.
        if self._sieve.is_each_wanted:
            self._woken_by = _ANY
        elif self._pause is not None:
            self._woken_by = _URGENT
        elif self._waiting or self._sieve.news:
            self._woken_by = _URGENT
            self._pause = self._loop.call_at(next_beat_s(self._loop.time(), self._pause_s), self._look_again)
        else:
            self._woken_by = _ANY
        waiting = self._waiting
        # Nobody else takes any out.
        count = min(messages_max, len(waiting))
        came = [waiting.popleft() for _ in range(count)]
        if count == messages_max:
            self._loop.call_soon(self._on_ready)
        elif self._failure is not None:
            return _until_failure(came, self._failure)
        return came

    def each_is_wanted(self) -> None:
        self._woken_by = _ANY

    def close(self) -> None:
        self._is_ending.set()
        if self._pause is not None:
            self._pause.cancel()
        self._thread.join(2 * POLL_S)

    def _look_again(self) -> None:
        self._pause = None
        self._woken_by = _ANY
        if self._waiting or self._sieve.news:
            self._on_ready()

    def _read(self) -> None:
        """The thread. However it fails, the event loop learns of it: a bus that is only silent is never reopened."""
        try:
            self._read_on()
        except Exception as error:  # noqa: BLE001 - the thread's outermost frame; drivers raise what they like
            self._failure = bus_error(str(self._bus), error)
            self._tell_loop()

    def _read_on(self) -> None:
        """Read until told to end. A message counts as no older than the last time the bus was seen to have none.

        What is done here for each message is all that is done for those that repeat the last of theirs.
        """
        sieve, receive, has_wall_times = self._sieve, self._bus.recv, self._has_wall_times
        keeps, news = sieve.keeps, sieve.news
        before_s = empty_at_s = arrived_at_s = boot_s()
        offset_before_s = offset_s = wall_offset_s()
        wait_s, silent_polls, is_steady, look_stamp = POLL_S, 0, True, -math.inf
        while True:
            try:
                message = receive(wait_s)
            except (ValueError, IndexError):
                self._counts.garbled += 1
                if self._is_ending.is_set():
                    return
                continue
            # By the message's own clock, whatever that is: to read another would cost with every frame.
            if message is None or sieve.is_each_wanted or not 0.0 < message.timestamp - look_stamp < LOOK_INTERVAL_S:
                if self._is_ending.is_set():
                    return
                now_s = boot_s()
                if message is None:
                    # Whatever comes from here on came after it was asked for.
                    empty_at_s, offset_before_s = before_s, offset_s
                    silent_polls += wait_s > 0
                    if silent_polls == SILENT_POLLS:
                        sieve.forget()
                wait_s = POLL_S if message is None else 0
                offset_s = wall_offset_s(offset_s)
                is_steady = abs(offset_s - offset_before_s) <= CLOCK_STEP_S
                arrived_at_s = max(empty_at_s, arrived_at_s)
                if not self._waiting:
                    sieve.resume()
                before_s = now_s
                if message is None:
                    continue
                look_stamp = message.timestamp
                silent_polls = 0
            if keeps(message, arrived_at_s):
                if self._woken_by == _ANY and news:
                    self._tell_loop()
                continue
            if not sieve.passes(message):
                continue
            if has_wall_times and is_steady and (at_s := message.timestamp - offset_s) > arrived_at_s:
                # `arrival_s` without the call.
                arrived_at_s = min(at_s, boot_s())
            self._hand_over(message, arrived_at_s)

    def _hand_over(self, message: Message, at_s: float) -> None:
        waiting = self._waiting
        if len(waiting) == WAITING_MAX:
            self._counts.dropped += 1
            with contextlib.suppress(IndexError):  # the loop may have taken them all meanwhile
                self._sieve.lost(waiting[0][0])
        waiting.append((message, at_s))
        if self._woken_by != _NOTHING:
            self._tell_loop()

    def _tell_loop(self) -> None:
        self._woken_by = _NOTHING
        try:
            self._loop.call_soon_threadsafe(self._on_ready)
        except RuntimeError:
            # The loop has closed without closing us; there is nobody left to read for.
            self._is_ending.set()


def _until_failure(came: Iterable[tuple[Message, float]], failure: BusError) -> Iterator[tuple[Message, float]]:
    yield from came
    raise failure
