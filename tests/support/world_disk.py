"""What of the agent outlives its process in a simulated world, and what waits between the two: disk and effects."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from agent.model.effects import Effect
from agent.model.records import Recovered
from tests.support.pair import Disk
from tests.support.world_trace import BrokenRuleError

EFFECTS_WAITING_MAX: Final = 400
"""Bound of the engine's queue here: a stalled disk holds it up for 25 s, in which the broker may deliver eight
messages unacknowledged and the bus some 800 frames."""


@dataclass
class WorldDisk(Disk):
    """What survives a crash; may itself be lost, and made anew under another id."""

    store_id: bytes = b"storeid!"

    def recover(self) -> Recovered:
        return replace(super().recover(), store_id=self.store_id)

    def lose(self, store_id: bytes, *, number: int, is_outbox_lost: bool) -> None:
        """The journal is found damaged at start and made anew, as `adapters/store.py` does; numbers go on elsewhere."""
        self.store_id = store_id
        self.journal.clear()
        self.sessions.clear()
        if is_outbox_lost:
            self.outbox.clear()
        self.sequence_next = number


class StampedQueue(deque[Effect]):
    """The engine's own queue, with the time at which each effect was asked for."""

    def __init__(self, effects: Iterable[Effect], clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._stamps_s: deque[float] = deque()
        self.asked_at_s = 0.0
        self.extend(effects)

    def append(self, effect: Effect) -> None:
        if len(self) >= EFFECTS_WAITING_MAX:
            raise BrokenRuleError(f"SR-09: more than {EFFECTS_WAITING_MAX} effects wait")
        super().append(effect)
        self._stamps_s.append(self._clock())

    def extend(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            self.append(effect)

    def popleft(self) -> Effect:
        self.asked_at_s = self._stamps_s.popleft()
        return super().popleft()

    def clear(self) -> None:
        super().clear()
        self._stamps_s.clear()
