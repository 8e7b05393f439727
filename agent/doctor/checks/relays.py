"""Relays: the lines they are at, who holds them, and what becomes of them when the agent dies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from agent.doctor.checks.finding import Finding, fault, ok, warning
from agent.model.quick_dataclass import dataclass

OURS = "carshare-agent"
"""Whom the kernel names as the user of a line that the agent holds."""


@dataclass(frozen=True, slots=True)
class LineFacts:
    """A GPIO line: `why_not` says in words why there is none; `consumer` is who holds it, empty: nobody."""

    place: str
    why_not: str = ""
    consumer: str = ""


def check_relays(
    wanted: Sequence[str], lines: Mapping[str, LineFacts], *, persistent: Sequence[str]
) -> Iterator[Finding]:
    """`wanted` are the profile's lines, `lines` those of the configuration, `persistent` drivers that keep an output's
    level when its holder is gone. Nothing to tell of a car without relays."""
    for name in wanted:
        if name not in lines:
            found = f"the profile pulses {name!r}, and no relay is configured for it: its actions are unsupported"
            yield warning(
                f"relays.{name}", found, f"[relays.{name}] with chip and offset in agent.toml, once it is wired"
            )
    for name, facts in lines.items():
        yield _line(f"relays.{name}", facts)
    if lines and persistent:
        yield fault(
            "relays.release",
            "a line keeps its level when the agent is killed, so a relay may stay closed until the next start: "
            + ", ".join(persistent),
            "Add to the kernel's command line: " + " ".join(f"{parameter}=n" for parameter in persistent),
        )


def _line(name: str, facts: LineFacts) -> Finding:
    if facts.why_not:
        return fault(
            name,
            f"{facts.place}: {facts.why_not}",
            "gpioinfo lists chips and lines; the unit needs systemd/drop-ins/relays.conf",
        )
    if facts.consumer not in ("", OURS):
        return fault(name, f"{facts.place} is held by {facts.consumer!r}", "Another line, or end who holds this one")
    return ok(name, f"{facts.place}: there, and {'held by the agent' if facts.consumer else 'free'}")
