"""The recording of `dbc/nissan_leaf_aze0`."""

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
            nissan.driving_range(3),
            nissan.shift_lever(has_eco=False),
            nissan.drive_state(),
            nissan.climate(),
            nissan.charger(),
            nissan.wheel_speeds(),
            nissan.low_voltage_supply(),
            nissan.selector(),
            nissan.ready_lamp(),
            nissan.battery_seen_by_car(),
            nissan.meter_units(),
            nissan.meter(),
            nissan.body_state(),
        ),
        nissan.TELEMATICS,
    )
