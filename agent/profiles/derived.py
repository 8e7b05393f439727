"""`[[derived]]` of a profile, compiled: states that no single signal gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agent.model.clause import Clause
from agent.profiles import vss
from agent.profiles.findings import expected_of
from agent.profiles.lookup import Lookup, Place
from agent.profiles.polls import paths_of
from agent.profiles.schema import Derivation, DerivedPlan, MessagePlan, PollPlan, SignalPlan
from agent.profiles.signals import INTEGER_RANGES, NUMBERS, fits_datatype, report_rule
from agent.profiles.toml_model import ClauseTable, DerivedTable, ProfileTable

# What a product is rounded to: a thousandth of the unit, or whole where VSS says so.
_DIGITS = 3


def compile_derived(
    tables: ProfileTable, messages: Sequence[MessagePlan], polls: Sequence[PollPlan], lookup: Lookup
) -> tuple[DerivedPlan, ...]:
    """Every derived state, with all faults told in the look-up's findings."""
    sources: list[MessagePlan | PollPlan] = [*polls, *messages]
    signals = {signal.path: signal for given in sources for signal in given.signals}
    asked = paths_of(tables)
    compiler = _Compiler(signals, asked, lookup)
    plans = (
        compiler.plan(table, ("derived", index)) for index, table in enumerate(tables.derived) if table is not None
    )
    return tuple(plan for plan in plans if plan is not None)


class _Compiler:
    def __init__(self, signals: Mapping[str, SignalPlan], asked: set[str] | None, lookup: Lookup) -> None:
        self._signals = signals
        self._asked = asked
        self._told = lookup.findings
        self._taken: set[str] = set()

    def plan(self, table: DerivedTable, place: Place) -> DerivedPlan | None:
        entry = vss.PATHS.get(table.path)
        if entry is None:
            problem = f"unknown path {table.path!r}"
            self._told.add((*place, "path"), problem, expected_of(vss.PATHS, table.path))
        if table.path in (self._asked or ()) or table.path in self._taken:
            self._told.add((*place, "path"), f"{table.path} is given already", "one signal or derived state a path")
        self._taken.add(table.path)
        given = [how for how in Derivation if getattr(table, how.value) is not None]
        if len(given) != 1:
            problem = "says nothing" if not given else f"{' and '.join(given)} exclude each other"
            self._told.add(place, problem, "one of " + ", ".join(repr(how.value) for how in Derivation))
        if table.factor is not None and table.product is None:
            self._told.add((*place, "factor"), "has a meaning for a product only", "no such key")
        clauses = self._clauses(table, place)
        if entry is None or len(given) != 1:
            return None
        self._check_type(given[0], entry, place, table)
        return DerivedPlan(
            path=table.path,
            unit=entry.unit,
            datatype=entry.datatype,
            how=given[0],
            clauses=clauses,
            factor=1.0 if table.factor is None else table.factor,
            digits=0 if entry.datatype in INTEGER_RANGES else _DIGITS,
            maximum=INTEGER_RANGES[entry.datatype][1] if entry.datatype in INTEGER_RANGES else None,
            report=report_rule(table.report, entry.datatype),
        )

    def _clauses(self, table: DerivedTable, place: Place) -> tuple[Clause, ...]:
        clauses: list[Clause] = []
        for how in (Derivation.ALL, Derivation.ANY):
            for index, row in enumerate(getattr(table, how.value) or ()):
                clauses.append(self._clause(row, (*place, how.value, index)))
        for index, path in enumerate(table.product or ()):
            signal = self._signal(path, (*place, "product", index))
            if signal is not None and signal.datatype not in NUMBERS:
                self._told.add((*place, "product", index), f"{path} is a {signal.datatype}", "a path that is a number")
            clauses.append(Clause(path))
        if table.rises is not None:
            here: Place = (*place, "rises")
            self._check_equals(table.rises.path, table.rises.equals, here, (*here, "path"))
            clauses.append(Clause(table.rises.path, equals=table.rises.equals))
        return tuple(clauses)

    def _clause(self, row: ClauseTable, place: Place) -> Clause:
        has_limits = row.min is not None or row.max is not None
        if has_limits == (row.equals is not None):
            self._told.add(place, "says nothing, or two things", "`equals`, or `min` and `max`")
        if row.min is not None and row.max is not None and row.min > row.max:
            self._told.add((*place, "min"), f"min {row.min} is above max {row.max}", "min <= max")
        signal = self._check_equals(row.path, row.equals, place, (*place, "path"))
        if has_limits and signal is not None and signal.datatype not in NUMBERS:
            self._told.add(place, f"{row.path} is a {signal.datatype}", "`equals`")
        return Clause(row.path, row.equals, row.min, row.max)

    def _check_equals(self, path: str, equals: object, place: Place, path_place: Place) -> SignalPlan | None:
        """A value that the signal can never have would make the state one that never changes."""
        signal = self._signal(path, path_place)
        if signal is None or not isinstance(equals, bool | int | float | str):
            return signal
        if not fits_datatype(equals, signal.datatype):
            self._told.add((*place, "equals"), f"{equals!r} is not of the type of {path}", f"a {signal.datatype}")
        elif signal.choices is not None and equals not in signal.choices.values():
            values = expected_of((repr(value) for value in signal.choices.values()), repr(equals))
            self._told.add((*place, "equals"), f"{path} is never {equals!r}", values)
        return signal

    def _signal(self, path: str, place: Place) -> SignalPlan | None:
        if self._asked is not None and path not in self._asked:
            self._told.add(place, f"the profile has no signal for {path!r}", expected_of(self._asked, path))
        return self._signals.get(path)

    def _check_type(self, how: Derivation, entry: vss.VssEntry, place: Place, table: DerivedTable) -> None:
        is_boolean = entry.datatype == "boolean"
        if how in (Derivation.ALL, Derivation.ANY) and not is_boolean:
            self._told.add((*place, how.value), f"{table.path} is a {entry.datatype}", "a path that is a boolean")
        if how in (Derivation.PRODUCT, Derivation.RISES) and entry.datatype not in NUMBERS:
            self._told.add((*place, how.value), f"{table.path} is a {entry.datatype}", "a path that is a number")
        if is_boolean and table.report.deadband > 0:
            self._told.add((*place, "report", "deadband"), "has no meaning for yes or no", "no such key")
