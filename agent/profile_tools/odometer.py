"""Do speed and odometer tell of one journey? An odometer never falls, leaps, or stands while the car moves.

Where an id means something else on this car, its bytes can still lie within every limit. What no bytes of another
meaning do is agree with one another.
"""

from __future__ import annotations

from collections.abc import Iterator

from agent.model.reading import Quality, Reading
from agent.profiles.schema import MessagePlan, Profile, SignalPlan

SPEED, ODOMETER = "Vehicle.Speed", "Vehicle.TraveledDistance"

LEAPS_MIN = 3
"""One stray frame makes one leap up and one down."""

SPEED_MAX_M_S = 100.0
"""No shared car is faster."""

GAP_MAX_S = 2.0
"""Over a longer gap between two speeds nothing is known of the way."""

WAY_MIN_M = 50.0
"""Shorter ways are too short to be told from rounding, whatever the odometer's steps."""

_KMH = 3.6


class Journey:
    """Takes the readings of logs in their order."""

    def __init__(self, profile: Profile) -> None:
        self._odometer = _plan(profile, ODOMETER)
        self._speed = _plan(profile, SPEED)
        self._step_m = 0.0 if self._odometer is None else _step(self._odometer[1])
        self._leaps = 0
        self._way_by_speed_m = self._way_by_odometer_m = 0.0
        self.end_log()

    def hear(self, reading: Reading) -> None:
        if reading.quality is not Quality.OK or not isinstance(reading.value, int | float):
            return
        if reading.path == ODOMETER:
            self._hear_odometer(float(reading.value), reading.at_s)
        elif reading.path == SPEED:
            self._hear_speed(float(reading.value), reading.at_s)

    def end_log(self) -> None:
        """The next reading is of another log."""
        self._last_m: tuple[float, float] | None = None
        self._last_kmh: tuple[float, float] | None = None

    def contradictions(self) -> Iterator[tuple[MessagePlan, str]]:
        """The messages concerned, and what cannot be."""
        if self._odometer is None:
            return
        if self._leaps >= LEAPS_MIN:
            yield (
                self._odometer[0],
                f"{ODOMETER} falls or leaps {self._leaps} times, which no odometer does",
            )
            return
        if self._speed is None:
            return
        less, more = sorted((self._way_by_speed_m, self._way_by_odometer_m))
        if more > WAY_MIN_M + 3 * self._step_m and less < more / 2:
            yield (
                self._odometer[0],
                f"by {SPEED} the car went {self._way_by_speed_m:.0f} m, by {ODOMETER} {self._way_by_odometer_m:.0f} m",
            )

    def _hear_odometer(self, metres: float, at_s: float) -> None:
        if self._last_m is not None:
            way_m, gap_s = metres - self._last_m[0], max(at_s - self._last_m[1], 0.0)
            if way_m < -self._step_m / 2 or way_m > SPEED_MAX_M_S * gap_s + 1.5 * self._step_m:
                self._leaps += 1
            elif self._last_kmh is not None:
                self._way_by_odometer_m += way_m
        self._last_m = (metres, at_s)

    def _hear_speed(self, kmh: float, at_s: float) -> None:
        if self._last_kmh is not None and 0 <= (gap_s := at_s - self._last_kmh[1]) <= GAP_MAX_S:
            self._way_by_speed_m += abs(self._last_kmh[0]) / _KMH * gap_s
        self._last_kmh = (kmh, at_s)


def _plan(profile: Profile, path: str) -> tuple[MessagePlan, SignalPlan] | None:
    return next(
        ((message, signal) for message in profile.messages for signal in message.signals if signal.path == path), None
    )


def _step(plan: SignalPlan) -> float:
    """The odometer's smallest step in metres, in its largest unit."""
    factors = [plan.unit_factor] if plan.unit_choice is None else list(plan.unit_choice.factors.values())
    return max(abs(plan.scale * factor) for factor in factors)
