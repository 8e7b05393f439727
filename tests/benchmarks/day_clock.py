"""A clock that leaps over the time in which nothing can happen, so that a day of an agent as shipped takes minutes.

Every clock the process reads (boot time, monotonic, wall) is the machine's own plus the same offset.  Whenever all
tasks wait and nothing is under way outside (bytes between agent and broker, a write to the card), the offset grows by
what is left to the next timer.  Between leaps time runs as everywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import time
from collections.abc import Callable, Iterator
from typing import Any

import paho.mqtt.client

QUIET_S = 0.004
"""After a socket was heard of, time is not leapt over until so long nothing more came: a round trip takes a tenth."""

WAIT_S_MAX = 0.05
"""How long is waited in real time before it is asked again whether time may be leapt over."""


class DayClock:
    """The offset, and who holds it.

    `is_busy` says whether something is under way outside.  `stride_s` is the least that is leapt: what is due
    within it happens at its end, as on a computer that was put aside for so long.
    """

    def __init__(self) -> None:
        self.skipped_s = 0.0
        self.is_busy: Callable[[], bool] = lambda: False
        self.stride_s: Callable[[], float] = lambda: 0.0
        self._holders = 0
        self._real_monotonic = time.monotonic
        self._heard_at_s = 0.0
        self._calls_outside = 0

    def real_s(self) -> float:
        """The machine's own clock."""
        return self._real_monotonic()

    @property
    def may_leap(self) -> bool:
        is_quiet = self.real_s() - self._heard_at_s >= QUIET_S
        return is_quiet and not self._holders and not self._calls_outside and not self.is_busy()

    def heard(self) -> None:
        """A socket was ready."""
        self._heard_at_s = self.real_s()

    def called_outside(self, calls: int) -> None:
        """So many more calls run in threads."""
        self._calls_outside += calls

    @contextlib.contextmanager
    def real_time(self) -> Iterator[None]:
        """No leap within: somebody outside this process's tasks takes part."""
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Have the whole process live by this clock."""
        names = ("monotonic", "time", "clock_gettime")
        real = {name: getattr(time, name) for name in names}
        paho_time = paho.mqtt.client.time_func

        def shifted(name: str) -> Callable[..., float]:
            read = real[name]
            return lambda *which: read(*which) + self.skipped_s

        for name in names:
            setattr(time, name, shifted(name))
        paho.mqtt.client.time_func = time.monotonic
        try:
            yield
        finally:
            paho.mqtt.client.time_func = paho_time
            for name in names:
                setattr(time, name, real[name])


class _LeapingSelector(selectors.DefaultSelector):
    """Waits as any selector, but leaps where it may."""

    def __init__(self, clock: DayClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is not None and timeout > 0 and self._clock.may_leap:
            self._clock.skipped_s += max(timeout, self._clock.stride_s())
            return []
        if not ready and (timeout is None or timeout > 0):
            until_quiet_s = QUIET_S if timeout is not None else WAIT_S_MAX
            ready = super().select(until_quiet_s if timeout is None else min(timeout, until_quiet_s))
        if ready:
            self._clock.heard()
        return ready


class DayLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is a `DayClock`'s; the clock must be installed before it is made."""

    def __init__(self, clock: DayClock) -> None:
        super().__init__(_LeapingSelector(clock))
        self._day_clock = clock

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """While a call runs in a thread, time is not leapt over."""
        future = super().run_in_executor(executor, func, *args)
        self._day_clock.called_outside(1)
        future.add_done_callback(lambda _: self._day_clock.called_outside(-1))
        return future
