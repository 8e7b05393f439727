"""A day of a rented car: who does what when, and a body whose values are never as smooth as a model's.

A rental is walked through as people do it: unlock and release the immobiliser by command, doors, a drive in traffic,
a stop, a drive back, doors, the conditions of return asked, immobiliser engaged, locked.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from agent.adapters.bcm_message import Watched
from agent.adapters.can_echo import Echoes
from agent.adapters.can_sending import FrameRefused
from agent.adapters.can_source import FrameCounts
from agent.adapters.clock import boot_s
from agent.bench.car import VirtualCar
from agent.bench.car_body import CarBody, Opening
from agent.model.bus import BusSign
from agent.model.command import Reason
from agent.model.frame import BusState, Frame

HOUR_S = 3600.0

CAR_STEP_S = 0.1
"""The car's frames are handed over ten times a second, those of the time between together, each with its own time."""

IDLE_STEP_S = 0.5

TRAFFIC_KMH = (0.0, 0.0, 18.0, 30.0, 30.0, 45.0, 50.0, 50.0, 50.0, 65.0, 80.0, 100.0)
"""What the driver is after next, drawn anew every few seconds: lights, a queue, town, a bit of country road."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Hours at which rentals begin, seconds of a leg and of the stop between two, when it is charged and the end.

    `sleep_after_s`: how long the bus stays awake after the last use; cars keep their network up for minutes.
    """

    rentals_h: tuple[float, ...]
    leg_s: float
    stop_s: float
    charge_h: float
    unplug_h: float
    end_h: float
    sleep_after_s: float

    @property
    def used_s(self) -> float:
        return len(self.rentals_h) * (2 * self.leg_s + self.stop_s)


FULL_DAY = Plan(
    (7.0, 10.5, 14.0, 18.0), leg_s=1610.0, stop_s=300.0, charge_h=19.5, unplug_h=23.5, end_h=24.0, sleep_after_s=300.0
)
"""Four rentals of an hour, parked in between, charged in the evening until full, asleep otherwise."""

SHORT = Plan((0.02,), leg_s=50.0, stop_s=10.0, charge_h=0.25, unplug_h=0.27, end_h=0.75, sleep_after_s=40.0)
"""Three quarters of an hour with all that a day has, for trying."""


class NoisyBody(CarBody):
    """Sensors that are read anew for each frame."""

    chance = random.Random(4)  # noqa: S311 - a run that can be repeated

    @property
    def low_voltage_v(self) -> float:
        return super().low_voltage_v + self.chance.gauss(0.0, 0.05)

    @property
    def pack_voltage_v(self) -> float:
        return super().pack_voltage_v + self.chance.gauss(0.0, 0.3)


class Traffic:
    """What drivers, the road and the weather do to the body, moment by moment."""

    def __init__(self, body: CarBody, seed: int = 4) -> None:
        self._body = body
        self._chance = random.Random(seed)  # noqa: S311 - a run that can be repeated
        self._wanted_ms = 0.0
        self._changes_at_s = 0.0
        self._at_s: float | None = None

    def step(self, now_s: float) -> None:
        """Let the time since the last step have its effect."""
        elapsed_s = 0.0 if self._at_s is None else min(now_s - self._at_s, IDLE_STEP_S)
        self._at_s = now_s
        body, chance = self._body, self._chance
        body.outside_temperature_c = 12.0 + 5.0 * math.sin(now_s / 13_750.0) + chance.gauss(0.0, 0.15)
        if body.is_driving:
            if now_s >= self._changes_at_s:
                self._wanted_ms = chance.choice(TRAFFIC_KMH) / 3.6 * chance.uniform(0.92, 1.08)
                self._changes_at_s = now_s + chance.uniform(6.0, 45.0)
            step_ms = min(max(self._wanted_ms - body.cruise_ms, -1.8 * elapsed_s), 1.3 * elapsed_s)
            wobble_ms = chance.gauss(0.0, 0.04) if body.cruise_ms > 1.0 else 0.0
            body.cruise_ms = max(0.0, body.cruise_ms + step_ms + wobble_ms)
            body.cell_temperature_c += elapsed_s * 0.002 + chance.gauss(0.0, 0.01)
        elif body.is_charging:
            body.charger_w = 7_400.0 + chance.gauss(0.0, 30.0)
        else:
            body.cell_temperature_c += (body.outside_temperature_c - body.cell_temperature_c) * elapsed_s / 20_000.0


