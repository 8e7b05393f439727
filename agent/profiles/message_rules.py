"""What `[[messages]]` says of a message beyond its DBC: freshness, checksum and rolling counter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agent.model.quick_dataclass import dataclass
from agent.model.recipe import ChecksumField
from agent.profiles.checksums import ALGORITHMS, CRC_BITS, Algorithm, PayloadChecksum, crc
from agent.profiles.findings import expected_of
from agent.profiles.lookup import Lookup, Place
from agent.profiles.message_spec import MessageSpec, SignalSpec
from agent.profiles.schema import CounterRule
from agent.profiles.toml_model import ChecksumTable, CounterTable, MessageTable

FRESHNESS_CYCLES = 10  # lost frames in a row that a busy bus explains; more of them means the sender is silent


@dataclass(frozen=True, slots=True)
class MessageRules:
    """Rules of one message; `computed` names the signals that are filled in when a frame is sent."""

    freshness_s: float | None = None
    checksum: ChecksumField | None = None
    counter: CounterRule | None = None
    computed: frozenset[str] = frozenset()
    is_every_frame: bool = False
    also_on: tuple[str, ...] = ()
    is_sound: bool = True
    """Whether all is known that the profile means to say; else nothing that follows from it is told."""


# Of a profile with a faulty table nobody knows which message it is about; it may be any.
_UNSOUND = MessageRules(freshness_s=1.0, is_sound=False)
_PLAIN = MessageRules()


class Rules:
    """The rules of all messages."""

    def __init__(self, rules: Mapping[tuple[str, str], MessageRules], *, is_complete: bool) -> None:
        self._rules = rules
        self._others = _PLAIN if is_complete else _UNSOUND

    def of(self, bus: str, message: str) -> MessageRules:
        return self._rules.get((bus, message), self._others)


def compile_rules(tables: Sequence[MessageTable | None], lookup: Lookup) -> Rules:
    """The rules by bus and message."""
    rules: dict[tuple[str, str], MessageRules] = {}
    is_complete = True
    for index, table in enumerate(tables):
        place: Place = ("messages", index)
        bus = lookup.bus(table.bus, place) if table is not None else None
        spec = lookup.message(bus, table.message, place) if table is not None else None
        if table is None or bus is None or spec is None:
            is_complete = False
            continue
        if (bus, spec.name) in rules:
            lookup.findings.add((*place, "message"), f"{spec.name} stands here twice", "one table a message")
        rules[bus, spec.name] = _rules_of(table, spec, lookup, place, bus)
    return Rules(rules, is_complete=is_complete)


def freshness_s(rules: MessageRules, spec: MessageSpec) -> float | None:
    """How long the signals of a message count if a signal does not say it itself."""
    if rules.freshness_s is not None:
        return rules.freshness_s
    return spec.cycle_time_s * FRESHNESS_CYCLES if spec.cycle_time_s is not None else None


def _rules_of(table: MessageTable, spec: MessageSpec, lookup: Lookup, place: Place, bus: str) -> MessageRules:
    told = lookup.findings
    rules = MessageRules(freshness_s=table.freshness_s)
    bus_table = lookup.table(bus)
    silent_after_s = bus_table.silent_after_s if bus_table is not None else 1.0
    # Once a message's values have grown stale its sender may well have been started anew.
    reset_after_s = freshness_s(rules, spec) or silent_after_s
    checksum = _checksum(table.checksum, spec, lookup, (*place, "checksum")) if table.checksum else None
    counter = _counter(table.counter, spec, reset_after_s, lookup, (*place, "counter")) if table.counter else None
    if table.checksum and table.counter and table.checksum.signal == table.counter.signal:
        told.add((*place, "counter"), "checksum and counter are the same signal", "two signals")
    named = frozenset(part.signal for part in (table.checksum, table.counter) if part is not None)
    is_told = any(told.is_settled((*place, key)) for key in ("checksum", "counter", "freshness_s"))
    also_on = _also_on(table.also_on, spec, bus, lookup, (*place, "also_on"))
    is_sound = not is_told and bool(checksum) == bool(table.checksum) and bool(counter) == bool(table.counter)
    if not is_sound:
        return _UNSOUND
    return MessageRules(table.freshness_s, checksum, counter, named, table.every_frame, also_on)


def _also_on(names: Sequence[str], spec: MessageSpec, bus: str, lookup: Lookup, place: Place) -> tuple[str, ...]:
    """The further buses of a message; one where its identifier has a meaning already, or its own, is a fault."""
    also_on: dict[str, None] = {}
    for name in names:
        other = lookup.bus(name, place[:-1])
        database = lookup.database(other) if other is not None else None
        if other == bus:
            lookup.findings.add(place, f"{name!r} is its own bus", "another one")
        elif other is not None:
            also_on[other] = None
        for message in database.messages.values() if database is not None and other != bus else ():
            if (message.arbitration_id, message.is_extended_id) == (spec.arbitration_id, spec.is_extended_id):
                problem = f"{message.file}: {message.name} has the same identifier on {name}"
                lookup.findings.add(place, problem, "an identifier that bus has no message for")
    return tuple(also_on)


def _checksum(table: ChecksumTable, spec: MessageSpec, lookup: Lookup, place: Place) -> ChecksumField | None:
    signal = _plain_signal(table.signal, spec, lookup, place)
    algorithm = _algorithm(table, signal, lookup, place)
    beyond = [index for index in table.bytes or () if index >= spec.length_bytes]
    if beyond:
        problem = f"{spec.name} has no byte {beyond[0]}"
        lookup.findings.add((*place, "bytes"), problem, f"0 to {spec.length_bytes - 1}")
    if algorithm is None or signal is None or beyond:
        return None
    if signal.field.length != algorithm.length:
        problem = f"{spec.name}.{signal.name} has {signal.field.length} bits"
        lookup.findings.add((*place, "signal"), problem, f"{algorithm.length} bits for {algorithm.name}")
        return None
    covered = tuple(table.bytes) if table.bytes is not None else None
    return ChecksumField(algorithm.name, signal.field, PayloadChecksum(algorithm, signal.field, covered))


def _algorithm(table: ChecksumTable, signal: SignalSpec | None, lookup: Lookup, place: Place) -> Algorithm | None:
    """The algorithm by its name, or the CRC by its parameters, as wide as the signal it lies in."""
    told = lookup.findings
    if (table.algorithm is None) == (table.poly is None):
        told.add((*place, "algorithm"), "algorithm and poly stand for one another", "one of them")
        return None
    if table.algorithm is not None:
        for key in sorted(key for key in _CRC_KEYS if getattr(table, key) is not None):
            told.add((*place, key), f"has no meaning beside an algorithm: {table.algorithm} has its own", "no such key")
        if table.algorithm not in ALGORITHMS:
            expected = expected_of(ALGORITHMS, table.algorithm)
            told.add((*place, "algorithm"), f"unknown algorithm {table.algorithm!r}", expected)
        return ALGORITHMS.get(table.algorithm)
    if signal is None:
        return None
    bits = signal.field.length
    if bits not in CRC_BITS:
        told.add((*place, "signal"), f"{signal.name} has {bits} bits", "8, 16 or 32 for a CRC")
        return None
    too_wide = [key for key in ("poly", "init", "xorout") if (getattr(table, key) or 0) >> bits]
    for key in too_wide:
        told.add((*place, key), f"{getattr(table, key):#x} has more than {bits} bits", f"at most {(1 << bits) - 1:#x}")
    if too_wide:
        return None
    parameters = (table.poly or 0, table.init or 0, table.xorout or 0)
    return crc(f"crc{bits}", bits, *parameters, is_reflected=bool(table.reflected))


_CRC_KEYS = {"init", "xorout", "reflected"}


def _counter(
    table: CounterTable, spec: MessageSpec, reset_after_s: float, lookup: Lookup, place: Place
) -> CounterRule | None:
    signal = _plain_signal(table.signal, spec, lookup, place)
    if signal is None:
        return None
    if table.step_max >= 1 << signal.field.length:
        highest = (1 << signal.field.length) - 1
        problem = f"a step of {table.step_max} in a counter of {signal.field.length} bits"
        lookup.findings.add((*place, "step_max"), problem, f"at most {highest}, or a frozen counter would do")
        return None
    return CounterRule(signal.field, table.step_max, reset_after_s)


def _plain_signal(name: str, spec: MessageSpec, lookup: Lookup, place: Place) -> SignalSpec | None:
    signal = lookup.signal(spec, name, place)
    if signal is None:
        return None
    if signal.field.is_signed or signal.field.is_float or signal.selections or signal.is_multiplexer:
        problem = f"{spec.name}.{name} is signed, a float or multiplexed"
        lookup.findings.add((*place, "signal"), problem, "a plain unsigned signal that is always there")
        return None
    return signal
