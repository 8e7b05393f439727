"""When the loop is behind: of several frames of one message that wait, only the newest is worth taking in.

What waits has been overtaken by what came after it, and a value is judged by the newest frame alone. Only messages that
may be conflated are; each frame left out is counted, by message.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence

from agent.adapters.can_raw import Message
from agent.errors import BusError

MessageKey = tuple[int, bool]
"""Arbitration id, and whether it is an extended one."""


# An extended id and a standard one of the same number are two ids; this is the kernel's CAN_EFF_FLAG.
_EXTENDED = 0x8000_0000


def named(key: MessageKey) -> str:
    """The id as candump writes it."""
    number, is_extended = key
    return f"{number:08X}" if is_extended else f"{number:03X}"


class Conflation:
    """Picks the newest of what waits. `counts` are the frames left out."""

    def __init__(self, conflatable: Collection[MessageKey]) -> None:
        self.counts: Counter[MessageKey] = Counter()
        # By one number, which is told from another at half the price of a pair.
        self._conflatable = {_number(*key): key for key in conflatable}

    def newest(self, waiting: Iterable[tuple[Message, float]]) -> Iterator[tuple[Message, float]]:
        """What is left of messages in order of arrival, in the order of those that are left.

        Error and remote frames, and frames cut short, stand in nobody's place.
        """
        messages: list[tuple[Message, float]] = []
        failure: BusError | None = None
        try:
            messages += waiting
        except BusError as error:
            failure = error  # told once what came before it is taken in
        yield from self._newest(messages)
        if failure is not None:
            raise failure

    def _newest(self, messages: Sequence[tuple[Message, float]]) -> Sequence[tuple[Message, float]]:
        if len(messages) < 2 or not self._conflatable:
            return messages
        conflatable = self._conflatable
        left: list[tuple[Message, float]] = []
        overtaken: dict[int, int] = {}
        for waiting in reversed(messages):
            message = waiting[0]
            number = message.arbitration_id
            if message.is_extended_id:
                number |= _EXTENDED
            if number in conflatable:
                is_whole = len(message.data) == message.dlc
                if is_whole and not (message.is_error_frame or message.is_remote_frame):
                    if number in overtaken:
                        overtaken[number] += 1
                        continue
                    overtaken[number] = 0
            left.append(waiting)
        for number, count in overtaken.items():
            if count:
                self.counts[conflatable[number]] += count
        left.reverse()
        return left


def _number(arbitration_id: int, is_extended_id: bool) -> int:
    return arbitration_id | _EXTENDED if is_extended_id else arbitration_id
