"""The bench with a person at it: a live picture, and a key for everything one does to a shared car."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine

from agent.backend.outcome import CommandResult
from agent.backend.terminal import Terminal, show_until
from agent.backend.words import progress_words, result_words
from agent.bench.bench import Bench
from agent.bench.car import CarFault
from agent.bench.car_body import CarRefusesError, Ignition, Opening
from agent.bench.car_commands import state
from agent.bench.reported import LOCKED
from agent.bench.setup import CAR_NAME
from agent.bench.view import View, picture
from agent.errors import AgentError, LinkError
from agent.model.command import Action

COMMANDS_AT_ONCE_MAX = 8  # more keys than anybody presses while a car answers; the car itself refuses a second one
DRIVE_KM = 2
RESTING_V = (12.6, 12.3, 12.2, 12.1, 12.9)
"""The 12 V battery at rest, one more at each press: sound, a step of the shipped ladder each, and all well again."""

KEYS = (
    "q quit | u unlock  l lock  e enable drive  x disable drive  f find  r report  k check return | "
    "d door  t trunk  g drive 2 km  i ignition  c cable  s sleep  w wake  v 12 V | "
    "1 lock dead  2 lock ignores  3 bus silent  4 broker gone  5 immobiliser dead"
)


class Screen:
    """Shows the bench until `q`. Keys act at once; commands run beside each other, as they would from a fleet."""

    def __init__(self, bench: Bench, terminal: Terminal) -> None:
        self._bench = bench
        self._terminal = terminal
        self._reported = bench.reported
        self._is_done = asyncio.Event()
        self._is_broker_gone = False
        self._commands: set[asyncio.Task[None]] = set()
        self._actions: dict[str, Callable[[], Coroutine[None, None, None]]] = {
            "u": lambda: self._command(Action.UNLOCK),
            "l": lambda: self._command(Action.LOCK),
            "e": lambda: self._command(Action.ENABLE_DRIVE),
            "x": lambda: self._command(Action.DISABLE_DRIVE),
            "f": lambda: self._command(Action.LOCATE),
            "r": lambda: self._command(Action.REPORT),
            "k": lambda: self._command(Action.CHECK_RETURN),
            "4": self._toggle_broker,
        }

    async def run(self) -> None:
        """Draw and obey until `q`; a failing draw or command ends it with its exception."""
        try:
            await show_until(self._is_done, self._terminal, self._picture, self.press)
        finally:
            for task in self._commands:
                task.cancel()

    def press(self, key: str) -> None:
        """Do what one key stands for; other keys do nothing."""
        if key == "q":
            self._is_done.set()
        elif key in self._actions:
            self._start(self._actions[key]())
        elif (line := self._car_line(key)) is not None:
            try:
                self._bench.car.do(line)
            except CarRefusesError as refusal:
                self._reported.note(f"car: no {line.split()[0]}: {refusal}")

    def _start(self, work: Coroutine[None, None, None]) -> None:
        if len(self._commands) >= COMMANDS_AT_ONCE_MAX:
            work.close()
            self._reported.note(f"bench: {COMMANDS_AT_ONCE_MAX} commands are under way; this one is left out")
            return
        task = asyncio.create_task(work, name="bench-command")
        self._commands.add(task)
        task.add_done_callback(self._commands.discard)

    def _car_line(self, key: str) -> str | None:
        car = self._bench.car.car
        body = car.body

        def toggled(opening: Opening) -> str:
            return f"{'close' if body.openings[opening] else 'open'} {opening}"

        def switched(fault: CarFault) -> str:
            return f"{'mend' if fault in car.faults else 'fault'} {fault}"

        lines: dict[str, Callable[[], str]] = {
            "d": lambda: toggled(Opening.DRIVER_DOOR),
            "t": lambda: toggled(Opening.TRUNK),
            "g": lambda: f"drive {DRIVE_KM}",
            "i": lambda: f"ignition {'on' if body.ignition is Ignition.OFF else 'off'}",
            "c": lambda: "unplug" if body.is_plugged else "charge",
            "s": lambda: "sleep",
            "w": lambda: "wake",
            "v": lambda: f"supply {next_resting(body.resting_v):g}",
            "1": lambda: switched(CarFault.LOCK_DEAD),
            "2": lambda: switched(CarFault.LOCK_IGNORES),
            "3": lambda: switched(CarFault.BUS_SILENT),
            "5": lambda: switched(CarFault.IMMOBILISER_DEAD),
        }
        return lines[key]() if key in lines else None

    async def _command(self, action: Action) -> None:
        note = self._reported.note
        try:
            result: CommandResult = await self._bench.backend.command(
                CAR_NAME, action, on_progress=lambda progress: note(f"backend: {progress_words(progress)}")
            )
        except (AgentError, LinkError) as error:
            note(f"backend: {action.name.lower()}: {error}")
            return
        verdict, *pieces = result_words(result).splitlines()
        # What it came to last: a small window shows the end of it, and events of the car follow at once.
        for line in (*pieces, verdict):
            note(f"backend: {line}")

    async def _toggle_broker(self) -> None:
        self._is_broker_gone = not self._is_broker_gone
        self._reported.note(f"bench: the broker is {'gone' if self._is_broker_gone else 'back'}")
        if self._is_broker_gone:
            await self._bench.broker.stop(is_abrupt=True)
        else:
            await self._bench.broker.start()

    def _picture(self, columns: int, lines: int) -> list[str]:
        has_color = not os.environ.get("NO_COLOR")
        return picture(self._view(), columns=columns, lines=lines, now_s=time.monotonic(), has_color=has_color)

    def _view(self) -> View:
        bench, reported = self._bench, self._reported
        truth = state(bench.car.car)
        speed, odometer_km = truth["speed_kmh"], bench.car.car.body.odometer_m / 1000
        opened, faults = bench.car.car.body, sorted(bench.car.car.faults)
        open_words = [name.value.replace("_", " ") for name, is_open in opened.openings.items() if is_open]
        doors = f"{' and '.join(open_words)} open" if open_words else "doors closed"
        online = {True: "online", False: "OFFLINE", None: "not seen yet"}[reported.is_online]
        return View(
            title=f"carshare-bench: {bench.broker_words}; CAN: {bench.can.words}",
            command=bench.folder.backend_command("unlock"),
            car=(
                f"the car itself: {'asleep' if truth['asleep'] else 'awake'}, {truth['lock']}, {doors}, "
                f"immobiliser {truth['immobiliser']}, {speed} km/h, "
                f"{odometer_km:.2f} km, {truth['state_of_charge_percent']} %, {truth['low_voltage_v']:g} V"
                f"{', charging' if truth['charging'] else ''}; faults: {', '.join(faults) or 'none'}"
                f" (driving and charging run x{bench.car.car.time_compression:g})"
            ),
            link=(
                f"agent {online}; backend {'connected' if reported.is_linked else 'not connected'}; "
                f"broker {'GONE' if self._is_broker_gone else 'there'}; "
                f"bus {', '.join(f'{bus} {word}' for bus, word in reported.buses.items()) or 'not told yet'}"
            ),
            readings=dict(sorted(reported.readings.items(), key=lambda item: item[0] != LOCKED)),
            events=list(reported.lines),
            keys=KEYS,
        )


def next_resting(volts: float) -> float:
    """What the 12 V battery has after one more press; the first again after the last, and after one not of ours."""
    index = RESTING_V.index(volts) if volts in RESTING_V else -1
    return RESTING_V[(index + 1) % len(RESTING_V)]
