"""From what is true of the car to the values under the signals of its messages: the profile's mapping, backwards.

Nothing here knows a car.  A value under a VSS path becomes the raw value that the profile reads as that value; which
unit an ambiguous signal is in, and that a signal counts at all, is said in the signals that the profile asks for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from agent.model.frame import BitField
from agent.model.reading import Value
from agent.profiles.database import MessageDatabase
from agent.profiles.message_spec import MessageSpec, SignalSpec, raw_range
from agent.profiles.raw_values import is_marked
from agent.profiles.schema import MessagePlan, Profile, SignalPlan

TruthOf = Callable[[str], Value | None]
"""What is true under a path, in its VSS unit; None if this car has no such thing."""
WordOf = Callable[[str], str | None]
"""The word for what is under way there instead of a value (`Moving`), None if nothing is."""

Page = Mapping[str, int]
"""Multiplexer → raw value: one way in which a message is sent. Without multiplexers there is one, empty."""

Fixed = Mapping[tuple[str, int, bool], Mapping[BitField, int]]
"""Bus, identifier and format of a message → the raw values that other signals are read by."""

_REMEMBERED_MAX = 1000  # of one message: a parked car needs a few, one that drives has no end of them


class MessageSignals:
    """The signals of one message the car sends. `pages` are the ways in which it is sent, in their turn."""

    def __init__(self, plan: MessagePlan, spec: MessageSpec, cycle_s: float, fixed: Fixed) -> None:
        self._spec = spec
        self._paths = tuple(signal.path for signal in plan.signals)
        chosen = fixed.get((plan.bus, plan.arbitration_id, plan.is_extended_id), {})
        self._mapped = {
            name: _Mapped(spec.signals[name], [one for one in plan.signals if one.signal == name], plan.bus, fixed)
            for name in dict.fromkeys(signal.signal for signal in plan.signals)
        }
        self._constant = {
            name: _physical(signal, chosen.get(signal.field, 0))
            for name, signal in spec.signals.items()
            if name not in self._mapped
        }
        freshness_s = min((signal.freshness_s for signal in plan.signals), default=math.inf)
        self.pages = _in_turn(list(_pages(spec, plan.signals)), cycle_s, freshness_s)
        self._remembered: dict[tuple[object, ...], Mapping[str, Value]] = {}

    def values(self, page_number: int, truth_of: TruthOf, word_of: WordOf) -> Mapping[str, Value]:
        """A value (physical, in the DBC's unit, or a name of its table) for each signal that is on that page."""
        page = self.pages[page_number % len(self.pages)]
        truths = [truth_of(path) for path in self._paths]
        words = [word_of(path) for path in self._paths]
        key = (page_number % len(self.pages), *truths, *words)
        if (known := self._remembered.get(key)) is None:
            if len(self._remembered) >= _REMEMBERED_MAX:
                self._remembered.clear()
            shown = dict(zip(self._paths, zip(truths, words, strict=True), strict=True))
            known = self._remembered[key] = dict(self._shown(page, shown))
        return known

    def _shown(self, page: Page, shown: Mapping[str, tuple[Value | None, str | None]]) -> Iterator[tuple[str, Value]]:
        for name, signal in self._spec.signals.items():
            if any(page.get(multiplexer) not in values for multiplexer, values in signal.selections):
                continue
            if name in page:
                yield name, _physical(signal, page[name])
            elif name in self._mapped:
                yield name, self._mapped[name].value(shown)
            else:
                yield name, self._constant[name]


def fixed_raws(profile: Profile) -> Fixed:
    """What signals say that choose the unit of others, or whether they count: the first of what the profile knows."""
    fixed: dict[tuple[str, int, bool], dict[BitField, int]] = {}
    for message in profile.messages:
        for signal in message.signals:
            if (unit := signal.unit_choice) is not None:
                of_message = fixed.setdefault((message.bus, unit.arbitration_id, unit.is_extended_id), {})
                of_message.setdefault(unit.field, next(iter(unit.factors)))
            if (condition := signal.condition) is not None:
                raw = min([*condition.values, *(first for first, _ in condition.ranges)])
                of_message = fixed.setdefault((message.bus, condition.arbitration_id, condition.is_extended_id), {})
                of_message.setdefault(condition.field, raw)
    return fixed


def spec_of(plan: MessagePlan, databases: Mapping[str, MessageDatabase]) -> MessageSpec:
    """The DBC's definition of a message of the profile."""
    spec = databases[plan.bus].message_of_frame(plan.arbitration_id, is_extended_id=plan.is_extended_id)
    assert spec is not None, plan.name  # noqa: S101  # the profile was compiled from these databases
    return spec


class _Mapped:
    """One signal of the DBC, and all that the profile reads in it."""

    def __init__(self, spec: SignalSpec, plans: Sequence[SignalPlan], bus: str, fixed: Fixed) -> None:
        self._spec = spec
        self._plans = plans
        self._inverses = {plan.path: _inverse(plan, _unit_factor(plan, bus, fixed)) for plan in plans}

    def value(self, shown: Mapping[str, tuple[Value | None, str | None]]) -> Value:
        """What the signal says if that is shown under the paths."""
        for plan in self._plans:
            truth, word = shown[plan.path]
            if word is not None and (raws := self._spec.raws_named(word)):
                return _named(self._spec, raws[0])
            if self._spec.field.is_float and not isinstance(truth, str | None):
                return _clamped(plan, float(truth), self._inverses[plan.path])
        wanted = [(plan, shown[plan.path][0]) for plan in self._plans]
        candidates = [self._inverses[plan.path].raws(truth) for plan, truth in wanted if truth is not None]
        return _named(self._spec, self._agreed(candidates))

    def _agreed(self, candidates: Sequence[Sequence[int]]) -> int:
        """A raw value that all readings agree on; what they do not agree on the first of them says."""
        for count in range(len(candidates), 0, -1):
            first, *others = candidates[:count]
            if (agreed := next((raw for raw in first if all(raw in other for other in others)), None)) is not None:
                return agreed
        return self._silent

    @property
    def _silent(self) -> int:
        """A raw value that says nothing, or as little as there is."""
        low, high = raw_range(self._spec.field)
        for plan in self._plans:
            if markers := [*plan.invalid_raw, *(last for _, last in plan.invalid_ranges)]:
                return max(markers)
        known = {raw for plan in self._plans for raw in plan.choices or ()}
        candidates: Iterable[int] = range(max(low, 0), min(high, len(known)) + 1)
        return next((raw for raw in candidates if known and raw not in known), 0)


class _Inverse:
    """From a value to the raw values that one reading of a signal takes for it."""

    def __init__(self, plan: SignalPlan, factor: float, offset: float) -> None:
        self.factor = factor
        self.offset = offset
        self._plan = plan
        self._by_value: dict[tuple[bool, Value], list[int]] = {}
        for raw, value in (plan.choices or {}).items():
            if not is_marked(raw, plan.invalid_raw, plan.invalid_ranges):
                # To Python True == 1.
                self._by_value.setdefault((isinstance(value, bool), value), []).append(raw)

    def raws(self, value: Value) -> Sequence[int]:
        """None if the reading cannot be that; of a number the nearest it can be."""
        if self._plan.choices is not None:
            return self._by_value.get((isinstance(value, bool), value), ())
        if isinstance(value, str):
            return ()
        return self._nearest(round((self.dbc(value) - self._plan.offset) / self._plan.scale))

    def dbc(self, value: float) -> float:
        """In the unit of the DBC."""
        return (value - self.offset) / self.factor

    def _nearest(self, raw: int) -> Sequence[int]:
        low, high = raw_range(self._plan.field)
        for limit, is_lower in ((self._plan.minimum, True), (self._plan.maximum, False)):
            if limit is not None:
                edge = (self.dbc(limit) - self._plan.offset) / self._plan.scale
                # A hair, for what binary fractions lose.
                if is_lower is (self._plan.scale * self.factor > 0):
                    low = max(low, math.ceil(edge - 1e-6))
                else:
                    high = min(high, math.floor(edge + 1e-6))
        raw = min(max(raw, low), high)
        spans = [*((one, one) for one in self._plan.invalid_raw), *self._plan.invalid_ranges]
        below, above = _out_of(raw, spans, upwards=False), _out_of(raw, spans, upwards=True)
        valid = [one for one in (below, above) if low <= one <= high]
        return sorted(valid, key=lambda one: abs(one - raw))[:1]


def _inverse(plan: SignalPlan, factor: float | None) -> _Inverse:
    if factor is not None:
        return _Inverse(plan, factor, 0.0)
    return _Inverse(plan, plan.unit_factor, plan.unit_offset)


def _unit_factor(plan: SignalPlan, bus: str, fixed: Fixed) -> float | None:
    if (unit := plan.unit_choice) is None:
        return None
    return unit.factors[fixed[bus, unit.arbitration_id, unit.is_extended_id][unit.field]]


def _out_of(raw: int, spans: Sequence[tuple[int, int]], *, upwards: bool) -> int:
    """The next raw value from there that no marker is."""
    while (span := next((one for one in spans if one[0] <= raw <= one[1]), None)) is not None:
        raw = span[1] + 1 if upwards else span[0] - 1
    return raw


def _clamped(plan: SignalPlan, value: float, inverse: _Inverse) -> float:
    low = plan.minimum if plan.minimum is not None else -math.inf
    high = plan.maximum if plan.maximum is not None else math.inf
    return inverse.dbc(min(max(value, low), high))


def _named(spec: SignalSpec, raw: int) -> Value:
    word = spec.names.get(raw)
    return _physical(spec, raw) if word is None or spec.raws_named(word) != (raw,) else word


def _physical(spec: SignalSpec, raw: int) -> float:
    return raw * spec.scale + spec.offset


def _pages(spec: MessageSpec, plans: Iterable[SignalPlan]) -> Iterator[Page]:
    """One for each way in which wanted signals are selected."""
    base = {
        name: min(spec.known_values(name), default=0) for name, signal in spec.signals.items() if signal.is_multiplexer
    }
    seen: list[Page] = []
    for plan in plans:
        page = {**base, **{name: min(values) for name, values in spec.signals[plan.signal].selections}}
        if page not in seen:
            seen.append(page)
            yield page
    if not seen:
        yield base


def _in_turn(pages: Sequence[Page], cycle_s: float, freshness_s: float) -> Sequence[Page]:
    """The first every other time, for it is what moves most, unless the others would grow old meanwhile."""
    often = [page for other in pages[1:] for page in (pages[0], other)]
    return often if often and len(often) * cycle_s <= freshness_s / 2 else pages
