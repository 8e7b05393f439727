"""What happened in a simulated world: a hash of every step, the last steps in words, and counts."""

from __future__ import annotations

from collections import Counter, deque
from hashlib import sha256

# Enough to see a command from its delivery to its end, with what went wrong in between.
LAST_MAX = 150


class Trace:
    """Every step of one world, in order. `counts` is what the run tells at its end."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._hash = sha256()
        self._last: deque[tuple[float, str, bytes, object]] = deque(maxlen=LAST_MAX)

    def mark(self, at_s: float, what: str, raw: bytes = b"", about: object = "") -> None:
        """One step: `raw` goes into the hash, `about` only into the words (it is put into words when asked for)."""
        self._hash.update(b"%.6f %s %b" % (at_s, what.encode(), raw))
        self._last.append((at_s, what, raw, about))

    @property
    def digest(self) -> str:
        """Two runs that did the same have the same."""
        return self._hash.hexdigest()

    def words(self) -> str:
        """The last steps, one a line."""
        return "\n".join(
            f"{at_s:12.4f}  {what:<24} {sha256(raw).hexdigest()[:8] if raw else '':<8}  {about}"
            for at_s, what, raw, about in self._last
        )


class BrokenRuleError(AssertionError):
    """An invariant does not hold; the text begins with the rule's number."""
