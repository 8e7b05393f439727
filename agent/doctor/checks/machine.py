"""The computer: clock, hardware watchdog, room for the store, the car's 12 V, and what guards it."""

from __future__ import annotations

from collections.abc import Mapping

from agent.doctor.checks.finding import Finding, fault, ok, unknown, warning
from agent.model.quick_dataclass import dataclass
from agent.policy.happenings import LOW_VOLTAGE

# The journal of commands and SQLite's own files take less; below this an unlock may find no room for its intent.
FREE_BYTES_MIN = 32 << 20

# 2025: no computer that runs this is older, so a clock that says so was never set.
_UNIX_S_MIN = 1_735_689_600

_RESET_DROP_IN = "/etc/systemd/system.conf.d/carshare-watchdog.conf"


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """The folder of the stores: whether it is there, can be written, how much is free. `is_degraded`: by the agent."""

    path: str
    is_there: bool
    is_folder: bool = True
    is_read_only: bool = False
    free_bytes: int = 0
    wanted_bytes: int = 0
    is_degraded: bool | None = None
    is_durable: bool | None = None


@dataclass(frozen=True, slots=True)
class SupplyRungs:
    """The thresholds of `[power]` in volts."""

    warn_v: float
    shed_v: float
    off_v: float

    def lowest_first(self) -> tuple[tuple[str, float, str], ...]:
        """Each with its key and what the agent does below it."""
        return (
            ("off_v", self.off_v, "the computer is to be switched off"),
            ("shed_v", self.shed_v, "the agent sheds load"),
            ("warn_v", self.warn_v, "the agent warns"),
        )


def check_clock(unix_s: float, *, is_synchronized: bool) -> Finding:
    """Commands need no clock; certificates, and the dates of records, do."""
    if unix_s < _UNIX_S_MIN:
        advice = (
            "Set it up: systemctl enable --now systemd-timesyncd, and a way to its servers; or a clock with a battery"
        )
        return fault("clock", "the time is years behind, so certificates may not be valid yet", advice)
    if not is_synchronized:
        advice = "systemctl enable --now systemd-timesyncd; timedatectl says what it waits for"
        found = "nobody has set the time since boot: records are dated later, commands work all the same"
        return warning("clock", found, advice)
    return ok("clock", "set from the network, so trusted as an estimate")


def check_hardware_watchdog(interval: str, *, has_device: bool) -> Finding:
    """`interval` is RuntimeWatchdogUSec of systemd itself."""
    name = "watchdog"
    if not has_device:
        return warning(
            name, "this computer has no watchdog, so nothing resets it if it stands still", "Use one that has"
        )
    if interval in ("", "0", "infinity"):
        return warning(
            name,
            "nothing resets this computer if systemd itself stands still",
            f"Write {_RESET_DROP_IN}:\n[Manager]\nRuntimeWatchdogSec=10s\nThen: systemctl daemon-reexec",
        )
    return ok(name, f"armed: the board is reset if systemd stands still for {interval}")


def check_store(store: StoreFacts) -> list[Finding]:
    if not store.is_there:
        why = f"{store.path} is not there"
        return [unknown("store", why, "The agent makes it at its first start"), unknown("disk", why)]
    if not store.is_folder:
        why = f"{store.path} is no folder: the agent can keep nothing there, and every result says degraded"
        advice = "Move what is there away, or give the agent a folder of its own: store.directory in agent.toml"
        return [fault("store", why, advice), unknown("disk", f"{store.path} is no folder")]
    return [_store(store), _disk(store)]


def _store(store: StoreFacts) -> Finding:
    name = "store"
    if store.is_read_only:
        advice = "A card that wears out turns so: see dmesg, and replace it"
        return fault(name, f"{store.path} is on a file system that is read-only", advice)
    if store.is_degraded:
        advice = (
            "See dmesg for errors of the card and replace it; commands are carried out on a journal in memory till then"
        )
        return fault(name, "the agent found it dead at start", advice)
    if store.is_durable is False:
        advice = "See the disk and journalctl --unit carshare-agent; records wait in memory till then"
        return fault(name, "the agent cannot write telemetry", advice)
    if store.is_degraded is None:
        return unknown(name, f"{store.path} can be written; how it is, only a running agent says")
    return ok(name, f"{store.path} works")


def _disk(store: StoreFacts) -> Finding:
    name = "disk"
    free = f"{store.free_bytes >> 20} MiB free at {store.path}"
    if store.free_bytes < FREE_BYTES_MIN:
        return fault(
            name, f"{free}: commands are refused when nothing is left", "Make room: journalctl --vacuum-size=50M"
        )
    if store.free_bytes < store.wanted_bytes:
        advice = "Make room, or lower reporting.outbox_bytes_max"
        return warning(name, f"{free}; what may wait for the broker takes {store.wanted_bytes >> 20} MiB", advice)
    return ok(name, free)


def check_supply(reading: Mapping[str, object] | None, rungs: SupplyRungs) -> Finding:
    """`reading` is the agent's of the 12 V battery; None if the profile has none."""
    name = "supply_12v"
    if reading is None:
        return unknown(name, f"the profile has no {LOW_VOLTAGE}")
    value = reading.get("value")
    if not isinstance(value, int | float):
        return unknown(name, f"the car does not say: {reading.get('quality')}, {reading.get('reason')}", "Wake the car")
    if value >= rungs.warn_v:
        return ok(name, f"{value:g} V, not below power.warn_v = {rungs.warn_v:g} V")
    key, volts, consequence = next(rung for rung in rungs.lowest_first() if value < rung[1])
    return warning(
        name,
        f"{value:g} V, below power.{key} = {volts:g} V: if it stays so, {consequence}",
        "Charge the battery before you leave the car",
    )


def check_supervisor(port: str | None, answers: bool | str) -> Finding:
    """`port` is power.supervisor of agent.toml; `answers` the running agent's word, or why it gives none.

    The port is the agent's: whoever else opened it would take bytes from it.
    """
    name = "power_supervisor"
    if port is None:
        found = "none is configured: a sleeping car's 12 V is not measured, and nobody cuts this computer's power"
        return ok(name, f"{found} (power.supervisor in agent.toml)")
    if isinstance(answers, str):
        return unknown(name, f"configured on {port}; whether it answers only a running agent says: {answers}")
    if answers:
        return ok(name, f"answers on {port}")
    return fault(
        name,
        f"does not answer on {port}: a sleeping car's 12 V is not measured, and the last step cuts no power",
        "See journalctl --unit carshare-agent; the unit must be given the device: drop-ins/uart.conf; then the wiring, "
        "and another name of the port belongs into agent.toml: power.supervisor",
    )
