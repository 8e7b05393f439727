"""What is wrong in a DBC file, line by line, all at once; the rules that no reader of DBC files applies by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from math import isfinite

from agent.faults import Fault
from agent.profile_tools.dbc_statements import (
    MessageLine,
    Reference,
    SignalLine,
    Statements,
    read_statements,
    signal_lines,
)
from agent.profile_tools.remark import Remark, Severity
from agent.profiles.database import MessageDatabase

_EXTENDED = 0x8000_0000
_STANDARD_MAX, _EXTENDED_MAX = 0x7FF, 0x1FFF_FFFF

_UNASSIGNED = "VECTOR__INDEPENDENT_SIG_MSG"
"""Where editors keep signals that belong to no message (id 0xC0000000); readers leave it out."""

_FLOAT_BITS = {"1": 32, "2": 64}

# What UTF-8 text becomes when it is taken for cp1252 and saved again; `Â°C` is the one that is met.
_TWICE_ENCODED = ("Â", "Ã", "â€")


def lint_dbc(source: str, name: str, content: bytes) -> list[Remark]:
    """Remarks on the DBC file `name` with that content, by line; `source` is how they name the file.

    Every `BO_`, `SG_` and `VAL_` line is read by the agent as it stands, or is named here.
    """
    text, told = _decoded(source, content)
    statements = read_statements(text)
    told += [
        Remark(Severity.FAULT, Fault(source, "", line, problem, expected))
        for line, problem, expected in statements.unreadable
    ]
    for rule in (_ids, _signals, _overlaps, _pages, _references, _values):
        told += rule(source, statements)
    told += _as_read(source, name, content, statements, told)
    return sorted(dict.fromkeys(told), key=lambda remark: (remark.fault.line, remark.severity, remark.fault.problem))


def _fault(source: str, line: int, key: str, problem: str, expected: str = "") -> Remark:
    return Remark(Severity.FAULT, Fault(source, key, line, problem, expected))


def _warning(source: str, line: int, key: str, problem: str, expected: str = "") -> Remark:
    return Remark(Severity.WARNING, Fault(source, key, line, problem, expected))


def _decoded(source: str, content: bytes) -> tuple[str, list[Remark]]:
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "", [_fault(source, 1, "", "the file is UTF-16", "UTF-8, or cp1252 as editors of DBC files save it")]
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")
        told = [
            _warning(source, number, "", "a byte that is neither UTF-8 nor cp1252", "UTF-8")
            for number, line in enumerate(text.split("\n"), 1)
            if "\ufffd" in line
        ]
        return text, told
    told = [
        _warning(source, number, "", f"{mark!r}: the text was encoded twice", "UTF-8 once")
        for number, line in enumerate(text.split("\n"), 1)
        for mark in _TWICE_ENCODED
        if mark in line
    ]
    return text, told


def _ids(source: str, statements: Statements) -> Iterator[Remark]:
    by_number: dict[int, MessageLine] = {}
    by_name: dict[str, MessageLine] = {}
    for message in statements.messages:
        if message.name == _UNASSIGNED:
            continue
        number, is_extended = message.number & ~_EXTENDED, bool(message.number & _EXTENDED)
        if message.number > 0xFFFF_FFFF or number > (_EXTENDED_MAX if is_extended else _STANDARD_MAX):
            bits = 29 if is_extended else 11
            how = "at most 0x1FFFFFFF with bit 31 set" if is_extended else "at most 0x7FF, or bit 31 set for 29 bits"
            yield _fault(source, message.line, message.name, f"id {number:#x} has more than {bits} bits", how)
        twins = {
            "an id": by_number.setdefault(message.number, message),
            "a name": by_name.setdefault(message.name, message),
        }
        for what, other in twins.items():
            if other is not message:
                problem = f"it shares {what} with {other.name} on line {other.line}"
                yield _fault(source, message.line, message.name, problem, "one message for each")
        if not 0 <= message.length_bytes <= 64:
            problem = f"{message.length_bytes} bytes, which no frame holds"
            yield _warning(source, message.line, message.name, problem, "0 to 64")


def _signals(source: str, statements: Statements) -> Iterator[Remark]:
    names: set[tuple[int, str]] = set()
    for message, signal in signal_lines(statements):
        key = f"{message.name}.{signal.name}"
        if (message.line, signal.name) in names:
            yield _fault(source, signal.line, key, "a second signal of that name in the message", "one")
        names.add((message.line, signal.name))
        if not 1 <= signal.length <= 64:
            yield _fault(source, signal.line, key, f"{signal.length} bits", "1 to 64")
        elif message.name != _UNASSIGNED and max(signal.bits()) // 8 >= message.length_bytes:
            last = max(signal.bits()) // 8 + 1
            problem = f"it reaches into byte {last} of {message.length_bytes}"
            if not signal.is_little_endian:
                problem += "; a Motorola start bit names the most significant bit"
            yield _fault(source, signal.line, key, problem, "start and length within the frame")
        if signal.factor == 0:
            yield _fault(
                source, signal.line, key, "the factor is 0, so every raw value means the same", "another factor"
            )
        if not (isfinite(signal.factor) and isfinite(signal.offset)):
            yield _fault(source, signal.line, key, "factor or offset is beyond all numbers", "a number")
        if signal.low > signal.high:
            problem = f"the limits [{signal.low:g}|{signal.high:g}] hold for no value"
            yield _fault(source, signal.line, key, problem, "the smaller one first, or [0|0] for none")


def _overlaps(source: str, statements: Statements) -> Iterator[Remark]:
    """Bits that two signals claim which can be present at once."""
    nested = {reference.number for reference in statements.references if reference.keyword == "SG_MUL_VAL_"}
    for message in statements.messages:
        if message.name == _UNASSIGNED:
            continue
        bits = {id(signal): frozenset(signal.bits()) for signal in message.signals if signal.length <= 64}
        for first, second in combinations([each for each in message.signals if id(each) in bits], 2):
            if first.name == second.name or not bits[id(first)] & bits[id(second)]:
                continue
            # Which pages of nested multiplexers exclude one another cantools knows; it is asked in `_as_read`.
            if _are_on_different_pages(first, second) or (message.number in nested and first.mark and second.mark):
                continue
            shared = len(bits[id(first)] & bits[id(second)])
            problem = f"{shared} of its bits are claimed by {first.name} on line {first.line} too"
            yield _fault(source, second.line, f"{message.name}.{second.name}", problem, "bits of its own")


def _pages(source: str, statements: Statements) -> Iterator[Remark]:
    """Signals on pages that their message's one multiplexer has no number for."""
    for message in statements.messages:
        multiplexers = [signal for signal in message.signals if signal.mark == "M"]
        if len(multiplexers) != 1 or not 1 <= multiplexers[0].length <= 64:
            continue
        (multiplexer,) = multiplexers
        for signal in message.signals:
            page = signal.mark[1:].rstrip("M")
            if page and int(page) >> multiplexer.length:
                where = f"{multiplexer.name} on line {multiplexer.line}"
                problem = f"page {page} never comes: {where} has {multiplexer.length} bits"
                yield _fault(source, signal.line, f"{message.name}.{signal.name}", problem, "a page that can be")


