"""The recording of `dbc/nissan_leaf_ze0`."""

from __future__ import annotations

from tests.profiles import golden_nissan as nissan
from tests.profiles import golden_series
from tests.profiles.golden_log import GoldenLog


def write() -> GoldenLog:
    """The whole recording."""
    return golden_series.write(
        (
            nissan.battery_power(has_charge_shown=False),
            nissan.battery_charge(),
            nissan.battery_capacity(),
            nissan.battery_bars(),
            nissan.battery_temperature(),
            nissan.driving_range(8),
            nissan.shift_lever(has_eco=True),
            nissan.drive_state(),
            nissan.climate(),
            nissan.relays(),
            nissan.charge_state(),
            nissan.wheel_speeds(),
            nissan.selector(),
            nissan.battery_seen_by_car(),
            nissan.meter_units(),
            nissan.meter(),
            nissan.body_state(),
        )
    )
