"""The ladder put to use: each step is announced, then done (R7); the power goes last, and only by a supervisor.

    note the voltage ─► a step is due ─► told, durable, with the broker ─► done: load shed, power-off asked for

The voltage is the car's by its bus, or the supervisor's own while the bus says nothing, as that of a sleeping car does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from agent.config_table import PowerTable
from agent.link_watch import LinkWatch
from agent.model.effects import Level, RequestPowerOff
from agent.model.power import IgnitionLine, PowerFails, SupervisorFound, SupervisorNews, SupplyMeasured, Woken
from agent.model.quick_dataclass import dataclass
from agent.model.reading import Quality, Reading
from agent.model.use import VehicleUse
from agent.pending import Pending
from agent.policy.happenings import LOW_VOLTAGE
from agent.policy.power import Ladder, Limits, Step
from agent.profiles.schema import Profile
from agent.telemetry import Telemetry
from agent.uplink import wire

# So often at most the voltage is looked at, and so often while a step of the ladder waits for its time.
LOOK_INTERVAL_S = 0.5

# A supervisor measures every few seconds; what it said longer ago says nothing of a motor that has started since.
SUPPLY_FRESH_S = 30.0

# So long a step waits for its announcement: a broker that does not answer, or a card that stalls, empties no battery.
ANNOUNCE_S_MAX = 10.0

_DETAIL_LENGTH_MAX = 200

_FED = (VehicleUse.DRIVING, VehicleUse.CHARGING)

KINDS = {
    Step.NORMAL: "low_voltage_over",
    Step.WARNED: "low_voltage",
    Step.SHEDDING: "load_shedding",
    Step.POWER_OFF: "power_off_wanted",
}
LOAD_RESTORED = "load_restored"
"""The record that announces a step; from below, the step to warned is no warning."""


@dataclass(frozen=True, slots=True)
class _Announced:
    """Something told by the record `sequence`, to be done once that is known, or at `at_latest_s`."""

    step: Step | None  # None: the power fails, whatever the ladder says
    sequence: int | None
    at_latest_s: float


class Power:
    """What the 12 V battery has the agent do. `is_busy` says whether a command is under way."""

    def __init__(
        self,
        profile: Profile,
        table: PowerTable,
        pending: Pending,
        telemetry: Telemetry,
        link_watch: LinkWatch,
        is_busy: Callable[[], bool],
        now_s: float,
    ) -> None:
        self._profile = profile
        self._table = table
        self._pending = pending
        self._telemetry = telemetry
        self._link_watch = link_watch
        self._is_busy = is_busy
        self._ladder = Ladder(
            Limits(
                warn_v=table.warn_v,
                warn_s=table.warn_s,
                shed_v=table.shed_v,
                shed_s=table.shed_s,
                off_v=table.off_v,
                off_s=table.off_s,
                resume_v=table.resume_v,
                resume_s=table.resume_s,
            )
        )
        self._has_path = LOW_VOLTAGE in profile.paths
        self._supply: SupplyMeasured | None = None
        self._has_supervisor = False
        self._ignition: bool | None = None
        self._announced: _Announced | None = None
        self._wanted_off: str | None = None
        self._is_off_asked = False
        self._look_at_s = now_s
        self._is_supply_new = False
        self._tell_state(self._voltage(now_s)[0])

    @property
    def is_going_off(self) -> bool:
        """The power-off has been asked for: what ends now is an announced sleep."""
        return self._is_off_asked

    # --- in -----------------------------------------------------------------------------------------------------

    def heard(self, news: SupervisorNews, now_s: float) -> None:
        """The power supervisor said something."""
        match news:
            case SupplyMeasured():
                self._supply, self._is_supply_new = news, True
            case SupervisorFound(is_there, detail):
                if is_there is not self._has_supervisor:
                    self._has_supervisor = is_there
                    fields = {"news": "found"} if is_there else {"news": "lost", "detail": detail[:_DETAIL_LENGTH_MAX]}
                    self._telemetry.chronicle.supervisor(fields, now_s)
            case IgnitionLine(is_on):
                if is_on is not self._ignition:
                    self._ignition = is_on
                    word = "ignition_on" if is_on else "ignition_off"
                    self._telemetry.chronicle.supervisor({"news": word}, now_s)
            case Woken(reason):
                self._telemetry.chronicle.supervisor({"news": "woken", "wake": reason.value}, now_s)
            case PowerFails():
                if self._wanted_off is None and (self._announced is None or self._announced.step is not None):
                    sequence = self._telemetry.chronicle.supervisor({"news": "power_fails"}, now_s)
                    self._announced = _Announced(None, sequence, now_s + 1.0)

    def handle_timer(self, now_s: float) -> None:
        """Do what has been announced, and announce what is due."""
        if self._announced is not None:
            self._do_announced(self._announced, now_s)
        if now_s >= self._look_at_s:
            self._look_at_s = now_s + LOOK_INTERVAL_S
            self._look(now_s)
        if self._wanted_off is not None and self._may_ask():
            self._is_off_asked = True
            self._pending.log(Level.WARNING, "power_off_asked", reason=self._wanted_off)
            self._pending.add(RequestPowerOff(self._table.off_after_s, self._wanted_off))

    def next_timer(self) -> float:
        """When `handle_timer` is wanted next, infinity if time alone changes nothing."""
        if self._announced is not None:
            return min(self._announced.at_latest_s, self._look_at_s)
        return self._look_at_s if self._is_supply_new else max(self._look_at_s, self._ladder.next_at())

    def status(self, now_s: float) -> dict[str, object]:
        """For the local status socket."""
        reading, source = self._voltage(now_s)
        return {
            "step": self._ladder.step.value,
            "supply": wire.reading_document(reading, now_s),
            "source": source,
            "has_supervisor": self._has_supervisor,
            "ignition_line": self._ignition,
        }

    # --- out ----------------------------------------------------------------------------------------------------

    def _look(self, now_s: float) -> None:
        self._is_supply_new = False
        reading, source = self._voltage(now_s)
        volts = reading.value if reading.quality is Quality.OK else None
        self._ladder.note(
            float(volts) if isinstance(volts, int | float) else None,
            is_fed=self._telemetry.use in _FED,
            now_s=now_s,
        )
        self._tell_state(reading)
        if self._announced is None and (step := self._ladder.due()) is not None:
            fields = {
                "vss": self._profile.vss_release,
                "readings": wire.reading_rows((reading,), now_s),
                **({} if source is None else {"source": source}),
            }
            sequence = self._announce(step, fields, now_s)
            self._announced = _Announced(step, sequence, now_s + ANNOUNCE_S_MAX)

    def _announce(self, step: Step, fields: Mapping[str, object], now_s: float) -> int:
        is_restored = step is Step.WARNED and self._ladder.step is not Step.NORMAL
        if step is Step.POWER_OFF:
            fields = {**fields, "will_be_asked": self._has_supervisor}
        return self._telemetry.chronicle.tell(LOAD_RESTORED if is_restored else KINDS[step], fields, now_s)

    def _do_announced(self, announced: _Announced, now_s: float) -> None:
        sequence = announced.sequence
        is_known = sequence is None or self._telemetry.chronicle.is_announced(sequence)
        if not is_known and now_s < announced.at_latest_s:
            return
        self._announced = None
        if announced.step is None:
            self._wanted_off = "power_fails"
            return
        self._pending.log(Level.NOTICE, "power_step", step=announced.step.value, before=self._ladder.step.value)
        self._ladder.take(announced.step)
        is_shedding = announced.step in (Step.SHEDDING, Step.POWER_OFF)
        self._telemetry.shed(is_shedding=is_shedding)
        self._link_watch.shed(is_shedding=is_shedding)
        if self._wanted_off != "power_fails":
            self._wanted_off = "low_voltage" if announced.step is Step.POWER_OFF else None
        self._tell_state(self._voltage(now_s)[0])

    def _may_ask(self) -> bool:
        """Once, of a supervisor that answers, and not while a command runs or somebody uses the car."""
        is_in_use = self._wanted_off == "low_voltage" and self._telemetry.use in _FED
        return self._has_supervisor and not self._is_off_asked and not self._is_busy() and not is_in_use

    def _tell_state(self, supply: Reading) -> None:
        self._telemetry.power_is({"step": self._ladder.step.value, "supply": supply.quality.value})

    def _voltage(self, now_s: float) -> tuple[Reading, str | None]:
        """The voltage, and whose it is; without one the reading says why (SR-05)."""
        unheard = Reading(LOW_VOLTAGE, None, "V", now_s, Quality.UNKNOWN, "never_received")
        reading = self._telemetry.reading(LOW_VOLTAGE, now_s) if self._has_path else unheard
        supply = self._supply
        if reading.quality is Quality.OK or supply is None:
            return reading, "bus" if reading.quality is Quality.OK else None
        if now_s - supply.at_s <= SUPPLY_FRESH_S:
            return Reading(LOW_VOLTAGE, supply.volts, "V", supply.at_s, Quality.OK), "supervisor"
        return reading, None
