"""One car, one agent, four backends and a broker in a world of their own, where a seed decides what goes wrong.

    stations ──► broker ──► computer (engine, disk, CAN interface) ◄──► car ─── the truth
        ▲           │           │
        └───────────┴───────────┘

What people want is in `world_script.py`, what goes wrong in `world_faults.py`, what must hold in `world_judge.py`.
Time is virtual and jumps from one thing to be done to the next.  Everything random comes from `chance`, and nothing
depends on the order of a set, so that a seed always gives the same world.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from random import Random
from typing import Any, ClassVar, Final

from tests.support.ways import Way
from tests.support.world_broker import Broker
from tests.support.world_car import WorldCar
from tests.support.world_computer import Computer
from tests.support.world_judge import Judge
from tests.support.world_keys import OPERATORS
from tests.support.world_script import Script
from tests.support.world_station import Station, opened_hello, opened_result
from tests.support.world_trace import BrokenRuleError, Trace

# So many steps of time without an end are a fault in themselves; worlds take a few thousand.
STEPS_MAX: Final = 400_000

ENDING_S_MAX: Final = 240.0
"""After the last fault: a lock may be asked for during 120 s, and an answer is waited for 15 s more."""


WAYS: Final = (*7 * (Way.FRAMES,), Way.REQUESTS, Way.REQUESTS, Way.PULSES)
"""By the last digit of a seed: seven worlds of ten have the car whose doors are worked by frames."""

ANSWERS_AFTER_S: Final = (0.02, 0.4, 0.9)
"""How long control units take, by seed: the longer, the more often something else wants to ask meanwhile."""


class World:
    """`run` lives it to its end; raises BrokenRuleError, or whatever the agent let escape.

    A test that wants to see a rule broken puts a part that lies in the place of an honest one.
    """

    computer_kind: ClassVar[type[Computer]] = Computer
    station_kind: ClassVar[type[Station]] = Station
    forced_way: ClassVar[Way | None] = None

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)  # noqa: S311 - to be repeated, not to be secret
        self.way = WAYS[seed % len(WAYS)] if self.forced_way is None else self.forced_way
        self.profile = self.way.profile(repeats_max=2, has_poll=True)
        self.now_s = 1000.0
        self.trace = Trace()
        # The caches hold functions of bytes; emptied, so that one world's work does not depend on another's.
        opened_hello.cache_clear()
        opened_result.cache_clear()
        self.is_eager = self.chance.random() < 0.15
        self.is_disk_slow = self.chance.random() < 0.3
        self.is_calm = False
        self._agenda: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._agenda_number = 0
        is_locked = self.chance.random() < 0.7
        self.car = WorldCar(
            self.profile,
            now_s=self.now_s,
            is_asleep=is_locked and self.chance.random() < 0.5,
            is_locked=is_locked,
            is_drive_enabled=self.chance.random() < 0.5,
            sleep_after_s=self.chance.choice((2.0, 5.0, 30.0)),
        )
        self.car.diagnostics.answer_after_s = ANSWERS_AFTER_S[seed % len(ANSWERS_AFTER_S)]
        self.judge = Judge(self)
        self.broker = Broker(self)
        self.computer = self.computer_kind(self)
        first, second, reading = OPERATORS
        self.stations = tuple(
            self.station_kind(self, name, operator)
            for name, operator in (("A", first), ("B", first), ("C", second), ("D", reading))
        )
        self._stations_due_s = float("inf")
        self.script = Script(self)

    def after(self, delay_s: float, do: Callable[..., None], *arguments: Any) -> None:
        """Have something done so many seconds from now."""
        self._agenda_number += 1
        heapq.heappush(self._agenda, (self.now_s + delay_s, self._agenda_number, do, arguments))

    def note_stations_due(self) -> None:
        """A station wants to be asked at another time."""
        self._stations_due_s = min([station.due_s for station in self.stations])

    def mark(self, what: str, raw: bytes = b"", about: object = "") -> None:
        self.trace.mark(self.now_s, what, raw, about)

    def count(self, what: str) -> None:
        self.trace.counts[what] += 1

    def run(self) -> None:
        """From the agent's first start to the end of the last command."""
        began_s = self.now_s
        self.computer.start()
        self.script.begin()
        self._live_until(lambda: self.script.is_over)
        self.is_calm = True
        self.script.make_calm()
        ends_s = self.now_s + ENDING_S_MAX
        self._live_until(lambda: self._is_settled or self.now_s >= ends_s)
        self.judge.check_end()
        counts = self.trace.counts
        counts["readings checked"] += self.judge.truths.checked
        counts["frames sent"] += self.judge.frames_sent
        counts["virtual seconds"] += round(self.now_s - began_s)

    @property
    def _is_settled(self) -> bool:
        engine = self.computer.engine
        if engine is None or engine.is_commanding or any(station.wishes for station in self.stations):
            return False
        return all(entry.is_delivered for entry in self.computer.disk.journal.values())

    def _live_until(self, is_over: Callable[[], bool]) -> None:
        """Step from one due thing to the next."""
        computer, car, agenda, judge = self.computer, self.car, self._agenda, self.judge
        for _ in range(STEPS_MAX):
            if is_over():
                return
            car_s = car.next_step_at()
            due_s = computer.next_timer()
            if agenda and agenda[0][0] < due_s:
                due_s = agenda[0][0]
            if car_s is not None and car_s < due_s:
                due_s = car_s
            now_s = self.now_s = max(self.now_s, min(due_s, self._stations_due_s))
            if car_s is not None and car_s <= now_s:
                for frame in car.step(now_s):
                    computer.hear(frame)
            while agenda and agenda[0][0] <= now_s:
                _, _, do, arguments = heapq.heappop(agenda)
                do(*arguments)
            if self._stations_due_s <= now_s:
                for station in self.stations:
                    if station.due_s <= now_s:
                        station.advance()
            if computer.next_timer() <= now_s:
                computer.run_timer()
            if judge.books.due_s:
                judge.check_due()
        raise BrokenRuleError(f"the world does not end: {STEPS_MAX} steps until {self.now_s:.3f}")
