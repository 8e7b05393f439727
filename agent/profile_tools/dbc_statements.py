"""A DBC file statement by statement, as far as each can be read, whatever the others hold.

cantools reads a file whole or not at all, tells one fault at a time, and passes over some lines without a word. This
reader keeps what it understands with its line and says of every other line why not; it decodes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import field

from agent.model.quick_dataclass import dataclass

_NUMBER = r"[-+]?\d+\.?\d*(?:[eE][-+]?\d+)?"
_STRING = re.compile(r'"(?:\\.|[^"\\])*"', re.DOTALL)

_MESSAGE = re.compile(r"BO_\s+(\d+)\s+([A-Za-z_]\w*)\s*:\s*(\d+)\s+(\w+)\s*")

_SIGNAL_PARTS: tuple[tuple[str, str, str], ...] = (
    ("name", r"SG_\s+(?P<name>[A-Za-z_]\w*)", "a letter or _ first, then letters, digits, _"),
    ("multiplexing", r"(?:\s+(?P<mark>m\d+M?|M))?\s*:", "nothing, M, m0 or m0M, then a colon"),
    ("place", r"\s*(?P<start>\d+)\s*\|\s*(?P<length>\d+)\s*@\s*(?P<order>[01])\s*(?P<sign>[-+])", "start|length@1+"),
    ("scale", rf"\s*\(\s*(?P<factor>{_NUMBER})\s*,\s*(?P<offset>{_NUMBER})\s*\)", "(factor,offset), with points"),
    ("limits", rf"\s*\[\s*(?P<low>{_NUMBER})\s*\|\s*(?P<high>{_NUMBER})\s*\]", "[min|max], with points"),
    ("unit", r'\s*"(?P<unit>(?:\\.|[^"\\])*)"', 'quotation marks, empty if it has none: ""'),
    ("receivers", r"\s*(?P<receivers>\w+(?:\s*,?\s*\w+)*)", "at least one name; Vector__XXX if nobody is known"),
    ("end", r"\s*,?\s*$", "nothing more on the line"),
)
_PARTS = tuple((name, re.compile(pattern), form) for name, pattern, form in _SIGNAL_PARTS)

_VALUES = re.compile(r"VAL_\s+(\d+)\s+(\w+)\s+(.*?)\s*;", re.DOTALL)
_ENVIRONMENT_VALUES = re.compile(r"VAL_\s+[A-Za-z_]\w*\s+[-+]?\d")
_NAMED_VALUE = re.compile(r'([-+]?\d+)\s+("(?:\\.|[^"\\])*")')
_ATTRIBUTE_DEFINITION = re.compile(r'BA_DEF_\s+(?:(BU_|BO_|SG_|EV_)\s+)?"([^"]*)"')
_ATTRIBUTE = re.compile(r'BA_\s+"([^"]*)"\s+(?:(BO_)\s+(\d+)|(SG_)\s+(\d+)\s+(\w+))?')
_COMMENT = re.compile(r"CM_\s+(?:BO_\s+(\d+)|SG_\s+(\d+)\s+(\w+))")
_FLOAT = re.compile(r"SIG_VALTYPE_\s+(\d+)\s+(\w+)\s*:?\s*(\d)\s*;")
_MULTIPLEXED = re.compile(r"SG_MUL_VAL_\s+(\d+)\s+(\w+)\s+(\w+)\s+([^;]*);")

KEYWORDS = frozenset({
    *("VERSION", "NS_", "NS_DESC_", "BS_", "BU_", "BO_", "SG_", "VAL_TABLE_", "VAL_", "CM_", "BO_TX_BU_", "FILTER"),
    *("BA_DEF_", "BA_DEF_DEF_", "BA_", "BA_DEF_REL_", "BA_DEF_DEF_REL_", "BA_REL_", "BA_DEF_SGTYPE_", "BA_SGTYPE_"),
    *("BU_SG_REL_", "BU_EV_REL_", "BU_BO_REL_", "EV_", "ENVVAR_DATA_", "EV_DATA_", "CAT_DEF_", "CAT_", "SIG_GROUP_"),
    *("SGTYPE_", "SGTYPE_VAL_", "SIG_TYPE_REF_", "SIG_VALTYPE_", "SIGTYPE_VALTYPE_", "SG_MUL_VAL_"),
})  # fmt: skip
"""What begins a statement. The list below `NS_` repeats some of them, which says nothing."""


@dataclass(frozen=True, slots=True)
class SignalLine:
    """One `SG_` line; `mark` is its multiplexing as written."""

    line: int
    name: str
    mark: str
    start: int
    length: int
    is_little_endian: bool
    is_signed: bool
    factor: float
    offset: float
    low: float
    high: float
    unit: str

    def bits(self) -> tuple[int, ...]:
        """Its bits in the payload, byte × 8 + bit of the byte, whether or not the frame is so long."""
        if self.is_little_endian:
            return tuple(range(self.start, self.start + self.length))
        # Motorola: from the most significant bit downwards, on with bit 7 of the next byte.
        first = self.start // 8 * 8 + 7 - self.start % 8
        return tuple(at // 8 * 8 + 7 - at % 8 for at in range(first, first + self.length))


@dataclass(slots=True)
class MessageLine:
    """One `BO_` line with the `SG_` lines below it. `number` is the id as the file has it, bit 31 for 29 bits."""

    line: int
    number: int
    name: str
    length_bytes: int
    signals: list[SignalLine] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Reference:
    """A statement about a message or one of its signals (None: about the message). `words` is what it says."""

    line: int
    keyword: str
    number: int
    signal: str | None
    words: tuple[tuple[int, str], ...] = ()
    attribute: str = ""


@dataclass(slots=True)
class Statements:
    """What a file holds, and what of it cannot be read: line, problem and expected form.

    `open_message` is the one that `SG_` lines belong to while the file is read.
    """

    messages: list[MessageLine] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)
    attributes: set[str] = field(default_factory=set)
    unreadable: list[tuple[int, str, str]] = field(default_factory=list)
    open_message: MessageLine | None = None


def read_statements(text: str) -> Statements:
    """All statements of a DBC text, in one pass over its lines."""
    found = Statements()
    inside = _string_lines(text, found)
    is_in_symbols = False
    offset = 0
    for number, raw in enumerate(text.split("\n"), 1):
        begin, offset = offset, offset + len(raw) + 1
        line = raw.strip()
        if number in inside or not line or line.startswith("//"):
            continue
        keyword = re.split(r"[\s:;]", line, maxsplit=1)[0]
        if is_in_symbols and raw[:1].isspace() and line == keyword:
            continue  # a name in the list below NS_
        is_in_symbols = keyword == "NS_"
        if keyword not in KEYWORDS:
            found.unreadable.append((number, f"{line[:60]!r} begins no statement of a DBC file", "a keyword first"))
        elif (read := _READERS.get(keyword)) is not None:
            read(found, number, line, text[begin + len(raw) - len(raw.lstrip()) :])
    return found


def _string_lines(text: str, found: Statements) -> set[int]:
    """Lines that begin within a text in quotation marks; the file's end within one is told."""
    inside: set[int] = set()
    last = 0
    for string in _STRING.finditer(text):
        first = text.count("\n", 0, string.start()) + 1
        inside.update(range(first + 1, first + 1 + string[0].count("\n")))
        last = string.end()
    if (at := text.find('"', last)) >= 0:
        line = text.count("\n", 0, at) + 1
        found.unreadable.append((line, "a quotation mark without its partner", "an even number of them"))
    return inside