class BusInProcess:
    """The car's bus with the verbs of `CanBus`: frames are handed over in this process, without a driver between."""

    def __init__(
        self,
        car: VirtualCar,
        traffic: Traffic,
        *,
        on_frame: Callable[[Frame], None],
        on_taken: Callable[[], None],
        on_state: Callable[[BusState, BusSign], None],
    ) -> None:
        self.counts = FrameCounts()
        self.echoes = Echoes((), self.counts)
        self.has_begun, self.has_worked = asyncio.Event(), asyncio.Event()
        self._car = car
        self._traffic = traffic
        self._on_frame = on_frame
        self._on_taken = on_taken
        self._on_state = on_state

    async def run(self) -> None:
        self._on_state(BusState.UP, BusSign.LINK_UP)
        self.has_begun.set()
        self.has_worked.set()
        while True:
            self._step()
            await asyncio.sleep(IDLE_STEP_S if self._car.is_asleep else CAR_STEP_S)

    def send(
        self,
        frame: Frame,
        not_after_s: float,
        may_leave: Callable[[], bool] = lambda: True,
        on_echo: Callable[[float], None] = lambda at_s: None,
    ) -> float:
        self._step()
        if boot_s() > not_after_s or not may_leave():
            raise FrameRefused(Reason.EXPIRED, "the frame is not wanted any more")
        at_s = boot_s()
        self._car.receive(frame, at_s)
        self.counts.sent += 1
        return at_s

    def confirm(self) -> None:
        """Every frame is handed over: nothing is known by asking alone."""

    def attend(self, messages: object) -> None:
        """Every frame is handed over already."""

    def watch_afresh(self, message: object) -> None:
        """No kernel watches."""

    def left_out(self) -> Counter[tuple[int, bool]]:
        """Every frame is handed over."""
        return Counter()

    def statistics(self) -> dict[tuple[int, bool], Watched]:
        """No kernel watches."""
        return {}

    def _step(self) -> None:
        now_s = boot_s()
        self._traffic.step(now_s)
        for frame in self._car.step(now_s):
            self.counts.received += 1
            self._on_frame(frame)
        self._on_taken()


class People:
    """Renters, the operator behind them, and whoever plugs the car in. `ask` carries out commands, or raises."""

    def __init__(
        self, car: VirtualCar, plan: Plan, ask: Callable[..., Awaitable[None]], lose_link: Callable[[], None]
    ) -> None:
        self._car = car
        self._plan = plan
        self._ask = ask
        self._lose_link = lose_link

    async def live(self, began_s: float) -> None:
        """The whole plan."""
        for rental_h in self._plan.rentals_h:
            await _until(began_s + rental_h * HOUR_S)
            await self._rent()
        await _until(began_s + self._plan.charge_h * HOUR_S)
        self._car.charge(boot_s())
        await _until(began_s + self._plan.unplug_h * HOUR_S)
        self._car.unplug(boot_s())
        await _until(began_s + self._plan.end_h * HOUR_S)

    async def _rent(self) -> None:
        await self._ask("unlock", "enable_drive")
        await self._use_door(Opening.DRIVER_DOOR)
        await self._drive()
        await self._use_door(Opening.DRIVER_DOOR)
        await asyncio.sleep(self._plan.stop_s)
        await self._use_door(Opening.TRUNK)
        await self._use_door(Opening.DRIVER_DOOR)
        await self._drive()
        await self._use_door(Opening.PASSENGER_DOOR)
        await self._use_door(Opening.DRIVER_DOOR)
        await self._ask("check_return", "disable_drive", "lock")

    async def _drive(self) -> None:
        """A leg, with a tunnel in it."""
        car, body = self._car, self._car.body
        car.set_ignition(boot_s(), is_on=True)
        await asyncio.sleep(15.0)
        car.drive(1e6, boot_s())
        body.cruise_ms = 0.0
        await asyncio.sleep(20.0)
        self._lose_link()
        await asyncio.sleep(self._plan.leg_s - 35.0)
        body.cruise_ms = max(body.cruise_ms, 5.0)
        body.destination_m = body.odometer_m + body.speed_ms**2 / 2.0 + 20.0
        while body.is_driving:
            # A driver who wants to arrive does not wait at a light for ever.
            body.cruise_ms = max(body.cruise_ms, 5.0)
            await asyncio.sleep(0.5)

    async def _use_door(self, opening: Opening) -> None:
        await asyncio.sleep(4.0)
        self._car.set_opening(opening, boot_s(), is_open=True)
        await asyncio.sleep(6.0)
        self._car.set_opening(opening, boot_s(), is_open=False)
        await asyncio.sleep(2.0)


async def _until(at_s: float) -> None:
    await asyncio.sleep(max(0.0, at_s - boot_s()))
