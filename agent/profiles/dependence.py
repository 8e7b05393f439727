"""What one signal's meaning owes to another signal of the same bus: its unit (`unit_by`), or that it counts at all
(`valid_when`)."""

from __future__ import annotations

from agent.profiles.findings import expected_of
from agent.profiles.lookup import Lookup, Place
from agent.profiles.message_spec import MessageSpec, SignalSpec
from agent.profiles.raw_values import fits, range_of, raws_of
from agent.profiles.schema import Condition, UnitChoice
from agent.profiles.toml_model import UnitByTable, ValidWhenTable
from agent.profiles.units import conversion, known_units


def unit_choice_of(
    table: UnitByTable, path: str, to_unit: str, bus: str | None, place: Place, lookup: Lookup
) -> UnitChoice | None:
    """The choice in a `unit_by` at `place`, for a signal of `path` on `bus`; None once a fault is told."""
    source = _source(table.message, table.signal, bus, place, lookup)
    if source is None:
        return None
    message, selector = source
    factors: dict[int, float] = {}
    for word, unit in table.units.items():
        key, found = (*place, "units", word), conversion(unit, to_unit)
        raws = raws_of(word, selector, key, lookup)
        if found is None:
            tell_unit(f"{unit!r} does not convert", path, unit, to_unit, key, lookup)
        elif found[1]:
            lookup.findings.add(key, f"{unit!r} differs from {to_unit!r} by an offset", "units of one zero")
        else:
            factors.update(dict.fromkeys(raws, found[0]))
    return UnitChoice(message.arbitration_id, message.is_extended_id, selector.field, factors)


def condition_of(table: ValidWhenTable, bus: str | None, place: Place, lookup: Lookup) -> Condition | None:
    """The condition in a `valid_when` at `place`, for a signal on `bus`; None once a fault is told."""
    source = _source(table.message, table.signal, bus, place, lookup)
    if source is None:
        return None
    message, signal = source
    raws: set[int] = set()
    ranges: list[tuple[int, int]] = []
    for value in table.values:
        # A name of the DBC may have dots in it too.
        span = None if isinstance(value, int) or signal.raws_named(value) else range_of(value)
        if span is not None and fits(span, signal, (*place, "values"), lookup):
            ranges.append(span)
        elif span is None:
            raws.update(raws_of(str(value), signal, (*place, "values"), lookup))
    return Condition(message.arbitration_id, message.is_extended_id, signal.field, frozenset(raws), tuple(ranges))


def tell_unit(problem: str, path: str, from_unit: str, to_unit: str, place: Place, lookup: Lookup) -> None:
    """Tell that a unit does not become that of the path, with those that would."""
    convertible = (unit for unit in known_units() if conversion(unit, to_unit))
    expected = expected_of(convertible, from_unit) if to_unit else 'unit = "", if the number is meant as it is'
    lookup.findings.add(place, f"{problem} to {to_unit!r}, the unit of {path}", expected)


def _source(
    message_name: str, signal_name: str, bus: str | None, place: Place, lookup: Lookup
) -> tuple[MessageSpec, SignalSpec] | None:
    message = lookup.message(bus, message_name, place)
    signal = lookup.signal(message, signal_name, place) if message is not None else None
    if message is None or signal is None:
        return None
    if signal.selections or signal.field.is_float:
        problem = f"{signal.name} is multiplexed or a float"
        lookup.findings.add((*place, "signal"), problem, "a whole number that is always there")
    return message, signal
