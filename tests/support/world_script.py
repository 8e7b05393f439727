"""What a seed makes of a simulated world: what people want of the car, and what goes wrong meanwhile.

Each world has some kinds of faults and not others, so that rare pairs meet; most of them strike within the second or
two that a command takes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from agent.model.command import Action
from tests.support.world_broker import Weather
from tests.support.world_faults import FAULTS, RARE, draw_weather
from tests.support.world_station import Wish

if TYPE_CHECKING:
    from tests.support.world import World

WISHES: Final = 30

ACTIONS: Final = tuple(Action)

# In the order of `ACTIONS`: unlock, lock, enable_drive, disable_drive, locate, report, check_return.
WISHING: Final = (30, 28, 12, 14, 6, 4, 6)
LOPSIDED: Final = (60, 2, 2, 2, 2, 2, 2)
ASKING: Final = (1, 1, 1, 1, 0, 4, 4)

PATIENCE_S: Final = 1.5
"""How long people wait for one another in worlds where they do."""


class Script:
    """Wishes one after another, and faults around them until the last one has been made."""

    def __init__(self, world: World) -> None:
        chance = world.chance
        self._world = world
        self._wishes_left = WISHES
        self._gap_s = chance.choice((0.1, 0.4, 1.0))
        self._waits = chance.choice((0.0, 0.7, 0.9))
        # In some worlds one key asks for one thing more often than it may.
        self._is_lopsided = chance.random() < 0.06
        self._turn = 0
        self._names = [name for name in FAULTS if chance.random() < 0.4]
        self._weights = [RARE.get(name, 1.0) for name in self._names]
        self._faults_a_wish = 0.0 if chance.random() < 0.1 else chance.choice((0.2, 0.6, 1.5))
        self._mends: dict[int, Callable[[], None]] = {}
        self._mend_number = 0
        self.is_over = False

    def begin(self) -> None:
        if "weather" in self._names:
            self._world.broker.weather = draw_weather(self._world.chance)
        self._world.after(self._world.chance.uniform(0.0, 1.5), self._next_wish)

    def _next_wish(self) -> None:
        world, chance = self._world, self._world.chance
        self._wishes_left -= 1
        station = chance.choices(world.stations, (0, 0, 1, 0) if self._is_lopsided else (3, 3, 6, 1))[0]
        # The last station's key may only ask, and its people do not all know that.
        is_reader = station is world.stations[-1]
        weights = ASKING if is_reader else LOPSIDED if self._is_lopsided else WISHING
        station.wish(Wish(chance.choices(ACTIONS, weights)[0]))
        faults = self._faults_a_wish
        while self._names and chance.random() < faults:
            faults -= 1.0
            world.after(chance.expovariate(2.0), self._strike, chance.choices(self._names, self._weights)[0])
        self._turn += 1
        if not self._wishes_left:
            world.after(1.0, self._end)
        elif chance.random() < self._waits:
            world.after(PATIENCE_S, self._go_on, self._turn)
        else:
            world.after(chance.expovariate(1 / self._gap_s), self._go_on, self._turn)

    def answered(self) -> None:
        """A station has told somebody how his wish ended: where they wait for one another, the next one comes."""
        if self._waits and self._wishes_left and not any(station.wishes for station in self._world.stations):
            self._world.after(self._world.chance.expovariate(5.0), self._go_on, self._turn)

    def _go_on(self, turn: int) -> None:
        if turn == self._turn:
            self._next_wish()

    def _end(self) -> None:
        self.is_over = True

    def _strike(self, name: str) -> None:
        if self.is_over:
            return
        self._world.mark(f"fault {name}")
        self._world.count(f"fault {name}")
        FAULTS[name](self._world)

    # --- repairs ------------------------------------------------------------------------------------------------

    def mend_after(self, delay_s: float, mend: Callable[[], None]) -> None:
        """Undo a fault in so long, or when the world is to become calm."""
        self._mend_number += 1
        self._mends[self._mend_number] = mend
        self._world.after(delay_s, self._mend, self._mend_number)

    def _mend(self, number: int) -> None:
        if (mend := self._mends.pop(number, None)) is not None:
            mend()

    def make_calm(self) -> None:
        """No more faults: everything is repaired, the link is made anew, and the car goes to sleep if it may."""
        world = self._world
        for number in tuple(self._mends):
            self._mend(number)
        world.broker.weather = Weather()
        world.computer.effects_until_crash = None
        world.broker.disconnect()
        if not world.car.body.is_driving and not world.car.body.is_charging:
            world.car.press_key_fob(world.now_s, is_locked=True)
