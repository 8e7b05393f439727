"""When the loop is behind: of several frames of one message that wait, only the newest is worth taking in.

What waits has been overtaken by what came after it, and a value is judged by the newest frame alone. Only messages that
may be conflated are; each frame left out is counted, by message.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence

import can

from agent.errors import BusError

MessageKey = tuple[int, bool]
"""Arbitration id, and whether it is an extended one."""


def named(key: MessageKey) -> str:
    """The id as candump writes it."""
    number, is_extended = key
    return f"{number:08X}" if is_extended else f"{number:03X}"


class Conflation:
    """Picks the newest of what waits. `counts` are the frames left out."""

    def __init__(self, conflatable: Collection[MessageKey]) -> None:
        self.counts: Counter[MessageKey] = Counter()
        self._conflatable = frozenset(conflatable)

    def newest(self, waiting: Iterable[tuple[can.Message, float]]) -> Iterator[tuple[can.Message, float]]:
        """What is left of messages in order of arrival, in the order of those that are left.

        Error and remote frames, and frames cut short, stand in nobody's place.
        """
        messages: list[tuple[can.Message, float]] = []
        failure: BusError | None = None
        try:
            messages += waiting
        except BusError as error:
            failure = error  # told once what came before it is taken in
        yield from self._newest(messages)
        if failure is not None:
            raise failure

    def _newest(self, messages: Sequence[tuple[can.Message, float]]) -> Iterator[tuple[can.Message, float]]:
        if len(messages) < 2 or not self._conflatable:
            yield from messages
            return
        newest: dict[MessageKey, int] = {}
        overtaken: set[int] = set()
        conflatable = self._conflatable
        for place, (message, _) in enumerate(messages):
            key = message.arbitration_id, message.is_extended_id
            if key not in conflatable or len(message.data) != message.dlc:
                continue
            if message.is_error_frame or message.is_remote_frame:
                continue
            if key in newest:
                overtaken.add(newest[key])
                self.counts[key] += 1
            newest[key] = place
        if not overtaken:
            yield from messages
            return
        for place, each in enumerate(messages):
            if place not in overtaken:
                yield each
