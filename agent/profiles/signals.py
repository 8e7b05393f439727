"""One `[[signals]]` table with its DBC signal and its VSS leaf, compiled to a `SignalPlan`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from agent.model.reading import Value
from agent.model.use import Pace, VehicleUse
from agent.profiles import vss
from agent.profiles.dependence import condition_of, tell_unit, unit_choice_of
from agent.profiles.findings import expected_of
from agent.profiles.lookup import Lookup, Place
from agent.profiles.message_rules import FRESHNESS_CYCLES
from agent.profiles.message_spec import MessageSpec, SignalSpec, raw_range
from agent.profiles.raw_values import Ranges, is_marked, markers_of, raws_of
from agent.profiles.schema import Condition, ReportRule, SettleRule, SignalPlan
from agent.profiles.toml_model import ReportTable, SignalTable
from agent.profiles.units import conversion

INTEGER_RANGES: Mapping[str, tuple[int, int]] = {
    **{f"uint{bits}": (0, (1 << bits) - 1) for bits in (8, 16, 32, 64)},
    **{f"int{bits}": (-(1 << bits - 1), (1 << bits - 1) - 1) for bits in (8, 16, 32, 64)},
}
NUMBERS = frozenset(INTEGER_RANGES) | {"float", "double"}


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


def compile_signal(
    table: SignalTable,
    place: Place,
    bus: str | None,
    message: MessageSpec | None,
    message_freshness_s: float | None,
    lookup: Lookup,
) -> SignalPlan | None:
    """The plan, or None once its faults are told; its multiplexers are left to the plan of the message.

    Without a message (its DBC cannot be read) there is no plan, but all faults that show without one are told.
    """
    compilation = _Compilation(table, place, bus, lookup)
    entry = vss.PATHS.get(table.path)
    if entry is None:
        compilation.tell("path", f"unknown path {table.path!r}", expected_of(vss.PATHS, table.path))
    compilation.check_keys()
    if entry is not None:
        compilation.check_type(entry)
    spec = lookup.signal(message, table.signal, place) if message is not None else None
    if message is None or spec is None:
        return None
    compilation.read_markers(spec)
    freshness_s = table.freshness_s or message_freshness_s
    if freshness_s is None:
        problem = f"missing, and the DBC gives no cycle time (of which it would be {FRESHNESS_CYCLES} times)"
        compilation.tell("freshness_s", problem, f"seconds here or in [[messages]] for {message.name}")
    if entry is None or freshness_s is None:
        return None
    return compilation.plan(spec, entry, freshness_s)


class _Compilation:
    """The steps from one table to its plan."""

    def __init__(self, table: SignalTable, place: Place, bus: str | None, lookup: Lookup) -> None:
        self._table = table
        self._place = place
        self._bus = bus
        self._lookup = lookup
        self._markers: tuple[frozenset[int], Ranges] = frozenset(), ()

    def tell(self, key: str | tuple[str, ...], problem: str, expected: str) -> None:
        keys = (key,) if isinstance(key, str) else key
        self._lookup.findings.add((*self._place, *keys), problem, expected)

    def check_keys(self) -> None:
        table = self._table
        if table.unit is not None and table.unit_by is not None:
            self.tell("unit_by", "unit and unit_by exclude each other", "one of them")
        if table.min is not None and table.max is not None and table.min > table.max:
            self.tell("min", f"min {table.min} is above max {table.max}", "min <= max")
        if table.max_step is not None and table.settle_s is None:
            self.tell("settle_s", "missing beside max_step", "for how long a jump must stand to be believed, in s")

    def check_type(self, entry: vss.VssEntry) -> None:
        """What the table says against what VSS says of the path."""
        table, to_unit = self._table, entry.unit or ""
        for word, value in (table.choices or {}).items():
            if not fits_datatype(value, entry.datatype):
                problem = f"{value!r} is not of the type of {table.path}"
                self.tell(("choices", word), problem, f"a {entry.datatype}")
        if table.choices is not None or entry.datatype not in NUMBERS:
            self._refuse_number_keys()
        elif table.unit is not None and conversion(table.unit, to_unit) is None:
            self._tell_unit(f"{table.unit!r} does not convert", table.unit, to_unit)

    def read_markers(self, spec: SignalSpec) -> None:
        self._markers = markers_of(self._table.invalid, spec, (*self._place, "invalid"), self._lookup)

    def plan(self, spec: SignalSpec, entry: vss.VssEntry, freshness_s: float) -> SignalPlan:
        table = self._table
        choices = self._choices(spec, entry.datatype)
        factor, offset, unit_choice = 1.0, 0.0, None
        limits: tuple[float | None, float | None] = (None, None)
        if choices is None:
            if table.unit_by is not None:
                place = (*self._place, "unit_by")
                unit_choice = unit_choice_of(
                    table.unit_by, table.path, entry.unit or "", self._bus, place, self._lookup
                )
            else:
                factor, offset = self._unit(spec, entry.unit or "")
            limits = self._limits(entry.datatype)
        factors = tuple(unit_choice.factors.values()) if unit_choice is not None else (factor,)
        if choices is None:
            self._refuse_named_numbers(spec, factors, offset, limits)
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
            invalid_raw=self._markers[0],
            minimum=limits[0],
            maximum=limits[1],
            selector_values=None,
            unit_choice=unit_choice,
            freshness_s=freshness_s,
            report=report_rule(table.report, entry.datatype),
            invalid_ranges=self._markers[1],
            condition=self._condition(),
            settle=SettleRule(table.settle_s, table.max_step or 0.0) if table.settle_s is not None else None,
        )

    def _condition(self) -> Condition | None:
        table = self._table.valid_when
        return condition_of(table, self._bus, (*self._place, "valid_when"), self._lookup) if table is not None else None

    def _choices(self, spec: SignalSpec, datatype: str) -> dict[int, Value] | None:
        """Raw value → value, None for a number. What stands for what in a boolean or a text is never guessed."""
        table = self._table
        if table.choices is None:
            if datatype in NUMBERS:
                return None
            if datatype == "boolean" and spec.field.length == 1 and not spec.names:
                return {0: False, 1: True}
            why = "the DBC names its values" if spec.names else f"it has {spec.field.length} bits"
            words = expected_of(spec.names.values()) if spec.names else "raw values"
            self.tell("choices", f"missing: {table.path} is a {datatype} and {why}", f"a table from {words}")
            return {}
        if spec.field.is_float:
            self.tell("choices", f"{spec.name} is a float", "no table: only whole raw values can have names")
        choices: dict[int, Value] = {}
        for word, value in table.choices.items():
            for raw in raws_of(word, spec, (*self._place, "choices", word), self._lookup):
                if raw in choices:
                    self.tell(("choices", word), f"raw value {raw} stands here twice", "one line a raw value")
                choices[raw] = float(value) if datatype in ("float", "double") and not isinstance(value, str) else value
        return choices

    def _refuse_number_keys(self) -> None:
        """Keys that only mean something for a number, found where values are chosen from a table."""
        table = self._table
        for key, is_given in (
            (("unit",), table.unit is not None),
            (("unit_by",), table.unit_by is not None),
            (("min",), table.min is not None),
            (("max",), table.max is not None),
            (("max_step",), table.max_step is not None),
            (("report", "deadband"), table.report.deadband > 0),
        ):
            if is_given:
                self.tell(key, "has no meaning for a value that is not a measured number", "no such key")

    def _unit(self, spec: SignalSpec, to_unit: str) -> tuple[float, float]:
        """Factor and offset to the VSS unit. That a `unit` given converts is checked already."""
        from_unit = spec.unit if self._table.unit is None else self._table.unit
        found = conversion(from_unit, to_unit)
        if found is None and self._table.unit is None:
            self._tell_unit(f"the DBC's unit {from_unit!r} does not convert", from_unit, to_unit)
        return found or (1.0, 0.0)

    def _tell_unit(self, problem: str, from_unit: str, to_unit: str) -> None:
        tell_unit(problem, self._table.path, from_unit, to_unit, (*self._place, "unit"), self._lookup)

    def _limits(self, datatype: str) -> tuple[float | None, float | None]:
        """The profile's limits, and those of an integer datatype: what it cannot hold is out of range too."""
        low, high = INTEGER_RANGES.get(datatype, (None, None))
        lows = [limit for limit in (low, self._table.min) if limit is not None]
        highs = [limit for limit in (high, self._table.max) if limit is not None]
        return max(lows, default=None), min(highs, default=None)

    def _refuse_named_numbers(
        self, spec: SignalSpec, factors: Sequence[float], offset: float, limits: tuple[float | None, float | None]
    ) -> None:
        """A raw value with a name is a word, "not available" or "fault": it must not pass for a measured number."""
        low, high = limits
        for raw, word in spec.names.items():
            is_possible = raw_range(spec.field)[0] <= raw <= raw_range(spec.field)[1]
            if is_marked(raw, *self._markers) or spec.field.is_float or not is_possible:
                continue
            values = [(raw * spec.scale + spec.offset) * factor + offset for factor in factors]
            shown = [value for value in values if (low is None or value >= low) and (high is None or value <= high)]
            if shown:
                problem = f"the DBC calls raw value {raw} {word!r}, and it would be read as the number {shown[0]:g}"
                self.tell("invalid", problem, "it in `invalid`, beyond `min` or `max`, or all values in `choices`")


def report_rule(table: ReportTable, datatype: str) -> ReportRule:
    """Yes or no, and words, are inputs: their changes are events unless the profile says otherwise."""
    tables = {use: getattr(table, use.value) for use in VehicleUse}
    return ReportRule(
        deadband=table.deadband,
        interval_s_min=table.interval_s,
        is_event=datatype in ("boolean", "string") if table.event is None else table.event,
        debounce_s=table.debounce_s,
        events_per_hour_max=table.events_per_hour,
        paces={use: Pace(pace.interval_s, pace.repeat_s) for use, pace in tables.items() if pace is not None},
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
