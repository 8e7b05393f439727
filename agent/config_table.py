"""The tables of `agent.toml` about the 12 V battery and the relays."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated

from agent.model.quick_dataclass import dataclass
from agent.model.table import Table, Within


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerTable(Table):
    """The ladder of the 12 V battery (R7): volts below which each step down is due, after so many seconds, and those at
    which all is well. A serial port with a power supervisor on it can measure the voltage and cut the power."""

    warn_v: Annotated[float, Within(ge=6.0, le=32.0)] = 12.4
    warn_s: Annotated[float, Within(ge=10.0, le=3600.0)] = 180.0
    shed_v: Annotated[float, Within(ge=6.0, le=32.0)] = 12.3
    shed_s: Annotated[float, Within(ge=10.0, le=3600.0)] = 180.0
    off_v: Annotated[float, Within(ge=6.0, le=32.0)] = 12.2
    off_s: Annotated[float, Within(ge=10.0, le=3600.0)] = 240.0
    resume_v: Annotated[float, Within(ge=6.0, le=32.0)] = 12.8
    resume_s: Annotated[float, Within(ge=10.0, le=3600.0)] = 60.0
    supervisor: Annotated[str, Within(min_length=1)] | None = None
    off_after_s: Annotated[float, Within(ge=10.0, le=600.0)] = 60.0

    def faults(self) -> Iterator[tuple[str, str]]:
        """Each threshold that is not below the one before it: key, and what is wrong."""
        descent = {"resume_v": self.resume_v, "warn_v": self.warn_v, "shed_v": self.shed_v, "off_v": self.off_v}
        for (above, above_v), (name, volts) in pairwise(descent.items()):
            if volts >= above_v:
                yield name, f"{volts:g} V is not below {above} = {above_v:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayTable(Table):
    """The GPIO line behind a line of the profile: `chip` is the kernel's device, `offset` the line's number there."""

    chip: Annotated[str, Within(min_length=1)]
    offset: Annotated[int, Within(ge=0, le=1023)]
    active_low: bool = False
