"""Inputs that bounce: a change counts once it has stood for its time. READY for a tenth of a second is none (R16)."""

from __future__ import annotations

from agent.model.reading import Reading


class Debounce:
    """The changes that have not stood for long enough yet, one a path."""

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[Reading, float]] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def change(self, reading: Reading, stand_s: float, now_s: float) -> None:
        """The path shows another value than the one known; the first reading of it is the one that will count."""
        known = self._waiting.get(reading.path)
        if known is None or known[0].value != reading.value:
            self._waiting[reading.path] = (reading, now_s + stand_s)

    def cancel(self, path: str) -> bool:
        """The path is back, or not to be believed; True if there was a change that now counts for nothing."""
        return self._waiting.pop(path, None) is not None

    def stood(self, path: str, now_s: float) -> Reading | None:
        """As `settled`, of one path alone."""
        known = self._waiting.get(path)
        if known is None or now_s < known[1]:
            return None
        del self._waiting[path]
        return known[0]

    def settled(self, now_s: float) -> tuple[Reading, ...]:
        """Changes that have stood for their time; told once."""
        ripe = tuple(reading for reading, at_s in self._waiting.values() if now_s >= at_s)
        for reading in ripe:
            del self._waiting[reading.path]
        return ripe

    def next_at(self) -> float | None:
        """When the next change will have stood for long enough."""
        return min((at_s for _, at_s in self._waiting.values()), default=None)
