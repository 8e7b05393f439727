"""The unattended ride: unlock a sleeping car, drive, be refused, lock; every step against what was really reported."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import NoReturn

from agent.backend.documents import evidence_document
from agent.backend.outcome import CommandResult
from agent.bench.bench import Bench
from agent.bench.car_lock import LockState
from agent.bench.reported import LOCKED, Told
from agent.bench.setup import CAR_NAME
from agent.model.command import Action, Executed, Reason, Stage
from agent.profiles.schema import Profile

RIDE_TIMEOUT_S = 55.0  # promised: under a minute
READY_TIMEOUT_S = 15.0
REPORT_TIMEOUT_S = 6.0  # ten times what the bench's agent takes to tell a change
DRIVE_TIMEOUT_S = 25.0
COMMAND_TIMEOUT_S = 20.0

DRIVE_KM = 2.0
ODOMETER_STEP_M = 10.0  # what the car's odometer message resolves
STATE_OF_CHARGE_STEP_PERCENT = 0.1

ODOMETER = "Vehicle.TraveledDistance"
SPEED = "Vehicle.Speed"
IGNITION = "Vehicle.LowVoltageSystemState"
STATE_OF_CHARGE = "Vehicle.Powertrain.TractionBattery.StateOfCharge.Current"
RANGE = "Vehicle.Powertrain.TractionBattery.Range"
DRIVER_DOOR = "Vehicle.Cabin.Door.Row1.DriverSide.IsOpen"


NEEDED_ACTIONS = (Action.UNLOCK, Action.LOCK)
NEEDED_PATHS = (LOCKED, ODOMETER, SPEED, IGNITION, STATE_OF_CHARGE, RANGE, DRIVER_DOOR)


def missing_for(profile: Profile) -> list[str]:
    """What the ride needs of a profile, and this one has not; empty if it can be ridden."""
    actions = [action.name.lower() for action in NEEDED_ACTIONS if action not in profile.recipes]
    return actions + [path for path in NEEDED_PATHS if path not in profile.paths]


class StepFailedError(Exception):
    """A step came out otherwise than it should; `line` is what came out, for the output."""

    def __init__(self, step: str, expected: str, line: Mapping[str, object]) -> None:
        super().__init__(f"{step}: expected {expected}")
        self.line = {"step": step, "ok": False, **line}


class Ride:
    """One ride on a running bench; `say` gets one JSON-ready line for each step that came out as it should."""

    def __init__(self, bench: Bench, say: Callable[[Mapping[str, object]], None]) -> None:
        self._bench = bench
        self._say = say
        self._model = bench.car.car
        self._reported = bench.reported

    async def run(self) -> None:
        """All steps; raises `StepFailedError` at the first that fails."""
        began_at_s = time.monotonic()
        step = "ride"
        try:
            async with asyncio.timeout(RIDE_TIMEOUT_S):
                for walk in (
                    self._ready,
                    self._asleep,
                    self._unlock,
                    self._drive,
                    self._lock_with_door_open,
                    self._lock,
                    self._report,
                ):
                    step = walk.__name__.strip("_")
                    await walk()
        except TimeoutError:
            self._fail(step, f"the ride to end within {RIDE_TIMEOUT_S:.0f} s", {})
        self._say({"step": "end", "ok": True, "took_s": round(time.monotonic() - began_at_s, 1)})

    # --- steps --------------------------------------------------------------------------------------------------

    async def _ready(self) -> None:
        bench = self._bench
        hello = await bench.backend.ping(CAR_NAME, timeout_s=READY_TIMEOUT_S)
        is_online = await self._reported.until(lambda: self._reported.is_online is True, REPORT_TIMEOUT_S)
        line = {
            "broker": bench.broker_words,
            "can": bench.can.words,
            "folder": str(bench.folder.path),
            "time_compression": self._model.time_compression,
            "faults": sorted(self._model.faults),
            "session": None if hello is None else hello.sid.hex(),
        }
        if hello is None or not is_online:
            self._fail("ready", "the agent's signed hello, and its presence on the broker", line)
        self._say({"step": "ready", "ok": True, **line})

    async def _asleep(self) -> None:
        reported, bus = self._reported, self._bench.can.bus
        is_asleep = await reported.until(lambda: reported.buses.get(bus) == "asleep", REPORT_TIMEOUT_S)
        line = {
            "bus": reported.buses.get(bus),
            "locked": self._shown(LOCKED),
            "car_sent_frames": self._model.frames_sent,
        }
        if not is_asleep or reported.value(LOCKED) is not None or self._model.frames_sent:
            self._fail("asleep", "a sleeping bus, and no value for the lock state nobody has seen yet", line)
        self._say({"step": "asleep", "ok": True, **line})

    async def _unlock(self) -> None:
        result = await self._bench.backend.unlock(CAR_NAME, timeout_s=COMMAND_TIMEOUT_S)
        self._check_moved("unlock", result, LockState.UNLOCKED, requests_seen=1)

    async def _drive(self) -> None:
        reported = self._reported
        await reported.until(lambda: reported.number(ODOMETER) is not None, REPORT_TIMEOUT_S)
        before_m, truth_before_m = reported.number(ODOMETER), self._model.body.odometer_m
        self._bench.car.do(f"drive {DRIVE_KM}")
        wanted_m = (before_m or 0.0) + DRIVE_KM * 1000
        has_driven = await reported.until(
            lambda: (
                (reported.number(ODOMETER) or 0.0) >= wanted_m - ODOMETER_STEP_M
                and reported.number(SPEED) == 0
                and reported.value(IGNITION) == "OFF"
            ),
            DRIVE_TIMEOUT_S,
        )
        after_m = reported.number(ODOMETER)
        driven_m = None if before_m is None or after_m is None else after_m - before_m
        line = {
            "odometer_before_m": before_m,
            "odometer_after_m": after_m,
            "driven_m": driven_m,
            "speed": self._shown(SPEED),
            "ignition": self._shown(IGNITION),
            "note": f"the car's drive runs {self._model.time_compression:g} times faster than the clock",
        }
        is_true = self._is_near(before_m, truth_before_m, ODOMETER_STEP_M) and self._is_near(
            after_m, truth_before_m + DRIVE_KM * 1000, ODOMETER_STEP_M
        )
        if not has_driven or not is_true:
            self._fail("drive", f"the odometer {DRIVE_KM:g} km further on, the car standing and switched off", line)
        self._say({"step": "drive", "ok": True, **line})

    async def _lock_with_door_open(self) -> None:
        await self._door(is_open=True)
        result = await self._bench.backend.lock(CAR_NAME, timeout_s=COMMAND_TIMEOUT_S)
        line = self._result_line(result)
        is_refused = (result.stage, result.reason, result.executed) == (
            Stage.REJECTED,
            Reason.DOOR_OPEN,
            Executed.NO,
        )
        if not is_refused or self._model.lock.state is not LockState.UNLOCKED or self._model.lock_requests_seen != 1:
            self._fail("lock_with_door_open", "a refusal for door_open, and no request to the lock unit", line)
        self._say({"step": "lock_with_door_open", "ok": True, **line})
        await self._door(is_open=False)

    async def _lock(self) -> None:
        result = await self._bench.backend.lock(CAR_NAME, timeout_s=COMMAND_TIMEOUT_S)
        self._check_moved("lock", result, LockState.LOCKED, requests_seen=2)

    async def _report(self) -> None:
        reported, body = self._reported, self._model.body
        is_told = await reported.until(lambda: reported.value(LOCKED) is True, REPORT_TIMEOUT_S)
        result = await self._bench.backend.report(CAR_NAME, timeout_s=COMMAND_TIMEOUT_S)
        line = {
            "battery": self._shown(STATE_OF_CHARGE),
            "range": self._shown(RANGE),
            "odometer": self._shown(ODOMETER),
            "locked": self._shown(LOCKED),
            "signed_report": [evidence_document(piece) for piece in result.evidence],
        }
        is_true = self._is_near(
            reported.number(STATE_OF_CHARGE), body.state_of_charge_percent, STATE_OF_CHARGE_STEP_PERCENT
        ) and self._is_near(reported.number(ODOMETER), body.odometer_m, ODOMETER_STEP_M)
        if not is_told or not is_true or not result.is_answered or reported.number(RANGE) is None:
            self._fail(
                "report", "battery, range, odometer and lock state as they are in the car, and a signed report", line
            )
        self._say({"step": "report", "ok": True, **line})

    # --- what steps share ---------------------------------------------------------------------------------------

    def _check_moved(self, step: str, result: CommandResult, state: LockState, *, requests_seen: int) -> None:
        line = self._result_line(result)
        has_moved = result.stage is Stage.VERIFIED and result.executed is Executed.YES
        if not has_moved or self._model.lock.state is not state or self._model.lock_requests_seen != requests_seen:
            self._fail(step, f"the lock unit seen {state.value.lower()} in a frame newer than the request", line)
        self._say({"step": step, "ok": True, **line})

    async def _door(self, *, is_open: bool) -> None:
        self._bench.car.do("open driver_door" if is_open else "close driver_door")
        if not await self._reported.until(lambda: self._reported.value(DRIVER_DOOR) is is_open, REPORT_TIMEOUT_S):
            word = "open" if is_open else "closed"
            self._fail("door", f"the driver's door reported {word}", {"driver_door": self._shown(DRIVER_DOOR)})

    def _result_line(self, result: CommandResult) -> dict[str, object]:
        return {
            "outcome": result.outcome,
            "reason": None if result.reason is None else result.reason.name.lower(),
            "executed": result.executed.name.lower(),
            "answered_in_s": round(result.answered_in_s, 3),
            "evidence": [evidence_document(piece) for piece in result.evidence],
            "lock_unit": self._model.lock.state.value,
            "lock_requests_seen": self._model.lock_requests_seen,
        }

    def _shown(self, path: str) -> dict[str, object]:
        told: Told | None = self._reported.readings.get(path)
        if told is None:
            return {"value": None, "quality": "not reported"}
        return {"value": told.value, "unit": told.unit, "quality": told.quality, "age_s": told.age_s}

    @staticmethod
    def _is_near(told: float | None, truth: float, step: float) -> bool:
        return told is not None and abs(told - truth) <= step

    @staticmethod
    def _fail(step: str, expected: str, line: Mapping[str, object]) -> NoReturn:
        raise StepFailedError(step, expected, line)
