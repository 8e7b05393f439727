"""When the virtual car sends each of its messages, and the how-manieth of it that is."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

STAGGER_S = 0.007  # messages of one cycle time do not leave in one instant


class Rhythm:
    """Of messages with these cycle times, while the car is awake: from `begin` to `stop`."""

    def __init__(self, cycles_s: Mapping[str, float]) -> None:
        self._cycles_s = cycles_s
        self._due_s: dict[str, float] = {}
        self._sent: Counter[str] = Counter()
        self._counted: Counter[str] = Counter()

    @property
    def next_s(self) -> float:
        """When the next message is due; infinity while nothing is sent."""
        return min(self._due_s.values(), default=math.inf)

    def begin(self, now_s: float) -> None:
        """Everything is sent once, one after the other, and from then on at its cycle."""
        self._due_s = {name: now_s + index * STAGGER_S for index, name in enumerate(self._cycles_s)}

    def stop(self) -> None:
        self._due_s = {}

    def skip_to(self, now_s: float) -> None:
        """What was due before then is never sent."""
        self._due_s = {name: max(due_s, now_s) for name, due_s in self._due_s.items()}

    def take_due(self, now_s: float) -> Sequence[str]:
        """The messages that are due, each once; then they are due again a cycle later."""
        due = [name for name, due_s in self._due_s.items() if due_s <= now_s]
        for name in due:
            self._due_s[name] = round(self._due_s[name] + self._cycles_s[name], 6)  # no drift over days
        return due

    def count(self, message: str, *, is_counting: bool) -> tuple[int, int]:
        """How many of it were sent before this one, and how many times its counter went on."""
        before = self._sent[message], self._counted[message]
        self._sent[message] += 1
        self._counted[message] += is_counting
        return before