def _are_on_different_pages(first: SignalLine, second: SignalLine) -> bool:
    return (
        first.mark.startswith("m") and second.mark.startswith("m") and first.mark.rstrip("M") != second.mark.rstrip("M")
    )


_NEEDS = {
    "VAL_": (Severity.FAULT, "a value table"),
    "SIG_VALTYPE_": (Severity.FAULT, "a type"),
    "SG_MUL_VAL_": (Severity.FAULT, "multiplexing"),
    "BA_": (Severity.WARNING, "an attribute"),
    "CM_": (Severity.WARNING, "a comment"),
}


def _references(source: str, statements: Statements) -> Iterator[Remark]:
    """Statements about what is not there."""
    signals = {message.number: {signal.name: signal for signal in message.signals} for message in statements.messages}
    for reference in statements.references:
        severity, what = _NEEDS[reference.keyword]
        if reference.keyword == "BA_" and reference.attribute not in statements.attributes:
            problem = f"the attribute {reference.attribute!r} is not defined"
            yield _fault(source, reference.line, "", problem, f'BA_DEF_ … "{reference.attribute}" … ;')
        if reference.number < 0:
            continue
        if reference.number not in signals:
            problem = f"{what} for message {reference.number}, which is not in the file"
            yield Remark(severity, Fault(source, "", reference.line, problem, "an id with a BO_ line"))
        elif reference.signal is not None and reference.signal not in signals[reference.number]:
            problem = f"{what} for the signal {reference.signal}, which message {reference.number} does not have"
            yield Remark(severity, Fault(source, "", reference.line, problem, "a name with an SG_ line"))
        elif reference.signal is not None:
            yield from _about_signal(source, reference, signals[reference.number])


