"""What a DBC says of a message and its signals, reduced to what a profile is compiled from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from agent.model.frame import BitField
from agent.model.quick_dataclass import dataclass
from agent.model.reading import Value


@dataclass(frozen=True, slots=True)
class SignalSpec:
    """A signal: value = raw × `scale` + `offset`, in `unit` ("" if the DBC has none).

    `names` is its value table.  `selections` are the multiplexers that decide whether it is present, outermost
    first, each with the values of it for which it is; `minimum` and `maximum` are the DBC's [min|max].
    """

    name: str
    field: BitField
    scale: float
    offset: float
    unit: str
    names: Mapping[int, str]
    is_multiplexer: bool
    selections: tuple[tuple[str, frozenset[int]], ...]
    minimum: float | None
    maximum: float | None

    def raws_named(self, name: str) -> tuple[int, ...]:
        """Raw values that the value table calls `name`."""
        return tuple(raw for raw, word in self.names.items() if word == name)


@dataclass(frozen=True, slots=True)
class MessageSpec:
    """A message with all its signals. `cycle_time_s` is DBC's GenMsgCycleTime, None if there is none."""

    file: str
    name: str
    arbitration_id: int
    is_extended_id: bool
    is_fd: bool
    length_bytes: int
    cycle_time_s: float | None
    signals: Mapping[str, SignalSpec]

    def known_values(self, multiplexer: str) -> frozenset[int]:
        """The values of a multiplexer that the DBC knows of: those that select a signal, and those with a name."""
        selecting = (
            values for signal in self.signals.values() for name, values in signal.selections if name == multiplexer
        )
        return frozenset(self.signals[multiplexer].names).union(*selecting)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a payload cannot be made; `signal` is the name the value was given under."""

    signal: str
    text: str
    expected: str

    def __str__(self) -> str:
        return f"{self.signal}: {self.text}; expected {self.expected}"


class Messages(Protocol):
    """Where the messages of one bus are looked up, and payloads of them made: see `MessageDatabase`."""

    @property
    def messages(self) -> Mapping[str, MessageSpec]: ...

    def message(self, name: str) -> MessageSpec | None: ...

    def oddities(self, message: str) -> tuple[str, ...]: ...

    def encode_request(
        self, message: str, values: Mapping[str, Value], computed: Iterable[str] = ()
    ) -> bytes | list[Problem]: ...


def raw_range(field: BitField) -> tuple[int, int]:
    """Smallest and largest raw value of a field; of a float, of its bits."""
    if field.is_signed:
        return -(1 << field.length - 1), (1 << field.length - 1) - 1
    return 0, (1 << field.length) - 1