def _read_message(found: Statements, number: int, line: str, _rest: str) -> None:
    match = _MESSAGE.fullmatch(line)
    found.open_message = None
    if match is None:
        form = "BO_ id name: bytes sender, the id in decimal"
        found.unreadable.append((number, f"the message {line[:60]!r} cannot be read", form))
        return
    if len(match[1]) > 12 or len(match[3]) > 6:
        found.unreadable.append((number, f"the message {match[2]} has numbers beyond any frame", "an id of 29 bits"))
        return
    found.open_message = MessageLine(number, int(match[1]), match[2], int(match[3]))
    found.messages.append(found.open_message)


def _read_signal(found: Statements, number: int, line: str, _rest: str) -> None:
    at = 0
    values: dict[str, str] = {}
    for part, pattern, form in _PARTS:
        if (match := pattern.match(line, at)) is None:
            found.unreadable.append((number, f"the signal's {part} cannot be read at {line[at : at + 40]!r}", form))
            return
        at = match.end()
        values |= {name: value or "" for name, value in match.groupdict().items()}
    if found.open_message is None:
        found.unreadable.append(
            (number, f"the signal {values['name']} belongs to no message that can be read", "a BO_ line above")
        )
        return
    if len(values["start"]) > 6 or len(values["length"]) > 6:
        return  # told with its numbers by what is asked before cantools
    signal = SignalLine(
        line=number,
        name=values["name"],
        mark=values["mark"],
        start=int(values["start"]),
        length=int(values["length"]),
        is_little_endian=values["order"] == "1",
        is_signed=values["sign"] == "-",
        factor=float(values["factor"]),
        offset=float(values["offset"]),
        low=float(values["low"]),
        high=float(values["high"]),
        unit=values["unit"],
    )
    found.open_message.signals.append(signal)


