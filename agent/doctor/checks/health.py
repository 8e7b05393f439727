"""The health of a bus, as the running agent has followed it, in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from agent.doctor.checks.finding import Finding, Verdict, unknown
from agent.model.bus import BusHealth
from agent.model.quick_dataclass import dataclass

_WIRING = (
    "Look at the wiring (CAN-H and CAN-L exchanged or short, no ground), the termination (60 ohms between CAN-H and "
    "CAN-L of a whole bus), and the bit rate"
)


class _Words(NamedTuple):
    verdict: Verdict
    meaning: str
    advice: str = ""


_WORDS: Mapping[BusHealth, _Words] = {
    BusHealth.UNKNOWN: _Words(
        Verdict.UNKNOWN,
        "the agent has not opened it yet; commands are answered can_down",
        "Ask again in a minute; see journalctl --unit carshare-agent",
    ),
    BusHealth.ERROR_ACTIVE: _Words(Verdict.OK, "sound"),
    BusHealth.SILENT: _Words(
        Verdict.WARNING,
        "the link is up, and a car that was driving is not heard any more",
        "Look whether the adapter is still on the bus, then at the bit rate; if frames come and none of the profile's, "
        "at the profile",
    ),
    BusHealth.ERROR_PASSIVE: _Words(
        Verdict.WARNING,
        "the controller counts many errors and gives way to others; it still hears, and commands are still sent. After "
        "waking a sleeping car this is normal for a moment: nobody acknowledged the first frames",
        f"{_WIRING}, if it stays so while the car is awake",
    ),
    BusHealth.BUS_OFF: _Words(
        Verdict.FAULT,
        "the controller made too many errors and has cut itself off; commands are answered bus_off. The kernel "
        "restarts it a second later, again and again",
        _WIRING,
    ),
    BusHealth.DOWN: _Words(
        Verdict.FAULT,
        "the interface is down; commands are answered can_down. The agent opens it again once it is up",
        "See networkctl, and journalctl --unit systemd-networkd: networkd brings it up",
    ),
    BusHealth.REMOVED: _Words(
        Verdict.FAULT,
        "the interface is not there; commands are answered can_down. The agent opens it again once it is back",
        "Plug the adapter in again; if that happens often look at its plug and its power",
    ),
}


@dataclass(frozen=True, slots=True)
class HealthFacts:
    """A bus as `carshare-agent status` has it.

    `age_s` is how long it has been so, `changes` how often it changed since the agent began, `errors` the error frames.
    """

    state: BusHealth
    cause: str
    age_s: float
    changes: int
    errors: Mapping[str, int]


def check_health(bus: str, facts: HealthFacts | str) -> Finding:
    """One finding; `facts` in words if the agent cannot be asked."""
    name = f"can.{bus}.health"
    if isinstance(facts, str):
        return unknown(name, facts)
    verdict, meaning, advice = _WORDS[facts.state]
    since = f"for {facts.age_s:.0f} s ({facts.cause})" if facts.cause else "since the agent began"
    errors = ", ".join(f"{what} {count}" for what, count in sorted(facts.errors.items()))
    counted = f"; {facts.changes} changes since the agent began; error frames: {errors or 'none'}"
    return Finding(name, verdict, f"{facts.state.value} {since}: {meaning}{counted}", advice)
