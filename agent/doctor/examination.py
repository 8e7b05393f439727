"""One examination: every check in turn, none of which can stop another."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from agent.ability import sends_on
from agent.adapters.clock import unix_offset
from agent.adapters.status_socket import read_status
from agent.config import Config
from agent.doctor.asking import NotAskedError
from agent.doctor.checks.broker import AgentLink, check_allowed, check_connection, check_link, check_own_certificate
from agent.doctor.checks.bus import BusFacts, HeardFacts, check_bus
from agent.doctor.checks.finding import Finding, fault, ok, unknown
from agent.doctor.checks.health import HealthFacts, check_health
from agent.doctor.checks.machine import (
    SupplyRungs,
    check_clock,
    check_hardware_watchdog,
    check_store,
    check_supervisor,
    check_supply,
)
from agent.doctor.checks.relays import check_relays
from agent.doctor.checks.unit import KeyFacts, check_key, check_unit
from agent.doctor.configured import Configured, Load
from agent.doctor.connection import broker_facts, certificate_facts
from agent.doctor.links import link_facts
from agent.doctor.listening import heard_facts, listen
from agent.doctor.relays import line_facts, outputs_persist
from agent.doctor.system import (
    SEALED,
    allow_list,
    has_watchdog,
    key_facts,
    runtime_watchdog,
    store_facts,
    unit_properties,
)
from agent.errors import AgentError
from agent.model.bus import BusHealth
from agent.model.events import ClockTrust
from agent.policy.happenings import LOW_VOLTAGE
from agent.profiles.schema import BusPlan, Profile

_Answer = TypeVar("_Answer")


def is_sealed(key: Path) -> bool:
    """Whether a key that is not beside the configuration is there as a sealed credential of the unit.

    Who may not look there (only root may) does not know, and is told so by the check of the key.
    """
    try:
        return not key.exists() and (SEALED / f"carshare-agent.{key.name}").exists()
    except OSError:
        return False


def examine(path: Path, load: Load, *, listen_s: float) -> Iterator[Finding]:
    """All findings, as they come. Takes `listen_s` and what a broker that does not answer takes."""
    if os.geteuid() != 0:
        why = "not asked as root, so some of what follows cannot be found out, and files may seem to be missing"
        yield unknown("root", why, "sudo carshare-agent doctor")
    configured = _loaded(path, load)
    yield from _configuration(configured)
    unit: dict[str, str] | str = _asked(unit_properties)
    yield from _attempt("service.unit", lambda: check_unit(_known(unit)))
    yield from _attempt("watchdog", lambda: [check_hardware_watchdog(runtime_watchdog(), has_device=has_watchdog())])
    yield from _attempt("clock", _clock)
    if (config := configured.config) is None:
        why = "the configuration cannot be read, so what it names cannot be looked at"
        names = ("key", "can", "broker", "car.certificate", "store", "supply_12v", "power_supervisor")
        yield from (unknown(name, why) for name in names)
        return
    examined = _Examined(config, configured.profile, path.parent, unit)
    yield from _attempt("key", examined.keys)
    yield from _attempt("can", lambda: examined.buses(listen_s))
    yield from _attempt("relays", examined.relays)
    yield from _attempt("broker", examined.broker)
    yield from _attempt("car.certificate", examined.own_certificate)
    yield from _attempt("broker.link", lambda: [check_link(examined.link())])
    yield from _attempt("store", examined.store)
    yield from _attempt("supply_12v", examined.supply)
    yield from _attempt("power_supervisor", examined.supervisor)


def _loaded(path: Path, load: Load) -> Configured:
    try:
        return load(path, is_sealed)
    except OSError as error:
        return Configured(path, None, None, (f"{error.filename}: cannot be looked at: {error.strerror}",))


class _Examined:
    """One configuration that can be read, and what the agent that runs by it says (in words why it says nothing)."""

    def __init__(self, config: Config, profile: Profile | None, directory: Path, unit: dict[str, str] | str) -> None:
        self._config = config
        self._profile = profile
        self._directory = directory
        self._unit = unit
        self._status: dict[str, Any] | str = _asked(lambda: read_status(directory / config.status.socket))

    def keys(self) -> Iterator[Finding]:
        is_installed = not isinstance(self._unit, str) and self._unit.get("LoadState") == "loaded"
        names = [self._config.car.key_file, self._config.broker.key_file]
        for name in names:
            if name is not None:
                facts: KeyFacts = key_facts(self._directory, name)
                yield check_key(facts, is_unit_installed=is_installed)

    def buses(self, listen_s: float) -> Iterator[Finding]:
        if (profile := self._profile) is None:
            yield unknown("can", "the profile cannot be read, so what is to be heard is not known")
            return
        tables = self._config.buses
        channels = {
            bus.name: tables[bus.name].channel
            for bus in profile.buses
            if bus.name in tables and tables[bus.name].interface == "socketcan"
        }
        heard = listen(channels, profile, listen_s)
        for bus in profile.buses:
            if bus.name in tables:
                yield from check_bus(self._bus_facts(profile, bus, heard.get(bus.name), self._told(bus.name)))
                yield check_health(bus.name, self._health(bus.name))

    def relays(self) -> Iterator[Finding]:
        wanted = {} if self._profile is None else dict.fromkeys(pulse.line for pulse in self._profile.pulse_list)
        lines = {name: line_facts(table) for name, table in self._config.relays.items()}
        yield from check_relays(list(wanted), lines, persistent=outputs_persist())

    def broker(self) -> Iterator[Finding]:
        facts = broker_facts(self._config.broker, self._directory)
        yield from check_connection(facts, time.time())
        yield from _attempt("broker.allowed", lambda: [check_allowed(facts, allow_list(_known(self._unit)))])

    def own_certificate(self) -> Iterator[Finding]:
        if (file := self._config.broker.certificate_file) is not None:
            facts = certificate_facts(self._directory / file)
            yield check_own_certificate(facts, self._config.car.id, time.time())

    def link(self) -> AgentLink:
        if isinstance(self._status, str):
            return AgentLink(why=self._status)
        link = self._status.get("link", {})
        problems = tuple(f"{problem} ({count})" for problem, count in link.get("problems", {}).items())
        return AgentLink(bool(self._status.get("is_connected")), problems, tuple(link.get("subscriptions_refused", ())))

    def store(self) -> Iterator[Finding]:
        facts = store_facts(self._directory / self._config.store.directory, self._config.reporting.outbox_bytes_max)
        if not isinstance(self._status, str):
            is_degraded = bool(self._status.get("store", {}).get("is_degraded"))
            facts = replace(facts, is_degraded=is_degraded, is_durable=bool(self._status.get("outbox_is_durable")))
        yield from check_store(facts)

    def supply(self) -> Iterator[Finding]:
        readings = _known(self._status)["readings"]
        power = self._config.power
        yield check_supply(readings.get(LOW_VOLTAGE), SupplyRungs(power.warn_v, power.shed_v, power.off_v))

    def supervisor(self) -> Iterator[Finding]:
        status = self._status
        answers = status if isinstance(status, str) else bool(status["power"]["has_supervisor"])
        yield check_supervisor(self._config.power.supervisor, answers)

    def _told(self, bus: str) -> HeardFacts | str:
        if isinstance(self._status, str) or self._profile is None:
            return str(self._status)
        counts = {
            name: (count["received"], sum(many for what, many in count.items() if what != "received"))
            for name, count in self._status["frames"].items()
        }
        messages = [message.name for message in self._profile.messages if bus in message.buses]
        is_heard = bool(self._status["can"][bus]["received"])
        frames = sum(counts.get(name, (0, 0))[0] for name in messages) if is_heard else 0
        how = f"by the running agent in {self._status['uptime_s']:.0f} s"
        return heard_facts(how, frames, 0, counts, messages)

    def _health(self, bus: str) -> HealthFacts | str:
        if isinstance(self._status, str):
            return self._status
        told = self._status["bus_health"][bus]
        return HealthFacts(
            BusHealth(told["state"]),
            told["cause"] or "",
            told["age_s"] or 0.0,
            told["changes"],
            told["counters"]["errors"],
        )

    def _bus_facts(
        self, profile: Profile, bus: BusPlan, heard: HeardFacts | str | None, told: HeardFacts | str
    ) -> BusFacts:
        table = self._config.buses[bus.name]
        return BusFacts(
            name=bus.name,
            interface=table.interface,
            channel=table.channel,
            bitrate_bps=bus.bitrate_bps,
            is_listen_only=table.listen_only,
            actions=tuple(
                action.name.lower() for action, recipe in profile.recipes.items() if bus.name in sends_on(recipe)
            ),
            expected=_expected(profile, bus.name),
            link=link_facts(table.channel) if table.interface == "socketcan" else None,
            heard=heard if isinstance(heard, HeardFacts) else None,
            heard_why=heard if isinstance(heard, str) else told if isinstance(told, str) else "",
            told=told if isinstance(told, HeardFacts) else None,
            word="" if isinstance(self._status, str) else str(self._status["buses"].get(bus.name, "")),
        )


def _expected(profile: Profile, bus: str) -> dict[str, str]:
    """Messages the car may send on a bus, by name, with their ids; those the agent itself may send prove nothing.

    One that comes on either of two buses is looked for on both, and missed on neither once it was heard on one.
    """
    own = {(rule.bus, rule.arbitration_id, rule.is_extended_id) for rule in profile.send_list}
    return {
        message.name: f"0x{message.arbitration_id:0{8 if message.is_extended_id else 3}X}"
        for message in profile.messages
        if bus in message.buses and message.signals and (bus, message.arbitration_id, message.is_extended_id) not in own
    }


def _configuration(configured: Configured) -> Iterable[Finding]:
    advice = "Mend what it says; every key is explained in /usr/share/doc/carshare-agent/examples/agent.toml"
    if configured.problems:
        return [fault("configuration", problem, advice) for problem in configured.problems]
    return [ok("configuration", f"{configured.path} and the files it names are in order")]


def _clock() -> list[Finding]:
    _, trust = unix_offset()
    return [check_clock(time.time(), is_synchronized=trust >= ClockTrust.ESTIMATED)]


def _attempt(name: str, work: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """The findings of one check; if it cannot be carried out, one that says why."""
    try:
        yield from work()
    except (AgentError, OSError) as error:
        yield unknown(name, str(error))
    except Exception as error:  # noqa: BLE001 - the outermost frame of a check: the others are still wanted
        yield unknown(name, f"this check failed itself ({type(error).__name__}: {error}); please report it")


def _asked(ask: Callable[[], _Answer]) -> _Answer | str:
    """The answer, or in words why there is none."""
    try:
        return ask()
    except AgentError as error:
        return str(error)


def _known(answer: _Answer | str) -> _Answer:
    if isinstance(answer, str):
        raise NotAskedError(answer)
    return answer
