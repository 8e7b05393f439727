"""SR-05 of a single reading, whatever the frame was."""

from __future__ import annotations

import math

from agent.model.reading import Quality, Reading
from agent.profiles import vss
from agent.profiles.signals import fits_datatype


def is_honest(reading: Reading) -> bool:
    """SR-05: a value exactly where the quality is ok, of the path's own type; a reason exactly where it is not."""
    if reading.quality is not Quality.OK:
        return reading.value is None and reading.reason is not None
    datatype = vss.PATHS[reading.path].datatype
    if isinstance(reading.value, float) and not math.isfinite(reading.value):
        return False
    return reading.value is not None and reading.reason is None and fits_datatype(reading.value, datatype)
