"""What a control unit of the virtual car is told to do by requests: `[actions.X.exchange]` from the other side.

A pure model.  The requests of an action have to come in their order, in a session that closes by itself when nobody
asks for a while; each is answered as ISO 14229-1 has it, and the last one that acts makes the unit move.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from itertools import groupby

from agent.bench.car_ear import Heard
from agent.bench.car_faults import CarFault
from agent.model.command import Action
from agent.model.diagnostics import NEGATIVE, SESSION_CONTROL, Request
from agent.model.quick_dataclass import dataclass
from agent.model.recipe import Recipe

SESSION_S = 5.0  # S3 of ISO 14229-2: a session in which nobody asked for so long closes

CONDITIONS_NOT_CORRECT, REQUEST_SEQUENCE_ERROR, NOT_IN_SESSION = 0x22, 0x24, 0x7F

_LOCK, _DRIVE = (Action.UNLOCK, Action.LOCK), (Action.ENABLE_DRIVE, Action.DISABLE_DRIVE)
_REFUSED = {CarFault.LOCK_REFUSES: _LOCK, CarFault.IMMOBILISER_REFUSES: _DRIVE}
_SILENT = {CarFault.LOCK_DEAD: _LOCK, CarFault.IMMOBILISER_DEAD: _DRIVE}


@dataclass(frozen=True, slots=True)
class OrderAnswer:
    """The payload that is answered, None for none, and what the unit is to do."""

    payload: bytes | None
    heard: Heard | None = None


def payload_of(request: Request) -> bytes:
    """What is asked, without ISO-TP's address, length and padding."""
    start = len(request.address)  # the control unit's own address is as long
    length = request.frame.data[start]
    return request.frame.data[start + 1 : start + 1 + length]


class CarOrders:
    """All that one control unit can be told to do."""

    def __init__(self) -> None:
        self._talks: list[_Talk] = []
        self._refused: frozenset[Action] = frozenset()
        self._silent: frozenset[Action] = frozenset()
        self._session_until_s = 0.0

    def add(self, recipe: Recipe) -> None:
        """One that has requests."""
        self._talks.append(_Talk(recipe))

    def break_by(self, faults: AbstractSet[CarFault]) -> None:
        """From now on exactly these faults are there."""
        self._refused, self._silent = (
            frozenset(action for fault in faults for action in actions.get(fault, ()))
            for actions in (_REFUSED, _SILENT)
        )

    def fall_asleep(self) -> None:
        """No session outlives the bus."""
        for talk in self._talks:
            talk.done = 0

    def hear(self, payload: bytes, now_s: float) -> OrderAnswer | None:
        """A request; None if it is none of these."""
        if now_s > self._session_until_s:
            self.fall_asleep()
        self._session_until_s = now_s + SESSION_S
        known = [(talk, request) for talk in self._talks if (request := talk.request(payload)) is not None]
        if not known:
            return None
        if self._silent.issuperset(talk.action for talk, _ in known):
            return OrderAnswer(None)
        come_to = [(talk, request) for talk, request in known if talk.comes_to(payload)]
        if not come_to:
            talk, request = known[0]
            return _no(request, NOT_IN_SESSION if talk.wants_session else REQUEST_SEQUENCE_ERROR)
        talk, request = come_to[0]
        if request.acts and talk.action in self._refused:
            return _no(request, CONDITIONS_NOT_CORRECT)
        heard = Heard(talk.action, None, is_checksum_good=True) if talk.is_whole and request.acts else None
        return OrderAnswer(request.positive, heard)


class _Talk:
    """The requests of one action in their order, those said several times once, and how far they have come."""

    def __init__(self, recipe: Recipe) -> None:
        self.action = recipe.action
        self.done = 0
        self._requests = [next(same) for _, same in groupby(recipe.requests)]
        self._payloads = [payload_of(request) for request in self._requests]

    @property
    def is_whole(self) -> bool:
        return self.done == len(self._requests)

    @property
    def wants_session(self) -> bool:
        """Whether the session that its requests begin with is not open."""
        return self.done == 0 and self._requests[0].service == SESSION_CONTROL

    def request(self, payload: bytes) -> Request | None:
        return next((each for each, own in zip(self._requests, self._payloads, strict=True) if own == payload), None)

    def comes_to(self, payload: bytes) -> bool:
        """Whether it is the next one, the last one again, or the first one."""
        for place in (self.done, self.done - 1, 0):
            if 0 <= place < len(self._payloads) and self._payloads[place] == payload:
                self.done = place + 1
                return True
        return False


def _no(request: Request, code: int) -> OrderAnswer:
    return OrderAnswer(bytes([NEGATIVE, request.service, code]))