def _about_signal(source: str, reference: Reference, signals: Mapping[str, SignalLine]) -> Iterator[Remark]:
    signal = signals[reference.signal or ""]
    words = [word for _, word in reference.words]
    if reference.keyword == "SIG_VALTYPE_" and words[0] not in ("0", *_FLOAT_BITS):
        yield _fault(source, reference.line, signal.name, f"a type {words[0]}", "0 (whole), 1 (float) or 2 (double)")
    if reference.keyword == "SIG_VALTYPE_" and (bits := _FLOAT_BITS.get(words[0])) not in (None, signal.length):
        problem = f"{bits} bits wide as a float, and {signal.length} on line {signal.line}"
        yield _fault(source, reference.line, signal.name, problem, "the width of the type")
    if reference.keyword == "SG_MUL_VAL_" and words[0] not in signals:
        problem = f"the multiplexer {words[0]} is not in the message"
        yield _fault(source, reference.line, signal.name, problem, "a signal marked M")


def _values(source: str, statements: Statements) -> Iterator[Remark]:
    """Value tables in which a raw value or a word stands twice, or which the signal's bits cannot hold."""
    by_place = {(message.number, signal.name): signal for message, signal in signal_lines(statements)}
    seen: dict[tuple[int, str], int] = {}
    for reference in statements.references:
        if reference.keyword != "VAL_" or reference.signal is None:
            continue
        place, key = (reference.number, reference.signal), reference.signal
        if (line := seen.setdefault(place, reference.line)) != reference.line:
            yield _fault(source, reference.line, key, f"a second value table; the first is on line {line}", "one")
        raws, words = [raw for raw, _ in reference.words], [word for _, word in reference.words]
        for raw in sorted({raw for raw in raws if raws.count(raw) > 1}):
            yield _fault(source, reference.line, key, f"{raw} has more than one word, and the last counts", "one word")
        for word in sorted({word for word in words if words.count(word) > 1}):
            yield _warning(source, reference.line, key, f"{word!r} names more than one value", "a word for each")
        if (signal := by_place.get(place)) is not None and 1 <= signal.length <= 64:
            low, high = (
                (-(1 << signal.length - 1), (1 << signal.length - 1) - 1)
                if signal.is_signed
                else (0, (1 << signal.length) - 1)
            )
            for raw in (raw for raw in raws if not low <= raw <= high):
                problem = f"{raw} cannot be in {signal.length} bits"
                yield _warning(source, reference.line, key, problem, f"{low} to {high}")


def _as_read(source: str, name: str, content: bytes, statements: Statements, told: list[Remark]) -> Iterator[Remark]:
    """What the agent's own reader refuses, and what it passes over."""
    lines = {remark.fault.line for remark in told if remark.severity is Severity.FAULT}
    # cantools names a message where one of its signals is meant.
    lines |= {message.line for message, signal in signal_lines(statements) if signal.line in lines}
    database = MessageDatabase.load({name: content})
    if isinstance(database, list):
        for fault in database:
            if fault.line not in lines and not (fault.line == 0 and lines):
                yield _fault(source, fault.line, fault.key, fault.problem, fault.expected)
        return
    for message in statements.messages:
        number, is_extended = message.number & ~_EXTENDED, bool(message.number & _EXTENDED)
        if message.name == _UNASSIGNED:
            continue
        spec = database.message_of_frame(number, is_extended_id=is_extended)
        if spec is None or spec.name != message.name:
            if message.line not in lines:
                yield _fault(source, message.line, message.name, "the message is passed over by the reader")
            continue
        for signal in message.signals:
            fields = [each.field.length for each in spec.signals.values()]
            # By number of bits too: an attribute can give a signal a longer name.
            if signal.line not in lines and signal.name not in spec.signals and signal.length not in fields:
                key = f"{message.name}.{signal.name}"
                yield _fault(source, signal.line, key, "the signal is passed over by the reader")
        if message.line not in lines:
            for oddity in database.oddities(message.name):
                # Twins and lengths are told above, the latter as a warning: J1939 has longer ones, in several frames.
                if "has the same" not in oddity and "its length is" not in oddity:
                    yield _fault(source, message.line, message.name, oddity)
