"""The plain part of DBC, for the few messages a car is sent: read without cantools, or not at all.

A message of unsigned or signed numbers that are always there, in a `.dbc` file. Whatever else a definition holds (a
multiplexer, a line that does not look as it always does, a second message of that name) is declined. Floats and what
attributes say are not looked at: a profile may be read this way only if it came to the same frames by cantools, which
`recall.sealed` makes sure of.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from agent.faults import Fault
from agent.model.frame import BitField
from agent.model.reading import Value
from agent.profiles.dbc_text import decoded
from agent.profiles.message_spec import MessageSpec, Problem, SignalSpec, raw_range

MESSAGE_BYTES_MAX = 64
"""A frame of CAN FD."""

_EXTENDED = 1 << 31
_SIGNAL = re.compile(
    r"SG_ +(\w+) *: *(\d{1,3})\|(\d{1,2})@([01])([+-]) *\(([^,()]+),([^,()]+)\) *"
    r'\[[^|\]]*\|[^|\]]*\] *"([^"]*)" *[\w, ]*'
)
_NAMED = re.compile(r' +(-?\d{1,20}) +"([^"]*)"')


class PlainMessages:
    """The messages of one bus. Of those that are declined `message` says, as of unknown ones, that there are none."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts
        self.messages: dict[str, MessageSpec] = {}

    @classmethod
    def load(cls, files: Mapping[str, bytes]) -> PlainMessages | list[Fault]:
        """The messages of `.dbc` files (content by name); files in other formats hold none that can be read so."""
        dbcs = {name: content for name, content in files.items() if PurePosixPath(name).suffix.lower() == ".dbc"}
        return cls({name: decoded(content).replace("\r\n", "\n") for name, content in dbcs.items()})

    def message(self, name: str) -> MessageSpec | None:
        """The definition of the message called `name`, None if it is not plain."""
        if name not in self.messages:
            specs = [spec for file, text in self._texts.items() for spec in _definitions(file, text, name)]
            if len(specs) != 1 or specs[0] is None:
                return None
            self.messages[name] = specs[0]
        return self.messages[name]

    def oddities(self, message: str) -> tuple[str, ...]:
        """None: what is odd is declined."""
        return ()

    def encode_request(
        self, message: str, values: Mapping[str, Value], computed: Iterable[str] = ()
    ) -> bytes | list[Problem]:
        """Payload of a frame the agent is to send, as `MessageDatabase.encode_request` makes it; unused bits are 0."""
        spec = self.messages[message]
        given: dict[str, Value] = {**values, **dict.fromkeys(computed, 0)}
        if given.keys() != spec.signals.keys():
            return [Problem(message, "other signals than the message has", "a value for each")]
        payload = bytes(spec.length_bytes)
        for name, value in given.items():
            signal = spec.signals[name]
            raw = 0 if name in computed else _raw_of(signal, value)
            low, high = raw_range(signal.field)
            if raw is None or not low <= raw <= high:
                return [Problem(name, f"{value!r} does not fit", "a value of the signal")]
            payload = signal.field.insert(payload, raw)
        return payload


def _raw_of(signal: SignalSpec, value: Value) -> int | None:
    if isinstance(value, str):
        return next(iter(signal.raws_named(value)), None)
    try:
        return round((value - signal.offset) / signal.scale)
    except (OverflowError, ValueError, ZeroDivisionError):
        return None


def _definitions(file: str, text: str, name: str) -> Iterable[MessageSpec | None]:
    """Each definition of a message called `name`; None for one that is not plain."""
    head = re.compile(rf"^BO_ +(\d{{1,10}}) +{re.escape(name)} *: *(\d{{1,4}}) +\w+ *$", re.MULTILINE)
    return [_definition(file, text, name, found) for found in head.finditer(text)]


def _definition(file: str, text: str, name: str, head: re.Match[str]) -> MessageSpec | None:
    dbc_id, length_bytes = int(head[1]), int(head[2])
    if not 0 < length_bytes <= MESSAGE_BYTES_MAX:
        return None
    signals: dict[str, SignalSpec] = {}
    at = head.end() + 1
    while at < len(text):
        end = text.find("\n", at)
        line = text[at : end if end >= 0 else len(text)].strip()
        at += len(text) - at if end < 0 else end - at + 1
        if not line.startswith("SG_"):
            if line:
                break
            continue
        found = _SIGNAL.fullmatch(line)
        signal = None if found is None else _signal(text, dbc_id, length_bytes, found)
        if signal is None or signal.name in signals:
            return None
        signals[signal.name] = signal
    return MessageSpec(
        file=file,
        name=name,
        arbitration_id=dbc_id & ~_EXTENDED,
        is_extended_id=bool(dbc_id & _EXTENDED),
        is_fd=length_bytes > 8,
        length_bytes=length_bytes,
        cycle_time_s=None,
        signals=signals,
    )


def _signal(text: str, dbc_id: int, length_bytes: int, found: re.Match[str]) -> SignalSpec | None:
    name, start, length, is_little_endian = found[1], int(found[2]), int(found[3]), found[4] == "1"
    # A Motorola start bit names the most significant bit, counted from the left of the first byte in rows of 8.
    from_left = 8 * (start // 8) + 7 - start % 8
    shift = start if is_little_endian else 8 * length_bytes - from_left - length
    try:
        scale, offset = float(found[6]), float(found[7])
    except ValueError:
        return None
    if not 0 <= shift <= 8 * length_bytes - length or not 0 < length <= 64:
        return None
    return SignalSpec(
        name=name,
        field=BitField(shift, length, is_little_endian, length_bytes, is_signed=found[5] == "-"),
        scale=scale,
        offset=offset,
        unit=found[8].strip(),
        names=_names(text, dbc_id, name),
        is_multiplexer=False,
        selections=(),
        minimum=None,
        maximum=None,
    )


def _names(text: str, dbc_id: int, signal: str) -> dict[int, str]:
    """The value table of a signal."""
    table = re.search(rf"^VAL_ +{dbc_id} +{signal}((?:{_NAMED.pattern})+) *;", text, re.MULTILINE)
    return {int(raw): word for raw, word in _NAMED.findall(table[1])} if table is not None else {}
