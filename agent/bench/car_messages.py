"""The virtual car's frames, made by the profile and its DBC alone: no bit position stands here."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from agent.bench.car_signals import MessageSignals, TruthOf, WordOf, fixed_raws, spec_of
from agent.model.frame import BitField, Frame
from agent.model.quick_dataclass import dataclass
from agent.model.reading import Value
from agent.profiles.database import MessageDatabase
from agent.profiles.message_spec import MessageSpec
from agent.profiles.schema import MessagePlan, Profile

NOT_AVAILABLE = "NotAvailable"
"""What value tables call a value that is not known yet."""

CYCLES_OF_FRESHNESS = 10
"""Where the DBC says no cycle: a value counts for ten of them (`dbc/README.md`)."""

CYCLE_S_MAX = 1.0
"""Of a message of which nothing at all says how often it comes."""


@dataclass(frozen=True, slots=True)
class _Protection:
    """Rolling counter and checksum of a message, and the names of their signals."""

    counter: BitField | None
    signals: frozenset[str]


class CarMessages:
    """All messages that the profile reads, on all buses: the car's own. What it hears is `car_ear`'s business.

    `cycles_s` has them by name (the profile's) in the order of the buses and their DBC.  `is_leisurely`: none comes
    more often than ten times in its freshness, whatever the DBC says, for machines that are too slow for a real car.
    """

    def __init__(
        self, profile: Profile, databases: Mapping[str, MessageDatabase], *, is_leisurely: bool = False
    ) -> None:
        self.profile = profile
        self._databases = databases
        self._plans = {plan.name: plan for plan in _ordered(profile, databases)}
        self._specs = {name: spec_of(plan, databases) for name, plan in self._plans.items()}
        self._protections = {name: _protection(plan, self._specs[name]) for name, plan in self._plans.items()}
        self._markers = {name: _markers(self._specs[name], plan) for name, plan in self._plans.items()}
        self.cycles_s: Mapping[str, float] = {
            name: _cycle_s(plan, self._specs[name], is_leisurely=is_leisurely) for name, plan in self._plans.items()
        }
        fixed = fixed_raws(profile)
        self._signals = {
            name: MessageSignals(plan, self._specs[name], self.cycles_s[name], fixed)
            for name, plan in self._plans.items()
        }

    def values(self, message: str, page: int, truth_of: TruthOf, word_of: WordOf) -> Mapping[str, Value]:
        """What its signals are to say, counter and checksum left at 0; `page` counts on from frame to frame."""
        return self._signals[message].values(page, truth_of, word_of)

    def also_on(self, message: str) -> tuple[str, ...]:
        """The further buses on which it comes."""
        return self._plans[message].also_on

    def with_path(self, *endings: str) -> frozenset[str]:
        """The messages in which a path with one of these endings is told."""
        return frozenset(
            name for name, plan in self._plans.items() if any(signal.path.endswith(endings) for signal in plan.signals)
        )

    def encode(
        self,
        message: str,
        values: Mapping[str, Value],
        *,
        at_s: float,
        counter: int = 0,
        is_measured: bool = True,
        is_checksum_wrong: bool = False,
    ) -> Frame:
        """A frame of `message`; before a value has been measured the DBC's and the profile's markers stand for it."""
        plan, spec, protection = self._plans[message], self._specs[message], self._protections[message]
        payload = self._databases[plan.bus].encode(spec.name, {**values, **dict.fromkeys(protection.signals, 0)})
        if not is_measured:
            payload = self._unmeasured(message, payload)
        if protection.counter is not None:
            payload = protection.counter.insert(payload, counter)
        if plan.checksum is not None:
            payload = plan.checksum.field.insert(payload, plan.checksum.compute(payload) ^ is_checksum_wrong)
        return Frame(plan.bus, spec.arbitration_id, payload, at_s, spec.is_extended_id, spec.is_fd)

    def _unmeasured(self, message: str, payload: bytes) -> bytes:
        plan = self._plans[message]
        page = plan.selector.extract(payload) if plan.selector else None
        for field, raw, pages in self._markers[message]:
            if pages is None or page in pages:
                payload = field.insert(payload, raw)
        return payload


def _ordered(profile: Profile, databases: Mapping[str, MessageDatabase]) -> Iterator[MessagePlan]:
    plans = {(plan.bus, plan.arbitration_id, plan.is_extended_id): plan for plan in profile.messages}
    for bus, database in databases.items():
        for spec in database.messages.values():
            if (plan := plans.get((bus, spec.arbitration_id, spec.is_extended_id))) is not None:
                yield plan


def _cycle_s(plan: MessagePlan, spec: MessageSpec, *, is_leisurely: bool) -> float:
    freshness_s = min((signal.freshness_s for signal in plan.signals), default=math.inf)
    tenth_s = min(freshness_s / CYCLES_OF_FRESHNESS, CYCLE_S_MAX)
    if spec.cycle_time_s is None:
        return tenth_s
    return max(spec.cycle_time_s, tenth_s) if is_leisurely else spec.cycle_time_s


def _protection(plan: MessagePlan, spec: MessageSpec) -> _Protection:
    fields = [plan.counter.field if plan.counter else None, plan.checksum.field if plan.checksum else None]
    places = {(field.shift, field.length, field.is_little_endian) for field in fields if field is not None}
    return _Protection(
        plan.counter.field if plan.counter else None,
        frozenset(
            name
            for name, signal in spec.signals.items()
            if (signal.field.shift, signal.field.length, signal.field.is_little_endian) in places
        ),
    )


def _markers(spec: MessageSpec, plan: MessagePlan) -> list[tuple[BitField, int, frozenset[int] | None]]:
    """Field, raw value and pages of every signal that has a way to say "not known yet"."""
    planned = {signal.signal: signal for signal in plan.signals}
    markers: list[tuple[BitField, int, frozenset[int] | None]] = []
    for name, signal in spec.signals.items():
        plan_of = planned.get(name)
        pages = plan_of.selector_values if plan_of else None
        invalid = [*plan_of.invalid_raw, *(last for _, last in plan_of.invalid_ranges)] if plan_of else []
        if invalid:
            markers.append((signal.field, max(invalid), pages))
        elif raws := signal.raws_named(NOT_AVAILABLE):
            markers.append((signal.field, raws[0], pages))
    return markers
