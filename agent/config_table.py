"""Tables of `agent.toml`: about the 12 V battery, the relays, and how much is told."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated

from agent.model.quick_dataclass import dataclass
from agent.model.table import Table, Within
from agent.model.use import Pace, VehicleUse


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


@dataclass(frozen=True, slots=True, kw_only=True)
class PaceTable(Table):
    """One way the car is used: seconds between two tellings of a value that changes, after which one that does not is
    told again (0: not), and after which the snapshot is sent though nothing changed."""

    interval_s: Annotated[float, Within(ge=0.0, le=86400.0)]
    repeat_s: Annotated[float, Within(ge=0.0, le=86400.0)]
    heartbeat_s: Annotated[float, Within(ge=5.0, le=86400.0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class DrivingTable(PaceTable):
    interval_s: Annotated[float, Within(ge=0.0, le=86400.0)] = 30.0
    repeat_s: Annotated[float, Within(ge=0.0, le=86400.0)] = 0.0
    heartbeat_s: Annotated[float, Within(ge=5.0, le=86400.0)] = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargingTable(PaceTable):
    interval_s: Annotated[float, Within(ge=0.0, le=86400.0)] = 300.0
    repeat_s: Annotated[float, Within(ge=0.0, le=86400.0)] = 0.0
    heartbeat_s: Annotated[float, Within(ge=5.0, le=86400.0)] = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AwakeTable(PaceTable):
    interval_s: Annotated[float, Within(ge=0.0, le=86400.0)] = 60.0
    repeat_s: Annotated[float, Within(ge=0.0, le=86400.0)] = 0.0
    heartbeat_s: Annotated[float, Within(ge=5.0, le=86400.0)] = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AsleepTable(PaceTable):
    interval_s: Annotated[float, Within(ge=0.0, le=86400.0)] = 600.0
    repeat_s: Annotated[float, Within(ge=0.0, le=86400.0)] = 0.0
    heartbeat_s: Annotated[float, Within(ge=5.0, le=86400.0)] = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportingTable(Table):
    """How much is told. The operator named gets the telemetry; commands are answered to whoever asked."""

    operator: Annotated[int, Within(ge=1, le=2**31 - 1)] | None = None
    batch_s: Annotated[float, Within(ge=0.1, le=5.0)] = 5.0
    state_interval_s: Annotated[float, Within(ge=0.5, le=3600.0)] = 1800.0
    outbox_records_max: Annotated[int, Within(ge=100, le=10_000)] = 10_000
    outbox_bytes_max: Annotated[int, Within(ge=64 * 1024, le=64 * 2**20)] = 64 * 2**20
    outbox_age_s_max: Annotated[int, Within(ge=3600, le=30 * 86_400)] = 7 * 86_400
    driving: DrivingTable = DrivingTable()
    charging: ChargingTable = ChargingTable()
    awake: AwakeTable = AwakeTable()
    asleep: AsleepTable = AsleepTable()

    def pace(self, use: VehicleUse) -> Pace:
        """The general pace of a use, for signals whose profile has none of their own."""
        table = self.table(use)
        return Pace(table.interval_s, table.repeat_s or None)

    def table(self, use: VehicleUse) -> PaceTable:
        return {
            VehicleUse.DRIVING: self.driving,
            VehicleUse.CHARGING: self.charging,
            VehicleUse.AWAKE: self.awake,
            VehicleUse.ASLEEP: self.asleep,
        }[use]
