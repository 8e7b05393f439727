"""`[[polls]]` of a profile, compiled: what is asked for, and where the values lie in the answers.

A value of an answer is a signal like any other; only its place is written in the profile instead of a DBC, which knows
nothing of answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agent.model.frame import BitField
from agent.profiles.lookup import Lookup, Place
from agent.profiles.message_spec import MessageSpec, SignalSpec
from agent.profiles.schema import DerivedPlan, MessagePlan, PollPlan, SignalPlan
from agent.profiles.signals import compile_signal
from agent.profiles.toml_model import PollTable, PollValueTable, ProfileTable, SignalTable

FRESHNESS_PERIODS = 3
"""Two answers in a row may be lost to a command or a busy control unit; after three the value is nobody's word."""
ANSWER_ROOM_S = 5.0
"""An answer may take its time (P2* of ISO 14229-2), and others are asked before."""

Given = Mapping[str, SignalPlan | DerivedPlan]
"""What a profile gives, by path."""

STANDARD_ID_MAX = 0x7FF
SEPARATION_MS = 5
"""Asked of the control unit between two frames of an answer: a burst of them would keep other senders waiting."""

_FRAME_BYTES = 8
_IDENTIFIER_BYTES = {0x21: 1, 0x22: 2}
_POSITIVE = 0x40


def paths_of(tables: ProfileTable, *, with_derived: bool = False) -> set[str] | None:
    """All paths that signals and polls are to give, sound or not; None if a faulty table may have been for any path."""
    rows = [*tables.signals, *tables.polls, *(tables.derived if with_derived else ())]
    found: set[str] = set()
    for row in rows:
        if row is None:
            return None
        found.update([value.path for value in row.values] if isinstance(row, PollTable) else [row.path])
    return found


def compile_polls(tables: ProfileTable, messages: Sequence[MessagePlan], lookup: Lookup) -> tuple[PollPlan, ...]:
    """Every poll, with all faults told in the look-up's findings."""
    compiler = _Compiler(tables, messages, lookup)
    plans = (compiler.plan(table, ("polls", index)) for index, table in enumerate(tables.polls) if table is not None)
    return tuple(plan for plan in plans if plan is not None)


