"""The control units of the virtual car that answer when they are asked: a profile's polls and exchanges, from the other
side.

A pure model: frames go in through `receive` while the bus is awake and come out of `step` when they are due.  It
answers each read request of the polls with what it is told stands under their paths, over ISO-TP as ISO 15765-2 has
it, each request of an exchange as `CarOrders` says, and everything else as ISO 14229-1 has it: with a negative response
or not at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import field
from enum import StrEnum

from agent.bench.car_ear import Heard
from agent.bench.car_faults import CarFault
from agent.bench.car_orders import CarOrders
from agent.bench.car_raw import raw_of
from agent.model.frame import Frame
from agent.model.quick_dataclass import dataclass
from agent.model.reading import Value
from agent.profiles.schema import PollPlan, Profile

ANSWER_AFTER_S = 0.02  # P2 of ISO 14229-2 is 50 ms at most
PENDING_AFTER_S = 2.0  # from "wait for it" to the answer; P2* is 5 s at most
FLOW_CONTROL_WAIT_S = 1.0  # N_Bs of ISO 15765-2: the rest of an answer waits no longer

SERVICE_NOT_SUPPORTED, BUSY, CONDITIONS_NOT_CORRECT, OUT_OF_RANGE, PENDING = 0x11, 0x21, 0x22, 0x31, 0x78

_FRAME_BYTES = 8
_NEGATIVE, _POSITIVE = 0x7F, 0x40
_READING_SERVICES = (0x21, 0x22)

ValueOf = Callable[[str], Value | None]
"""What stands under a path, in its VSS unit; None if the control unit does not know."""


class DiagnosticFault(StrEnum):
    """What can be wrong with the answers to a poll.

    `silent`: none comes. `refuses`: as an identifier it does not have (0x31). `busy`: "ask again" (0x21), each time.
    `pending`: "wait for it" (0x78), and the answer later. `loses_frame`: one frame of an answer of several is missing.
    """

    SILENT = "silent"
    REFUSES = "refuses"
    BUSY = "busy"
    PENDING = "pending"
    LOSES_FRAME = "loses_frame"


@dataclass(slots=True)
class _Unit:
    """One control unit: where it answers, by which address, what it is asked by (service and identifier) and told, and
    the rest of an answer that waits for flow control from `waits_from_s` on."""

    bus: str
    response_id: int
    is_extended_id: bool
    address: bytes
    polls: dict[bytes, PollPlan] = field(default_factory=dict)
    orders: CarOrders = field(default_factory=CarOrders)
    waiting: list[bytes] = field(default_factory=list)
    waits_from_s: float = 0.0


class CarDiagnostics:
    """All control units that the polls and exchanges of a profile ask, on all its buses; they take `answer_after_s`.

    `faults` and `requests_seen` are by name of the poll; `lengths` chooses by it which of its answers is given, where
    control units differ in that.
    """

    def __init__(self, profile: Profile, value_of: ValueOf, lengths: Mapping[str, int] | None = None) -> None:
        self.faults: dict[str, DiagnosticFault] = {}
        self.requests_seen: Counter[str] = Counter()
        self.answer_after_s = ANSWER_AFTER_S
        self._value_of = value_of
        self._lengths = lengths or {}
        self._due: list[Frame] = []
        # By bus, request identifier, kind of it, and address.
        self._units: dict[tuple[str, int, bool, bytes], _Unit] = {}
        for plan in profile.polls:
            asked = Frame(plan.bus, plan.request_id, plan.request, is_extended_id=plan.is_extended_id)
            unit = self._unit(asked, plan.response_id, plan.address)
            unit.polls[bytes([plan.echo[0] - _POSITIVE]) + plan.echo[1:]] = plan
        for recipe in profile.recipes.values():
            for request in recipe.requests[:1]:  # all of them ask the same unit
                self._unit(request.frame, request.response_id, request.address).orders.add(recipe)

    def _unit(self, asked: Frame, response_id: int, address: bytes) -> _Unit:
        """The unit that a request is for, which precedes it by an address as long as that of the answer."""
        key = (asked.bus, asked.arbitration_id, asked.is_extended_id, asked.data[: len(address)])
        return self._units.setdefault(key, _Unit(asked.bus, response_id, asked.is_extended_id, address))

    def receive(self, frame: Frame, now_s: float) -> list[Heard]:
        """A frame that somebody put on a bus that is awake; what it tells the car's units to do."""
        heard: list[Heard] = []
        for (*asked, address), unit in self._units.items():
            is_asked = [frame.bus, frame.arbitration_id, frame.is_extended_id] == asked and not frame.is_fd
            if is_asked and frame.data.startswith(address) and len(frame.data) > len(address):
                heard += self._hear(unit, frame.data[len(address) :], now_s)
        return heard

    def break_by(self, faults: AbstractSet[CarFault]) -> None:
        """From now on exactly these faults are there."""
        for unit in self._units.values():
            unit.orders.break_by(faults)

    def step(self, now_s: float) -> list[Frame]:
        """The frames that were due by `now_s`, in their order; `received_at_s` is when."""
        due = [frame for frame in self._due if frame.received_at_s <= now_s]
        self._due = [frame for frame in self._due if frame.received_at_s > now_s]
        return due

    def next_step_at(self) -> float | None:
        """When `step` has something to do if nothing is received; None: never."""
        return min((frame.received_at_s for frame in self._due), default=None)

    def fall_asleep(self, bus: str | None = None) -> None:
        """The bus (None: each) went to sleep: what was under way there is forgotten."""
        self._due = [frame for frame in self._due if bus is not None and frame.bus != bus]
        for (of_bus, *_), unit in self._units.items():
            if bus is None or of_bus == bus:
                unit.waiting = []
                unit.orders.fall_asleep()

    def _hear(self, unit: _Unit, data: bytes, now_s: float) -> list[Heard]:
        kind, low = data[0] >> 4, data[0] & 0xF
        if kind == 0x0 and 0 < low < len(data):
            unit.waiting = []  # whoever asks anew does not fetch the rest
            if (order := unit.orders.hear(data[1 : 1 + low], now_s)) is None:
                self._answer(unit, data[1 : 1 + low], now_s)
                return []
            if order.payload is not None:
                self._put(unit, _single(order.payload, unit.address), now_s + self.answer_after_s)
            return [] if order.heard is None else [order.heard]
        if kind == 0x3 and low == 0x0 and len(data) >= 3:
            if now_s <= unit.waits_from_s + FLOW_CONTROL_WAIT_S:
                for number, frame in enumerate(unit.waiting):
                    self._put(unit, frame, now_s + number * _separation_s(data[2]))
            unit.waiting = []
        return []

    def _answer(self, unit: _Unit, request: bytes, now_s: float) -> None:
        at_s = now_s + self.answer_after_s
        plan = unit.polls.get(request)
        if plan is None:
            code = OUT_OF_RANGE if request[0] in _READING_SERVICES else SERVICE_NOT_SUPPORTED
            self._refuse(unit, request[0], code, at_s)
            return
        self.requests_seen[plan.name] += 1
        match self.faults.get(plan.name):
            case DiagnosticFault.SILENT:
                return
            case DiagnosticFault.REFUSES:
                self._refuse(unit, request[0], OUT_OF_RANGE, at_s)
            case DiagnosticFault.BUSY:
                self._refuse(unit, request[0], BUSY, at_s)
            case DiagnosticFault.PENDING:
                self._refuse(unit, request[0], PENDING, at_s)
                self._tell(unit, plan, at_s + PENDING_AFTER_S)
            case _:
                self._tell(unit, plan, at_s)

    def _tell(self, unit: _Unit, plan: PollPlan, at_s: float) -> None:
        """What the values come to; a negative answer if one is not known and its place has no way to say so."""
        length = self._lengths.get(plan.name, min(plan.answers))
        data = bytes(length)
        # Two values may be read in one place: the first of them is what stands there.
        for signal in reversed(plan.answers[length]):
            raw = raw_of(signal, self._value_of(signal.path))
            if raw is None:
                self._refuse(unit, plan.echo[0] - _POSITIVE, CONDITIONS_NOT_CORRECT, at_s)
                return
            data = signal.field.insert(data, raw)
        first, *unit.waiting = _segmented(plan.echo + data, unit.address)
        if self.faults.get(plan.name) is DiagnosticFault.LOSES_FRAME:
            del unit.waiting[:1]
        unit.waits_from_s = at_s
        self._put(unit, first, at_s)

    def _refuse(self, unit: _Unit, asked: int, code: int, at_s: float) -> None:
        self._put(unit, _single(bytes([_NEGATIVE, asked, code]), unit.address), at_s)

    def _put(self, unit: _Unit, data: bytes, at_s: float) -> None:
        self._due.append(Frame(unit.bus, unit.response_id, data, at_s, unit.is_extended_id))
        self._due.sort(key=lambda frame: frame.received_at_s)


def _segmented(payload: bytes, address: bytes) -> Sequence[bytes]:
    """The frames of a payload: a single one, or a first one and consecutive ones, filled up to 8 bytes."""
    room = _FRAME_BYTES - 1 - len(address)
    if len(payload) <= room:
        return [_single(payload, address)]
    head = (0x1000 | len(payload)).to_bytes(2, "big")
    frames = [address + head + payload[: room - 1]]
    for number, start in enumerate(range(room - 1, len(payload), room), 1):
        frames.append(_filled(address + bytes([0x20 | number & 0xF]) + payload[start : start + room]))
    return frames


def _single(payload: bytes, address: bytes) -> bytes:
    return _filled(address + bytes([len(payload)]) + payload)


def _filled(data: bytes) -> bytes:
    return data.ljust(_FRAME_BYTES, b"\x00")


def _separation_s(raw: int) -> float:
    """STmin of ISO 15765-2; its reserved values mean the longest time."""
    if raw <= 0x7F:
        return raw / 1000
    return (raw - 0xF0) / 10_000 if 0xF1 <= raw <= 0xF9 else 0.127
