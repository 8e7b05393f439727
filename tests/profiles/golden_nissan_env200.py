"""The recording of `dbc/nissan_env200`."""

from __future__ import annotations

from tests.profiles import golden_nissan as nissan
from tests.profiles import golden_series
from tests.profiles.golden_log import GoldenLog


def write() -> GoldenLog:
    """The whole recording."""
    return golden_series.write(
        (
            nissan.battery_power(has_charge_shown=True),
            nissan.battery_charge(),
            nissan.battery_capacity(has_times=True),
            nissan.battery_bars(),
            nissan.battery_temperature(),
            nissan.drive_state(8),
            nissan.climate(),
            nissan.charger(),
            nissan.selector(is_lever=True),
            nissan.ready_lamp(),
            nissan.battery_seen_by_car(),
            nissan.meter_units(speed="Vehicle.Speed"),
            nissan.meter(),
            nissan.body_state(),
            # As the newer ones do, after the older ones have fallen silent.
            nissan.meter_units("ev", speed="Vehicle.Speed", from_ms=12_000),
            nissan.meter("ev", from_ms=12_000),
            nissan.battery_bars("car", from_ms=40_000),
        ),
        nissan.TELEMATICS,
    )
