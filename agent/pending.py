"""Effects waiting to be performed, the numbers that tell their answers apart, and event sequence numbers."""

from __future__ import annotations

from collections import deque

from agent.model.effects import Acknowledge, Effect, Fetch, Level, Log, Persist, Publish, PulseRelay, SendFrame
from agent.model.frame import Frame
from agent.model.pulse import Pulse
from agent.model.records import Record, SequenceReserved

# Numbers reserved at once: one synced write in so many records, and at most so many unused after a power cut.
SEQUENCE_BLOCK = 1000


class Pending:
    """The queue between the engine and `app.py`. Each input adds a bounded number of effects, so it is bounded too."""

    def __init__(self, sequence_next: int) -> None:
        self._effects: deque[Effect] = deque()
        self._token = 0
        self._sequence_next = sequence_next
        self._sequence_reserved = sequence_next

    def add(self, effect: Effect) -> None:
        self._effects.append(effect)

    def pop(self) -> Effect | None:
        return self._effects.popleft() if self._effects else None

    @property
    def has_effects(self) -> bool:
        return bool(self._effects)

    def clear(self) -> None:
        """Drop what waits behind an effect that failed, for it relied on it; only acknowledgements stay."""
        kept = [effect for effect in self._effects if isinstance(effect, Acknowledge)]
        self._effects.clear()
        for effect in kept:
            self._effects.append(effect)

    def persist(self, *records: Record) -> int:
        """Queue a durable write of records of one store; returns the token of its answer."""
        self._effects.append(Persist(records, self._next_token()))
        return self._token

    def fetch(self, sequences: tuple[int, ...]) -> int:
        """Queue a reading of outbox records; returns the token of its answer."""
        self._effects.append(Fetch(sequences, self._next_token()))
        return self._token

    def send(self, asked: Frame | Pulse, token: int, not_after_s: float) -> None:
        effect = PulseRelay if isinstance(asked, Pulse) else SendFrame
        self._effects.append(effect(asked, token, not_after_s))  # type: ignore[arg-type]

    def publish(self, topic: str, payload: bytes, *, is_retained: bool = False, expiry_s: int | None = None) -> None:
        """Queue a publication whose fate is of no further interest: it is sent again by other means if lost."""
        self._effects.append(Publish(topic, payload, is_retained, expiry_s))

    def publish_tracked(self, topic: str, payload: bytes, *, is_retained: bool = False) -> int:
        """Queue a publication and return the token of the broker's answer."""
        self._effects.append(Publish(topic, payload, is_retained, token=self._next_token()))
        return self._token

    def log(self, level: Level, event: str, **fields: object) -> None:
        self._effects.append(Log(level, event, fields))

    def next_sequence(self) -> int:
        """A number never given before or after, over restarts: its block is durable before it is used (SR-07)."""
        if self._sequence_next >= self._sequence_reserved:
            self._sequence_reserved = self._sequence_next + SEQUENCE_BLOCK
            self.persist(SequenceReserved(self._sequence_reserved))
        number = self._sequence_next
        self._sequence_next += 1
        return number

    @property
    def sequence_last(self) -> int:
        return self._sequence_next - 1

    def _next_token(self) -> int:
        self._token += 1
        return self._token
