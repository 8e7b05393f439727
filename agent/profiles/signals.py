"""One `[[signals]]` table with its DBC signal and its VSS leaf, compiled to a `SignalPlan`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from agent.model.reading import Value
from agent.profiles import vss
from agent.profiles.findings import expected_of
from agent.profiles.lookup import Lookup, Place
from agent.profiles.message_rules import FRESHNESS_CYCLES
from agent.profiles.message_spec import MessageSpec, SignalSpec, raw_range
from agent.profiles.schema import ReportRule, SignalPlan, UnitChoice
from agent.profiles.toml_model import SignalTable, UnitByTable
from agent.profiles.units import conversion, known_units

INTEGER_RANGES: Mapping[str, tuple[int, int]] = {
    **{f"uint{bits}": (0, (1 << bits) - 1) for bits in (8, 16, 32, 64)},
    **{f"int{bits}": (-(1 << bits - 1), (1 << bits - 1) - 1) for bits in (8, 16, 32, 64)},
}
NUMBERS = frozenset(INTEGER_RANGES) | {"float", "double"}

Limits = tuple[float | None, float | None]


def compile_signal(
    table: SignalTable, place: Place, bus: str, message: MessageSpec, message_freshness_s: float | None, lookup: Lookup
) -> SignalPlan | None:
    """The plan, or None once every fault of the table is told. Its multiplexers are left to the message's plan."""
    told = lookup.findings
    entry = vss.PATHS.get(table.path)
    if entry is None:
        told.add((*place, "path"), f"unknown path {table.path!r}", expected_of(vss.PATHS, table.path))
    spec = lookup.signal(message, table.signal, place)
    freshness_s = table.freshness_s or message_freshness_s
    if freshness_s is None:
        problem = f"missing, and the DBC gives no cycle time (of which it would be {FRESHNESS_CYCLES} times)"
        told.add((*place, "freshness_s"), problem, f"seconds here or in [[messages]] for {message.name}")
    if table.unit is not None and table.unit_by is not None:
        told.add((*place, "unit_by"), "unit and unit_by exclude each other", "one of them")
    if table.min is not None and table.max is not None and table.min > table.max:
        told.add((*place, "min"), f"min {table.min} is above max {table.max}", "min <= max")
    if entry is None or spec is None or freshness_s is None:
        return None
    low, high = raw_range(spec.field)
    for raw in table.invalid:
        if not low <= raw <= high:
            told.add((*place, "invalid"), f"raw value {raw} does not fit {spec.name}", f"{low} to {high}")
    choices = _choices(table, place, spec, entry.datatype, lookup)
    is_number = choices is None and entry.datatype in NUMBERS
    if not is_number:
        _refuse_number_keys(table, place, lookup)
    factor, offset, unit_choice = 1.0, 0.0, None
    if is_number and table.unit_by is not None:
        unit_choice = _unit_choice(table.unit_by, (*place, "unit_by"), bus, entry.unit or "", lookup)
    elif is_number:
        factor, offset = _unit(table, place, spec, entry.unit or "", lookup)
    minimum, maximum = _limits(table, entry.datatype) if is_number else (None, None)
    factors = list(unit_choice.factors.values()) if unit_choice else [factor]
    if is_number:
        _refuse_named_numbers(table, place, spec, factors, offset, (minimum, maximum), lookup)
    return SignalPlan(
        path=table.path,
        signal=spec.name,
        unit=entry.unit,
        datatype=entry.datatype,
        field=spec.field,
        scale=spec.scale,
        offset=spec.offset,
        unit_factor=factor,
        unit_offset=offset,
        digits=_digits(entry.datatype, spec, factors, offset),
        choices=choices,
        invalid_raw=frozenset(table.invalid),
        minimum=minimum,
        maximum=maximum,
        selector_values=None,
        unit_choice=unit_choice,
        freshness_s=freshness_s,
        report=ReportRule(
            deadband=table.report.deadband,
            interval_s_min=table.report.interval_s,
            is_event=entry.datatype == "boolean" if table.report.event is None else table.report.event,
        ),
    )


def fits_datatype(value: Value, datatype: str) -> bool:
    """Whether a value written in a profile is one of a VSS datatype."""
    if datatype == "boolean":
        return isinstance(value, bool)
    if datatype == "string":
        return isinstance(value, str)
    if isinstance(value, bool | str):
        return False
    if datatype in INTEGER_RANGES:
        low, high = INTEGER_RANGES[datatype]
        return isinstance(value, int) and low <= value <= high
    return datatype in NUMBERS


def _choices(
    table: SignalTable, place: Place, spec: SignalSpec, datatype: str, lookup: Lookup
) -> dict[int, Value] | None:
    """Raw value → value, None for a number. A boolean or a text that does not say what stands for what is a fault."""
    told = lookup.findings
    if table.choices is None:
        if datatype in NUMBERS:
            return None
        if datatype == "boolean" and spec.field.length == 1 and not spec.names:
            return {0: False, 1: True}
        why = "the DBC names its values" if spec.names else f"it has {spec.field.length} bits"
        words = expected_of(spec.names.values()) if spec.names else "raw values"
        told.add((*place, "choices"), f"missing: {table.path} is a {datatype} and {why}", f"a table from {words}")
        return {}
    choices: dict[int, Value] = {}
    if spec.field.is_float:
        told.add((*place, "choices"), f"{spec.name} is a float", "no table: only whole raw values can have names")
    for word, value in table.choices.items():
        if not fits_datatype(value, datatype):
            told.add((*place, "choices", word), f"{value!r} is not of the type of {table.path}", f"a {datatype}")
        for raw in _raws_of(word, spec, (*place, "choices", word), lookup):
            if raw in choices:
                told.add((*place, "choices", word), f"raw value {raw} stands here twice", "one line a raw value")
            choices[raw] = float(value) if datatype in ("float", "double") and not isinstance(value, str) else value
    return choices