def _read_values(found: Statements, number: int, line: str, rest: str) -> None:
    match = _VALUES.match(rest)
    if match is None:
        if not _ENVIRONMENT_VALUES.match(line):
            form = 'VAL_ id signal 0 "word" … ; with the semicolon'
            found.unreadable.append((number, f"the value table {line[:60]!r} cannot be read", form))
        return
    pairs = tuple((int(raw), word[1:-1]) for raw, word in _NAMED_VALUE.findall(match[3]) if len(raw) < 30)
    left = _NAMED_VALUE.sub("", match[3]).strip()
    if left:
        form = 'pairs of a whole number and a "word"'
        found.unreadable.append((number, f"{left[:40]!r} in the value table of {match[2]}", form))
    found.references.append(Reference(number, "VAL_", int(match[1]), match[2], pairs))


def _read_definition(found: Statements, number: int, line: str, _rest: str) -> None:
    if match := _ATTRIBUTE_DEFINITION.match(line):
        found.attributes.add(match[2])
    else:
        found.unreadable.append((number, f"the definition {line[:60]!r} cannot be read", 'BA_DEF_ BO_ "name" type'))


def _read_attribute(found: Statements, number: int, line: str, _rest: str) -> None:
    match = _ATTRIBUTE.match(line)
    if match is None:
        found.unreadable.append((number, f"the attribute {line[:60]!r} cannot be read", 'BA_ "name" BO_ id value;'))
        return
    about = int(match[3] or match[5] or -1)
    found.references.append(Reference(number, "BA_", about, match[6], attribute=match[1]))


def _reader(keyword: str, pattern: re.Pattern[str]) -> Callable[[Statements, int, str, str], None]:
    def read(found: Statements, number: int, line: str, rest: str) -> None:
        if (match := pattern.match(rest)) is None:
            if keyword != "CM_":  # a comment may be about anything
                found.unreadable.append((number, f"{line[:60]!r} cannot be read", "its form, ended by a semicolon"))
            return
        numbers = [group for group in match.groups() if group is not None]
        signal = numbers[1] if len(numbers) > 1 else None
        words = ((0, numbers[2]),) if len(numbers) > 2 else ()
        found.references.append(Reference(number, keyword, int(numbers[0]), signal, words))

    return read


_READERS: dict[str, Callable[[Statements, int, str, str], None]] = {
    "BO_": _read_message,
    "SG_": _read_signal,
    "VAL_": _read_values,
    "BA_DEF_": _read_definition,
    "BA_": _read_attribute,
    "CM_": _reader("CM_", _COMMENT),
    "SIG_VALTYPE_": _reader("SIG_VALTYPE_", _FLOAT),
    "SG_MUL_VAL_": _reader("SG_MUL_VAL_", _MULTIPLEXED),
}


def signal_lines(found: Statements) -> Iterator[tuple[MessageLine, SignalLine]]:
    """Every signal with its message, in the file's order."""
    for message in found.messages:
        for signal in message.signals:
            yield message, signal
