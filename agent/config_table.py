"""What every table of `agent.toml` has in common, and the one of the 12 V battery."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from pydantic import BaseModel, ConfigDict, Field


class Table(BaseModel):
    """No key that is not known, no number that is none, and nothing taken for what it is not."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class PowerTable(Table):
    """The ladder of the 12 V battery (R7): volts below which each step down is due, after so many seconds, and those at
    which all is well. A serial port with a power supervisor on it can measure the voltage and cut the power."""

    warn_v: float = Field(default=12.4, ge=6.0, le=32.0)
    warn_s: float = Field(default=180.0, ge=10.0, le=3600.0)
    shed_v: float = Field(default=12.3, ge=6.0, le=32.0)
    shed_s: float = Field(default=180.0, ge=10.0, le=3600.0)
    off_v: float = Field(default=12.2, ge=6.0, le=32.0)
    off_s: float = Field(default=240.0, ge=10.0, le=3600.0)
    resume_v: float = Field(default=12.8, ge=6.0, le=32.0)
    resume_s: float = Field(default=60.0, ge=10.0, le=3600.0)
    supervisor: str | None = Field(default=None, min_length=1)
    off_after_s: float = Field(default=60.0, ge=10.0, le=600.0)

    def faults(self) -> Iterator[tuple[str, str]]:
        """Each threshold that is not below the one before it: key, and what is wrong."""
        descent = {"resume_v": self.resume_v, "warn_v": self.warn_v, "shed_v": self.shed_v, "off_v": self.off_v}
        for (above, above_v), (name, volts) in pairwise(descent.items()):
            if volts >= above_v:
                yield name, f"{volts:g} V is not below {above} = {above_v:g}"


class RelayTable(Table):
    """The GPIO line behind a line of the profile: `chip` is the kernel's device, `offset` the line's number there."""

    chip: str = Field(min_length=1)
    offset: int = Field(ge=0, le=1023)
    active_low: bool = False
