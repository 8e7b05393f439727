"""What a control unit said, to readings or to the reason why there are none."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from agent.decode.meaning import meaning_of
from agent.decode.reader import reader_of
from agent.model.diagnostics import BUSY_REPEAT_REQUEST, NEGATIVE, RESPONSE_PENDING
from agent.model.reading import Reading
from agent.profiles.schema import PollPlan, SignalPlan


class Unanswered(StrEnum):
    """Why a question gave no value; these are reasons of readings too."""

    NO_ANSWER = "no_answer"
    NEGATIVE_ANSWER = "negative_answer"
    BUSY = "busy"
    PENDING = "pending"
    """As the end of a question: it went on saying so for too long."""
    WRONG_ECHO = "wrong_echo"
    """An answer to another question."""
    WRONG_LENGTH = "wrong_length"
    BROKEN_ANSWER = "broken_answer"
    """Frames of it were lost, or came in the wrong order."""
    NOT_SENT = "not_sent"
    LISTEN_ONLY = "listen_only"
    """It is not asked for: the bus only listens."""
    NOT_WIRED = "not_wired"
    """It is not asked for: the installation has no such bus."""


class Answers:
    """Reads the answers to one poll."""

    def __init__(self, plan: PollPlan) -> None:
        self._echo = plan.echo
        self._service = plan.request[len(plan.address) + 1]
        self._readers = {
            length: tuple(_reader(signal, plan.name) for signal in signals) for length, signals in plan.answers.items()
        }
        self._is_longer = plan.is_longer
        self.response_code: int | None = None
        """Of the last negative answer."""

    def read(self, payload: bytes, at_s: float) -> tuple[Reading, ...] | Unanswered:
        """The readings of an answer whose first frame came at `at_s`."""
        if payload[:1] == bytes([NEGATIVE]):
            return self._negative(payload)
        if not payload.startswith(self._echo):
            return Unanswered.WRONG_ECHO
        data = payload[len(self._echo) :]
        readers = self._readers.get(len(data))
        if readers is None and self._is_longer:
            (length,) = self._readers
            readers = self._readers[length] if len(data) > length else None
        if readers is None:
            return Unanswered.WRONG_LENGTH
        return tuple(read(data, at_s) for read in readers)

    def _negative(self, payload: bytes) -> Unanswered:
        if len(payload) != 3 or payload[1] != self._service:
            return Unanswered.WRONG_ECHO
        code = payload[2]
        if code == RESPONSE_PENDING:
            return Unanswered.PENDING
        self.response_code = code
        return Unanswered.BUSY if code == BUSY_REPEAT_REQUEST else Unanswered.NEGATIVE_ANSWER


def _reader(signal: SignalPlan, poll: str) -> Callable[[bytes, float], Reading]:
    read, size = reader_of(signal, poll, meaning_of(signal)), signal.field.size_bytes
    is_little_endian = signal.field.is_little_endian
    return lambda data, at_s: read(int.from_bytes(data[:size], "little" if is_little_endian else "big"), at_s)
