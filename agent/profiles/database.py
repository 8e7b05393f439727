"""The messages of one bus as its DBC files define them, behind a few verbs; the only importer of cantools.

`load` reads DBC, KCD, ARXML or SYM (by the file's suffix).  `message` and `message_of_frame` look a definition up,
`oddities` says why a message cannot be used, `encode` makes a payload of values, `decode` is cantools' own decoding:
the oracle of the decoder's tests.  Importing cantools takes 0.2 s: in the car only `profiles.parse` imports this, and
most starts do without both (`profiles.recall`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import PurePosixPath

import cantools.database
from cantools.database.can import Message, Signal
from cantools.database.errors import DecodeError, Error, UnsupportedDatabaseFormatError

from agent.faults import Fault
from agent.model.frame import BitField
from agent.model.reading import Value
from agent.profiles.dbc_text import decoded, faults_in_text, line_of
from agent.profiles.findings import expected_of
from agent.profiles.message_spec import MessageSpec, Problem, SignalSpec, raw_range

FORMATS: Mapping[str, str] = {".dbc": "dbc", ".kcd": "kcd", ".arxml": "arxml", ".sym": "sym"}
FILE_BYTES_MAX = 16 << 20  # the largest public DBC files have 5 MB; cantools needs seconds for one

_CYCLE_TIME_MS_MAX = 3_600_000  # what is sent less often than hourly has no freshness worth the name
_FLOAT_MAX = {16: 65504.0, 32: 3.4028234663852886e38}


class MessageDatabase:
    """All messages of one bus. `messages` holds them by name; of two with the same name the first."""

    def __init__(self, loaded: Iterable[tuple[str, Message]]) -> None:
        self._definitions: dict[str, Message] = {}
        self._clashes: dict[str, list[str]] = {}
        self._by_frame: dict[tuple[int, bool], MessageSpec] = {}
        self.messages: dict[str, MessageSpec] = {}
        for file, definition in loaded:
            self._take(_message_spec(file, definition), definition)

    @classmethod
    def load(cls, files: Mapping[str, bytes]) -> MessageDatabase | list[Fault]:
        """The messages of all `files` (content by name), or what is wrong with each file that cannot be read."""
        faults: list[Fault] = []
        loaded: list[tuple[str, Message]] = []
        for name, content in files.items():
            read = _read(name, content)
            if isinstance(read, list):
                faults.extend(read)
            else:
                loaded.extend((name, message) for message in read)
        return faults or cls(loaded)

    def message(self, name: str) -> MessageSpec | None:
        """The definition of the message called `name`."""
        return self.messages.get(name)

    def message_of_frame(self, arbitration_id: int, *, is_extended_id: bool = False) -> MessageSpec | None:
        """The definition of the message with this identifier."""
        return self._by_frame.get((arbitration_id, is_extended_id))

    def oddities(self, message: str) -> tuple[str, ...]:
        """Why frames of this message cannot be decoded without guessing; empty for a sound definition."""
        definition = self._definitions[message]
        names = [signal.name for signal in definition.signals]
        found = [*self._clashes.get(message, ())]
        found += [f"two signals are called {name}" for name in dict.fromkeys(names) if names.count(name) > 1]
        if definition.is_container:
            found.append("it is a container of other messages")
        if not 0 < definition.length <= 64:
            found.append(f"its length is {definition.length} bytes, not 1 to 64")
            return tuple(found)
        try:
            definition.refresh(strict=True)
        except Error as error:
            found.append(str(error).rstrip("."))
        return tuple(found)

    def encode(self, message: str, values: Mapping[str, Value]) -> bytes:
        """Payload of `message` from physical values in the DBC's units, or names of its value tables.

        Every signal must be given, of a multiplexed message those its multiplexers select; unused bits are 0.
        A number beyond the DBC's [min|max] will do as long as it fits into the bits, so that a car can be simulated
        that sends its markers for "not known".  Raises KeyError for an unknown message, ValueError with all that is
        wrong for values that cannot be encoded.
        """
        payload = self._payload(message, values)
        if isinstance(payload, list):
            raise ValueError(f"{message}: " + "; ".join(map(str, payload)))
        return payload

    def encode_request(
        self, message: str, values: Mapping[str, Value], computed: Iterable[str] = ()
    ) -> bytes | list[Problem]:
        """Payload of a frame the agent is to send, or all that is wrong with the values.

        The `computed` signals (counter, checksum) are 0 and must not be given; a number must lie within the
        DBC's [min|max].
        """
        spec, left_out = self.messages[message], frozenset(computed)
        problems = [
            Problem(name, "is computed when the frame is sent", "no value") for name in values if name in left_out
        ]
        problems += _beyond_limits(spec, values)
        payload = self._payload(message, {**values, **dict.fromkeys(left_out, 0)})
        if isinstance(payload, list):
            return problems + payload
        return problems or payload

    def decode(self, message: str, payload: bytes) -> dict[str, float]:
        """Physical values by signal as cantools decodes them: numbers, also where the DBC has names.

        Raises KeyError for an unknown message, ValueError where cantools cannot decode: a payload too short, an
        unknown multiplexer value.
        """
        try:
            decoded = self._definitions[message].decode_simple(payload, decode_choices=False)
        except DecodeError as error:
            raise ValueError(str(error)) from error
        return {name: value for name, value in decoded.items() if isinstance(value, int | float)}

    def _take(self, spec: MessageSpec, definition: Message) -> None:
        frame = (spec.arbitration_id, spec.is_extended_id)
        for other, what in ((self.messages.get(spec.name), "name"), (self._by_frame.get(frame), "identifier")):
            if other is not None:
                self._clashes.setdefault(spec.name, []).append(f"{other.name} in {other.file} has the same {what}")
                self._clashes.setdefault(other.name, []).append(f"{spec.name} in {spec.file} has the same {what}")
        self.messages.setdefault(spec.name, spec)
        self._definitions.setdefault(spec.name, definition)
        self._by_frame.setdefault(frame, spec)

    def _payload(self, message: str, values: Mapping[str, Value]) -> bytes | list[Problem]:
        spec, definition = self.messages[message], self._definitions[message]
        problems: list[Problem] = []
        raws: dict[str, int | float] = {}
        for name, value in values.items():
            if name not in spec.signals:
                problems.append(Problem(name, f"{message} has no such signal", expected_of(spec.signals, name)))
                continue
            raw = _raw_of(spec.signals[name], definition.get_signal_by_name(name), value)
            if isinstance(raw, Problem):
                problems.append(raw)
            else:
                raws[name] = raw
        given = frozenset(values)
        problems += _misfits(spec, raws, given)
        return problems or definition.encode(dict(raws), scaling=False, strict=False)


def _raw_of(spec: SignalSpec, signal: Signal, value: Value) -> int | float | Problem:
    if isinstance(value, str):
        raws = spec.raws_named(value)
        if not raws:
            return Problem(spec.name, f"no value is called {value!r}", expected_of(spec.names.values(), value))
        low, high = raw_range(spec.field)
        if not low <= raws[0] <= high:  # a VAL_ may name more than the bits can hold
            return Problem(spec.name, f"{value!r} does not fit", f"a raw value of {spec.field.length} bits")
        return raws[0]
    number = int(value) if isinstance(value, bool) else value
    if spec.scale == 0 or not (spec.field.is_float or math.isfinite(number)):
        return Problem(spec.name, f"{value} cannot be encoded", "a finite number, and a scale other than 0 in the DBC")
    try:
        raw = signal.conversion.numeric_scaled_to_raw(number)
    except OverflowError:
        return Problem(spec.name, f"{value} does not fit", f"a number of {spec.field.length} bits")
    if spec.field.is_float:
        is_fitting = not math.isfinite(raw) or abs(raw) <= _FLOAT_MAX.get(spec.field.length, math.inf)
    else:
        low, high = raw_range(spec.field)
        is_fitting = low <= raw <= high
    if not is_fitting:
        return Problem(spec.name, f"{value} does not fit", f"a raw value of {spec.field.length} bits, not {raw}")
    return raw


def _misfits(spec: MessageSpec, raws: Mapping[str, int | float], given: frozenset[str]) -> list[Problem]:
    """Signals that are missing, signals that the multiplexers given do not select, multiplexer values unknown."""
    problems = []
    for name, signal in spec.signals.items():
        is_present = all(raws.get(multiplexer) in values for multiplexer, values in signal.selections)
        if is_present and name not in given:
            problems.append(Problem(name, "missing", f"a value for every signal of {spec.name}"))
        elif not is_present and name in given:
            problems.append(Problem(name, "not selected by the multiplexer's value", "no value, or another page"))
        elif is_present and name in raws and signal.is_multiplexer:
            known = spec.known_values(name)
            if known and raws[name] not in known:
                problems.append(Problem(name, f"unknown value {raws[name]}", expected_of(map(str, known))))
    return problems


def _beyond_limits(spec: MessageSpec, values: Mapping[str, Value]) -> list[Problem]:
    problems = []
    for name, value in values.items():
        signal = spec.signals.get(name)
        if signal is None or isinstance(value, str):
            continue
        low, high = signal.minimum, signal.maximum
        if (low is not None and value < low) or (high is not None and value > high):
            problems.append(Problem(name, f"{value} is beyond the DBC's limits", f"{low} to {high}"))
    return problems


def _read(name: str, content: bytes) -> tuple[Message, ...] | list[Fault]:
    suffix = PurePosixPath(name).suffix.lower()
    if suffix not in FORMATS:
        return [Fault(name, "", 0, f"{name!r} is in no format that can be read", expected_of(FORMATS))]
    if len(content) > FILE_BYTES_MAX:
        return [Fault(name, "", 0, f"a file of {len(content)} bytes", f"at most {FILE_BYTES_MAX}")]
    text = decoded(content)
    if suffix == ".dbc" and (faults := faults_in_text(text, name)):
        return faults
    try:
        # Not strict: overlapping signals are asked for message by message (`oddities`), so that all of them are
        # found, and those of messages that nobody uses do no harm.
        database = cantools.database.load_string(text, FORMATS[suffix], strict=False)
    except UnsupportedDatabaseFormatError as error:
        return [_fault_of(name, text, error)]
    if not isinstance(database, cantools.database.Database):
        return [Fault(name, "", 0, "no messages in it", "a CAN database")]
    for message in database.messages:
        named: list[object] = [message.name, *(signal.name for signal in message.signals)]
        if not all(isinstance(one, str) and one for one in named):  # cantools asks for it in DBC files alone
            return [Fault(name, "", 0, f"message {message.frame_id:#x} or a signal of it has no name", "a name")]
    return tuple(database.messages)


def _fault_of(name: str, text: str, error: UnsupportedDatabaseFormatError) -> Fault:
    if not text.strip():
        return Fault(name, "", 1, "is empty", "a CAN database")
    if "\0" in text:
        return Fault(name, "", 0, "is no text: there are zero bytes in it", "a CAN database, saved as UTF-8")
    causes = (error.e_dbc, error.e_kcd, error.e_arxml, error.e_sym)
    cause = next((cause for cause in causes if cause is not None), error)
    # What is no text (a file of zeros, UTF-16) goes to no terminal as it stands.
    shown = "".join(each if each.isprintable() or each.isspace() else f"\\x{ord(each):02x}" for each in str(cause))
    told = " ".join(shown.replace(">>!<<", "").split())
    words = told.replace(",", " ").replace(":", " ").replace(".", " ").split()
    after = dict(pairwise(words))
    line = int(after["line"]) if after.get("line", "").isdecimal() else line_of(text, after.get("message", ""))
    return Fault(name, "", line, f"cannot be read: {told[:300] or type(cause).__name__}")


def _message_spec(file: str, definition: Message) -> MessageSpec:
    by_name = {signal.name: signal for signal in definition.signals}
    return MessageSpec(
        file=file,
        name=definition.name,
        arbitration_id=definition.frame_id,
        is_extended_id=definition.is_extended_frame,
        is_fd=definition.is_fd or definition.length > 8,
        length_bytes=definition.length,
        cycle_time_s=_cycle_time_s(definition),
        signals={name: _signal_spec(definition.length, signal, by_name) for name, signal in by_name.items()},
    )


def _cycle_time_s(definition: Message) -> float | None:
    cycle_time: object = definition.cycle_time  # of whatever type the DBC declares the attribute
    if isinstance(cycle_time, int | float) and 0 < cycle_time <= _CYCLE_TIME_MS_MAX:
        return cycle_time / 1000
    return None


def _signal_spec(length_bytes: int, signal: Signal, by_name: Mapping[str, Signal]) -> SignalSpec:
    is_little_endian = signal.byte_order == "little_endian"
    # A Motorola start bit names the most significant bit, counted from the left of the first byte in rows of 8.
    from_left = 8 * (signal.start // 8) + 7 - signal.start % 8
    return SignalSpec(
        name=signal.name,
        field=BitField(
            shift=signal.start if is_little_endian else 8 * length_bytes - from_left - signal.length,
            length=signal.length,
            is_little_endian=is_little_endian,
            size_bytes=length_bytes,
            is_signed=signal.is_signed and not signal.is_float,
            is_float=signal.is_float,
        ),
        scale=_as_float(signal.scale),
        offset=_as_float(signal.offset),
        unit=(signal.unit or "").strip(),
        names={int(raw): str(word) for raw, word in (signal.choices or {}).items()},
        is_multiplexer=signal.is_multiplexer,
        selections=_selections(signal, by_name),
        minimum=signal.minimum,
        maximum=signal.maximum,
    )


def _as_float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:  # a DBC may write an integer of any length
        return math.inf


def _selections(signal: Signal, by_name: Mapping[str, Signal]) -> tuple[tuple[str, frozenset[int]], ...]:
    """The multiplexers above a signal, outermost first; a circle of multiplexers ends where it closes."""
    above: list[tuple[str, frozenset[int]]] = []
    inner: Signal | None = signal
    while inner is not None and inner.multiplexer_signal is not None and len(above) < len(by_name):
        above.insert(0, (inner.multiplexer_signal, frozenset(inner.multiplexer_ids or ())))
        inner = by_name.get(inner.multiplexer_signal)
    return tuple(above)