class _Compiler:
    def __init__(self, tables: ProfileTable, messages: Sequence[MessagePlan], lookup: Lookup) -> None:
        self._lookup = lookup
        self._told = lookup.findings
        self._names: set[str] = set()
        self._given: set[str] = set()
        self._ids = {
            (bus, plan.arbitration_id, plan.is_extended_id): plan.name for plan in messages for bus in plan.buses
        }

    def plan(self, table: PollTable, place: Place) -> PollPlan | None:
        bus = self._lookup.bus(table.bus, place)
        self._check(table, bus, place)
        answers = self._answers(table, bus, place)
        self._given.update(value.path for value in table.values)
        if bus is None or table.identifier >= 1 << 8 * _IDENTIFIER_BYTES[table.service]:
            return None
        identifier = table.identifier.to_bytes(_IDENTIFIER_BYTES[table.service], "big")
        request = bytes([table.service]) + identifier
        head = b"" if table.address is None else bytes([table.address])
        return PollPlan(
            name=table.name,
            bus=bus,
            request_id=table.request_id,
            response_id=table.response_id,
            is_extended_id=table.extended_id,
            request=filled(head + bytes([len(request)]) + request, table.padding),
            # Clear to send, all of it, so far apart.
            flow_control=filled(head + bytes([0x30, 0x00, SEPARATION_MS]), table.padding),
            address=b"" if table.tester_address is None else bytes([table.tester_address]),
            echo=bytes([table.service + _POSITIVE]) + identifier,
            period_s=table.period_s,
            answers=answers,
            is_longer=table.longer,
            is_silent=self._is_silent(bus),
        )

    def _is_silent(self, bus: str) -> bool:
        table = self._lookup.table(bus)
        return table is not None and table.listen_only

    def _check(self, table: PollTable, bus: str | None, place: Place) -> None:
        tell = self._told.add
        if table.name in self._names:
            tell((*place, "name"), f"{table.name!r} stands here twice", "one name a poll")
        self._names.add(table.name)
        for key, number in (("request_id", table.request_id), ("response_id", table.response_id)):
            if not table.extended_id and number > STANDARD_ID_MAX:
                tell((*place, key), f"{number:#x} has more than 11 bits", "extended_id = true, or at most 0x7ff")
        if table.request_id == table.response_id:
            tell((*place, "response_id"), "the same as request_id", "the id the control unit answers with")
        for key, number in (("request_id", table.request_id), ("response_id", table.response_id)):
            if (bus or "", number, table.extended_id) in self._ids:
                # What the car sends by itself says that it is awake; an answer to us does not (SR-08).
                name = self._ids[bus or "", number, table.extended_id]
                tell((*place, key), f"{number:#x} is the id of {name}, a message with wanted signals", "another id")
        if (table.address is None) != (table.tester_address is None):
            tell((*place, "address"), "address and tester_address go together", "both or none")
        id_bytes = _IDENTIFIER_BYTES[table.service]
        if table.identifier >= 1 << 8 * id_bytes:
            problem = f"{table.identifier:#x} has more than {8 * id_bytes} bits"
            tell(
                (*place, "identifier"), problem, f"at most {(1 << 8 * id_bytes) - 1:#x} for service {table.service:#x}"
            )
        if table.longer and len(table.lengths) != 1:
            tell((*place, "longer"), "several lengths tell answers apart", "one length, which others may exceed")
        if table.freshness_s is not None and table.freshness_s < table.period_s:
            problem = f"values would be stale before they are asked for again after {table.period_s:g} s"
            tell((*place, "freshness_s"), problem, "at least period_s")

    def _answers(self, table: PollTable, bus: str | None, place: Place) -> dict[int, tuple[SignalPlan, ...]]:
        """By length of the data, in the order of the file."""
        freshness_s = table.freshness_s or FRESHNESS_PERIODS * table.period_s + ANSWER_ROOM_S
        answers: dict[int, tuple[SignalPlan, ...]] = dict.fromkeys(table.lengths, ())
        before: dict[tuple[str, int], PollValueTable] = {}
        reports: dict[str, PollValueTable] = {}
        for index, value in enumerate(table.values):
            here: Place = (*place, "values", index)
            lengths = tuple(dict.fromkeys(table.lengths if value.when_length is None else value.when_length))
            for length in set(lengths) - set(table.lengths):
                expected = "some of " + ", ".join(map(str, table.lengths))
                self._told.add((*here, "when_length"), f"no answer has {length} bytes", expected)
            if value.path in self._given:
                self._told.add((*here, "path"), f"{value.path} is given already", "one poll a path")
            if any((value.path, length) in before for length in lengths):
                problem = f"{value.path} is given twice in one answer"
                self._told.add((*here, "path"), problem, "one value a path, or distinct when_length")
            before.update({(value.path, length): value for length in lengths})
            if reports.setdefault(value.path, value).report != value.report:
                self._told.add((*here, "report"), f"{value.path} has another one above", "one report a path")
            plan = self._signal(value, min(lengths, default=0), freshness_s, bus, here)
            for length in lengths:
                if plan is not None and length in answers:
                    answers[length] = (*answers[length], plan)
        return answers

    def _signal(
        self, value: PollValueTable, length: int, freshness_s: float, bus: str | None, place: Place
    ) -> SignalPlan | None:
        """By way of what a DBC would say of it; `length` is that of the shortest answer it is in."""
        last = value.byte + (value.bit + value.bits + 7) // 8
        if last > length:
            problem = f"it ends in byte {last - 1}, and there are answers of {length} bytes"
            self._told.add((*place, "byte"), problem, "a place within each answer it is in, or when_length")
            return None
        shift = value.bit + (8 * value.byte if value.little_endian else 0)
        name = f"byte {value.byte}"
        spec = SignalSpec(
            name=name,
            field=BitField(shift, value.bits, value.little_endian, last, value.signed),
            scale=value.scale,
            offset=value.offset,
            unit="",
            names={},
            is_multiplexer=False,
            selections=(),
            minimum=None,
            maximum=None,
        )
        message = MessageSpec(
            file="profile.toml",
            name="the answer",
            arbitration_id=0,
            is_extended_id=False,
            is_fd=False,
            length_bytes=length,
            cycle_time_s=None,
            signals={name: spec},
        )
        table = SignalTable(
            path=value.path,
            message=message.name,
            signal=name,
            unit=value.unit,
            invalid=value.invalid,
            min=value.min,
            max=value.max,
            freshness_s=freshness_s,
            choices=value.choices,
            report=value.report,
        )
        return compile_signal(table, place, bus, message, None, self._lookup)


def filled(payload: bytes, padding: int) -> bytes:
    """Always a whole frame: control units may ignore a shorter one."""
    return payload.ljust(_FRAME_BYTES, bytes([padding]))
