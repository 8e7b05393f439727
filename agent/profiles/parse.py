"""`profile.toml` and the DBC files beside it: to a frozen `Profile`, or to a list of every fault."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from agent.faults import Fault
from agent.profiles import vss
from agent.profiles.assembly import assemble
from agent.profiles.database import MessageDatabase
from agent.profiles.findings import Findings
from agent.profiles.lookup import Lookup, Place
from agent.profiles.message_rules import MessageRules, Rules, compile_rules, freshness_s
from agent.profiles.message_spec import MessageSpec
from agent.profiles.schema import MessagePlan, Profile, Selection, SignalPlan
from agent.profiles.signals import compile_signal
from agent.profiles.toml_model import SignalTable
from agent.profiles.toml_reading import named_files, read_tables

__all__ = ["named_files", "parse_profile"]


def parse_profile(profile_text: str, files: Mapping[str, bytes], *, source: str) -> Profile | list[Fault]:
    """The vehicle that `profile_text` describes with the DBC `files` beside it (content by name), or all its faults.

    `source` is how faults name the profile; a DBC file is named as its neighbour.  Never raises for bad input.
    """
    findings = Findings(profile_text, source)
    tables = read_tables(profile_text, findings, source)
    if tables is None:
        return findings.listed()
    if tables.vss != vss.RELEASE:
        findings.add(("vss",), f"VSS {tables.vss!r}", f"{vss.RELEASE!r}, the release this agent knows")
    lookup = Lookup(tables.buses, files, findings, MessageDatabase.load)
    rules = compile_rules(tables.messages, lookup)
    messages = _messages(tables.signals, rules, lookup)
    profile = assemble(tables, rules, messages, lookup)
    return findings.listed() or profile


def _messages(tables: Sequence[SignalTable | None], rules: Rules, lookup: Lookup) -> tuple[MessagePlan, ...]:
    """Plans of all messages that carry a wanted signal or what one depends on, in the order they are first named."""
    signals: dict[tuple[str, str], list[SignalPlan]] = {}
    specs: dict[tuple[str, str], MessageSpec] = {}
    taken: dict[str, int] = {}
    for index, table in enumerate(tables):
        place: Place = ("signals", index)
        if table is None:
            continue
        if table.path in taken:
            problem = f"{table.path} is given by signals[{taken[table.path]}] already"
            lookup.findings.add((*place, "path"), problem, "one signal a path")
        taken.setdefault(table.path, index)
        bus = lookup.bus(table.bus, place)
        spec = lookup.message(bus, table.message, place)
        freshness = freshness_s(rules.of(bus, spec.name), spec) if bus is not None and spec is not None else None
        plan = compile_signal(table, place, bus, spec, freshness, lookup)
        if bus is None or spec is None or plan is None:
            continue
        specs[bus, spec.name] = spec
        signals.setdefault((bus, spec.name), []).append(plan)
        for key, by in (("unit_by", table.unit_by), ("valid_when", table.valid_when)):
            chooser = lookup.message(bus, by.message, (*place, key)) if by is not None else None
            if chooser is not None:
                specs[bus, chooser.name] = chooser
                signals.setdefault((bus, chooser.name), [])
    names = Counter(name for _, name in signals)
    return tuple(
        _plan(bus, f"{bus}.{name}" if names[name] > 1 else name, specs[bus, name], rules.of(bus, name), wanted)
        for (bus, name), wanted in signals.items()
    )


def _plan(bus: str, name: str, spec: MessageSpec, rules: MessageRules, signals: Sequence[SignalPlan]) -> MessagePlan:
    above = {plan.signal: spec.signals[plan.signal].selections for plan in signals}
    # The selector is the outermost multiplexer of the first multiplexed signal: of nearly every message the only one.
    selector = next((selections[0][0] for selections in above.values() if selections), None)
    return MessagePlan(
        bus=bus,
        arbitration_id=spec.arbitration_id,
        is_extended_id=spec.is_extended_id,
        is_fd=spec.is_fd,
        name=name,
        length_bytes=spec.length_bytes,
        checksum=rules.checksum,
        counter=rules.counter,
        selector=spec.signals[selector].field if selector is not None else None,
        signals=tuple(_selected(plan, spec, selector) for plan in signals),
        selector_known=spec.known_values(selector) if selector is not None else None,
        is_every_frame=rules.is_every_frame,
        also_on=rules.also_on,
    )


def _selected(plan: SignalPlan, spec: MessageSpec, selector: str | None) -> SignalPlan:
    """The plan with its multiplexers: that of the message as `selector_values`, all others as `selections`."""
    above = spec.signals[plan.signal].selections
    by_selector = [values for name, values in above if name == selector]
    return replace(
        plan,
        selector_values=by_selector[0] if by_selector else None,
        selections=tuple(Selection(spec.signals[name].field, values) for name, values in above if name != selector),
    )