def _raws_of(word: str, spec: SignalSpec, place: Place, lookup: Lookup) -> tuple[int, ...]:
    """The raw values meant by a name of the DBC's value table or by a number written as text."""
    if raws := spec.raws_named(word):
        return raws
    low, high = raw_range(spec.field)
    try:
        raw = int(word[:24], 0)
    except ValueError:
        expected = expected_of(spec.names.values(), word) if spec.names else f"a raw value from {low} to {high}"
        lookup.findings.add(place, f"the DBC has no value called {word!r} for {spec.name}", expected)
        return ()
    if low <= raw <= high:
        return (raw,)
    lookup.findings.add(place, f"raw value {raw} does not fit {spec.name}", f"{low} to {high}")
    return ()


def _refuse_number_keys(table: SignalTable, place: Place, lookup: Lookup) -> None:
    """Keys that only mean something for a number, found beside a table of choices."""
    for key, is_given in (
        ("unit", table.unit is not None),
        ("unit_by", table.unit_by is not None),
        ("min", table.min is not None),
        ("max", table.max is not None),
    ):
        if is_given:
            lookup.findings.add((*place, key), f"{key} has no meaning for a table of choices", "no such key")
    if table.report.deadband:
        problem = "a deadband has no meaning for a table of choices"
        lookup.findings.add((*place, "report", "deadband"), problem, "no such key")


def _unit(table: SignalTable, place: Place, spec: SignalSpec, to_unit: str, lookup: Lookup) -> tuple[float, float]:
    from_unit = spec.unit if table.unit is None else table.unit
    found = conversion(from_unit, to_unit)
    if found is not None:
        return found
    origin = "the DBC's unit" if table.unit is None else "unit"
    lookup.findings.add(
        (*place, "unit"),
        f"{origin} {from_unit!r} does not convert to {to_unit!r}, the unit of {table.path}",
        expected_of((unit for unit in known_units() if conversion(unit, to_unit)), from_unit)
        if to_unit
        else 'unit = ""',
    )
    return 1.0, 0.0


def _unit_choice(table: UnitByTable, place: Place, bus: str, to_unit: str, lookup: Lookup) -> UnitChoice | None:
    told = lookup.findings
    message = lookup.message(bus, table.message, place)
    selector = message and lookup.signal(message, table.signal, place)
    if not message or not selector:
        return None
    if selector.selections or selector.field.is_float:
        told.add(
            (*place, "signal"), f"{selector.name} is multiplexed or a float", "a whole number that is always there"
        )
    factors: dict[int, float] = {}
    for word, unit in table.units.items():
        found = conversion(unit, to_unit)
        if found is None:
            convertible = (name for name in known_units() if conversion(name, to_unit))
            told.add(
                (*place, "units", word), f"{unit!r} does not convert to {to_unit!r}", expected_of(convertible, unit)
            )
        elif found[1]:
            told.add((*place, "units", word), f"{unit!r} differs from {to_unit!r} by an offset", "units of one zero")
        else:
            factors.update(dict.fromkeys(_raws_of(word, selector, (*place, "units", word), lookup), found[0]))
    return UnitChoice(message.arbitration_id, message.is_extended_id, selector.field, factors)


def _limits(table: SignalTable, datatype: str) -> Limits:
    """The profile's limits, and those of an integer datatype: what it cannot hold is out of range too."""
    low, high = INTEGER_RANGES.get(datatype, (None, None))
    lows = [limit for limit in (low, table.min) if limit is not None]
    highs = [limit for limit in (high, table.max) if limit is not None]
    return max(lows, default=None), min(highs, default=None)


def _refuse_named_numbers(
    table: SignalTable,
    place: Place,
    spec: SignalSpec,
    factors: Iterable[float],
    offset: float,
    limits: Limits,
    lookup: Lookup,
) -> None:
    """A raw value with a name is a word: "not available", "fault". It must not pass for a measured number (SR-05)."""
    low, high = limits
    for raw, word in spec.names.items():
        if raw in table.invalid or spec.field.is_float:
            continue
        values = [(raw * spec.scale + spec.offset) * factor + offset for factor in factors]
        if any((low is None or value >= low) and (high is None or value <= high) for value in values):
            lookup.findings.add(
                (*place, "invalid"),
                f"the DBC calls raw value {raw} {word!r}, and it would be read as the number {values[0]:g}",
                "it in `invalid`, beyond `min` or `max`, or all values in `choices`",
            )


def _digits(datatype: str, spec: SignalSpec, factors: Iterable[float], offset: float) -> int | None:
    """Decimals that hold every value exactly, or a thousandth of a step where decimals cannot (km/h in m/s).

    Rounding to them takes away what binary fractions add (0.1 × 3 = 0.30000000000000004) and nothing else.
    """
    if datatype in INTEGER_RANGES:
        return 0
    if spec.field.is_float:
        return None
    scale, start = Decimal(repr(spec.scale)), Decimal(repr(spec.offset))
    digits = 0
    for factor in (Decimal(repr(factor)) for factor in factors):
        step, origin = scale * factor, start * factor + Decimal(repr(offset))
        exact = max(_decimals(step), _decimals(origin))
        digits = max(digits, min(exact, max(_DIGITS_PLAIN, 3 - step.adjusted())))
    return min(digits, _DIGITS_MAX)


_DIGITS_PLAIN = 9
_DIGITS_MAX = 300  # beyond the smallest step a double can have


def _decimals(number: Decimal) -> int:
    exponent = number.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0
