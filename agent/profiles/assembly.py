"""A profile from its tables and its message plans, however those came about (`parse`, `recall`)."""

from __future__ import annotations

from collections.abc import Sequence

from agent.profiles.derived import compile_derived
from agent.profiles.lookup import Lookup
from agent.profiles.message_rules import Rules
from agent.profiles.polls import compile_polls
from agent.profiles.recipes import compile_actions
from agent.profiles.schema import BusPlan, MessagePlan, Profile
from agent.profiles.toml_model import ProfileTable


def assemble(tables: ProfileTable, rules: Rules, messages: Sequence[MessagePlan], lookup: Lookup) -> Profile:
    """The profile, with all faults told in the look-up's findings: worth something only if there are none."""
    polls = compile_polls(tables, messages, lookup)
    derived = compile_derived(tables, messages, polls, lookup)
    actions = compile_actions(tables, rules, messages, polls, derived, lookup)
    asking = [rule for poll in polls for rule in poll.send_rules]
    return Profile(
        name=tables.name,
        title=tables.title,
        vss_release=tables.vss,
        buses=_buses(tables),
        messages=tuple(messages),
        recipes=actions.recipes,
        send_list=tuple(dict.fromkeys([*actions.send_list, *asking])),
        pulse_list=actions.pulse_list,
        unsupported=actions.unsupported,
        return_conditions=actions.return_conditions,
        derived=derived,
        polls=polls,
    )


def _buses(tables: ProfileTable) -> tuple[BusPlan, ...]:
    return tuple(
        BusPlan(name, bus.bitrate_bps, bus.fd, bus.silent_after_s, bus.listen_only, bus.awake_with)
        for name, bus in tables.buses.items()
        if bus is not None
    )
