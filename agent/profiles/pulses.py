"""The pulses of an action that goes by relays: `[actions.ACTION] pulses` of the profile."""

from __future__ import annotations

from agent.model.pulse import Pulse
from agent.profiles.lookup import Lookup, Place
from agent.profiles.toml_model import ActionTable

ROUNDS_MAX = 10
"""A button of a key fob that did nothing ten times does nothing the eleventh time, and a relay wears with each."""


def compile_pulses(table: ActionTable, place: Place, lookup: Lookup) -> tuple[Pulse, ...]:
    """The pulses of one round in their order, with all faults told in the look-up's findings."""
    told = lookup.findings
    # One of them that was faulty is told, and was taken out.
    is_told = any(told.is_settled((*place, key)) for key in ("frames", "exchange", "pulses"))
    ways = [bool(table.frames), table.exchange is not None, bool(table.pulses)]
    if sum(ways) != 1 and not is_told:
        told.add(place, "says nothing to do, or two things", "`frames`, `exchange` or `pulses`")
    if not table.pulses:
        return ()
    pulses = tuple(Pulse(row.line, row.pulse_s, row.pause_s) for row in table.pulses for _ in range(row.times))
    round_s = sum(pulse.pulse_s + pulse.pause_s for pulse in pulses)
    if round_s > table.interval_s * (1 + 1e-9):
        problem = f"the pulses and pauses of a round take {round_s:g} s, and a round begins every {table.interval_s} s"
        told.add((*place, "interval_s"), problem, f"at least {round_s:g}")
    if table.repeats_max > ROUNDS_MAX:
        problem = f"{table.repeats_max} rounds of pulses"
        told.add((*place, "repeats_max"), problem, f"at most {ROUNDS_MAX}: relays and buttons wear")
    return pulses
