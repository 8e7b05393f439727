"""The names a profile uses, looked up in its DBC files; a name that is not there is a fault with the nearest ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from agent.faults import Fault
from agent.profiles.findings import Findings, expected_of
from agent.profiles.message_spec import Messages, MessageSpec, SignalSpec
from agent.profiles.toml_model import NAME_PATTERN, BusTable
from agent.profiles.toml_reading import is_plain_name

Place = tuple[str | int, ...]

Load = Callable[[Mapping[str, bytes]], Messages | list[Fault]]
"""The messages of all files of a bus (content by name), or what is wrong with the files."""


class Lookup:
    """Buses, messages and signals by name.

    Every look-up takes the place in the profile where the name stands, and returns None once the fault is told.
    Nothing is said of names on a bus whose files cannot be read: that fault is told already.
    """

    def __init__(
        self, buses: Mapping[str, BusTable | None], files: Mapping[str, bytes], findings: Findings, load: Load
    ) -> None:
        self._buses = buses
        self._findings = findings
        self._odd: dict[tuple[str, str], bool] = {}
        self._databases: dict[str, Messages | None] = {}
        for name, bus in buses.items():
            if not re.match(NAME_PATTERN, name):
                expected = "lower-case letters, digits and _, beginning with a letter"
                findings.add(("buses", name), f"{name!r} cannot be the name of a bus", expected)
            self._databases[name] = self._load(name, bus, files, load) if bus is not None else None
            if bus is not None:
                self._check(name, bus)

    @property
    def findings(self) -> Findings:
        return self._findings

    def table(self, bus: str) -> BusTable | None:
        """The bus's table; None if it is faulty."""
        return self._buses[bus]

    def database(self, bus: str) -> Messages | None:
        return self._databases[bus]

    def bus(self, name: str | None, place: Place) -> str | None:
        """The bus called `name`; if the profile does not say, the only one that each installation has."""
        if name is None:
            always = [name for name, table in self._buses.items() if table is None or table.awake_with is None]
            if len(always) == 1:
                return always[0]
            self._findings.add((*place, "bus"), "missing", expected_of(self._buses))
            return None
        if name in self._buses:
            return name
        self._findings.add((*place, "bus"), f"unknown bus {name!r}", expected_of(self._buses, name))
        return None

    def message(self, bus: str | None, name: str, place: Place) -> MessageSpec | None:
        """The message called `name` on `bus`, if it can be used."""
        database = self._databases[bus] if bus is not None else None
        if bus is None or database is None:
            return None
        spec = database.message(name)
        if spec is None:
            self._findings.add(
                (*place, "message"), f"unknown message {name!r} on bus {bus}", expected_of(database.messages, name)
            )
            return None
        return None if self._is_odd(bus, spec, place) else spec

    def signal(self, message: MessageSpec, name: str, place: Place) -> SignalSpec | None:
        """The signal called `name` of a message, if it can be used."""
        spec = message.signals.get(name)
        if spec is None:
            expected = expected_of(message.signals, name)
            self._findings.add((*place, "signal"), f"{message.name} has no signal {name!r}", expected)
            return None
        if oddity := _oddity(spec, message):
            self._findings.add(
                (*place, "signal"), f"{message.file}: {message.name}.{name} {oddity}", "a sound definition"
            )
            return None
        return spec

    def _is_odd(self, bus: str, spec: MessageSpec, place: Place) -> bool:
        key = (bus, spec.name)
        if key not in self._odd:
            database = self._databases[bus]
            oddities = list(database.oddities(spec.name)) if database is not None else []
            table = self._buses[bus]
            if spec.is_fd and table is not None and not table.fd:
                oddities.append("it is a CAN FD frame, and the bus has not fd = true")
            for oddity in oddities:
                self._findings.add(
                    (*place, "message"), f"{spec.file}: {spec.name} cannot be used: {oddity}", "a sound definition"
                )
            self._odd[key] = bool(oddities)
        return self._odd[key]

    def _check(self, name: str, bus: BusTable) -> None:
        place = ("buses", name)
        if bus.awake_with is None:
            if not bus.dbc:
                self._findings.add((*place, "dbc"), "no file", "at least one, or awake_with where the car only answers")
            return
        other = self._buses.get(bus.awake_with)
        if bus.awake_with not in self._buses or bus.awake_with == name or (other is not None and other.awake_with):
            speaking = [each for each, table in self._buses.items() if table is not None and table.awake_with is None]
            problem = f"{bus.awake_with!r} is no bus on which the car speaks by itself"
            self._findings.add((*place, "awake_with"), problem, expected_of(speaking, bus.awake_with))
        if bus.dbc:
            self._findings.add((*place, "dbc"), "the car says nothing by itself on a bus with awake_with", "[]")

    def _load(self, name: str, bus: BusTable, files: Mapping[str, bytes], load: Load) -> Messages | None:
        named = {}
        for index, file in enumerate(bus.dbc):
            place = ("buses", name, "dbc", index)
            if not is_plain_name(file):
                self._findings.add(place, f"{file!r} is not the name of a file", "a file beside the profile, no path")
            elif file not in files:
                # With no other to be meant it was left behind when the folder was copied.
                expected = expected_of(files, file) if files else "a file of that name"
                self._findings.add(place, f"there is no file {file!r} beside the profile", expected)
            else:
                named[file] = files[file]
        loaded = load(named)
        if isinstance(loaded, list):
            for fault in loaded:
                self._findings.add_fault(replace(fault, source=self._findings.beside(fault.source)))
            return None
        return loaded if len(named) == len(set(bus.dbc)) else None


def _oddity(spec: SignalSpec, message: MessageSpec) -> str | None:
    """Why a signal cannot be decoded without guessing."""
    field = spec.field
    if not 0 <= field.shift <= 8 * field.size_bytes - field.length:
        return "lies outside of its message"
    if field.is_float and field.length not in (16, 32, 64):
        return f"is a float of {field.length} bits"
    if field.length > 64:
        return f"has {field.length} bits; a number has at most 64"
    if not all(abs(number) < float("inf") for number in (spec.scale, spec.offset)) or spec.scale == 0:
        return f"has scale {spec.scale} and offset {spec.offset}"
    for multiplexer, values in spec.selections:
        above = message.signals.get(multiplexer)
        if above is None or not values:
            return f"is multiplexed by {multiplexer!r}, and nothing says for which values"
        if above.scale != 1 or above.offset != 0 or above.field.is_float or above.field.is_signed:
            return f"is multiplexed by {multiplexer!r}, which is not a plain unsigned number"
    return None
